#include <errno.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "core/runtime/kernel.h"
#include "core/runtime/mounts.h"
#include "core/runtime/setup.h"

/* Paths that are not there, or that nobody in the container can reach. */
static bool is_absent(int result)
{
	return result == -ENOENT || result == -ENOTDIR || result == -EACCES;
}

/* An empty directory nobody can write to; copies of the first one. */
static int clone_empty(int *empty_fd, struct error *err)
{
	if (*empty_fd < 0)
		return mount_create("tmpfs", "tmpfs",
				    (const char *const[]){"mode=755", "size=0",
							  "nr_inodes=1"},
				    3,
				    MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID |
					    MOUNT_ATTR_NODEV |
					    MOUNT_ATTR_NOEXEC,
				    err);
	return mount_clone(*empty_fd, "", false);
}

static int mask(int target_fd, int null_fd, int *empty_fd, struct error *err)
{
	cleanup_fd int cover_fd = -1;
	struct stat st;
	int r;

	if (fstat(target_fd, &st) < 0)
		return err_errno(err, "cannot look at it");
	cover_fd = S_ISDIR(st.st_mode) ? clone_empty(empty_fd, err)
				       : mount_clone(null_fd, "", false);
	if (cover_fd < 0)
		return err_number(err, cover_fd, "cannot make a cover");
	r = mount_attach(cover_fd, target_fd);
	if (r < 0)
		return err_number(err, r, "cannot cover it");
	/* Only what is attached can be cloned (before Linux 6.15). */
	if (S_ISDIR(st.st_mode) && *empty_fd < 0)
		*empty_fd = steal_fd(&cover_fd);
	return 0;
}

int mask_paths(const struct setup *setup, struct error *err)
{
	cleanup_fd int null_fd = -1;
	cleanup_fd int empty_fd = -1;

	if (!setup->spec->masked_paths)
		return 0;
	/* The host's: the container's could be anything. */
	null_fd = open("/dev/null", O_PATH | O_CLOEXEC);
	if (null_fd < 0)
		return err_errno(err, "cannot open /dev/null");
	for (size_t i = 0; setup->spec->masked_paths[i]; i++) {
		const char *path = setup->spec->masked_paths[i];
		cleanup_fd int fd = mounts_open_path(setup, path, O_PATH);
		int r;

		if (is_absent(fd))
			continue;
		if (fd < 0)
			return err_number(err, fd, "cannot mask %s", path);
		r = mask(fd, null_fd, &empty_fd, err);
		if (r < 0)
			return err_wrap(err, "cannot mask %s", path);
	}
	return 0;
}

int make_paths_readonly(const struct setup *setup, struct error *err)
{
	char **paths = setup->spec->readonly_paths;

	for (size_t i = 0; paths && paths[i]; i++) {
		cleanup_fd int fd = mounts_open_path(setup, paths[i], O_PATH);
		cleanup_fd int copy_fd = -1;
		int r;

		if (is_absent(fd))
			continue;
		if (fd < 0)
			return err_number(err, fd, "cannot make %s read-only",
					  paths[i]);
		copy_fd = mount_clone(fd, "", true);
		r = copy_fd < 0
			    ? copy_fd
			    : mount_set(copy_fd, MOUNT_ATTR_RDONLY, 0, 0, true);
		if (r == 0)
			r = mount_attach(copy_fd, fd);
		if (r < 0)
			return err_number(err, r, "cannot make %s read-only",
					  paths[i]);
	}
	return 0;
}
