/* How a monitor gets to where it may make leaves: the ways are in cgroup.h. */
#include "core/runtime/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/path.h"
#include "base/proc.h"
#include "base/str.h"

#define HELPER_NAME	"moss-systemd"
#define HELPER_TEXT_MAX 8192
#define PARENT_MAX	1024
#define SLICE_SUFFIX	".slice"
#define EVACUATE_ROUNDS 16

static bool is_slice(const char *name)
{
	return str_ends(name, SLICE_SUFFIX) &&
	       strlen(name) > strlen(SLICE_SUFFIX) && !strchr(name, '/') &&
	       name[0] != '-' && name[0] != '.';
}

int cgroup_parent_check(const struct cgroup_host *host, const char *parent,
			struct error *err)
{
	cleanup_free char *clean = NULL;

	if (*parent == '\0')
		return 0;
	if (strlen(parent) > PARENT_MAX || strchr(parent, '\n'))
		return err_set(err, ERROR_INVALID, "cgroup-parent: too long");
	if (host->manager == CGROUP_MANAGER_SYSTEMD) {
		if (is_slice(parent))
			return 0;
		return err_set(err, ERROR_INVALID,
			       "cgroup-parent for systemd cgroup should be a "
			       "valid slice named as \"xxx.slice\"");
	}
	clean = xasprintf("/%s/", parent);
	if (strstr(clean, "/../") || strstr(clean, "/./") ||
	    str_equal(clean, "///"))
		return err_set(err, ERROR_INVALID,
			       "cgroup-parent: \"%s\" is no path below your "
			       "cgroup",
			       parent);
	return 0;
}

static int make_directory(const char *path, struct error *err)
{
	if (mkdir(path, 0755) < 0 && errno != EEXIST)
		return err_errno(err, "cannot make the cgroup %s", path);
	return 0;
}

static int explain_busy(const char *path, const char *name, struct error *err)
{
	err_set(err, ERROR_CONFLICT,
		"cannot turn on the controller %s in the cgroup %s: it holds "
		"processes",
		name, path);
	return err_hint(err, "move them to cgroups below it");
}

/* One by one: a controller that is not needed may fail. */
static int turn_on(const char *path, unsigned int controllers,
		   unsigned int needed, struct error *err)
{
	cleanup_free char *file = xasprintf("%s/cgroup.subtree_control", path);
	cleanup_free char *text = NULL;
	unsigned int on = 0;

	if (file_read_at(AT_FDCWD, file, HELPER_TEXT_MAX, &text, NULL, NULL) ==
	    0)
		on = cgroup_controllers_parse(text);
	for (unsigned int i = 0; i < CGROUP_CONTROLLERS; i++) {
		const char *name = cgroup_controller_name(i);
		char word[16] = "+";
		int r;

		if ((on & CGROUP_BIT(i)) || !(controllers & CGROUP_BIT(i)))
			continue;
		strncat(word, name, sizeof(word) - 2);
		r = file_write_once_at(AT_FDCWD, file, word, NULL);
		if (r == 0 || !(needed & CGROUP_BIT(i)))
			continue;
		if (r == -EBUSY)
			return explain_busy(path, name, err);
		return err_number(err, r,
				  "cannot turn on the controller %s "
				  "in the cgroup %s",
				  name, path);
	}
	return 0;
}

/* Processes of BASE itself would keep controllers from its children. */
static int evacuate(const char *base, struct error *err)
{
	cleanup_free char *refuge = xasprintf("%s/" CGROUP_MONITORS, base);
	cleanup_free char *from = xasprintf("%s/cgroup.procs", base);
	cleanup_free char *to = xasprintf("%s/cgroup.procs", refuge);
	int r = make_directory(refuge, err);

	for (int i = 0; r == 0 && i < EVACUATE_ROUNDS; i++) {
		cleanup_free char *text = NULL;
		cleanup_strv char **pids = NULL;

		r = file_read_at(AT_FDCWD, from, HELPER_TEXT_MAX * 128, &text,
				 NULL, err);
		if (r < 0 || *text == '\0')
			return r;
		pids = strv_split(text, '\n');
		for (size_t j = 0; pids[j]; j++) {
			if (*pids[j])
				(void)file_write_once_at(AT_FDCWD, to, pids[j],
							 NULL);
		}
	}
	return r;
}

static int enter_direct(const struct cgroup_host *host, const char *parent,
			unsigned int needed, char **ret_base, struct error *err)
{
	cleanup_free char *path =
		xasprintf("%s%s", host->mount,
			  str_equal(host->base, "/") ? "" : host->base);
	cleanup_strv char **parts = strv_split(parent, '/');
	int r = host->evacuate ? evacuate(path, err) : 0;

	if (r == 0)
		r = turn_on(path, host->delegated, needed, err);
	for (size_t i = 0; r == 0 && parts[i]; i++) {
		char *longer;

		if (*parts[i] == '\0')
			continue;
		longer = xasprintf("%s/%s", path, parts[i]);
		free(path);
		path = longer;
		r = make_directory(path, err);
		if (r == 0)
			r = turn_on(path, host->delegated, needed, err);
	}
	if (r == 0)
		*ret_base = steal_ptr(&path);
	return r;
}

/* moss-containers.service, or one of its own for another slice. */
static char *unit_name(const char *slice)
{
	static const char suffix[] = ".service";
	size_t stem = strlen(CGROUP_UNIT) - (sizeof(suffix) - 1);

	if (*slice == '\0')
		return xstrdup(CGROUP_UNIT);
	return xasprintf("%.*s-%.*s%s", (int)stem, CGROUP_UNIT,
			 (int)(strlen(slice) - strlen(SLICE_SUFFIX)), slice,
			 suffix);
}

/* The helper answers with the unit's cgroup, below the mount. */
static int ask_systemd(struct cgroup_host *host, const char *slice,
		       struct error *err)
{
	cleanup_free char *program = proc_helper_path(HELPER_NAME, err);
	cleanup_free char *unit = unit_name(slice);
	cleanup_free char *pid = xasprintf("%d", (int)getpid());
	cleanup_free char *mount = xstrdup(host->mount);
	cleanup_free char *own_slice = xstrdup(slice);
	cleanup_free char *answer = NULL;
	char name[] = HELPER_NAME;
	char *argv[] = {name, host->socket, unit, own_slice, mount, pid, NULL};
	const struct spawn spawn = {
		.path = program,
		.argv = argv,
		.die_with_parent = true,
	};
	int r;

	if (!program)
		return err_hint(err, "build moss with libsystemd, so that it "
				     "can ask systemd for a cgroup");
	r = proc_capture(&spawn, HELPER_TEXT_MAX, &answer, err);
	if (r < 0)
		return err_wrap(err, "systemd gives no cgroup for limits");
	answer[strcspn(answer, "\n")] = '\0';
	if (answer[0] != '/' || strstr(answer, "/../"))
		return err_set(err, ERROR_CORRUPT,
			       "systemd gives no cgroup for limits: \"%s\" is "
			       "no path",
			       answer);
	free(host->base);
	host->base = steal_ptr(&answer);
	return 0;
}

void cgroup_end_idle_units(void)
{
	CLEANUP(cgroup_host_release) struct cgroup_host host = {0};
	cleanup_free char *program = proc_helper_path(HELPER_NAME, NULL);
	cleanup_free char *answer = NULL;
	char name[] = HELPER_NAME, option[] = "--end-idle";
	char *argv[] = {name, option, NULL, NULL, NULL};
	const struct spawn spawn = {
		.path = program,
		.argv = argv,
		.die_with_parent = true,
	};

	cgroup_host_read("", cgroup_outside_uid(), &host);
	if (!program || !host.socket || !host.mount)
		return;
	argv[2] = host.socket;
	argv[3] = host.mount;
	(void)proc_capture(&spawn, HELPER_TEXT_MAX, &answer, NULL);
}

static int enter_systemd(struct cgroup_host *host, const char *slice,
			 unsigned int needed, char **ret_base,
			 struct error *err)
{
	cleanup_free char *path = NULL;
	cleanup_free char *procs = NULL;
	int r = -ENOENT;

	/* From below the same service manager no help is needed. */
	if (host->base && *slice == '\0') {
		procs = xasprintf("%s%s/" CGROUP_MONITORS "/cgroup.procs",
				  host->mount, host->base);
		r = file_write_once_at(AT_FDCWD, procs, "0", NULL);
	}
	if (r < 0)
		r = ask_systemd(host, slice, err);
	if (r < 0)
		return r;
	path = xasprintf("%s%s", host->mount, host->base);
	r = turn_on(path, host->delegated, needed, err);
	if (r == 0)
		*ret_base = steal_ptr(&path);
	return r;
}

int cgroup_enter(struct cgroup_host *host, const char *parent,
		 unsigned int needed, char **ret_base, struct error *err)
{
	int r = cgroup_parent_check(host, parent, err);

	if (r < 0)
		return r;
	switch (host->manager) {
	case CGROUP_MANAGER_DIRECT:
		return enter_direct(host, parent, needed, ret_base, err);
	case CGROUP_MANAGER_SYSTEMD:
		return enter_systemd(host, parent, needed, ret_base, err);
	case CGROUP_MANAGER_NONE:
		break;
	}
	return err_set(err, ERROR_UNSUPPORTED, "no cgroup is delegated to you");
}
