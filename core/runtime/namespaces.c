#include "core/runtime/namespaces.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/proc.h"
#include "base/str.h"
#include "core/runtime/kernel.h"

/* User first: it gives the rights over the others. */
static const struct {
	int flag;
	const char *file; /* below /proc/PID/ns */
	const char *name;
} kinds[] = {
	{CLONE_NEWUSER, "user", "user"},
	{CLONE_NEWPID, "pid", "PID"},
	{CLONE_NEWIPC, "ipc", "IPC"},
	{CLONE_NEWUTS, "uts", "UTS"},
	{CLONE_NEWNET, "net", "network"},
	{CLONE_NEWCGROUP, "cgroup", "cgroup"},
	{CLONE_NEWTIME, "time_for_children", "time"},
	{CLONE_NEWNS, "mnt", "mount"},
};

uint64_t namespaces_new(const struct runtime_spec *spec)
{
	uint64_t flags = 0;

	for (size_t i = 0; i < spec->namespace_count; i++) {
		if (!spec->namespaces[i].path)
			flags |= (uint64_t)spec->namespaces[i].flag;
	}
	return flags;
}

bool namespaces_joins(const struct runtime_spec *spec)
{
	for (size_t i = 0; i < spec->namespace_count; i++) {
		if (spec->namespaces[i].path)
			return true;
	}
	return false;
}

static int clone_error(uint64_t flags, struct error *err)
{
	int number = errno;

	err_number(err, number, "cannot make the container's namespaces");
	if (number == ENOSPC || number == EUSERS)
		return err_hint(err,
				"a limit below /proc/sys/user "
				"(max_user_namespaces, max_net_namespaces …) "
				"or the nesting depth of 32 is reached");
	if (number == EPERM && (flags & CLONE_NEWUSER))
		return err_hint(err,
				"user namespaces are switched off here: see "
				"the sysctls kernel.unprivileged_userns_clone "
				"and kernel.apparmor_restrict_unprivileged_"
				"userns");
	if (number == EAGAIN)
		return err_hint(err, "the limit of processes (ulimit -u, "
				     "cgroup pids.max) is reached");
	return -number;
}

pid_t namespaces_clone(const struct namespaces_clone *clone, int *ret_pid_fd,
		       struct error *err)
{
	int pid_fd = -1;
	struct clone_args arguments = {
		.flags = clone->flags | CLONE_PIDFD,
		.pidfd = (uint64_t)(uintptr_t)&pid_fd,
		/* A sibling inherits it. */
		.exit_signal = clone->flags & CLONE_PARENT ? 0 : SIGCHLD,
	};
	pid_t pid;

	if (clone->cgroup_fd > 0) {
		arguments.flags |= CLONE_INTO_CGROUP;
		arguments.cgroup = (uint64_t)clone->cgroup_fd;
	}
	pid = kernel_clone3(&arguments);
	/* Seccomp filters that cannot look into its argument refuse clone3. */
	if (pid < 0 && errno == ENOSYS && clone->cgroup_fd <= 0)
		pid = (pid_t)syscall(SYS_clone,
				     arguments.flags | arguments.exit_signal,
				     NULL, &pid_fd, NULL, NULL);
	if (pid < 0)
		return clone_error(clone->flags, err);
	if (pid > 0)
		*ret_pid_fd = pid_fd;
	return pid;
}

struct between {
	pid_t pid;
	int number; /* errno of what failed */
};

/* In memory that is the parent's too, which waits: nothing is undone here. */
static void clone_between(int init_fd, struct clone_args *arguments,
			  volatile struct between *between)
{
	pid_t pid;

	if (setns(init_fd, CLONE_NEWPID) < 0) {
		between->number = errno;
		_exit(0);
	}
	pid = kernel_clone3(arguments);
	if (pid < 0 && errno == ENOSYS && arguments->cgroup == 0)
		pid = (pid_t)syscall(SYS_clone, CLONE_PARENT, NULL, NULL, NULL,
				     NULL);
	if (pid == 0)
		return;
	between->pid = pid;
	between->number = pid < 0 ? errno : 0;
	_exit(0);
}

static pid_t clone_by_vfork(int init_fd, int cgroup_fd, struct error *err)
{
	volatile struct between between = {0};
	struct clone_args arguments = {.flags = CLONE_PARENT};
	pid_t helper;

	if (cgroup_fd > 0) {
		arguments.flags |= CLONE_INTO_CGROUP;
		arguments.cgroup = (uint64_t)cgroup_fd;
	}
	helper = vfork();
	if (helper == 0) {
		clone_between(init_fd, &arguments, &between);
		return 0; /* the new process, in memory of its own */
	}
	if (helper < 0)
		return clone_error(0, err);
	proc_wait(helper);
	if (between.pid > 0)
		return between.pid;
	errno = between.number ? between.number : ECHILD;
	return clone_error(0, err);
}

pid_t namespaces_clone_into(int init_fd, int cgroup_fd, int *ret_pid_fd,
			    struct error *err)
{
	int dumpable = prctl(PR_GET_DUMPABLE);
	pid_t pid;
	int fd;

	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return err_errno(err, "cannot hide the set-up process");
	pid = clone_by_vfork(init_fd, cgroup_fd, err);
	if (pid == 0)
		return 0;
	prctl(PR_SET_DUMPABLE, dumpable, 0, 0, 0);
	if (pid < 0)
		return pid;
	/* Our child: its number stays its own until we reap it. */
	fd = proc_pidfd_open(pid, 0);
	if (fd < 0) {
		kill(pid, SIGKILL);
		proc_wait(pid);
		return err_number(err, fd, "cannot hold the new process");
	}
	*ret_pid_fd = fd;
	return pid;
}

int namespaces_join(const struct runtime_spec *spec, struct error *err)
{
	int fds[ARRAY_SIZE(kinds)];
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		fds[i] = -1;
	/* Opened before any is joined, with the rights we came with. */
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(kinds); i++) {
		const struct spec_namespace *space =
			spec_namespace(spec, kinds[i].flag);

		if (!space || !space->path)
			continue;
		fds[i] = open(space->path, O_RDONLY | O_CLOEXEC);
		if (fds[i] < 0)
			r = err_errno(err, "cannot open the %s namespace %s",
				      kinds[i].name, space->path);
	}
	for (size_t i = 0; r == 0 && i < ARRAY_SIZE(kinds); i++) {
		if (fds[i] >= 0 && setns(fds[i], kinds[i].flag) < 0)
			r = err_errno(
				err, "cannot join the %s namespace %s",
				kinds[i].name,
				spec_namespace(spec, kinds[i].flag)->path);
	}
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		close_fd(&fds[i]);
	return r;
}

struct space_id {
	dev_t device;
	ino_t inode;
};

/* directory: /proc/PID/ns. A kind that the kernel does not have is all 0. */
static int read_ids(int directory, struct space_id ret_ids[ARRAY_SIZE(kinds)],
		    struct error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		struct stat st = {0};

		if (fstatat(directory, kinds[i].file, &st, 0) < 0 &&
		    errno != ENOENT)
			return err_errno(err, "cannot look at the %s namespace",
					 kinds[i].name);
		ret_ids[i] = (struct space_id){st.st_dev, st.st_ino};
	}
	return 0;
}

static int open_spaces(const char *process)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%s/ns", process);
	return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static int read_own_ids(struct space_id ret_ids[ARRAY_SIZE(kinds)],
			struct error *err)
{
	cleanup_fd int directory = open_spaces("self");

	if (directory < 0)
		return err_errno(err, "cannot look at our own namespaces");
	return read_ids(directory, ret_ids, err);
}

static int read_ids_of(pid_t pid, struct space_id ret_ids[ARRAY_SIZE(kinds)],
		       struct error *err)
{
	cleanup_fd int directory = -1;
	char process[16];
	int r;

	snprintf(process, sizeof(process), "%d", pid);
	directory = open_spaces(process);
	r = directory < 0 ? -errno : read_ids(directory, ret_ids, err);
	if (r == -ENOENT || r == -ESRCH)
		return err_set(err, ERROR_CONFLICT,
			       "the container is not running");
	return directory < 0
		       ? err_number(err, r, "cannot look at process %d", pid)
		       : r;
}

int namespaces_has_own_pids(pid_t pid, struct error *err)
{
	char path[64];
	struct stat own, other;

	snprintf(path, sizeof(path), "/proc/%d/ns/pid", pid);
	if (stat(path, &other) < 0)
		return err_set(err, ERROR_CONFLICT,
			       "the container is not running");
	if (stat("/proc/self/ns/pid", &own) < 0)
		return err_errno(err, "cannot look at our own namespaces");
	return own.st_dev != other.st_dev || own.st_ino != other.st_ino;
}

int namespaces_join_process(pid_t pid, int pid_fd, struct error *err)
{
	struct space_id own[ARRAY_SIZE(kinds)], other[ARRAY_SIZE(kinds)];
	int flags = 0;
	int r = read_own_ids(own, err);

	if (r == 0)
		r = read_ids_of(pid, other, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (own[i].device != other[i].device ||
		    own[i].inode != other[i].inode)
			flags |= kinds[i].flag;
	}
	/* All at once, by the pidfd, cannot meet another process (5.8). */
	if (setns(pid_fd, flags) == 0)
		return 0;
	if (errno == ESRCH)
		return err_set(err, ERROR_CONFLICT,
			       "the container is not running");
	return err_errno(err, "cannot join the container's namespaces");
}

int namespaces_check_room(struct error *err)
{
	pid_t pid = vfork();

	if (pid == 0)
		_exit(0);
	if (pid < 0)
		return clone_error(0, err);
	proc_wait(pid);
	return 0;
}

bool namespaces_can_set_groups(const struct id_map *gids)
{
	return idmap_size(gids) > 1;
}

static int write_file(pid_t pid, const char *name, const char *text,
		      struct error *err)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	return file_write_once_at(AT_FDCWD, path, text, err);
}

int namespaces_map(pid_t pid, const struct id_map *uids,
		   const struct id_map *gids, struct error *err)
{
	const struct {
		const char *file;
		const struct id_map *map;
	} maps[] = {
		{"uid_map", uids},
		{"gid_map", gids},
	};
	int r;

	if (!namespaces_can_set_groups(gids)) {
		r = write_file(pid, "setgroups", "deny", err);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < ARRAY_SIZE(maps); i++) {
		cleanup_free char *text = idmap_text(maps[i].map);

		r = write_file(pid, maps[i].file, text, err);
		if (r < 0) {
			err_wrap(err, "cannot map the container's IDs");
			return err_hint(err,
					"the container's IDs must be a subset "
					"of yours: see /etc/subuid, "
					"/etc/subgid and --userns");
		}
	}
	return 0;
}

static int read_map(const char *process, const char *name,
		    struct id_map *ret_map, struct error *err)
{
	cleanup_free char *path = xasprintf("/proc/%s/%s", process, name);
	cleanup_free char *text = NULL;
	struct id_map map = {0};
	char *line, *rest = NULL;
	int r = file_read_at(AT_FDCWD, path, 65536, &text, NULL, err);

	if (r < 0)
		return r;
	for (line = strtok_r(text, "\n", &rest); line && map.count < ID_MAP_MAX;
	     line = strtok_r(NULL, "\n", &rest)) {
		struct id_extent *extent = &map.extents[map.count];

		if (sscanf(line, "%u %u %u", &extent->inside, &extent->outside,
			   &extent->count) == 3)
			map.count++;
	}
	*ret_map = map;
	return 0;
}

int namespaces_read_maps(const char *process, struct id_map *ret_uids,
			 struct id_map *ret_gids, struct error *err)
{
	int r = read_map(process, "uid_map", ret_uids, err);

	return r < 0 ? r : read_map(process, "gid_map", ret_gids, err);
}

static bool has_outside(const struct id_map *map, uint32_t id)
{
	for (size_t i = 0; i < map->count; i++) {
		if (id >= map->extents[i].outside &&
		    id - map->extents[i].outside < map->extents[i].count)
			return true;
	}
	return false;
}

int64_t namespaces_foreign_group(const struct id_map *container)
{
	struct id_map uids, own;

	if (namespaces_read_maps("self", &uids, &own, NULL) < 0)
		return -1;
	for (size_t i = 0; i < own.count; i++) {
		uint32_t first = own.extents[i].inside;
		uint32_t last = first + own.extents[i].count - 1;

		if (!has_outside(container, first))
			return first;
		if (!has_outside(container, last))
			return last;
	}
	return -1;
}

int namespaces_open(pid_t pid, const char *name, struct error *err)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/ns/%s", pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(err, "cannot open %s", path);
	return fd;
}
