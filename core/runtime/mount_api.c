#include "core/runtime/mounts.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "core/runtime/kernel.h"

int mount_clone(int dir_fd, const char *path, bool recursive)
{
	unsigned int flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC;
	int fd;

	if (recursive)
		flags |= AT_RECURSIVE;
	if (!*path)
		flags |= AT_EMPTY_PATH;
	fd = kernel_open_tree(dir_fd, path, flags);
	return fd < 0 ? -errno : fd;
}

int mount_clone_of_process(const char *path, bool recursive)
{
	cleanup_fd int own_fd = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	cleanup_fd int cwd_fd = open(".", O_PATH | O_CLOEXEC);
	cleanup_fd int their_fd = -1;
	char their[64];
	int length = -1;
	int pid = 0;
	int fd;

	if (sscanf(path, "/proc/%d/root%n", &pid, &length) != 1 || length < 0 ||
	    path[length] != '/')
		return -EINVAL;
	snprintf(their, sizeof(their), "/proc/%d/ns/mnt", pid);
	their_fd = open(their, O_RDONLY | O_CLOEXEC);
	if (own_fd < 0 || cwd_fd < 0 || their_fd < 0 ||
	    setns(their_fd, CLONE_NEWNS) < 0)
		return -errno;
	/* Names are now looked up from that container's root. */
	fd = mount_clone(AT_FDCWD, path + length, recursive);
	if (setns(own_fd, CLONE_NEWNS) < 0 || fchdir(cwd_fd) < 0) {
		int r = -errno;

		close_fd(&fd);
		return r;
	}
	return fd;
}

int mount_set(int fd, uint64_t set, uint64_t clear, unsigned long propagation,
	      bool recursive)
{
	struct mount_attr attributes = {
		.attr_set = set,
		.attr_clr = clear,
		.propagation = propagation,
	};
	unsigned int flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0);

	if (kernel_mount_setattr(fd, "", flags, &attributes) < 0)
		return -errno;
	return 0;
}

int mount_attach(int fd, int target_fd)
{
	if (kernel_move_mount(fd, "", target_fd, "",
			      MOVE_MOUNT_F_EMPTY_PATH |
				      MOVE_MOUNT_T_EMPTY_PATH) < 0)
		return -errno;
	return 0;
}

int mount_attach_at(int fd, int dir_fd, const char *name)
{
	if (kernel_move_mount(fd, "", dir_fd, name, MOVE_MOUNT_F_EMPTY_PATH) <
	    0)
		return -errno;
	return 0;
}

/* "e tmpfs: Bad value for 'size'", when the kernel has something to say. */
static int explain(int fs_fd, int number, struct error *err)
{
	char text[256];
	ssize_t length = read(fs_fd, text, sizeof(text) - 1);

	if (length <= 2)
		return err_number(err, number, "the kernel refused");
	text[length] = '\0';
	err_set(err, error_kind_from_errno(number), "%s", text + 2);
	if (err)
		err->number = number;
	return -number;
}

static int configure(int fs_fd, const char *option)
{
	cleanup_free char *copy = xstrdup(option);
	char *value = strchr(copy, '=');

	if (!value)
		return kernel_fsconfig(fs_fd, FSCONFIG_SET_FLAG, copy, NULL, 0);
	*value++ = '\0';
	return kernel_fsconfig(fs_fd, FSCONFIG_SET_STRING, copy, value, 0);
}

int mount_create(const char *type, const char *source,
		 const char *const *options, size_t option_count,
		 uint64_t attributes, struct error *err)
{
	cleanup_fd int fs_fd = kernel_fsopen(type, FSOPEN_CLOEXEC);
	int fd;

	if (fs_fd < 0 && errno == ENODEV)
		return err_set(err, ERROR_UNSUPPORTED,
			       "this kernel has no file system \"%s\"", type);
	if (fs_fd < 0)
		return err_errno(err, "the kernel refused");
	if (!str_empty(source) && kernel_fsconfig(fs_fd, FSCONFIG_SET_STRING,
						  "source", source, 0) < 0)
		return explain(fs_fd, errno, err);
	for (size_t i = 0; i < option_count; i++) {
		if (configure(fs_fd, options[i]) < 0)
			return explain(fs_fd, errno, err);
	}
	if (kernel_fsconfig(fs_fd, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return explain(fs_fd, errno, err);
	fd = kernel_fsmount(fs_fd, FSMOUNT_CLOEXEC, (unsigned int)attributes);
	return fd < 0 ? explain(fs_fd, errno, err) : fd;
}
