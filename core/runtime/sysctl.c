#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/path.h"
#include "base/str.h"
#include "core/runtime/kernel.h"
#include "core/runtime/setup.h"

/* Which settings belong to a namespace; anything else would be the host's. */
static const struct {
	const char *prefix; /* with '.' at the end: all below */
	int flag;
	const char *option;
} owners[] = {
	{"net.", CLONE_NEWNET, "--network host"},
	{"fs.mqueue.", CLONE_NEWIPC, "--ipc host"},
	{"kernel.msgmax", CLONE_NEWIPC, "--ipc host"},
	{"kernel.msgmnb", CLONE_NEWIPC, "--ipc host"},
	{"kernel.msgmni", CLONE_NEWIPC, "--ipc host"},
	{"kernel.msg_next_id", CLONE_NEWIPC, "--ipc host"},
	{"kernel.sem", CLONE_NEWIPC, "--ipc host"},
	{"kernel.sem_next_id", CLONE_NEWIPC, "--ipc host"},
	{"kernel.shmall", CLONE_NEWIPC, "--ipc host"},
	{"kernel.shmmax", CLONE_NEWIPC, "--ipc host"},
	{"kernel.shmmni", CLONE_NEWIPC, "--ipc host"},
	{"kernel.shm_rmid_forced", CLONE_NEWIPC, "--ipc host"},
	{"kernel.shm_next_id", CLONE_NEWIPC, "--ipc host"},
	{"kernel.domainname", CLONE_NEWUTS, "--uts host"},
	{"kernel.hostname", CLONE_NEWUTS, "--uts host"},
};

static int check(const struct runtime_spec *spec, const char *key,
		 struct error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(owners); i++) {
		const char *prefix = owners[i].prefix;

		if (str_ends(prefix, ".") ? !str_starts(key, prefix)
					  : !str_equal(key, prefix))
			continue;
		if (spec_namespace(spec, owners[i].flag))
			return 0;
		return err_set(err, ERROR_INVALID,
			       "sysctl %s would be the host's with %s", key,
			       owners[i].option);
	}
	return err_set(err, ERROR_INVALID,
		       "sysctl %s does not belong to a namespace: it would be "
		       "the host's",
		       key);
}

static int write_one(const struct setup *setup, const char *setting,
		     struct error *err)
{
	const char *equal = strchr(setting, '=');
	cleanup_free char *key = NULL;
	cleanup_free char *path = NULL;
	cleanup_fd int fd = -1;
	int r;

	if (!equal || equal == setting)
		return err_set(err, ERROR_INVALID,
			       "sysctl \"%s\": expected name=value", setting);
	/* As sysctl(8): with '/' between, '.' is part of a name. */
	key = xstrndup(setting, (size_t)(equal - setting));
	for (char *at = strchr(key, '/') ? NULL : key; at && *at; at++)
		*at = *at == '.' ? '/' : *at;
	path = xasprintf("/proc/sys/%s", key);
	for (char *at = key; *at; at++)
		*at = *at == '/' ? '.' : *at;
	r = check(setup->spec, key, err);
	if (r < 0)
		return r;

	fd = setup->proc_fd >= 0 ? mounts_open_path(setup, path, O_WRONLY)
				 : open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0) {
		err_number(err, setup->proc_fd >= 0 ? fd : errno,
			   "cannot set sysctl %s", key);
		return err_hint(err, "this kernel may not have it, or not let "
				     "a user namespace change it");
	}
	r = write_all(fd, equal + 1, strlen(equal + 1));
	if (r < 0)
		return err_number(err, r, "cannot set sysctl %s to \"%s\"", key,
				  equal + 1);
	return 0;
}

int sysctl_write(const struct setup *setup, struct error *err)
{
	char **settings = setup->spec->sysctl;

	for (size_t i = 0; settings && settings[i]; i++) {
		int r = write_one(setup, settings[i], err);

		if (r < 0)
			return r;
	}
	return 0;
}
