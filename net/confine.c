#include "net/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/mount.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"

#define RESOLV_CONF "/etc/resolv.conf"

/* <sys/mount.h> and <linux/mount.h> cannot both be had everywhere. */
#define UMOUNT_DETACH 2

/* A forwarded connection has two descriptors, an outbound one has one. */
#define FILES_MAX 65536
/* Some 16,000 outbound connections at libslirp's 256 KiB. */
#define DATA_MAX ((rlim_t)4 << 30)

static int sys_open_tree(const char *path, unsigned int flags)
{
	return (int)syscall(SYS_open_tree, AT_FDCWD, path, flags);
}

static int sys_move_mount(int from_fd, int to_fd, const char *to)
{
	return (int)syscall(SYS_move_mount, from_fd, "", to_fd, to,
			    MOVE_MOUNT_F_EMPTY_PATH);
}

static int make_read_only(int mount_fd)
{
	struct mount_attr attributes = {
		.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID |
			    MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC,
	};

	return (int)syscall(SYS_mount_setattr, mount_fd, "", AT_EMPTY_PATH,
			    &attributes, sizeof(attributes));
}

/* A tmpfs that is not mounted anywhere yet. */
static int make_tmpfs(void)
{
	cleanup_fd int fs_fd =
		(int)syscall(SYS_fsopen, "tmpfs", FSOPEN_CLOEXEC);

	if (fs_fd < 0 ||
	    syscall(SYS_fsconfig, fs_fd, FSCONFIG_SET_STRING, "size", "64k",
		    0) < 0 ||
	    syscall(SYS_fsconfig, fs_fd, FSCONFIG_CMD_CREATE, NULL, NULL, 0) <
		    0)
		return -1;
	return (int)syscall(SYS_fsmount, fs_fd, FSMOUNT_CLOEXEC, 0);
}

/* "/run/SOMETHING/…/FILE": a directory that a resolver keeps for this. */
static bool is_kept_by_resolver(const char *path)
{
	return str_starts(path, "/run/") && strchr(path + 5, '/');
}

/* Shows what is at path, a file or a directory, read-only as `name`. */
static int show(int root_fd, const char *path, const char *name)
{
	cleanup_fd int tree_fd =
		sys_open_tree(path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

	if (tree_fd < 0 || make_read_only(tree_fd) < 0 ||
	    sys_move_mount(tree_fd, root_fd, name) < 0)
		return -errno;
	return 0;
}

/* etc/resolv.conf as a link to a file in directory, which need not be there. */
static int show_in_directory(int root_fd, const char *directory,
			     const char *name)
{
	cleanup_free char *target = xasprintf("/host/%s", name);

	if (mkdirat(root_fd, "host", 0755) < 0 ||
	    symlinkat(target, root_fd, "etc/resolv.conf") < 0)
		return -errno;
	return show(root_fd, directory, "host");
}

static int add_resolv_conf(int root_fd, const char *copy)
{
	cleanup_free char *path = realpath(RESOLV_CONF, NULL);

	if (mkdirat(root_fd, "etc", 0755) < 0)
		return -errno;
	if (path && is_kept_by_resolver(path)) {
		char *name = strrchr(path, '/');

		*name = '\0';
		return show_in_directory(root_fd, path, name + 1);
	}
	if (copy && access(copy, F_OK) == 0)
		return show_in_directory(root_fd, copy, "resolv.conf");
	/* A host without one has no names to offer. */
	if (!path)
		return 0;
	if (mknodat(root_fd, "etc/resolv.conf", S_IFREG | 0444, 0) < 0)
		return -errno;
	return show(root_fd, path, "etc/resolv.conf");
}

/* Shows directory, read-only, in the new root. */
static int add_directory(int root_fd, const char *directory)
{
	const char *name = CONFINE_DIRECTORY + 1;

	if (mkdirat(root_fd, name, 0755) < 0)
		return -errno;
	return show(root_fd, directory, name);
}

int confine_root(const char *resolv_directory, const char *directory,
		 struct error *err)
{
	cleanup_fd int root_fd = -1;
	int r;

	if (unshare(CLONE_NEWNS) < 0)
		return err_errno(err, "cannot make a mount namespace");
	root_fd = make_tmpfs();
	if (root_fd < 0 || sys_move_mount(root_fd, AT_FDCWD, "/") < 0)
		return err_errno(err, "cannot mount an empty root");
	r = add_resolv_conf(root_fd, resolv_directory);
	if (r < 0)
		return err_number(err, r, "cannot show %s to the uplink",
				  RESOLV_CONF);
	r = directory ? add_directory(root_fd, directory) : 0;
	if (r < 0)
		return err_number(err, r, "cannot show %s to the gateway",
				  directory);
	if (make_read_only(root_fd) < 0)
		return err_errno(err, "cannot make an empty root read-only");

	/* The old root lands on top of the new one and is dropped from it. */
	if (fchdir(root_fd) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 ||
	    syscall(SYS_umount2, ".", UMOUNT_DETACH) < 0 || chdir("/") < 0)
		return err_errno(err, "cannot enter an empty root");
	return 0;
}

/* Sanitizers reserve more memory than any limit would allow. */
extern void __asan_init(void) __attribute__((weak));

static int set_limit(int resource, rlim_t limit)
{
	struct rlimit old;

	if (getrlimit(resource, &old) < 0)
		return -1;
	if (limit > old.rlim_max)
		limit = old.rlim_max;
	return setrlimit(resource, &(struct rlimit){limit, limit});
}

int confine_limits(struct error *err)
{
	struct rlimit files;

	if (set_limit(RLIMIT_NOFILE, FILES_MAX) < 0 ||
	    set_limit(RLIMIT_CORE, 0) < 0 || set_limit(RLIMIT_FSIZE, 0) < 0 ||
	    (!__asan_init && set_limit(RLIMIT_DATA, DATA_MAX) < 0) ||
	    getrlimit(RLIMIT_NOFILE, &files) < 0)
		return err_errno(err, "cannot set resource limits");
	return (int)files.rlim_cur;
}

int confine_privileges(uint64_t keep, struct error *err)
{
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[2] = {
		{.effective = (uint32_t)keep, .permitted = (uint32_t)keep},
		{.effective = (uint32_t)(keep >> 32),
		 .permitted = (uint32_t)(keep >> 32)},
	};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_errno(err, "cannot set no_new_privs");
	/* Ends with EINVAL after the last one the kernel knows. */
	for (int i = 0; prctl(PR_CAPBSET_DROP, i, 0, 0, 0) == 0; i++)
		;
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	if (syscall(SYS_capset, &header, data) < 0)
		return err_errno(err, "cannot drop capabilities");
	return 0;
}
