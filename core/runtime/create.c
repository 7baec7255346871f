#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/proc.h"
#include "core/runtime/kernel.h"
#include "core/runtime/keyring.h"
#include "core/runtime/layers.h"
#include "core/runtime/memfd.h"
#include "core/runtime/namespaces.h"
#include "core/runtime/parent.h"
#include "core/runtime/runtime.h"
#include "core/runtime/setup.h"
#include "core/runtime/sync.h"
#include "core/runtime/task_limit.h"

static int check_request(const struct runtime_request *request,
			 struct error *err)
{
	const struct runtime_spec *spec = request->spec;

	if (!request->snapshot && !spec->root_path)
		return err_set(err, ERROR_INVALID, "root.path: is missing");
	if (request->network && !spec_namespace_is_new(spec, CLONE_NEWNET))
		return err_set(err, ERROR_INVALID,
			       "linux.namespaces: a tap needs a new network "
			       "namespace");
	if (request->task_limit > 0 &&
	    (namespaces_joins(spec) || request->task_limit < TASK_LIMIT_MIN))
		return err_set(err, ERROR_UNSUPPORTED,
			       "cannot limit the number of processes without "
			       "a cgroup when it is 1, or when other "
			       "namespaces are joined");
	return 0;
}

/* New ones by the process, joined ones by the path they were joined with. */
static int open_namespace(const struct runtime_spec *spec, int flag, pid_t pid,
			  const char *name, int *ret_fd, struct error *err)
{
	const struct spec_namespace *space = spec_namespace(spec, flag);
	int fd;

	if (!space)
		return 0;
	if (!space->path) {
		fd = namespaces_open(pid, name, err);
		if (fd < 0)
			return fd;
	} else {
		fd = open(space->path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			return err_errno(err, "cannot open %s", space->path);
	}
	*ret_fd = fd;
	return 0;
}

/* The process between has our IDs, and says when it has made the container. */
static int introduce_counter(struct runtime_process *process, struct error *err)
{
	struct id_map uids, gids;
	int r = namespaces_read_maps("self", &uids, &gids, err);

	if (r < 0)
		return r;
	task_limit_map(&uids, &uids);
	task_limit_map(&gids, &gids);
	r = namespaces_map(process->pid, &uids, &gids, err);
	if (r == 0)
		r = sync_send(process->sync_fd, SYNC_MAPPED, 0, NULL, 0, err);
	/* It has failed, and has said why. */
	if (r < 0 && sync_is_readable(process->sync_fd, 0))
		r = 0;
	return r < 0 ? r : parent_adopt(process, err);
}

/* All that needs the child's files below /proc, before it hides. */
static int introduce(const struct runtime_request *request,
		     struct runtime_process *process, struct error *err)
{
	const struct runtime_spec *spec = request->spec;
	int r = 0;

	if (spec_namespace_is_new(spec, CLONE_NEWUSER) &&
	    request->task_limit <= 0)
		r = namespaces_map(process->pid, &spec->uid_map, &spec->gid_map,
				   err);
	if (r == 0)
		r = open_namespace(spec, CLONE_NEWUSER, process->pid, "user",
				   &process->userns_fd, err);
	if (r == 0)
		r = open_namespace(spec, CLONE_NEWNET, process->pid, "net",
				   &process->netns_fd, err);
	if (r == 0)
		r = sync_send(process->sync_fd, SYNC_MAPPED, 0, NULL, 0, err);
	return r;
}

static int serve(const struct runtime_request *request,
		 struct runtime_process *process, const int *fds, size_t count,
		 struct error *err)
{
	int r;

	if (count != 1 || !request->snapshot || process->fuse_pid > 0) {
		for (size_t i = 0; i < count; i++)
			close(fds[i]);
		return err_number(err, EBADMSG, "unexpected FUSE request");
	}
	r = snapshot_serve(request->snapshot, fds[0], err);
	/* Whoever else holds it keeps a dead server from being noticed. */
	close(fds[0]);
	if (r < 0)
		return r;
	process->fuse_pid = r;
	return sync_send(process->sync_fd, SYNC_SERVED, 0, NULL, 0, err);
}

/* 1 when the child is ready, 0 to go on. */
static int answer(const struct runtime_request *request,
		  struct runtime_process *process, struct error *err)
{
	struct sync_message message;
	int fds[SYNC_FDS_MAX];
	size_t count = 0;
	int r = sync_receive(process->sync_fd, &message, fds, &count, err);

	if (r > 0 && message.type == SYNC_FUSE)
		return serve(request, process, fds, count, err);
	if (r == 0 || r == -ECONNRESET)
		r = parent_child_died(process, err);
	else if (r > 0 && message.type == SYNC_READY)
		return parent_take_ready(
			process, &message, fds, count,
			request->spec->process.terminal ? NULL : request->stdio,
			err);
	else if (r > 0)
		r = err_number(err, EBADMSG, "unexpected packet %u",
			       message.type);
	for (size_t i = 0; i < count; i++)
		close(fds[i]);
	return r;
}

static int converse(const struct runtime_request *request, bool joins,
		    struct runtime_process *process, struct error *err)
{
	int r = 0;

	if (joins)
		r = parent_adopt(process, err);
	else if (request->task_limit > 0)
		r = introduce_counter(process, err);
	if (r < 0)
		return r;
	r = introduce(request, process, err);
	/* Of a child that has failed already nothing works; it has said why. */
	if (r < 0 && sync_is_readable(process->sync_fd, 0))
		r = 0;
	while (r == 0)
		r = answer(request, process, err);
	/* A root that does not answer: its server may have said why. */
	if (r < 0 && process->fuse_pid > 0) {
		int why = snapshot_explain(request->snapshot, process->fuse_pid,
					   err);

		r = why < 0 ? why : r;
	}
	if (r < 0)
		return r;
	r = proc_start_time(process->pid, &process->start_time);
	if (r < 0)
		return err_number(err, r,
				  "cannot tell when the container "
				  "started");
	return 0;
}

/* What hides our program from those who are in the user namespace already; in
   a new one there is nobody yet. */
static int64_t hiding_group(const struct runtime_spec *spec)
{
	const struct spec_namespace *space =
		spec_namespace(spec, CLONE_NEWUSER);
	struct id_map uids, gids;
	char process[16];
	int pid;

	if (!space || !space->path ||
	    sscanf(space->path, "/proc/%d/ns/user", &pid) != 1)
		return -1;
	snprintf(process, sizeof(process), "%d", pid);
	if (namespaces_read_maps(process, &uids, &gids, NULL) < 0)
		return -1;
	return namespaces_foreign_group(&gids);
}

int runtime_create(const struct runtime_request *request,
		   struct runtime_process *ret_process, struct error *err)
{
	struct runtime_process process = RUNTIME_PROCESS_EMPTY;
	bool joins = namespaces_joins(request->spec);
	struct namespaces_clone clone = {.cgroup_fd = request->cgroup_fd};
	cleanup_fd int child_fd = -1;
	cleanup_fd int program_fd = -1;
	int r = check_request(request, err);

	if (r == 0)
		r = layers_prepare(request, err);
	if (r == 0)
		r = keyring_renew(err);
	if (r < 0)
		return r;
	program_fd = memfd_program(hiding_group(request->spec), err);
	if (program_fd < 0)
		return program_fd;
	r = sync_pair(&process.sync_fd, &child_fd, err);
	if (r < 0)
		return r;
	if (request->task_limit > 0)
		clone.flags = CLONE_NEWUSER;
	else if (!joins)
		clone.flags = namespaces_new(request->spec);
	if (clone.cgroup_fd > 0)
		clone.flags &= ~(uint64_t)CLONE_NEWCGROUP;

	process.pid = namespaces_clone(&clone, &process.pid_fd, err);
	if (process.pid == 0) {
		if (joins)
			setup_joiner(request, child_fd, program_fd);
		if (request->task_limit > 0)
			setup_counter(request, child_fd, program_fd);
		setup_container(request, child_fd, program_fd);
	}
	close_fd(&child_fd);
	r = process.pid < 0 ? process.pid
			    : converse(request, joins, &process, err);
	if (r < 0) {
		parent_abort(&process);
		return r;
	}
	*ret_process = process;
	return 0;
}

int runtime_start(struct runtime_process *process, struct error *err)
{
	return parent_start(process, false, err);
}
