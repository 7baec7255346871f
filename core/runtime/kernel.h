/*
 * System calls of the container's set-up that a C library may not wrap, by
 * their numbers: the new mount API (Linux 5.12 and later), clone3, pidfds. One
 * syscall a function; -1 and errno as usual. <sys/mount.h> is not included next
 * to this, as some C libraries define the same words as the kernel's header.
 */
#pragma once

#include <fcntl.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

#ifndef MOUNT_ATTR_NOSYMFOLLOW
#define MOUNT_ATTR_NOSYMFOLLOW 0x00200000
#endif
#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif
#ifndef CLONE_NEWTIME
#define CLONE_NEWTIME 0x00000080
#endif
#ifndef CLOSE_RANGE_CLOEXEC
#define CLOSE_RANGE_CLOEXEC (1U << 2)
#endif
#ifndef AT_RECURSIVE
#define AT_RECURSIVE 0x8000
#endif
#ifndef MNT_DETACH
#define MNT_DETACH 2
#endif

static inline int kernel_open_tree(int dir_fd, const char *path,
				   unsigned int flags)
{
	return (int)syscall(SYS_open_tree, dir_fd, path, flags);
}

static inline int kernel_move_mount(int from_fd, const char *from, int to_fd,
				    const char *to, unsigned int flags)
{
	return (int)syscall(SYS_move_mount, from_fd, from, to_fd, to, flags);
}

static inline int kernel_fsopen(const char *type, unsigned int flags)
{
	return (int)syscall(SYS_fsopen, type, flags);
}

static inline int kernel_fsconfig(int fd, unsigned int command, const char *key,
				  const void *value, int number)
{
	return (int)syscall(SYS_fsconfig, fd, command, key, value, number);
}

static inline int kernel_fsmount(int fd, unsigned int flags,
				 unsigned int attributes)
{
	return (int)syscall(SYS_fsmount, fd, flags, attributes);
}

static inline int kernel_mount_setattr(int dir_fd, const char *path,
				       unsigned int flags,
				       const struct mount_attr *attributes)
{
	return (int)syscall(SYS_mount_setattr, dir_fd, path, flags, attributes,
			    sizeof(*attributes));
}

static inline int kernel_pivot_root(const char *new_root, const char *put_old)
{
	return (int)syscall(SYS_pivot_root, new_root, put_old);
}

static inline int kernel_umount(const char *path, int flags)
{
	return (int)syscall(SYS_umount2, path, flags);
}

static inline int kernel_close_range(unsigned int first, unsigned int last,
				     unsigned int flags)
{
	return (int)syscall(SYS_close_range, first, last, flags);
}

static inline pid_t kernel_clone3(struct clone_args *arguments)
{
	return (pid_t)syscall(SYS_clone3, arguments, sizeof(*arguments));
}
