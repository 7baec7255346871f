#include "cmd/credentials.h"

#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/path.h"
#include "base/str.h"
#include "cmd/credential_file.h"
#include "cmd/credential_helper.h"
#include "cmd/docker_config.h"
#include "cmd/paths.h"

struct credentials {
	char **files;	  /* strv, in order */
	char *docker;	  /* docker's, one of files; NULL: there is no home */
	cJSON **contents; /* of files, once they are read */
	struct credential_agent agent;
	int dumpable; /* as it was */
};

static const char *absolute(const char *name)
{
	const char *path = getenv(name);

	return !str_empty(path) && path[0] == '/' ? path : NULL;
}

static void push_joined(char ***strv, const char *directory, const char *name)
{
	strv_push_take(strv, path_join(directory, name));
}

/* A relative one would be lost with a change of directory. */
static char *make_absolute(char *path)
{
	cleanup_free char *relative = NULL;
	cleanup_free char *here = NULL;

	if (path[0] == '/')
		return path;
	relative = path;
	here = getcwd(NULL, 0);
	return path_join(here ? here : "/", relative);
}

static void name_files(struct credentials *credentials)
{
	const char *auth_file = getenv("REGISTRY_AUTH_FILE");
	const char *runtime = absolute("XDG_RUNTIME_DIR");
	const char *config = absolute("XDG_CONFIG_HOME");
	const char *home = path_home();

	if (!str_empty(auth_file))
		strv_push_take(&credentials->files,
			       make_absolute(xstrdup(auth_file)));
	credentials->docker = docker_config_path();
	if (credentials->docker)
		strv_push(&credentials->files, credentials->docker);
	if (runtime)
		push_joined(&credentials->files, runtime,
			    "containers/auth.json");
	if (config)
		push_joined(&credentials->files, config,
			    "containers/auth.json");
	else if (home)
		push_joined(&credentials->files, home,
			    ".config/containers/auth.json");
}

static bool needs_agent(const struct credentials *credentials,
			enum credentials_use use)
{
	if (use == CREDENTIALS_WRITTEN)
		return true;
	for (size_t i = 0; credentials->files && credentials->files[i]; i++)
		if (credential_file_names_helper(credentials->files[i]))
			return true;
	return false;
}

int credentials_open(enum credentials_use use,
		     struct credentials **ret_credentials, struct error *err)
{
	struct credentials *credentials = xcalloc(1, sizeof(*credentials));
	int r;

	credentials->agent.fd = -1;
	credentials->dumpable = -1;
	name_files(credentials);
	if (needs_agent(credentials, use)) {
		r = credential_agent_start(&credentials->agent, err);
		if (r < 0) {
			credentials_close(credentials);
			return r;
		}
	}
	*ret_credentials = credentials;
	return 0;
}

/* All texts in it; no deeper than json_parse() allows. */
static void wipe_texts(const cJSON *json)
{
	const cJSON *item;

	if (json->valuestring)
		explicit_bzero(json->valuestring, strlen(json->valuestring));
	cJSON_ArrayForEach(item, json)
	{
		wipe_texts(item);
	}
}

void credentials_wipe(cJSON *json)
{
	if (json)
		wipe_texts(json);
	cJSON_Delete(json);
}

void credentials_forget(struct credentials *credentials)
{
	if (!credentials)
		return;
	for (size_t i = 0; credentials->contents && credentials->files[i]; i++)
		credentials_wipe(credentials->contents[i]);
	free(credentials->contents);
	credentials->contents = NULL;
	if (credentials->dumpable > 0)
		prctl(PR_SET_DUMPABLE, credentials->dumpable, 0, 0, 0);
	credentials->dumpable = -1;
}

void credentials_close(struct credentials *credentials)
{
	if (!credentials)
		return;
	credentials_forget(credentials);
	strv_free(credentials->files);
	free(credentials->docker);
	credential_agent_stop(&credentials->agent);
	free(credentials);
}

/* From the first secret until they are forgotten nothing dumps this memory. */
static void guard_memory(struct credentials *credentials)
{
	if (credentials->dumpable < 0) {
		credentials->dumpable = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);
		prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	}
}

static void read_files(struct credentials *credentials)
{
	size_t count = strv_length(credentials->files);

	if (credentials->contents)
		return;
	guard_memory(credentials);
	credentials->contents = xcalloc(count, sizeof(*credentials->contents));
	for (size_t i = 0; i < count; i++) {
		struct error err = {0};

		if (credential_file_read(credentials->files[i],
					 &credentials->contents[i], &err) < 0)
			report_warning("%s", err.message);
	}
}

static int ask_helper(const struct credentials *credentials,
		      const struct credential_request *request,
		      struct registry_auth *ret_auth, struct error *err)
{
	if (credentials->agent.fd >= 0)
		return credential_agent_ask(&credentials->agent, request,
					    ret_auth, err);
	return credential_helper_run(request, CREDENTIAL_HELPER_MS, ret_auth,
				     err);
}

static int find_in(const struct credentials *credentials, size_t file,
		   const char *name, struct registry_auth *ret_auth,
		   struct error *err)
{
	const cJSON *json = credentials->contents[file];
	struct credential_request request = {.verb = CREDENTIAL_GET};
	cleanup_free char *server = NULL;
	int r = 0;

	if (!json)
		return 0;
	credential_file_helper(json, name, &request.helper, &server);
	request.server = server;
	if (request.helper)
		r = ask_helper(credentials, &request, ret_auth, err);
	if (r != 0)
		return r;
	return credential_file_find(json, credentials->files[file], name,
				    ret_auth, err);
}

int credentials_find(struct credentials *credentials, const char *name,
		     struct registry_auth *ret_auth)
{
	read_files(credentials);
	for (size_t i = 0; credentials->files && credentials->files[i]; i++) {
		struct error err = {0};
		int r = find_in(credentials, i, name, ret_auth, &err);

		if (r > 0)
			return 1;
		if (r < 0)
			report_warning("%s", err.message);
	}
	return 0;
}

cJSON *credentials_find_all(struct credentials *credentials, char *const *names)
{
	cJSON *auths = json_object();

	for (size_t i = 0; names && names[i]; i++) {
		CLEANUP(registry_auth_release) struct registry_auth auth = {0};

		if (credentials_find(credentials, names[i], &auth) > 0)
			json_set(auths, names[i], registry_auth_to_json(&auth));
	}
	return auths;
}

static bool in_path(const char *program)
{
	const char *path = getenv("PATH");
	cleanup_strv char **directories = strv_split(path ? path : "", ':');

	for (size_t i = 0; directories && directories[i]; i++) {
		cleanup_free char *file = NULL;

		if (directories[i][0] != '/')
			continue;
		file = path_join(directories[i], program);
		if (access(file, X_OK) == 0)
			return true;
	}
	return false;
}

/* docker's choice for who logs in for the first time, NULL: write it down. */
static const char *default_store(const cJSON *json)
{
	static const char *const words[] = {"auths", "credHelpers"};
	const char *store = in_path("pass") ? "pass" : "secretservice";
	cleanup_free char *program = xasprintf("docker-credential-%s", store);

	if (cJSON_GetObjectItemCaseSensitive(json, "credsStore"))
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		const cJSON *object =
			cJSON_GetObjectItemCaseSensitive(json, words[i]);

		if (object && object->child)
			return NULL;
	}
	return in_path(program) ? store : NULL;
}

static int no_home(struct error *err)
{
	err_set(err, ERROR_NOT_FOUND,
		"cannot tell where to keep credentials: HOME is not set");
	return err_hint(err, "Set HOME or DOCKER_CONFIG.");
}

struct change {
	const struct credentials *credentials;
	const char *registry;
	const struct registry_auth *auth; /* NULL: erase */
	bool readable;			  /* the password, in the file */
};

static int store_change(cJSON *json, void *data, struct error *err)
{
	struct change *change = data;
	const struct registry_auth *auth = change->auth;
	const char *store = default_store(json);
	struct credential_request request = {
		.verb = CREDENTIAL_STORE,
		.username = auth->identity_token ? "<token>" : auth->username,
		.secret = auth->identity_token ? auth->identity_token
					       : auth->password,
	};
	cleanup_free char *server = NULL;
	int r;

	json_set_text(json, "credsStore", store);
	credential_file_helper(json, change->registry, &request.helper,
			       &server);
	request.server = server;
	if (request.helper) {
		r = ask_helper(change->credentials, &request, NULL, err);
		if (r < 0)
			return r;
	}
	change->readable = !request.helper && !auth->identity_token;
	credential_file_set(json, change->registry,
			    request.helper ? NULL : auth);
	return 1;
}

int credentials_store(struct credentials *credentials, const char *registry,
		      const struct registry_auth *auth, char **ret_file,
		      struct error *err)
{
	struct change change = {
		.credentials = credentials,
		.registry = registry,
		.auth = auth,
	};
	int r;

	guard_memory(credentials);
	if (!credentials->docker)
		return no_home(err);
	r = credential_file_change(credentials->docker, store_change, &change,
				   err);
	if (r < 0)
		return r;
	*ret_file = change.readable ? xstrdup(credentials->docker) : NULL;
	return 0;
}

static int erase_change(cJSON *json, void *data, struct error *err)
{
	struct change *change = data;
	struct credential_request request = {.verb = CREDENTIAL_ERASE};
	cleanup_free char *server = NULL;
	int r = 0;

	credential_file_helper(json, change->registry, &request.helper,
			       &server);
	request.server = server;
	if (request.helper)
		r = ask_helper(change->credentials, &request, NULL, err);
	if (r < 0)
		return r;
	return credential_file_remove(json, change->registry) || r > 0;
}

int credentials_erase(struct credentials *credentials, const char *registry,
		      struct error *err)
{
	struct change change = {
		.credentials = credentials,
		.registry = registry,
	};

	guard_memory(credentials);
	if (!credentials->docker)
		return no_home(err);
	return credential_file_change(credentials->docker, erase_change,
				      &change, err);
}
