/*
 * fuse-overlayfs, started in its form for a file system that is mounted
 * already: the mount point "/dev/fd/3" is libfuse 3's way to be given an open
 * /dev/fuse.
 *
 * It takes lowerdir= apart at colons and knows no escape, and turns upperdir=
 * into an absolute path before it does the same there. So layers are named by
 * descriptor, and a store whose own path has a colon cannot be used. It raises
 * its limit of open files itself.
 */
#include "storage/root/snapshot_driver.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "base/proc.h"

#define PROGRAM	     "fuse-overlayfs"
#define DEVICE	     "/dev/fuse"
#define PATH_DEFAULT "/usr/local/bin:/usr/bin:/bin"

/* The server's descriptors, beside 0-2. */
enum {
	SERVER_FUSE = 3,
	SERVER_UPPER,
	SERVER_WORK,
	SERVER_LOWERS,
};

/* Caller frees; NULL and *err when there is none. */
static char *find_program(struct error *err)
{
	const char *path = getenv("PATH");
	cleanup_strv char **parts =
		strv_split(str_empty(path) ? PATH_DEFAULT : path, ':');

	for (size_t i = 0; parts && parts[i]; i++) {
		cleanup_free char *program = NULL;
		struct stat st;

		/* A relative part means the working directory: never. */
		if (parts[i][0] != '/')
			continue;
		program = path_join(parts[i], PROGRAM);
		if (stat(program, &st) == 0 && S_ISREG(st.st_mode) &&
		    access(program, X_OK) == 0)
			return steal_ptr(&program);
	}
	err_set(err, ERROR_UNSUPPORTED,
		"the program " PROGRAM " is not installed");
	err_hint(err, "install the package " PROGRAM);
	return NULL;
}

static int open_device(struct error *err)
{
	int fd = open(DEVICE, O_RDWR | O_CLOEXEC);
	int r;

	if (fd >= 0)
		return fd;
	r = err_errno(err, DEVICE " is not accessible");
	if (r == -EACCES || r == -EPERM)
		err_hint(err, "have the administrator run \"chmod 0666 " DEVICE
			      "\"");
	else
		err_hint(err,
			 "have the administrator run \"modprobe fuse\"; in a "
			 "container or VM, pass " DEVICE " to it");
	return r;
}

static int fuse_check(const struct store *store, struct error *err)
{
	cleanup_free char *program = find_program(err);
	cleanup_fd int fd = -1;

	if (!program)
		return -EOPNOTSUPP;
	if (strchr(store->path, ':'))
		return err_set(err, ERROR_UNSUPPORTED,
			       "it cannot use a path with a colon, as %s",
			       store->path);
	fd = open_device(err);
	return fd < 0 ? fd : 0;
}

static void fuse_key(struct str *key)
{
	cleanup_free char *program = find_program(NULL);
	struct stat st;

	if (program && stat(program, &st) == 0)
		str_appendf(key, " %s %lld.%09ld", program,
			    (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
}

static int fuse_mount(const struct snapshot *snapshot, int *ret_fuse_fd,
		      struct error *err)
{
	cleanup_fd int fuse_fd = open_device(err);
	cleanup_fd int merged_fd = -1;
	char target[PATH_FD_MAX];
	char options[128];

	if (fuse_fd < 0)
		return fuse_fd;
	merged_fd = openat(snapshot_place_fd(snapshot), SNAPSHOT_MERGED,
			   O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (merged_fd < 0)
		return err_errno(err, "cannot open the container's %s",
				 SNAPSHOT_MERGED);
	path_of_fd(target, merged_fd);
	snprintf(options, sizeof(options),
		 "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other,"
		 "default_permissions",
		 fuse_fd);
	if (mount(PROGRAM, target, "fuse." PROGRAM, 0, options) < 0)
		return err_errno(err, "cannot mount the container's root "
				      "(fuse)");
	*ret_fuse_fd = steal_fd(&fuse_fd);
	return 0;
}

static void build_options(const struct snapshot *snapshot,
			  const struct snapshot_lowers *lowers,
			  struct str *options)
{
	const struct snapshot_view *view = snapshot->view;
	bool with_upper = view && view->with_upper;

	str_append(options, "lowerdir=");
	if (with_upper)
		str_appendf(options, "/proc/self/fd/%d", SERVER_UPPER);
	for (size_t i = 0; i < lowers->count; i++)
		str_appendf(options, "%s/proc/self/fd/%d/%s",
			    i > 0 || with_upper ? ":" : "", SERVER_LOWERS,
			    lowers->paths[i]);
	if (view)
		return;
	str_appendf(options,
		    ",upperdir=/proc/self/fd/%d,workdir=/proc/self/fd/%d",
		    SERVER_UPPER, SERVER_WORK);
	if (snapshot->is_volatile || snapshot->read_only)
		str_append(options, ",volatile");
}

struct server_fds {
	int upper;
	int work;
	int log;
};

static void server_fds_release(struct server_fds *fds)
{
	close_fd(&fds->upper);
	close_fd(&fds->work);
	close_fd(&fds->log);
}

static int open_own(int dir_fd, const char *name, int flags, struct error *err)
{
	int fd = openat(dir_fd, name, flags | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return err_errno(err, "cannot open the container's %s", name);
	return fd;
}

static int open_server_fds(const struct snapshot *snapshot,
			   struct server_fds *fds, struct error *err)
{
	const struct snapshot_view *view = snapshot->view;
	const int flags = O_PATH | O_DIRECTORY;

	if (!view || view->with_upper) {
		fds->upper = open_own(snapshot->directory_fd, SNAPSHOT_UPPER,
				      flags, err);
		if (fds->upper < 0)
			return fds->upper;
	}
	if (!view) {
		fds->work = open_own(snapshot->directory_fd, SNAPSHOT_WORK,
				     flags, err);
		if (fds->work < 0)
			return fds->work;
	}
	fds->log = open_own(snapshot_place_fd(snapshot), SNAPSHOT_LOG,
			    O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, err);
	return fds->log < 0 ? fds->log : 0;
}

static int start(const char *program, const struct spawn_fd *fds,
		 size_t fd_count, char *options, struct error *err)
{
	char name[] = PROGRAM;
	char foreground[] = "-f";
	char dash_o[] = "-o";
	char mount_point[16];
	char path[] = "PATH=" PATH_DEFAULT;
	char *const argv[] = {name,    foreground,  dash_o,
			      options, mount_point, NULL};
	/* Variables of the user's could change how it works. */
	char *const env[] = {path, NULL};
	const struct spawn spawn = {
		.path = program,
		.argv = argv,
		.env = env,
		.fds = fds,
		.fd_count = fd_count,
		.new_session = true,
		.die_with_parent = true,
	};

	snprintf(mount_point, sizeof(mount_point), "/dev/fd/%d", SERVER_FUSE);
	return proc_spawn(&spawn, err);
}

static int fuse_serve(const struct snapshot *snapshot, int fuse_fd,
		      struct error *err)
{
	cleanup_free struct snapshot_lowers *lowers =
		xcalloc(1, sizeof(*lowers));
	CLEANUP(server_fds_release)
	struct server_fds server = {-1, -1, -1};
	cleanup_free char *program = find_program(err);
	cleanup_str struct str options = {0};
	int r;

	if (!program)
		return -EOPNOTSUPP;
	r = snapshot_lowers_of(snapshot, lowers, err);
	if (r < 0)
		return r;
	r = open_server_fds(snapshot, &server, err);
	if (r < 0)
		return r;
	build_options(snapshot, lowers, &options);

	struct spawn_fd fds[5] = {
		{server.log, 2},
		{fuse_fd, SERVER_FUSE},
		{lowers->dir_fd, SERVER_LOWERS},
	};
	size_t count = 3;

	if (server.upper >= 0)
		fds[count++] = (struct spawn_fd){server.upper, SERVER_UPPER};
	if (server.work >= 0)
		fds[count++] = (struct spawn_fd){server.work, SERVER_WORK};
	return start(program, fds, count, options.data, err);
}

const struct snapshot_operations snapshot_fuse_overlayfs = {
	.driver = SNAPSHOT_FUSE_OVERLAYFS,
	.name = "fuse-overlayfs",
	.shifts = true,
	.check = fuse_check,
	.key = fuse_key,
	.mount = fuse_mount,
	.serve = fuse_serve,
};
