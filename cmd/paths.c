#include "cmd/paths.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "base/str.h"

/* An absolute path from the environment, NULL when unset or empty. */
static int env_path(const char *name, const char **ret_path, struct error *err)
{
	const char *path = getenv(name);

	if (str_empty(path)) {
		*ret_path = NULL;
		return 0;
	}
	if (path[0] != '/') {
		err_set(err, ERROR_INVALID, "%s=%s is not an absolute path",
			name, path);
		return err_hint(err, "Set it to a path that starts with /.");
	}
	*ret_path = path;
	return 0;
}

const char *path_home(void)
{
	const struct passwd *entry;
	const char *path = getenv("HOME");

	if (!str_empty(path) && path[0] == '/')
		return path;
	entry = getpwuid(getuid());
	return entry ? entry->pw_dir : NULL;
}

int path_data(char **ret_path, struct error *err)
{
	const char *path = NULL;
	int r;

	r = env_path("MOSS_ROOT", &path, err);
	if (r < 0)
		return r;
	if (path) {
		*ret_path = path_clean(path);
		return 0;
	}
	r = env_path("XDG_DATA_HOME", &path, err);
	if (r < 0)
		return r;
	if (path) {
		*ret_path = path_join(path, "moss");
		return 0;
	}
	r = env_path("HOME", &path, err);
	if (r < 0)
		return r;
	path = path_home();
	if (!path) {
		err_set(err, ERROR_NOT_FOUND,
			"cannot tell where to keep images: HOME is not set");
		return err_hint(err, "Set HOME, XDG_DATA_HOME or MOSS_ROOT.");
	}
	*ret_path = path_join(path, ".local/share/moss");
	return 0;
}

/* Opens parent/name as a private directory of uid's, making it when missing. */
static int private_directory(const char *parent, const char *name, uid_t uid,
			     struct error *err)
{
	cleanup_fd int parent_fd = -1;
	cleanup_fd int fd = -1;
	struct stat status;

	parent_fd = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (parent_fd < 0)
		return err_errno(err, "cannot open %s", parent);
	if (mkdirat(parent_fd, name, 0700) < 0 && errno != EEXIST)
		return err_errno(err, "cannot make %s/%s", parent, name);
	fd = openat(parent_fd, name,
		    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &status) < 0)
		return err_errno(err, "cannot open %s/%s", parent, name);
	if (status.st_uid != uid || (status.st_mode & 0077)) {
		err_set(err, ERROR_PERMISSION,
			"%s/%s is not a private directory of yours", parent,
			name);
		return err_hint(err,
				"Remove it, or set MOSS_RUN to a directory "
				"with mode 0700.");
	}
	return steal_fd(&fd);
}

struct run_place {
	char *parent;
	char *name;
	bool make_parent;
};

static void run_place_release(struct run_place *place)
{
	free(place->parent);
	free(place->name);
}

static void run_place_set(struct run_place *place, const char *parent,
			  const char *name)
{
	place->parent = xstrdup(parent);
	place->name = xstrdup(name);
}

static int run_place_find(uid_t uid, struct run_place *place, struct error *err)
{
	cleanup_free char *user = xasprintf("/run/user/%u", uid);
	cleanup_free char *last = xasprintf("moss-%u", uid);
	struct stat status;
	const char *path = NULL;
	int r;

	r = env_path("MOSS_RUN", &path, err);
	if (r < 0)
		return r;
	if (path) {
		place->make_parent = true;
		run_place_set(place, path, "moss");
		return 0;
	}
	r = env_path("XDG_RUNTIME_DIR", &path, err);
	if (r < 0)
		return r;
	/* A login through su(1) keeps the former user's value. */
	if (path && stat(path, &status) == 0 && status.st_uid == uid)
		run_place_set(place, path, "moss");
	else if (stat(user, &status) == 0 && status.st_uid == uid)
		run_place_set(place, user, "moss");
	else
		run_place_set(place, "/tmp", last);
	return 0;
}

int path_run(uid_t uid, char **ret_path, struct error *err)
{
	CLEANUP(run_place_release) struct run_place place = {0};
	int r = run_place_find(uid, &place, err);

	if (r == 0)
		*ret_path = path_join(place.parent, place.name);
	return r;
}

int path_run_open(uid_t uid, struct error *err)
{
	CLEANUP(run_place_release) struct run_place place = {0};
	int r = run_place_find(uid, &place, err);

	if (r == 0 && place.make_parent)
		r = path_mkdirs(place.parent, 0700, err);
	if (r < 0)
		return r;
	return private_directory(place.parent, place.name, uid, err);
}
