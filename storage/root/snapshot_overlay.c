/*
 * The kernel's overlay.
 *
 * mount(2) takes one page of options and splits it at commas and colons, so
 * instead of paths it gets numbers: the working directory is /proc/self/fd
 * during the call and "7" there is the layer open as descriptor 7. 500 layers
 * need some 2.5 KB, no character in a path can disturb, and the container sees
 * numbers in /proc/mounts. The mount API with "lowerdir+" does it in half the
 * time (0.13 instead of 0.27 ms for ten layers, 2 instead of 4 for 500), but
 * takes descriptors since 6.13 only and shows the host's paths.
 */
#include "storage/root/snapshot_driver.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"

#define OPTIONS_MAX 4096
#define FDS_EXTRA   16 /* upper, work, merged and what mount needs */

struct open_mount {
	int fds[IMAGE_LAYERS_MAX + FDS_EXTRA];
	size_t count;
	int cwd_fd;
	struct rlimit limit; /* to go back to; rlim_cur 0: unchanged */
	struct str options;
};

static void open_mount_release(struct open_mount *mount)
{
	while (mount->count > 0)
		close(mount->fds[--mount->count]);
	if (mount->cwd_fd >= 0)
		(void)!fchdir(mount->cwd_fd);
	close_fd(&mount->cwd_fd);
	if (mount->limit.rlim_cur > 0)
		setrlimit(RLIMIT_NOFILE, &mount->limit);
	str_release(&mount->options);
}

/* Room for the descriptors, below whatever soft limit the caller was given. */
static void raise_limit(struct open_mount *mount, size_t lowers)
{
	struct rlimit limit;
	size_t needed = lowers + FDS_EXTRA + 64;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur >= needed)
		return;
	mount->limit = limit;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* Opens a directory for the mount; its number or negative errno. */
static int add(struct open_mount *mount, int dir_fd, const char *path)
{
	int fd = openat(dir_fd, path,
			O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	mount->fds[mount->count++] = fd;
	return fd;
}

static int add_lower(struct open_mount *mount, int dir_fd, const char *path,
		     struct error *err)
{
	int fd = add(mount, dir_fd, path);

	if (fd < 0) {
		err_number(err, fd, "cannot open %s%s",
			   dir_fd == AT_FDCWD ? "" : "layer ", path);
		if (fd == -ENOENT && dir_fd != AT_FDCWD)
			err_hint(err, "the image is damaged: remove it and "
				      "load it again");
		return fd;
	}
	str_appendf(&mount->options, mount->count > 1 ? ":%d" : "lowerdir=%d",
		    fd);
	return 0;
}

/* Highest first. */
static int add_directories(struct open_mount *mount, char *const *directories,
			   struct error *err)
{
	for (size_t i = strv_length(directories); i-- > 0;) {
		int r = add_lower(mount, AT_FDCWD, directories[i], err);

		if (r < 0)
			return r;
	}
	return 0;
}

static int add_lowers(struct open_mount *mount, const struct snapshot *snapshot,
		      struct error *err)
{
	cleanup_free struct snapshot_lowers *lowers =
		xcalloc(1, sizeof(*lowers));
	const struct snapshot_view *view = snapshot->view;
	int r = 0;

	if (!snapshot->directories)
		r = snapshot_lowers_of(snapshot, lowers, err);
	if (r < 0)
		return r;
	raise_limit(mount, lowers->count);
	if (view && view->with_upper)
		r = add_lower(mount, snapshot->directory_fd, SNAPSHOT_UPPER,
			      err);
	if (r == 0)
		r = add_directories(mount, snapshot->directories, err);
	for (size_t i = 0; r == 0 && i < lowers->count; i++)
		r = add_lower(mount, lowers->dir_fd, lowers->paths[i], err);
	/* There is no overlay of one layer alone. */
	if (r == 0 && view && mount->count < 2)
		r = add_lower(mount, view->place_fd, SNAPSHOT_MORE, err);
	return r;
}

static int add_own(struct open_mount *mount, int dir_fd, const char *name,
		   struct error *err)
{
	int fd = add(mount, dir_fd, name);

	if (fd < 0)
		err_number(err, fd, "cannot open the container's %s", name);
	return fd;
}

static int add_upper(struct open_mount *mount, const struct snapshot *snapshot,
		     struct error *err)
{
	int upper_fd, work_fd;

	upper_fd = add_own(mount, snapshot->directory_fd, SNAPSHOT_UPPER, err);
	if (upper_fd < 0)
		return upper_fd;
	work_fd = add_own(mount, snapshot->directory_fd, SNAPSHOT_WORK, err);
	if (work_fd < 0)
		return work_fd;
	str_appendf(&mount->options, ",upperdir=%d,workdir=%d", upper_fd,
		    work_fd);
	if (snapshot->is_volatile || snapshot->read_only)
		str_append(&mount->options, ",volatile");
	return 0;
}

static int mount_error(struct error *err)
{
	int number = errno;

	err_number(err, number, "cannot mount the container's root (overlay)");
	if (number == ENODEV)
		err_hint(err, "the kernel has no overlay: have the "
			      "administrator run \"modprobe overlay\", or use "
			      "--storage-driver fuse-overlayfs");
	else
		err_hint(err, "use --storage-driver fuse-overlayfs; the kernel "
			      "log may say more");
	return -number;
}

static int overlay_mount(const struct snapshot *snapshot, int *ret_fuse_fd,
			 struct error *err)
{
	CLEANUP(open_mount_release) struct open_mount mounting = {.cwd_fd = -1};
	char target[16];
	int merged_fd;
	int r = add_lowers(&mounting, snapshot, err);

	if (r == 0 && !snapshot->view)
		r = add_upper(&mounting, snapshot, err);
	if (r < 0)
		return r;
	merged_fd = add_own(&mounting, snapshot_place_fd(snapshot),
			    SNAPSHOT_MERGED, err);
	if (merged_fd < 0)
		return merged_fd;
	str_append(&mounting.options, ",userxattr");
	/* With an index, upper/ of a running container would be busy. */
	if (snapshot->view)
		str_append(&mounting.options, ",index=off");
	if (mounting.options.length >= OPTIONS_MAX)
		return err_set(err, ERROR_INVALID,
			       "the container has too many layers for overlay");
	snprintf(target, sizeof(target), "%d", merged_fd);

	mounting.cwd_fd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (mounting.cwd_fd < 0)
		return err_errno(err, "cannot open the working directory");
	if (chdir("/proc/self/fd") < 0)
		return err_errno(err, "cannot use /proc/self/fd");
	if (mount("overlay", target, "overlay", 0,
		  str_text(&mounting.options)) < 0)
		return mount_error(err);
	return 0;
}

const struct snapshot_operations snapshot_overlay = {
	.driver = SNAPSHOT_OVERLAY,
	.name = "overlay",
	.remark = "userxattr",
	.mount = overlay_mount,
};
