/* Checking credentials with a registry, see storage/transfer.h. */
#include <errno.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "storage/job/job.h"
#include "storage/registry/job_registry.h"

static int refused(const struct registry *registry, int r, struct error *err)
{
	const char *host = registry_host(registry);

	if (r == -EACCES)
		return err_set(err, ERROR_PERMISSION,
			       "login attempt to %s failed: unauthorized: "
			       "incorrect username or password",
			       host);
	if (r == -ENOENT) {
		err_set(err, ERROR_NOT_FOUND,
			"%s is not a registry: it has no "
			"/v2/",
			host);
		return err_hint(err, "Check the address and the port.");
	}
	return r;
}

int login_run(struct job *job, struct error *err)
{
	cleanup_registry struct registry *registry = NULL;
	const char *token;
	int r;

	r = job_open_host(job, true, &registry, err);
	if (r < 0)
		return r;
	r = registry_ping(registry, err);
	if (r < 0)
		return refused(registry, r, err);
	token = registry_identity_token(registry);
	if (token)
		json_set_string(job->result, "identitytoken", token);
	return 0;
}
