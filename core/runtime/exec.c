#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/proc.h"
#include "base/str.h"
#include "core/runtime/console.h"
#include "core/runtime/kernel.h"
#include "core/runtime/launch.h"
#include "core/runtime/memfd.h"
#include "core/runtime/namespaces.h"
#include "core/runtime/parent.h"
#include "core/runtime/runtime.h"
#include "core/runtime/sync.h"

struct join {
	const struct runtime_exec_request *request;
	struct launch launch;
	struct id_map uids, gids;
	bool follows; /* to init's cgroup, wherever that is */
};

static _Noreturn void fail(const struct join *join, const struct error *err)
{
	error_write(join->launch.sync_fd, err);
	_exit(1);
}

/* The path of a process in the cgroup v2 hierarchy; NULL: cannot be told. */
static char *cgroup_of(const char *process)
{
	cleanup_free char *path = xasprintf("/proc/%s/cgroup", process);
	cleanup_free char *text = NULL;
	char *line, *rest = NULL;

	if (file_read_at(AT_FDCWD, path, 65536, &text, NULL, NULL) < 0)
		return NULL;
	for (line = strtok_r(text, "\n", &rest); line;
	     line = strtok_r(NULL, "\n", &rest)) {
		if (str_starts(line, "0::"))
			return xstrdup(line + strlen("0::"));
	}
	return NULL;
}

/*
 * Limits are the container's, not the monitor's. Mostly the new process is born
 * into its cgroup; where init is in another one, as a container that manages
 * cgroups moves it, it goes there first.
 */
static int join_cgroup(const struct join *join, struct error *err)
{
	static const char *const roots[] = {"/sys/fs/cgroup",
					    "/sys/fs/cgroup/unified"};
	cleanup_free char *init = xasprintf("%d", join->request->init_pid);
	cleanup_free char *own = cgroup_of("self");
	cleanup_free char *wanted = cgroup_of(init);
	int r = -ENOENT;

	if (!join->follows)
		return 0;
	if (!wanted || str_equal(own, wanted))
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(roots) && r == -ENOENT; i++) {
		cleanup_free char *path =
			xasprintf("%s%s/cgroup.procs", roots[i], wanted);

		r = file_write_once_at(AT_FDCWD, path, "0", err);
	}
	return r < 0 ? err_wrap(err, "cannot enter the container's cgroup") : 0;
}

/* As fork(2). */
static pid_t clone_joiner(struct join *join, int *ret_pid_fd, struct error *err)
{
	struct namespaces_clone clone = {.cgroup_fd = join->request->cgroup_fd};
	pid_t pid;

	join->follows = clone.cgroup_fd <= 0;
	pid = namespaces_clone(&clone, ret_pid_fd, err);
	/* One whose controllers are given further down takes no process. */
	if (pid == -EBUSY && !join->follows) {
		join->follows = true;
		clone.cgroup_fd = 0;
		pid = namespaces_clone(&clone, ret_pid_fd, err);
	}
	return pid;
}

/* A terminal in the container's own devpts, so that ttyname(3) works there. */
static int open_terminal(struct join *join, int root_fd, struct error *err)
{
	const struct spec_process *process = join->request->process;
	int slave_fd = -1;
	int master_fd;
	int r;

	if (!process->terminal)
		return launch_report_ready(&join->launch, &join->uids, 0, NULL,
					   0, err);
	master_fd = console_find_ptmx(root_fd, err);
	if (master_fd < 0)
		return master_fd;
	r = console_open(master_fd, process->rows, process->columns, &slave_fd,
			 err);
	if (r == 0)
		r = console_adopt(slave_fd, join->launch.user.uid, err);
	if (r == 0)
		r = launch_report_ready(&join->launch, &join->uids,
					SYNC_HAS_CONSOLE, &master_fd, 1, err);
	close(master_fd);
	for (size_t i = 0; i < ARRAY_SIZE(join->launch.stdio); i++)
		join->launch.stdio[i] = slave_fd;
	return r;
}

/* The new process: inside, a sibling of the joiner. */
static _Noreturn void enter(struct join *join)
{
	struct error err = {0};
	cleanup_fd int root_fd = -1;
	int r;

	/* Nothing may be said before the joiner has told of us. */
	if (launch_begin_sibling(&err) < 0 ||
	    sync_expect(join->launch.sync_fd, SYNC_MAPPED, &err) < 0 ||
	    launch_become_root(&join->uids, &join->gids, &err) < 0)
		fail(join, &err);
	root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root_fd < 0) {
		err_errno(&err, "cannot open the container's root");
		fail(join, &err);
	}
	r = launch_find_user(&join->launch, root_fd, &join->uids, &join->gids,
			     &err);
	if (r == 0)
		r = open_terminal(join, root_fd, &err);
	/* No descriptor of a directory is left when the program looks around
	 * (CVE-2024-21626); moss-init closes all, this one is the only. */
	close_fd(&root_fd);
	if (r == 0)
		r = launch_exec(&join->launch, &err);
	fail(join, &err);
}

/*
 * Hidden before it enters anything: a process in the container may otherwise
 * look into it, or keep it, by ptrace or /proc (CVE-2016-9962).
 */
static _Noreturn void join_container(struct join *join)
{
	const struct runtime_exec_request *request = join->request;
	struct launch *launch = &join->launch;
	struct namespaces_clone clone = {.flags = CLONE_PARENT};
	char pid_text[16];
	struct error err = {0};
	int keep[6];
	size_t count = 0;
	int pid_fd = -1;
	pid_t pid;
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(launch->stdio); i++) {
		if (request->process->terminal)
			launch->stdio[i] = -1;
		keep[count++] = launch->stdio[i];
	}
	keep[count++] = launch->sync_fd;
	keep[count++] = launch->program_fd;
	keep[count++] = request->init_pid_fd;
	snprintf(pid_text, sizeof(pid_text), "%d", request->init_pid);

	r = launch_begin(launch, keep, count, &err);
	if (r == 0)
		r = join_cgroup(join, &err);
	if (r == 0)
		r = launch_hide(&err);
	if (r == 0)
		r = namespaces_read_maps(pid_text, &join->uids, &join->gids,
					 &err);
	if (r == 0)
		r = namespaces_join_process(request->init_pid,
					    request->init_pid_fd, &err);
	if (r < 0)
		fail(join, &err);
	pid = namespaces_clone(&clone, &pid_fd, &err);
	if (pid == 0)
		enter(join);
	/* A PID namespace whose first process is gone takes no others. */
	if (pid == -ENOMEM)
		err_set(&err, ERROR_CONFLICT, "the container is not running");
	if (pid < 0 ||
	    sync_send(launch->sync_fd, SYNC_CHILD, pid, &pid_fd, 1, &err) < 0)
		fail(join, &err);
	_exit(0);
}

static int await_ready(const struct runtime_exec_request *request,
		       struct runtime_process *process, struct error *err)
{
	struct sync_message message;
	int fds[SYNC_FDS_MAX];
	size_t count = 0;
	int r = parent_await(process, err);

	if (r < 0)
		return r;
	r = sync_receive(process->sync_fd, &message, fds, &count, err);
	if (r == 0)
		return parent_child_died(process, err);
	if (r < 0)
		return r;
	if (message.type != SYNC_READY) {
		for (size_t i = 0; i < count; i++)
			close(fds[i]);
		return err_number(err, EBADMSG, "unexpected packet %u",
				  message.type);
	}
	return parent_take_ready(
		process, &message, fds, count,
		request->process->terminal ? NULL : request->stdio, err);
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

/* A group of ours that the container does not have, -1 when it has all. */
static int64_t find_own_group(pid_t init_pid)
{
	struct id_map uids, own, container;
	char process[16];

	snprintf(process, sizeof(process), "%d", init_pid);
	if (namespaces_read_maps("self", &uids, &own, NULL) < 0 ||
	    namespaces_read_maps(process, &uids, &container, NULL) < 0)
		return -1;
	for (size_t i = 0; i < own.count; i++) {
		uint32_t first = own.extents[i].inside;
		uint32_t last = first + own.extents[i].count - 1;

		if (!has_outside(&container, first))
			return first;
		if (!has_outside(&container, last))
			return last;
	}
	return -1;
}

int runtime_exec(const struct runtime_exec_request *request,
		 struct runtime_process *ret_process, struct error *err)
{
	struct runtime_process process = RUNTIME_PROCESS_EMPTY;
	struct join join = {
		.request = request,
		.launch =
			{
				.process = request->process,
				.filter = request->filter,
				.stdio = {request->stdio[0], request->stdio[1],
					  request->stdio[2]},
			},
	};
	cleanup_fd int child_fd = -1;
	cleanup_fd int program_fd =
		memfd_program(find_own_group(request->init_pid), err);
	int r;

	if (program_fd < 0)
		return program_fd;
	if (proc_pidfd_signal(request->init_pid_fd, 0) < 0)
		return err_set(err, ERROR_CONFLICT,
			       "the container is not running");
	r = sync_pair(&process.sync_fd, &child_fd, err);
	if (r < 0)
		return r;
	join.launch.sync_fd = child_fd;
	join.launch.program_fd = program_fd;
	process.pid = clone_joiner(&join, &process.pid_fd, err);
	if (process.pid == 0)
		join_container(&join);
	close_fd(&child_fd);
	r = process.pid < 0 ? process.pid : parent_adopt(&process, err);
	if (r == 0)
		r = sync_send(process.sync_fd, SYNC_MAPPED, 0, NULL, 0, err);
	if (r == 0)
		r = await_ready(request, &process, err);
	if (r > 0)
		r = parent_start(&process, true, err);
	if (r < 0) {
		parent_abort(&process);
		return r;
	}
	/* It may have ended already, but its PID is ours until it is reaped. */
	proc_start_time(process.pid, &process.start_time);
	*ret_process = process;
	return 0;
}
