#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/msg.h"
#include "base/str.h"
#include "core/monitor/event.h"
#include "core/monitor/monitor.h"
#include "core/monitor/server.h"
#include "policy/capability.h"

#define EXECS_MAX	  256
#define EVENT_COMMAND_MAX 1024 /* bytes of a command in an event */
#define END_WAIT_MS	  1000
#define END_STEP_MS	  5

struct exec {
	struct monitor *monitor;
	struct exec *next;
	pid_t pid;
	char id[ID_TEXT_MAX];	       /* for events */
	struct connection *connection; /* NULL: its client has gone */
	/* Our hold on its terminal: without a client we read it empty, so that
	 * the program neither hangs up nor blocks. */
	int console_fd;
	struct loop_source *source;
};

static void exec_free(struct exec *exec)
{
	loop_remove(exec->source);
	close_fd(&exec->console_fd);
	free(exec);
}

/* Limits, capabilities and the rest are the container's, whatever is asked. */
static void take_over(const struct monitor *monitor, bool privileged,
		      struct spec_process *process)
{
	uint64_t mask =
		privileged ? capability_all() : monitor->launch.capabilities;

	process->bounding = mask;
	process->permitted = mask;
	process->effective = mask;
	process->inheritable = 0;
	process->ambient = 0;
	process->no_new_privileges = monitor->no_new_privileges && !privileged;
	if (process->rlimit_count == 0 && monitor->rlimit_count > 0) {
		size_t size = monitor->rlimit_count * sizeof(*process->rlimits);

		process->rlimits = xrealloc(process->rlimits, size, 1);
		memcpy(process->rlimits, monitor->rlimits, size);
		process->rlimit_count = monitor->rlimit_count;
	}
	if (!process->has_oom_score_adj) {
		process->has_oom_score_adj = monitor->has_oom_score_adj;
		process->oom_score_adj = monitor->oom_score_adj;
	}
}

static int load_filter(const struct monitor *monitor,
		       struct seccomp_filter *ret_filter, struct error *err)
{
	/* With one ID only, chown and friends must succeed here as well. */
	const struct seccomp_request request = {
		.capabilities = capability_all(),
		.single_id = monitor->launch.single_id,
		.unconfined = true,
	};

	return seccomp_filter_load(&request, -1, ret_filter, err);
}

/* It runs already; without an answer it only cannot bind a port. */
static void watch_binds(struct monitor *monitor,
			struct runtime_process *process)
{
	struct error err = {0};

	if (monitor_native_listen(monitor, process, &err) < 0)
		monitor_note(monitor, &err);
}

int exec_run(struct monitor *monitor, struct spec_process *process,
	     bool privileged, const int fds[3],
	     struct runtime_process *ret_process, struct error *err)
{
	struct seccomp_filter unconfined = {0};
	struct runtime_exec_request request = {
		.process = process,
		.init_pid = monitor->process.pid,
		.init_pid_fd = monitor->process.pid_fd,
		.cgroup_fd = monitor->cgroup.fd,
		.filter = privileged ? &unconfined : &monitor->filter,
		.notify = monitor_native_filter(monitor),
		.deny_tcp = monitor_native_denies_tcp(monitor),
		.stdio = {-1, -1, -1},
	};
	int r = monitor_native_room(monitor, err);

	take_over(monitor, privileged, process);
	if (!process->terminal)
		memcpy(request.stdio, fds, sizeof(request.stdio));
	if (r >= 0 && privileged)
		r = load_filter(monitor, &unconfined, err);
	if (r >= 0)
		r = runtime_exec(&request, ret_process, err);
	if (r >= 0)
		watch_binds(monitor, ret_process);
	seccomp_filter_release(&unconfined);
	return r;
}

/* container: container_event_read(). */
static void tell(const struct exec *exec, const cJSON *container,
		 const char *action, cJSON *details)
{
	json_set_string(details, "execID", exec->id);
	container_event(&exec->monitor->store, exec->monitor->record.id,
			container, action, details);
}

/* Docker's: made and started are two steps there. */
static void tell_start_of_exec(const struct exec *exec,
			       const struct spec_process *what)
{
	static const char *const steps[] = {"exec_create", "exec_start"};
	cleanup_json cJSON *container =
		container_event_read(&exec->monitor->record);
	cleanup_str struct str command = {0};

	/* With a blank after the program, arguments or not. */
	for (size_t i = 0; what->args && what->args[i]; i++)
		str_appendf(&command,
			    i > 1 ? " %s"
			    : i	  ? "%s"
				  : "%s ",
			    what->args[i]);
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		cleanup_free char *action =
			xasprintf("%s: %.*s", steps[i], EVENT_COMMAND_MAX,
				  str_text(&command));

		tell(exec, container, action, json_object());
	}
}

static void tell_end_of_exec(const struct exec *exec, int exit_code)
{
	cleanup_free char *code = xasprintf("%d", exit_code);
	cleanup_json cJSON *container =
		container_event_read(&exec->monitor->record);

	tell(exec, container, "exec_die",
	     event_attributes("exitCode", code, NULL));
}

static struct exec *exec_new(struct monitor *monitor)
{
	struct exec *exec = xcalloc(1, sizeof(*exec));

	exec->monitor = monitor;
	exec->console_fd = -1;
	random_id(exec->id);
	return exec;
}

/* It runs. */
static void add(struct exec *exec, struct connection *connection,
		struct runtime_process *process)
{
	struct monitor *monitor = exec->monitor;
	cleanup_json cJSON *answer = json_object();
	size_t fd_count;

	exec->pid = process->pid;
	exec->connection = connection;
	exec->console_fd = steal_fd(&process->console_fd);
	exec->next = monitor->execs;
	monitor->execs = exec;
	monitor->exec_count++;

	fd_count = exec->console_fd >= 0;
	json_set_string(answer, "id", exec->id);
	json_set_i64(answer, "pid", exec->pid);
	if (msg_send(connection->fd, answer, &exec->console_fd, fd_count,
		     NULL) < 0)
		exec_abandon(exec);
	else
		connection->exec = exec;
}

/*
 * A program that is gone before it ran was most likely killed with its PID
 * namespace. The end of init, which we see, comes only after all of them have
 * been waited for.
 */
static int why_gone(struct monitor *monitor, struct error *err)
{
	int64_t deadline = clock_ms() + END_WAIT_MS;

	if (err->number != ECONNRESET && err->kind != ERROR_GENERIC)
		return err_return(err);
	children_reap(monitor);
	while (!monitor->ended && clock_ms() < deadline) {
		poll(NULL, 0, END_STEP_MS);
		children_reap(monitor);
	}
	if (!monitor->ended)
		return err_return(err);
	return err_set(err, ERROR_CONFLICT, "container %s is not running",
		       monitor->record.id);
}

static int run(struct monitor *monitor, struct connection *connection,
	       struct spec_process *what, bool privileged, const int *fds,
	       struct error *err)
{
	struct exec *exec = exec_new(monitor);
	struct runtime_process started = {0};
	int r;

	r = exec_run(monitor, what, privileged, fds, &started, err);
	/* After it, so that the program need not wait for the journal. */
	tell_start_of_exec(exec, what);
	if (r < 0) {
		r = why_gone(monitor, err);
		tell_end_of_exec(exec, error_meaning(err->kind)->exit_code);
		exec_free(exec);
		return r;
	}
	add(exec, connection, &started);
	runtime_process_release(&started);
	return 0;
}

int exec_start(struct monitor *monitor, struct connection *connection,
	       const cJSON *request, const int *fds, size_t fd_count,
	       struct error *err)
{
	struct spec_process process = {0};
	const cJSON *json = NULL;
	bool privileged = false;
	int r;

	if (monitor->exec_count >= EXECS_MAX)
		return err_set(err, ERROR_CONFLICT,
			       "more than %d programs run by exec in container "
			       "%.12s",
			       EXECS_MAX, monitor->record.id);
	r = json_get_object(request, "exec", "process", &json, err);
	if (r == 0)
		r = err_set(err, ERROR_INVALID, "exec.process: missing");
	if (r >= 0)
		r = json_get_bool(request, "exec", "privileged", &privileged,
				  err);
	if (r >= 0)
		r = spec_process_parse(json, &process, err);
	if (r < 0)
		return r;
	if (!process.terminal && fd_count != 3)
		r = err_set(err, ERROR_INVALID,
			    "exec: expected 3 descriptors, not %zu", fd_count);
	else
		r = run(monitor, connection, &process, privileged, fds, err);
	spec_process_release(&process);
	return r < 0 ? r : 0;
}

cJSON *exec_list(const struct monitor *monitor)
{
	cJSON *ids = json_array();
	cJSON *json = json_object();

	for (const struct exec *exec = monitor->execs; exec; exec = exec->next)
		json_push_string(ids, exec->id);
	json_set(json, "ids", ids);
	return json;
}

bool exec_ended(struct monitor *monitor, pid_t pid, int exit_code)
{
	struct exec **link = &monitor->execs;
	struct exec *exec;

	while (*link && (*link)->pid != pid)
		link = &(*link)->next;
	exec = *link;
	if (!exec)
		return false;
	*link = exec->next;
	monitor->exec_count--;
	tell_end_of_exec(exec, exit_code);
	if (exec->connection)
		connection_answer_exit(exec->connection, exit_code);
	exec_free(exec);
	return true;
}

static void on_abandoned(struct loop_source *source, int fd, uint32_t events,
			 void *data)
{
	struct exec *exec = data;

	if ((events & EPOLLIN) &&
	    read(fd, exec->monitor->buffer, MONITOR_READ_SIZE) > 0)
		return;
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
		loop_remove(exec->source);
		exec->source = NULL;
		close_fd(&exec->console_fd);
	}
}

void exec_abandon(struct exec *exec)
{
	exec->connection = NULL;
	if (exec->console_fd >= 0 && !exec->source &&
	    loop_add_fd(exec->monitor->loop, exec->console_fd, EPOLLIN,
			on_abandoned, exec, &exec->source, NULL) < 0)
		close_fd(&exec->console_fd);
}

void exec_release(struct monitor *monitor)
{
	while (monitor->execs) {
		struct exec *exec = monitor->execs;

		monitor->execs = exec->next;
		exec_free(exec);
	}
	monitor->exec_count = 0;
}
