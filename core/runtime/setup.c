/*
 * The child's way from clone(2) to moss-init, in order. Each step says why it
 * stands where it stands.
 */
#include "core/runtime/setup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "base/str.h"
#include "core/runtime/kernel.h"
#include "core/runtime/mounts.h"
#include "core/runtime/namespaces.h"
#include "core/runtime/sync.h"
#include "core/runtime/task_limit.h"
#include "net/netns.h"

#define OWN_NAME_MAX 64

static _Noreturn void fail(const struct setup *setup, const struct error *err)
{
	error_write(setup->launch.sync_fd, err);
	_exit(1);
}

/*
 * The caller's descriptors and locks go first: until this is done they would
 * outlive a parent that is killed.
 */
static int begin(struct setup *setup, struct error *err)
{
	const struct runtime_request *request = setup->request;
	const struct snapshot *snapshot = request->snapshot;
	struct launch *launch = &setup->launch;
	int keep[16];
	size_t count = 0;

	keep[count++] = launch->sync_fd;
	keep[count++] = launch->program_fd;
	for (size_t i = 0; i < ARRAY_SIZE(launch->stdio); i++) {
		if (setup->spec->process.terminal)
			launch->stdio[i] = -1;
		keep[count++] = launch->stdio[i];
	}
	if (request->network)
		keep[count++] = request->network->tun_fd;
	if (snapshot) {
		keep[count++] = snapshot->directory_fd;
		keep[count++] = snapshot->store->root_fd;
		keep[count++] = snapshot->store->layers_fd;
	}
	return launch_begin(launch, keep, count, err);
}

/* Until the maps are written we are nobody and may not even make a file. */
static int wait_for_maps(struct setup *setup, struct error *err)
{
	int r = sync_expect(setup->launch.sync_fd, SYNC_MAPPED, err);

	if (r < 0)
		return r;
	if (spec_namespace_is_new(setup->spec, CLONE_NEWUSER)) {
		setup->uids = setup->spec->uid_map;
		setup->gids = setup->spec->gid_map;
		return 0;
	}
	return namespaces_read_maps("self", &setup->uids, &setup->gids, err);
}

/*
 * The namespace of somebody born into a cgroup must have that cgroup as its
 * root, so it is made here and not by clone, which takes the parent's.
 */
static int enter_cgroup_namespace(struct setup *setup, struct error *err)
{
	if (setup->request->cgroup_fd <= 0 ||
	    !spec_namespace_is_new(setup->spec, CLONE_NEWCGROUP))
		return 0;
	if (unshare(CLONE_NEWCGROUP) < 0)
		return err_errno(err, "cannot make a cgroup namespace");
	return 0;
}

static int serve_fuse(struct setup *setup, int fuse_fd, struct error *err)
{
	int r = sync_send(setup->launch.sync_fd, SYNC_FUSE, 0, &fuse_fd, 1,
			  err);

	close(fuse_fd);
	return r < 0 ? r : sync_expect(setup->launch.sync_fd, SYNC_SERVED, err);
}

int setup_open_own(const struct setup *setup, const char *name, int flags,
		   struct error *err)
{
	char link[PATH_FD_MAX];
	char path[PATH_MAX + OWN_NAME_MAX];
	ssize_t length;
	int fd;

	path_of_fd(link, setup->request->snapshot->directory_fd);
	length = readlink(link, path, PATH_MAX);
	if (length < 0 || length == PATH_MAX || strlen(name) >= OWN_NAME_MAX)
		return err_number(err, length < 0 ? errno : ENAMETOOLONG,
				  "cannot tell where the container is");
	strcpy(path + length, name);
	fd = open(path, flags | O_CLOEXEC, 0600);
	return fd < 0 ? err_errno(err, "cannot open the container's %s",
				  name + 1)
		      : fd;
}

static int open_snapshot(struct setup *setup, struct error *err)
{
	setup->root_fd =
		setup_open_own(setup, "/merged", O_PATH | O_DIRECTORY, err);
	return setup->root_fd < 0 ? setup->root_fd : 0;
}

/*
 * Nothing mounted here may show on the host, while the host's later mounts may
 * come in below a bind with rslave. Then the root, which must be a mount of its
 * own for pivot_root(2).
 */
static int mount_root(struct setup *setup, struct error *err)
{
	const struct snapshot *snapshot = setup->request->snapshot;
	const char *path = setup->spec->root_path;
	cleanup_fd int fd = -1;
	struct mount_attr slave = {.propagation = MS_SLAVE};
	int fuse_fd = -1;
	int r;

	if (kernel_mount_setattr(AT_FDCWD, "/", AT_RECURSIVE, &slave) < 0)
		return err_errno(err, "cannot make the mounts private");
	if (snapshot) {
		r = snapshot_mount(snapshot, &fuse_fd, err);
		if (r == 0 && fuse_fd >= 0)
			r = serve_fuse(setup, fuse_fd, err);
		if (r < 0)
			return r;
		return open_snapshot(setup, err);
	}
	fd = mount_clone(AT_FDCWD, path, true);
	if (fd < 0)
		return err_number(err, fd, "cannot mount the root %s", path);
	r = mount_set(fd, 0, 0, MS_PRIVATE, true);
	if (r == 0 && kernel_move_mount(fd, "", AT_FDCWD, path,
					MOVE_MOUNT_F_EMPTY_PATH) < 0)
		r = -errno;
	if (r < 0)
		return err_number(err, r, "cannot mount the root %s", path);
	setup->root_fd = steal_fd(&fd);
	return 0;
}

/*
 * Files made from here on belong to the container's root, where it has one.
 * Only now: it may not be allowed into the user's directories, so all that is
 * the host's has been opened before.
 */
static int become_root(struct setup *setup, struct error *err)
{
	return launch_become_root(&setup->uids, &setup->gids, err);
}

/*
 * The first thing a FUSE server must answer, while the parent can still ask it
 * what is wrong; not before become_root(), as it serves only who is mapped.
 */
static int look_at_root(struct setup *setup, struct error *err)
{
	struct stat st;

	if (setup->request->snapshot && fstat(setup->root_fd, &st) < 0)
		return err_errno(err, "cannot read the container's root");
	return 0;
}

/* While there are rights over the namespace, and before anything needs it. */
static int set_up_network(struct setup *setup, struct error *err)
{
	if (!spec_namespace_is_new(setup->spec, CLONE_NEWNET))
		return 0;
	if (!setup->request->network)
		return netns_loopback_up(err);
	setup->tap_fd = netns_attach_tap(setup->request->network, err);
	return setup->tap_fd < 0 ? setup->tap_fd : 0;
}

/* The volumes are mounted, so the user's files are those the program sees. */
static int find_user(struct setup *setup, struct error *err)
{
	return launch_find_user(&setup->launch, setup->root_fd, &setup->uids,
				&setup->gids, err);
}

/* As docker does; the last change to the root before it may be read-only. */
static int make_working_directory(struct setup *setup, struct error *err)
{
	cleanup_fd int fd = path_mkdirs_in_root(
		setup->root_fd, setup->spec->process.cwd, 0755, err);

	/* A file, or one that only the user may see: moss-init will tell. */
	if (fd == -EACCES || fd == -ENOTDIR)
		return 0;
	return fd < 0 ? fd : 0;
}

/*
 * From here on there is no host: the old root lies over the new one for the
 * moment between the two calls, and is then detached with all that is below.
 */
static int change_root(struct setup *setup, struct error *err)
{
	if (fchdir(setup->root_fd) < 0 || kernel_pivot_root(".", ".") < 0)
		return err_errno(err, "cannot change the root");
	if (kernel_umount(".", MNT_DETACH) < 0)
		return err_errno(err, "cannot detach the host's root");
	if (chdir("/") < 0)
		return err_errno(err, "cannot enter the new root");
	return 0;
}

/* Sharing with others makes sense only for a mount that has left the host's. */
static int finish_root(struct setup *setup, struct error *err)
{
	unsigned long propagation = setup->spec->root_propagation;
	uint64_t attributes =
		setup->spec->root_readonly ? MOUNT_ATTR_RDONLY : 0;
	int r = 0;

	if (attributes)
		r = mount_set(setup->root_fd, attributes, 0, 0, false);
	if (r < 0)
		return err_number(err, r, "cannot make the root read-only");
	if (propagation != (MS_PRIVATE | MS_REC))
		r = mount_set(setup->root_fd, 0, 0,
			      propagation & ~(unsigned long)MS_REC,
			      propagation & MS_REC);
	if (r < 0)
		return err_number(err, r, "cannot set the root's propagation");
	return 0;
}

static int set_names(struct setup *setup, struct error *err)
{
	const struct runtime_spec *spec = setup->spec;

	if (!spec_namespace_is_new(spec, CLONE_NEWUTS)) {
		/* Who joins gets the other's name; the host keeps its own. */
		return 0;
	}
	if (!str_empty(spec->hostname) &&
	    sethostname(spec->hostname, strlen(spec->hostname)) < 0)
		return err_errno(err, "cannot set the host name %s",
				 spec->hostname);
	if (!str_empty(spec->domainname) &&
	    setdomainname(spec->domainname, strlen(spec->domainname)) < 0)
		return err_errno(err, "cannot set the domain name %s",
				 spec->domainname);
	return 0;
}

static int report_ready(struct setup *setup, struct error *err)
{
	int fds[2];
	size_t count = 0;
	int has = 0;
	int r;

	if (setup->master_fd >= 0) {
		fds[count++] = setup->master_fd;
		has |= SYNC_HAS_CONSOLE;
	}
	if (setup->tap_fd >= 0) {
		fds[count++] = setup->tap_fd;
		has |= SYNC_HAS_TAP;
	}
	r = launch_report_ready(&setup->launch, &setup->uids, has, fds, count,
				err);
	close_fd(&setup->master_fd);
	close_fd(&setup->tap_fd);
	return r;
}

static int enter_program(struct setup *setup, struct error *err)
{
	return launch_exec(&setup->launch, err);
}

static int hide(struct setup *setup, struct error *err)
{
	return launch_hide(err);
}

static int write_sysctl(struct setup *setup, struct error *err)
{
	return sysctl_write(setup, err);
}

static int mask(struct setup *setup, struct error *err)
{
	return mask_paths(setup, err);
}

static int make_readonly(struct setup *setup, struct error *err)
{
	return make_paths_readonly(setup, err);
}

static _Noreturn void run(struct setup *setup)
{
	static int (*const steps[])(struct setup *, struct error *) = {
		/* 1. Somebody, and nobody's to look into. */
		wait_for_maps,
		/* The parent has opened what it needs below our /proc. */
		hide,
		enter_cgroup_namespace,

		/* 2. All that is the host's, with the user's own rights. */
		mount_root,
		mounts_open_sources,

		/* 3. The container, as its root. */
		become_root,
		look_at_root,
		set_up_network,
		mounts_make,
		/* The terminal is handed to the user. */
		find_user,
		mounts_give,
		/* After the mounts: /dev and /dev/pts are among them. */
		devices_make,
		devices_make_console,

		/* 4. What must be written before it is closed. */
		write_sysctl,
		make_working_directory,

		/* 5. Closing: masks need the host's /dev/null. */
		mask,
		make_readonly,
		finish_root,
		change_root,
		set_names,

		/* 6. Limits, identity, capabilities, seccomp: launch.c, init/.
		 */
		report_ready,
		enter_program,
	};
	struct error err;

	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		err_clear(&err);
		if (steps[i](setup, &err) < 0)
			fail(setup, &err);
	}
	_exit(1);
}

static void setup_init(struct setup *setup,
		       const struct runtime_request *request, int sync_fd,
		       int program_fd)
{
	*setup = (struct setup){
		.request = request,
		.spec = request->spec,
		.launch =
			{
				.process = &request->spec->process,
				.filter = request->filter,
				.notify = request->notify,
				.deny_tcp = request->deny_tcp,
				.init = request->spec->init,
				.stdio = {request->stdio[0], request->stdio[1],
					  request->stdio[2]},
				.sync_fd = sync_fd,
				.program_fd = program_fd,
			},
		.root_fd = -1,
		.dev_fd = -1,
		.proc_fd = -1,
		.sys_fd = -1,
		.devpts_fd = -1,
		.points_fd = -1,
		.tap_fd = -1,
		.master_fd = -1,
		.slave_fd = -1,
	};
}

_Noreturn void setup_container(const struct runtime_request *request,
			       int sync_fd, int program_fd)
{
	static struct setup setup; /* large: two ID maps */
	struct error err = {0};

	setup_init(&setup, request, sync_fd, program_fd);
	if (begin(&setup, &err) < 0)
		fail(&setup, &err);
	run(&setup);
}

_Noreturn void setup_joiner(const struct runtime_request *request, int sync_fd,
			    int program_fd)
{
	static struct setup setup;
	struct namespaces_clone clone = {
		.flags = CLONE_PARENT | namespaces_new(request->spec),
	};
	struct error err = {0};
	int pid_fd = -1;
	pid_t pid;

	setup_init(&setup, request, sync_fd, program_fd);
	/* Hidden before others can see us, or what we clone. */
	if (begin(&setup, &err) < 0 || launch_hide(&err) < 0 ||
	    namespaces_join(request->spec, &err) < 0)
		fail(&setup, &err);
	pid = namespaces_clone(&clone, &pid_fd, &err);
	if (pid < 0)
		fail(&setup, &err);
	if (pid == 0) {
		if (launch_begin_sibling(&err) < 0)
			fail(&setup, &err);
		run(&setup);
	}
	if (sync_send(sync_fd, SYNC_CHILD, pid, &pid_fd, 1, &err) < 0)
		fail(&setup, &err);
	_exit(0);
}

/*
 * The container's namespaces are made in one of ours, whose IDs our parent has
 * to map, and the container's are then ours to map.
 */
_Noreturn void setup_counter(const struct runtime_request *request, int sync_fd,
			     int program_fd)
{
	static struct setup setup;
	const struct runtime_spec *spec = request->spec;
	struct namespaces_clone clone = {
		.flags = CLONE_PARENT | namespaces_new(spec),
	};
	struct rlimit limit;
	struct error err = {0};
	int pid_fd = -1;
	pid_t pid;

	setup_init(&setup, request, sync_fd, program_fd);
	if (begin(&setup, &err) < 0 ||
	    sync_expect(sync_fd, SYNC_MAPPED, &err) < 0 ||
	    task_limit_lower(request->task_limit, &limit, &err) < 0)
		fail(&setup, &err);
	pid = namespaces_clone(&clone, &pid_fd, &err);
	if (pid < 0)
		fail(&setup, &err);
	if (pid == 0) {
		if (launch_begin_sibling(&err) < 0 ||
		    task_limit_restore(&limit, &err) < 0)
			fail(&setup, &err);
		run(&setup);
	}
	if (namespaces_map(pid, &spec->uid_map, &spec->gid_map, &err) < 0 ||
	    sync_send(sync_fd, SYNC_CHILD, pid, &pid_fd, 1, &err) < 0)
		fail(&setup, &err);
	_exit(0);
}
