/* Where a container's cgroup may be made: the rules are in cgroup.h. */
#include "core/runtime/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/str.h"

#define TEXT_MAX	 (1u << 20)
#define UNIT_DIRECTORY	 "app.slice"
#define DELEGATE_FILE	 "/etc/systemd/system/user@.service.d/delegate.conf"
#define MANAGER_PREFIX	 "user@"
#define MANAGER_SUFFIX	 ".service"
#define DELEGATION_XATTR "user.delegate"

/* What the search works on: the tree, and where v2 is mounted in it. */
struct search {
	const char *root;
	uid_t uid;
	struct cgroup_host *host;
};

static char *read_text(const char *directory, const char *name)
{
	cleanup_free char *path = xasprintf("%s/%s", directory, name);
	char *text = NULL;

	(void)file_read_at(AT_FDCWD, path, TEXT_MAX, &text, NULL, NULL);
	return text;
}

uid_t cgroup_outside_uid(void)
{
	cleanup_free char *text = read_text("/proc/self", "uid_map");
	cleanup_strv char **lines = strv_split(text ? text : "", '\n');
	unsigned int own = geteuid();

	for (size_t i = 0; lines[i]; i++) {
		unsigned int inside, outside, count;

		if (sscanf(lines[i], "%u %u %u", &inside, &outside, &count) ==
			    3 &&
		    own >= inside && own - inside < count)
			return outside + (own - inside);
	}
	return own;
}

/* The "0::" line of /proc/self/cgroup. */
static char *own_cgroup(const struct search *search)
{
	cleanup_free char *text = NULL;
	cleanup_free char *directory = xasprintf("%s/proc/self", search->root);
	cleanup_strv char **lines = NULL;

	text = read_text(directory, "cgroup");
	lines = strv_split(text ? text : "", '\n');
	for (size_t i = 0; lines[i]; i++) {
		if (str_starts(lines[i], "0::/"))
			return xstrdup(lines[i] + strlen("0::"));
	}
	return NULL;
}

/*
 * The part of path that is below top, as of a mount that shows only a part of
 * the hierarchy; NULL: it is somewhere else. "/" is what path itself is.
 */
static const char *below(const char *path, const char *top)
{
	size_t length = strlen(top);

	if (str_equal(top, "/"))
		return path;
	if (strncmp(path, top, length) != 0)
		return NULL;
	if (path[length] == '\0')
		return "/";
	return path[length] == '/' ? path + length : NULL;
}

/* One line of mountinfo: is it of cgroup v2, and does it show our own? */
static bool take_mount(const struct search *search, char *line, const char *own)
{
	struct cgroup_host *host = search->host;
	cleanup_free char *path = NULL;
	char *type = strstr(line, " - ");
	char top[1024], point[1024];
	const char *rest;

	if (!type || !str_starts(type, " - cgroup2 ") ||
	    sscanf(line, "%*s %*s %*s %1023s %1023s", top, point) != 2)
		return false;
	path = xasprintf("%s%s/cgroup.controllers", search->root, point);
	if (access(path, F_OK) < 0)
		return false;
	free(host->mount);
	free(host->own);
	host->mount = xasprintf("%s%s", search->root, point);
	rest = own ? below(own, top) : NULL;
	host->own = xstrdup(rest);
	return rest != NULL;
}

static void find_mount(const struct search *search)
{
	struct cgroup_host *host = search->host;
	cleanup_free char *directory = xasprintf("%s/proc/self", search->root);
	cleanup_free char *text = read_text(directory, "mountinfo");
	cleanup_free char *own = own_cgroup(search);
	cleanup_free char *controllers = NULL;
	cleanup_strv char **lines = strv_split(text ? text : "", '\n');
	bool has_v1 = false;

	for (size_t i = 0; lines[i]; i++) {
		has_v1 = has_v1 || strstr(lines[i], " - cgroup ");
		if (take_mount(search, lines[i], own))
			break;
	}
	if (!host->mount) {
		host->version = has_v1 ? CGROUP_VERSION_1 : CGROUP_VERSION_NONE;
		return;
	}
	controllers = read_text(host->mount, "cgroup.controllers");
	host->available =
		cgroup_controllers_parse(controllers ? controllers : "");
	host->version = has_v1 ? CGROUP_VERSION_HYBRID : CGROUP_VERSION_2;
}

static bool is_writable(const char *directory)
{
	static const char *const files[] = {"cgroup.procs",
					    "cgroup.subtree_control", "."};

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		cleanup_free char *path =
			xasprintf("%s/%s", directory, files[i]);

		if (faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) < 0)
			return false;
	}
	return true;
}

/* "user@1000.service" as the last part of path. */
static bool is_manager(const char *path)
{
	const char *name = strrchr(path, '/');

	return name && str_starts(name + 1, MANAGER_PREFIX) &&
	       str_ends(name, MANAGER_SUFFIX);
}

static bool has_manager_above(const char *path)
{
	const char *at = strstr(path, "/" MANAGER_PREFIX);

	return at && strstr(at, MANAGER_SUFFIX "/");
}

/* Has the service manager above given it away? */
static bool is_given_away(const char *directory)
{
	char value[8];
	ssize_t length =
		getxattr(directory, DELEGATION_XATTR, value, sizeof(value));

	return length == 1 && value[0] == '1';
}

static bool has_processes(const char *directory)
{
	cleanup_free char *text = read_text(directory, "cgroup.procs");

	return !str_empty(text);
}

static unsigned int controllers_of(const char *directory)
{
	cleanup_free char *text = read_text(directory, "cgroup.controllers");

	return text ? cgroup_controllers_parse(text) : 0;
}

/* The outermost cgroup from our own on that is ours; NULL: none. */
static char *find_direct(const struct search *search)
{
	const struct cgroup_host *host = search->host;
	cleanup_free char *path = xstrdup(host->own);
	char *found = NULL;

	while (path) {
		cleanup_free char *directory =
			xasprintf("%s%s", host->mount, path);
		char *slash = strrchr(path, '/');

		if (!is_writable(directory) || is_manager(path))
			break;
		if (!has_manager_above(path) || is_given_away(directory)) {
			free(found);
			found = xstrdup(path);
		}
		if (!slash || str_equal(path, "/"))
			break;
		slash[slash == path] = '\0';
	}
	return found;
}

static void take_direct(struct cgroup_host *host, char *base, bool evacuate)
{
	cleanup_free char *directory = xasprintf("%s%s", host->mount, base);

	host->manager = CGROUP_MANAGER_DIRECT;
	host->base = base;
	host->evacuate = evacuate;
	host->delegated = controllers_of(directory);
}

/* Where the user's service manager listens; NULL: there is none. */
static char *find_socket(const struct search *search)
{
	const char *run = getenv("XDG_RUNTIME_DIR");
	char *const places[] = {
		*search->root || str_empty(run)
			? NULL
			: xasprintf("%s/systemd/private", run),
		xasprintf("%s/run/user/%u/systemd/private", search->root,
			  (unsigned int)search->uid),
	};
	char *found = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		struct stat st;

		if (!found && places[i] && stat(places[i], &st) == 0 &&
		    S_ISSOCK(st.st_mode))
			found = places[i];
		else
			free(places[i]);
	}
	return found;
}

/*
 * The manager's own cgroup: above ours, or where the system's manager puts it.
 */
static char *find_manager(const struct search *search)
{
	const struct cgroup_host *host = search->host;
	cleanup_free char *name = xasprintf(
		"/user.slice/user-%u.slice/" MANAGER_PREFIX "%u" MANAGER_SUFFIX,
		(unsigned int)search->uid, (unsigned int)search->uid);
	cleanup_free char *directory = NULL;
	const char *at = host->own ? strstr(host->own, "/user.slice/") : NULL;
	char *path;

	path = xasprintf("%.*s%s", at ? (int)(at - host->own) : 0,
			 host->own ? host->own : "", name);
	directory = xasprintf("%s%s", host->mount, path);
	if (is_writable(directory))
		return path;
	free(path);
	return NULL;
}

static bool take_systemd(const struct search *search)
{
	struct cgroup_host *host = search->host;
	cleanup_free char *manager = find_manager(search);
	cleanup_free char *directory = NULL;
	cleanup_free char *unit = NULL;
	cleanup_free char *base = NULL;

	if (!manager)
		return false;
	host->socket = find_socket(search);
	if (!host->socket)
		return false;
	host->manager = CGROUP_MANAGER_SYSTEMD;
	directory = xasprintf("%s%s", host->mount, manager);
	host->delegated = controllers_of(directory);
	base = xasprintf("%s/" UNIT_DIRECTORY "/" CGROUP_UNIT, manager);
	unit = xasprintf("%s%s", host->mount, base);
	if (is_writable(unit))
		host->base = steal_ptr(&base);
	return true;
}

void cgroup_host_read(const char *root, uid_t uid, struct cgroup_host *ret_host)
{
	struct search search = {.root = root, .uid = uid, .host = ret_host};
	cleanup_free char *systemd = xasprintf("%s/run/systemd/system", root);
	cleanup_free char *direct = NULL;
	bool evacuate = false;

	*ret_host = (struct cgroup_host){
		.has_systemd = access(systemd, F_OK) == 0,
	};
	find_mount(&search);
	if (!ret_host->mount)
		return;
	direct = ret_host->own ? find_direct(&search) : NULL;
	if (direct) {
		cleanup_free char *directory =
			xasprintf("%s%s", ret_host->mount, direct);

		evacuate = has_processes(directory);
	}
	/* Other people's processes are moved only for want of better. */
	if (direct && !evacuate)
		take_direct(ret_host, steal_ptr(&direct), false);
	else if (!take_systemd(&search) && direct)
		take_direct(ret_host, steal_ptr(&direct), true);
}

void cgroup_host_release(struct cgroup_host *host)
{
	free(host->mount);
	free(host->own);
	free(host->base);
	free(host->socket);
	*host = (struct cgroup_host){0};
}

char *cgroup_host_advice(const struct cgroup_host *host, unsigned int needed)
{
	if (host->version != CGROUP_VERSION_2 &&
	    (needed & ~host->available) != 0)
		return xasprintf("have root boot the kernel with %s",
				 host->has_systemd
					 ? "systemd.unified_cgroup_hierarchy=1"
					 : "cgroup_no_v1=all");
	if (!host->has_systemd)
		return xasprintf("have root make a cgroup%s, give it to you "
				 "(chown) and start your shell in a cgroup "
				 "below it",
				 needed ? " with these controllers" : "");
	if (host->manager == CGROUP_MANAGER_NONE)
		return xstrdup("log in by ssh, at a console or with "
			       "`machinectl shell`, so that systemd runs your "
			       "service manager (or have root call loginctl "
			       "enable-linger for you)");
	return xstrdup("ask root for a file " DELEGATE_FILE
		       " with the lines [Service] and Delegate=cpu cpuset io "
		       "memory pids, then systemctl daemon-reload and a new "
		       "login");
}

int cgroup_host_check(const struct cgroup_host *host, unsigned int needed,
		      const char *what, struct error *err)
{
	unsigned int missing = needed & ~host->delegated;
	cleanup_free char *names = cgroup_controllers_text(missing);
	cleanup_free char *advice = NULL;
	bool several = strchr(names, ',');

	if (host->manager != CGROUP_MANAGER_NONE && !missing)
		return 0;
	advice = cgroup_host_advice(host, missing);
	if (!missing)
		err_set(err, ERROR_UNSUPPORTED,
			"cannot set %s: no cgroup is delegated to you", what);
	else
		err_set(err, ERROR_UNSUPPORTED,
			"cannot set %s: no cgroup with the controller%s %s is "
			"delegated to you",
			what, several ? "s" : "", names);
	return err_hint(err, "%s", advice);
}
