#include "core/engine/limits.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/str.h"

#define CGROUP_FILE_MAX 65536

/* Where cgroup v2 may be mounted: alone, or beside v1 hierarchies. */
static const char *const cgroup_mounts[] = {"/sys/fs/cgroup",
					    "/sys/fs/cgroup/unified"};

/* The "0::/path" line of /proc/self/cgroup; NULL without cgroup v2. */
static char *own_cgroup(void)
{
	cleanup_free char *text = NULL;
	cleanup_strv char **lines = NULL;

	if (file_read_at(AT_FDCWD, "/proc/self/cgroup", CGROUP_FILE_MAX, &text,
			 NULL, NULL) < 0)
		return NULL;
	lines = strv_split(text, '\n');
	for (size_t i = 0; lines[i]; i++) {
		if (str_starts(lines[i], "0::/"))
			return xstrdup(lines[i] + strlen("0::"));
	}
	return NULL;
}

static bool has_word(const char *text, const char *word)
{
	size_t length = strlen(word);

	while (*text) {
		size_t here = strcspn(text, " \n");

		if (here == length && strncmp(text, word, length) == 0)
			return true;
		text += here + (text[here] ? 1 : 0);
	}
	return false;
}

bool limits_delegated(const char *controller)
{
	cleanup_free char *cgroup = own_cgroup();

	for (size_t i = 0; cgroup && i < ARRAY_SIZE(cgroup_mounts); i++) {
		cleanup_free char *controllers = NULL;
		cleanup_free char *path = NULL;
		cleanup_free char *control = NULL;

		path = xasprintf("%s%s/cgroup.controllers", cgroup_mounts[i],
				 cgroup);
		control = xasprintf("%s%s/cgroup.subtree_control",
				    cgroup_mounts[i], cgroup);
		if (file_read_at(AT_FDCWD, path, CGROUP_FILE_MAX, &controllers,
				 NULL, NULL) < 0)
			continue;
		return has_word(controllers, controller) &&
		       faccessat(AT_FDCWD, control, W_OK, AT_EACCESS) == 0;
	}
	return false;
}

int limits_refuse(const char *member, const char *option,
		  const char *controller, struct error *err)
{
	if (limits_delegated(controller)) {
		err_set(err, ERROR_UNSUPPORTED,
			"cannot set %s (HostConfig.%s): limits in a delegated "
			"cgroup are not supported yet",
			option ? option : member, member);
		return err_hint(err, "leave it out");
	}
	err_set(err, ERROR_UNSUPPORTED,
		"cannot set %s (HostConfig.%s): no cgroup with the controller "
		"%s is delegated to you",
		option ? option : member, member, controller);
	return err_hint(err,
			"ask root for a file "
			"/etc/systemd/system/user@.service.d/delegate.conf "
			"with the lines [Service] and Delegate=cpu cpuset io "
			"memory pids, then systemctl daemon-reload and a new "
			"login");
}
