#include "storage/root/view.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "base/proc.h"
#include "base/str.h"
#include "storage/root/snapshot_driver.h"

#define PLACE_OPTIONS "mode=0700,size=1m"

/* <linux/mount.h> has these, but is not to be had beside <sys/mount.h>. */
#ifndef OPEN_TREE_CLONE
#define OPEN_TREE_CLONE 1
#endif
#ifndef MOVE_MOUNT_F_EMPTY_PATH
#define MOVE_MOUNT_F_EMPTY_PATH 0x04
#define MOVE_MOUNT_T_EMPTY_PATH 0x40
#endif
#ifndef AT_RECURSIVE
#define AT_RECURSIVE 0x8000
#endif

#define ATTR_RDONLY 0x01

/* struct mount_attr, which not all C libraries have. */
struct attributes {
	uint64_t set, clear, propagation, userns_fd;
};

static int leave_mounts(struct error *err)
{
	if (unshare(CLONE_NEWNS) < 0)
		return err_errno(err, "cannot make a mount namespace");
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return err_errno(err, "cannot make the mounts private");
	return 0;
}

/* A mount namespace of our own, and a tmpfs in it to work on. */
static int make_place(const struct store *store, struct error *err)
{
	static const char *const names[] = {
		SNAPSHOT_MERGED,
		SNAPSHOT_NONE,
		SNAPSHOT_MORE,
	};
	cleanup_free char *path = path_join(store->path, "tmp");
	cleanup_fd int fd = -1;
	int r = leave_mounts(err);

	if (r < 0)
		return r;
	if (mount("view", path, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC,
		  PLACE_OPTIONS) < 0)
		return err_errno(err, "cannot mount a tmpfs on %s", path);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(err, "cannot open %s", path);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (mkdirat(fd, names[i], 0755) < 0)
			return err_errno(err, "cannot make %s in %s", names[i],
					 path);
	}
	return steal_fd(&fd);
}

static int open_root(const struct snapshot *snapshot, pid_t server,
		     struct error *err)
{
	cleanup_fd int fd = openat(snapshot->view->place_fd, SNAPSHOT_MERGED,
				   O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	if (fd >= 0 && fstat(fd, &st) == 0)
		return steal_fd(&fd);
	err_errno(err, "cannot open the mounted root");
	if (server > 0)
		snapshot_explain(snapshot, server, err);
	return err ? err_return(err) : -EIO;
}

static int mount_root(const struct snapshot *snapshot, struct view *view,
		      struct error *err)
{
	cleanup_fd int fuse_fd = -1;
	int r = snapshot_mount(snapshot, &fuse_fd, err);

	if (r < 0)
		return r;
	if (fuse_fd >= 0) {
		r = snapshot_serve(snapshot, fuse_fd, err);
		if (r < 0)
			return r;
		view->server = r;
		/* Else a dead server would block us for ever. */
		close_fd(&fuse_fd);
	}
	return 0;
}

static int try_driver(const struct snapshot *snapshot, struct view *view,
		      struct error *err)
{
	int r = mount_root(snapshot, view, err);

	if (r < 0)
		return r;
	r = open_root(snapshot, view->server, err);
	if (r < 0)
		return r;
	view->root_fd = r;
	return 0;
}

/* A container that was never started has none. */
static bool has_upper(int directory_fd)
{
	return directory_fd >= 0 && faccessat(directory_fd, SNAPSHOT_UPPER,
					      F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static int open_readable(const struct view_request *request,
			 struct view *ret_view, struct error *err)
{
	cleanup_fd int place_fd = make_place(request->store, err);
	struct snapshot_view place = {
		.place_fd = place_fd,
		.with_upper = has_upper(request->directory_fd),
	};
	struct snapshot snapshot = {
		.driver = request->driver,
		.store = request->store,
		.diff_ids = request->diff_ids,
		.directory_fd =
			place.with_upper ? request->directory_fd : place_fd,
		.view = &place,
	};
	CLEANUP(view_close) struct view view = VIEW_EMPTY;
	struct error first = {0};
	int r;

	if (place_fd < 0)
		return place_fd;
	if (!place.with_upper)
		snapshot.driver = SNAPSHOT_AUTO;
	if (snapshot.driver != SNAPSHOT_AUTO) {
		r = try_driver(&snapshot, &view, err);
	} else {
		/* Layers alone are read by any. */
		snapshot.driver = SNAPSHOT_OVERLAY;
		r = try_driver(&snapshot, &view, &first);
		snapshot.driver = SNAPSHOT_FUSE_OVERLAYFS;
		if (r < 0 && try_driver(&snapshot, &view, NULL) == 0)
			r = 0;
		else if (r < 0)
			err_copy(err, &first);
	}
	if (r < 0)
		return r;
	*ret_view = view;
	view = (struct view)VIEW_EMPTY;
	return 0;
}

/* As the runtime mounts it, in a mount namespace of our own. */
static int open_writable(const struct view_request *request,
			 struct view *ret_view, struct error *err)
{
	cleanup_free char *path = path_join(request->writable, SNAPSHOT_MERGED);
	CLEANUP(view_close) struct view view = VIEW_EMPTY;
	struct snapshot snapshot = {
		.driver = request->driver,
		.store = request->store,
		.diff_ids = request->diff_ids,
		.directory_fd = request->directory_fd,
	};
	int r = leave_mounts(err);

	if (r == 0)
		r = snapshot_prepare(&snapshot, err);
	if (r == 0)
		r = mount_root(&snapshot, &view, err);
	if (r < 0)
		return r;
	/* By path: directory_fd is from before the mount. */
	view.root_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (view.root_fd < 0)
		return err_errno(err, "cannot open the mounted root");
	*ret_view = view;
	view = (struct view)VIEW_EMPTY;
	return 0;
}

int view_open(const struct view_request *request, struct view *ret_view,
	      struct error *err)
{
	return request->writable ? open_writable(request, ret_view, err)
				 : open_readable(request, ret_view, err);
}

void view_close(struct view *view)
{
	close_fd(&view->root_fd);
	if (view->server > 0) {
		kill(view->server, SIGKILL);
		proc_wait(view->server);
	}
	view->server = 0;
}

static bool is_directory(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
}

/* fd: of a mount's root. */
static int set_read_only(int fd, unsigned int flags)
{
	struct attributes attributes = {.set = ATTR_RDONLY};

	return (int)syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH | flags,
			    &attributes, sizeof(attributes));
}

int view_set_read_only(const struct view *view, struct error *err)
{
	if (set_read_only(view->root_fd, 0) < 0)
		return err_errno(err, "cannot make the root read-only");
	return 0;
}

int view_bind(const struct view *view, const char *source,
	      const char *destination, bool read_only, struct error *err)
{
	cleanup_fd int target_fd =
		path_open_in_root(view->root_fd, destination, O_PATH, 0);
	cleanup_fd int fd = -1;

	if (target_fd < 0) {
		/* It was never mounted. */
		target_fd = -1;
		return 0;
	}
	fd = (int)syscall(SYS_open_tree, AT_FDCWD, source,
			  OPEN_TREE_CLONE | O_CLOEXEC | AT_RECURSIVE);
	if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
		return 0;
	/* A file over a directory, or the reverse: nothing was there. */
	if (fd >= 0 && is_directory(fd) != is_directory(target_fd))
		return 0;
	if (fd >= 0 && read_only && set_read_only(fd, AT_RECURSIVE) < 0)
		return err_errno(err, "cannot make %s read-only", source);
	if (fd >= 0 &&
	    syscall(SYS_move_mount, fd, "", target_fd, "",
		    MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) == 0)
		return 1;
	return err_errno(err, "cannot mount %s on %s", source, destination);
}
