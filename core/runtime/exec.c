#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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

/* The container's IDs, as long as its init stays in one user namespace. */
struct known {
	pid_t init_pid;
	dev_t device; /* of that namespace */
	ino_t inode;
	struct id_map uids, gids;
	/* A group of ours that the container does not have, -1: it has all. */
	int64_t own_group;
	bool has_pids; /* a PID namespace of its own */
};

struct join {
	const struct runtime_exec_request *request;
	const struct known *known;
	struct launch launch;
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
	cleanup_free char *init = NULL;
	cleanup_free char *own = NULL;
	cleanup_free char *wanted = NULL;
	int r = -ENOENT;

	if (!join->follows)
		return 0;
	init = xasprintf("%d", join->request->init_pid);
	own = cgroup_of("self");
	wanted = cgroup_of(init);
	if (!wanted || str_equal(own, wanted))
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(roots) && r == -ENOENT; i++) {
		cleanup_free char *path =
			xasprintf("%s%s/cgroup.procs", roots[i], wanted);

		r = file_write_once_at(AT_FDCWD, path, "0", err);
	}
	return r < 0 ? err_wrap(err, "cannot enter the container's cgroup") : 0;
}

static pid_t clone_in(const struct join *join, int cgroup_fd, int *ret_pid_fd,
		      struct error *err)
{
	const struct namespaces_clone clone = {.cgroup_fd = cgroup_fd};
	pid_t pid;

	if (!join->known->has_pids)
		return namespaces_clone(&clone, ret_pid_fd, err);
	pid = namespaces_clone_into(join->request->init_pid_fd, cgroup_fd,
				    ret_pid_fd, err);
	/* A PID namespace whose first process is gone takes no others. */
	if (pid == -ENOMEM || pid == -ESRCH)
		return err_set(err, ERROR_CONFLICT,
			       "the container is not running");
	return pid;
}

/* As fork(2). */
static pid_t clone_process(struct join *join, int *ret_pid_fd,
			   struct error *err)
{
	int cgroup_fd = join->request->cgroup_fd;
	pid_t pid;

	join->follows = cgroup_fd <= 0;
	pid = clone_in(join, cgroup_fd, ret_pid_fd, err);
	/* One whose controllers are given further down takes no process. */
	if (pid == -EBUSY && !join->follows) {
		join->follows = true;
		pid = clone_in(join, 0, ret_pid_fd, err);
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
		return launch_report_ready(&join->launch, &join->known->uids, 0,
					   NULL, 0, err);
	master_fd = console_find_ptmx(root_fd, err);
	if (master_fd < 0)
		return master_fd;
	r = console_open(master_fd, process->rows, process->columns, &slave_fd,
			 err);
	if (r == 0)
		r = console_adopt(slave_fd, join->launch.user.uid, err);
	if (r == 0)
		r = launch_report_ready(&join->launch, &join->known->uids,
					SYNC_HAS_CONSOLE, &master_fd, 1, err);
	close(master_fd);
	for (size_t i = 0; i < ARRAY_SIZE(join->launch.stdio); i++)
		join->launch.stdio[i] = slave_fd;
	return r;
}

/*
 * The container's descriptors, locks and memory of ours go before anything of
 * it is entered but its PID namespace; a process in the container might
 * otherwise look into it, or keep it, by ptrace or /proc (CVE-2016-9962).
 */
static int enter(struct join *join, struct error *err)
{
	const struct runtime_exec_request *request = join->request;
	struct launch *launch = &join->launch;
	int keep[6];
	size_t count = 0;
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(launch->stdio); i++) {
		if (request->process->terminal)
			launch->stdio[i] = -1;
		keep[count++] = launch->stdio[i];
	}
	keep[count++] = launch->sync_fd;
	keep[count++] = launch->program_fd;
	keep[count++] = request->init_pid_fd;

	r = launch_begin(launch, keep, count, err);
	if (r == 0)
		r = join_cgroup(join, err);
	if (r == 0)
		r = launch_hide(err);
	if (r == 0)
		r = namespaces_join_process(request->init_pid,
					    request->init_pid_fd, err);
	if (r == 0)
		r = namespaces_check_room(err);
	return r < 0 ? r
		     : launch_become_root(&join->known->uids,
					  &join->known->gids, err);
}

static _Noreturn void run(struct join *join)
{
	const struct known *known = join->known;
	struct error err = {0};
	cleanup_fd int root_fd = -1;
	int r = enter(join, &err);

	if (r < 0)
		fail(join, &err);
	root_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root_fd < 0) {
		err_errno(&err, "cannot open the container's root");
		fail(join, &err);
	}
	r = launch_find_user(&join->launch, root_fd, &known->uids, &known->gids,
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

/* 1, or an error. */
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
	if (r > 0 && message.type == SYNC_READY)
		return parent_take_ready(
			process, &message, fds, count,
			request->process->terminal ? NULL : request->stdio,
			err);
	if (r > 0)
		return parent_refuse(&message, fds, count, err);
	for (size_t i = 0; i < count; i++)
		close(fds[i]);
	/* Reset: with the order to start unread. */
	return r == 0 || r == -ECONNRESET ? parent_child_died(process, err) : r;
}

/*
 * Nothing is to be done for it between its being ready and its start: it has no
 * terminal, and the pipes that it gets are its user's already. Then it need not
 * wait for us.
 */
static bool starts_at_once(const struct runtime_exec_request *request,
			   const struct known *known)
{
	const struct spec_process *process = request->process;
	uint32_t outside;

	return !process->terminal && str_empty(process->user) &&
	       process->uid == 0 &&
	       idmap_to_outside(&known->uids, 0, &outside) == 0 &&
	       outside == geteuid();
}

/* The child is there: lets it go, until its program runs. */
static int start(const struct runtime_exec_request *request,
		 const struct known *known, struct runtime_process *process,
		 struct error *err)
{
	bool at_once = starts_at_once(request, known);
	struct parent_order order = {0};
	int r;

	if (at_once)
		order = parent_send_start(process);
	r = await_ready(request, process, err);
	if (r < 0)
		return r;
	return at_once ? parent_await_start(process, true, &order, err)
		       : parent_start(process, true, err);
}

/* Maps are written once: they are read again only for another namespace. */
static int get_known(pid_t init_pid, struct known *known, struct error *err)
{
	char path[64], process[16];
	struct stat st;
	int r;

	snprintf(process, sizeof(process), "%d", init_pid);
	snprintf(path, sizeof(path), "/proc/%d/ns/user", init_pid);
	if (stat(path, &st) < 0)
		return err_set(err, ERROR_CONFLICT,
			       "the container is not running");
	if (known->init_pid == init_pid && known->device == st.st_dev &&
	    known->inode == st.st_ino)
		return 0;
	known->init_pid = 0;
	r = namespaces_read_maps(process, &known->uids, &known->gids, err);
	if (r < 0)
		return r;
	r = namespaces_has_own_pids(init_pid, err);
	if (r < 0)
		return r;
	known->has_pids = r > 0;
	known->own_group = namespaces_foreign_group(&known->gids);
	known->init_pid = init_pid;
	known->device = st.st_dev;
	known->inode = st.st_ino;
	return 0;
}

int runtime_exec(const struct runtime_exec_request *request,
		 struct runtime_process *ret_process, struct error *err)
{
	static struct known known; /* large: two ID maps */
	struct runtime_process process = RUNTIME_PROCESS_EMPTY;
	struct join join = {
		.request = request,
		.known = &known,
		.launch =
			{
				.process = request->process,
				.filter = request->filter,
				.notify = request->notify,
				.deny_tcp = request->deny_tcp,
				.stdio = {request->stdio[0], request->stdio[1],
					  request->stdio[2]},
			},
	};
	cleanup_fd int child_fd = -1;
	cleanup_fd int program_fd = -1;
	int r = get_known(request->init_pid, &known, err);

	if (r < 0)
		return r;
	if (proc_pidfd_signal(request->init_pid_fd, 0) < 0)
		return err_set(err, ERROR_CONFLICT,
			       "the container is not running");
	program_fd = memfd_program(known.own_group, err);
	if (program_fd < 0)
		return program_fd;
	r = sync_pair(&process.sync_fd, &child_fd, err);
	if (r < 0)
		return r;
	join.launch.sync_fd = child_fd;
	join.launch.program_fd = program_fd;
	process.pid = clone_process(&join, &process.pid_fd, err);
	if (process.pid == 0)
		run(&join);
	close_fd(&child_fd);
	r = process.pid < 0 ? process.pid
			    : start(request, &known, &process, err);
	if (r < 0) {
		parent_abort(&process);
		return r;
	}
	*ret_process = process;
	return 0;
}
