#include "core/monitor/server.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <termios.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/msg.h"
#include "base/proc.h"
#include "base/str.h"
#include "core/monitor/control.h"
#include "core/monitor/event.h"

#define CONNECTIONS_MAX	 512
#define CONNECTIONS_OVER 64 /* more, which are only told that */
#define ACCEPT_RETRY_MS	 100
#define SIGNAL_MAX	 64
#define STOP_TIMEOUT_MAX (366 * 24 * 3600)

/* What a request's handler makes of its connection. */
enum outcome {
	OUTCOME_DONE = 0, /* answer {}, close */
	OUTCOME_LATER,	  /* the handler set its kind or has answered itself */
};

static void connection_close(struct connection *connection)
{
	struct monitor *monitor = connection->monitor;
	struct connection **link = &monitor->connections;

	while (*link != connection)
		link = &(*link)->next;
	*link = connection->next;
	monitor->connection_count--;
	if (connection->exec)
		exec_abandon(connection->exec);
	if (connection->kind == CONNECTION_FREEZE)
		pause_drop(monitor);
	loop_remove(connection->source);
	close_fd(&connection->fd);
	free(connection);
}

/* Takes json. A client that does not listen has only itself to blame. */
static void answer(struct connection *connection, cJSON *json)
{
	cleanup_json cJSON *message = json;

	msg_send(connection->fd, message, NULL, 0, NULL);
	connection_close(connection);
}

static void answer_error(struct connection *connection, const struct error *err)
{
	cJSON *json = json_object();

	json_set(json, "error", error_to_json(err));
	answer(connection, json);
}

static void answer_exit(struct connection *connection, int exit_code)
{
	cJSON *json = json_object();

	json_set_i64(json, "exit_code", exit_code);
	answer(connection, json);
}

void connection_answer_exit(struct connection *connection, int exit_code)
{
	connection->exec = NULL;
	answer_exit(connection, exit_code);
}

static void tell_signal(const struct monitor *monitor, int number)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", number);
	record_event(&monitor->store, &monitor->record, "kill",
		     event_attributes("signal", text, NULL));
}

/* ---- requests ---- */

static int not_running(const struct monitor *monitor, struct error *err)
{
	if (monitor->is_restarting)
		return err_set(err, ERROR_CONFLICT,
			       "Container %s is restarting, wait until the "
			       "container is running",
			       monitor->record.id);
	return err_set(err, ERROR_CONFLICT, "container %.12s is not running",
		       monitor->record.id);
}

/* An integer member within limits; the default stays when it is missing. */
static int get_number(const cJSON *request, const char *name, int64_t min,
		      int64_t max, int *ret_number, struct error *err)
{
	int64_t number = *ret_number;
	int r = json_get_i64(request, "request", name, &number, err);

	if (r < 0)
		return r;
	if (number < min || number > max)
		return err_set(err, ERROR_INVALID, "request.%s: out of range",
			       name);
	*ret_number = (int)number;
	return 0;
}

static int handle_attach(struct connection *connection, const cJSON *request,
			 int *fds, size_t fd_count, struct error *err)
{
	struct client_options options = {0};
	const struct {
		const char *name;
		bool *value;
	} flags[] = {
		{"stdin", &options.in},
		{"stdout", &options.out},
		{"stderr", &options.err},
		{"logs", &options.logs},
	};

	for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
		int r = json_get_bool(request, "request", flags[i].name,
				      flags[i].value, err);

		if (r < 0)
			return r;
	}
	if (fd_count != 1)
		return err_set(err, ERROR_INVALID,
			       "attach: expected a stream socket");
	return client_add(connection->monitor, steal_fd(&fds[0]), &options,
			  err);
}

static int handle_wait(struct connection *connection, const cJSON *request,
		       int *fds, size_t fd_count, struct error *err)
{
	connection->kind = CONNECTION_WAIT;
	return OUTCOME_LATER;
}

/* The user's wish, which counts for more than the restart policy. */
static void stay_ended(struct monitor *monitor)
{
	monitor->stays_ended = true;
	monitor->state.stopped_by_hand = true;
	if (monitor->is_restarting)
		loop_stop(monitor->loop, 0);
}

static int handle_kill(struct connection *connection, const cJSON *request,
		       int *fds, size_t fd_count, struct error *err)
{
	struct monitor *monitor = connection->monitor;
	int number = 0;
	int r = get_number(request, "signal", 1, SIGNAL_MAX, &number, err);

	if (r < 0)
		return r;
	if (monitor->ended && !monitor->is_restarting)
		return not_running(monitor, err);
	if (number == SIGKILL || number == monitor->launch.stop_signal)
		stay_ended(monitor);
	if (monitor->is_restarting)
		return monitor->stays_ended ? OUTCOME_DONE
					    : not_running(monitor, err);
	/* Unpausing sends it; now it would let init alone go on. */
	if (number == SIGCONT && is_paused(monitor))
		return OUTCOME_DONE;
	r = proc_pidfd_signal(monitor->process.pid_fd, number);
	if (r == -ESRCH)
		return not_running(monitor, err);
	if (r < 0)
		return err_number(err, r, "cannot send %s to container %.12s",
				  signal_name(number), monitor->record.id);
	tell_signal(monitor, number);
	if (number == SIGKILL)
		held_expect_end(monitor);
	/* Other signals wait until it is unpaused, as docker's do. */
	if (number == SIGKILL || number == monitor->launch.stop_signal)
		pause_lift(monitor);
	return OUTCOME_DONE;
}

static int handle_stop(struct connection *connection, const cJSON *request,
		       int *fds, size_t fd_count, struct error *err)
{
	bool keep = false;
	int number = 0;
	int timeout = MONITOR_STOP_OWN;
	int r = get_number(request, "signal", 0, SIGNAL_MAX, &number, err);

	if (r >= 0)
		r = get_number(request, "timeout", MONITOR_STOP_OWN,
			       STOP_TIMEOUT_MAX, &timeout, err);
	if (r >= 0)
		r = json_get_bool(request, "request", "keep", &keep, err);
	if (r >= 0)
		r = monitor_stop_container(connection->monitor, number, timeout,
					   err);
	if (r < 0)
		return r;
	stay_ended(connection->monitor);
	/* One that wants it gone is not overruled by one that wants it kept. */
	if (connection->monitor->stops++ == 0)
		connection->monitor->keep = keep;
	else if (!keep)
		connection->monitor->keep = false;
	connection->kind = CONNECTION_STOP;
	return OUTCOME_LATER;
}

static int handle_resize(struct connection *connection, const cJSON *request,
			 int *fds, size_t fd_count, struct error *err)
{
	struct monitor *monitor = connection->monitor;
	struct winsize size = {0};
	int rows = 0;
	int columns = 0;
	int r = get_number(request, "rows", 0, UINT16_MAX, &rows, err);

	if (r >= 0)
		r = get_number(request, "columns", 0, UINT16_MAX, &columns,
			       err);
	if (r < 0)
		return r;
	if (!monitor->launch.terminal)
		return err_set(err, ERROR_CONFLICT,
			       "container %.12s has no terminal",
			       monitor->record.id);
	size.ws_row = (unsigned short)rows;
	size.ws_col = (unsigned short)columns;
	if (ioctl(monitor->outputs[0].fd, TIOCSWINSZ, &size) < 0)
		return err_errno(err, "cannot resize the terminal");
	return OUTCOME_DONE;
}

static int handle_exec(struct connection *connection, const cJSON *request,
		       int *fds, size_t fd_count, struct error *err)
{
	const struct monitor *monitor = connection->monitor;
	int r;

	if (is_paused(monitor))
		return err_set(err, ERROR_CONFLICT,
			       "Container %s is paused, unpause the container "
			       "before exec",
			       monitor->launch.name);
	r = exec_start(connection->monitor, connection, request, fds, fd_count,
		       err);
	if (r < 0)
		return r;
	connection->kind = CONNECTION_EXEC;
	return OUTCOME_LATER;
}

static int handle_execs(struct connection *connection, const cJSON *request,
			int *fds, size_t fd_count, struct error *err)
{
	answer(connection, exec_list(connection->monitor));
	return OUTCOME_LATER;
}

static int handle_freeze(struct connection *connection, const cJSON *request,
			 int *fds, size_t fd_count, struct error *err)
{
	cleanup_json cJSON *answer = json_object();
	int r = pause_take(connection->monitor, err);

	if (r < 0)
		return r;
	connection->kind = CONNECTION_FREEZE;
	/* A client that is not there any more shows as a closed connection. */
	(void)msg_send(connection->fd, answer, NULL, 0, NULL);
	return OUTCOME_LATER;
}

static int handle_pause(struct connection *connection, const cJSON *request,
			int *fds, size_t fd_count, struct error *err)
{
	return pause_by_user(connection->monitor, err);
}

static int handle_unpause(struct connection *connection, const cJSON *request,
			  int *fds, size_t fd_count, struct error *err)
{
	return pause_end(connection->monitor, err);
}

static int handle_networks(struct connection *connection, const cJSON *request,
			   int *fds, size_t fd_count, struct error *err)
{
	return launch_networks_again(connection->monitor, err);
}

static int handle_ports(struct connection *connection, const cJSON *request,
			int *fds, size_t fd_count, struct error *err)
{
	struct monitor *monitor = connection->monitor;
	struct port_list drop = {0};
	int r = record_ports_parse(request, "request", &drop, err);

	if (r >= 0 && monitor->ended && !monitor->is_restarting)
		r = not_running(monitor, err);
	if (r >= 0)
		r = ports_sync(monitor, &drop, &connection->request, err);
	port_list_release(&drop);
	if (r < 0 || connection->request == 0)
		return r;
	connection->kind = CONNECTION_PORTS;
	return OUTCOME_LATER;
}

static const struct {
	const char *name;
	int (*handle)(struct connection *connection, const cJSON *request,
		      int *fds, size_t fd_count, struct error *err);
	bool at_end; /* good even when the container has ended */
} operations[] = {
	{"attach", handle_attach, false},
	{"wait", handle_wait, true},
	{"kill", handle_kill, true},
	{"stop", handle_stop, true},
	{"resize", handle_resize, false},
	{"exec", handle_exec, false},
	{"execs", handle_execs, false},
	{"freeze", handle_freeze, false},
	{"pause", handle_pause, false},
	{"unpause", handle_unpause, false},
	{"networks", handle_networks, false},
	{"ports", handle_ports, true},
};

static int dispatch(struct connection *connection, const cJSON *request,
		    int *fds, size_t fd_count, struct error *err)
{
	const struct monitor *monitor = connection->monitor;
	const char *name = NULL;
	int r = json_get_string(request, "request", "op", &name, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(operations); i++) {
		if (!str_equal(name, operations[i].name))
			continue;
		if (monitor->ended && !operations[i].at_end)
			return not_running(monitor, err);
		return operations[i].handle(connection, request, fds, fd_count,
					    err);
	}
	return err_set(err, ERROR_INVALID, "request.op: unknown value '%s'",
		       name ? name : "");
}

static int too_many(const struct monitor *monitor, struct error *err)
{
	return err_set(err, ERROR_CONFLICT,
		       "more than %d connections to the monitor of container "
		       "%.12s",
		       CONNECTIONS_MAX, monitor->record.id);
}

static void receive(struct connection *connection)
{
	cleanup_json cJSON *request = NULL;
	int fds[MSG_FDS_MAX];
	size_t fd_count = MSG_FDS_MAX;
	struct error err = {0};
	int r = msg_receive(connection->fd, &request, fds, &fd_count, &err);

	if (r == -EAGAIN)
		return;
	if (r == 0) {
		connection_close(connection);
		return;
	}
	if (r > 0) {
		r = connection->is_over ? too_many(connection->monitor, &err)
					: dispatch(connection, request, fds,
						   fd_count, &err);
		for (size_t i = 0; i < fd_count; i++)
			close_fd(&fds[i]);
	}
	if (r < 0)
		answer_error(connection, &err);
	else if (r == OUTCOME_DONE)
		answer(connection, json_object());
}

static void owner_gone(struct monitor *monitor)
{
	monitor->owner_has_gone = true;
	stay_ended(monitor);
	if (proc_pidfd_signal(monitor->process.pid_fd, SIGKILL) >= 0)
		held_expect_end(monitor);
}

static void on_connection(struct loop_source *source, int fd, uint32_t events,
			  void *data)
{
	struct connection *connection = data;

	/* Who waits has nothing more to say: this is the end. */
	if (connection->kind == CONNECTION_NEW) {
		receive(connection);
		return;
	}
	if (connection->is_owner)
		owner_gone(connection->monitor);
	connection_close(connection);
}

/* One that cannot be watched (there is a limit of that) is tried again. */
static void connection_watch(struct connection *connection)
{
	struct monitor *monitor = connection->monitor;

	if (loop_add_fd(monitor->loop, connection->fd, EPOLLIN, on_connection,
			connection, &connection->source, NULL) < 0 &&
	    monitor->accept_timer)
		loop_timer_set(monitor->accept_timer, ACCEPT_RETRY_MS);
}

/* Takes fd. */
static struct connection *connection_add(struct monitor *monitor, int fd,
					 enum connection_kind kind)
{
	struct connection *connection = xcalloc(1, sizeof(*connection));

	connection->monitor = monitor;
	connection->fd = fd;
	connection->kind = kind;
	connection->next = monitor->connections;
	monitor->connections = connection;
	monitor->connection_count++;
	connection_watch(connection);
	return connection;
}

void server_add_waiter(struct monitor *monitor, int fd, bool is_owner)
{
	struct connection *connection;

	fcntl(fd, F_SETFL, O_NONBLOCK);
	connection = connection_add(monitor, fd, CONNECTION_WAIT);
	if (connection)
		connection->is_owner = is_owner;
}

/*
 * 1 when there was one, 0 when there is none, negative errno. Who comes when
 * there are too many is told so once it has said what it wants: closing a
 * socket with something unread would destroy the answer.
 */
static int accept_one(struct monitor *monitor)
{
	struct connection *connection;
	uid_t uid;
	int fd;

	if (monitor->connection_count >= CONNECTIONS_MAX + CONNECTIONS_OVER)
		return -EMFILE;
	fd = accept4(monitor->listen_fd, NULL, NULL,
		     SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
		return 0;
	if (fd < 0)
		return errno == EINTR || errno == ECONNABORTED ? 1 : -errno;
	if (msg_peer_uid(fd, &uid) < 0 || uid != geteuid()) {
		close(fd);
		return 1;
	}
	connection = connection_add(monitor, fd, CONNECTION_NEW);
	connection->is_over = monitor->connection_count > CONNECTIONS_MAX;
	return 1;
}

static void on_listen(struct loop_source *source, int fd, uint32_t events,
		      void *data);

static void on_accept_timer(struct loop_source *source, void *data)
{
	struct monitor *monitor = data;

	for (struct connection *connection = monitor->connections; connection;
	     connection = connection->next) {
		if (!connection->source)
			connection_watch(connection);
	}
	if (!monitor->listen_source &&
	    loop_add_fd(monitor->loop, monitor->listen_fd, EPOLLIN, on_listen,
			monitor, &monitor->listen_source, NULL) < 0)
		loop_timer_set(source, ACCEPT_RETRY_MS);
}

static void on_listen(struct loop_source *source, int fd, uint32_t events,
		      void *data)
{
	struct monitor *monitor = data;

	if (accept_one(monitor) >= 0)
		return;
	/* It would be ready for ever. */
	loop_remove(monitor->listen_source);
	monitor->listen_source = NULL;
	loop_timer_set(monitor->accept_timer, ACCEPT_RETRY_MS);
}

int server_start(struct monitor *monitor, struct error *err)
{
	int fd = socket_listen_at(monitor->record.directory_fd, "control",
				  SOCK_SEQPACKET, err);
	int r;

	if (fd < 0)
		return fd;
	monitor->listen_fd = fd;
	if (fcntl(fd, F_SETFL, O_NONBLOCK) < 0)
		return err_errno(err, "cannot listen at control");
	r = loop_add_timer(monitor->loop, -1, on_accept_timer, monitor,
			   &monitor->accept_timer, err);
	if (r < 0)
		return r;
	return loop_add_fd(monitor->loop, fd, EPOLLIN, on_listen, monitor,
			   &monitor->listen_source, err);
}

/* ---- stopping ---- */

static void on_kill_timer(struct loop_source *source, void *data)
{
	struct monitor *monitor = data;

	if (proc_pidfd_signal(monitor->process.pid_fd, SIGKILL) >= 0)
		tell_signal(monitor, SIGKILL);
}

int monitor_stop_container(struct monitor *monitor, int signal, int timeout_s,
			   struct error *err)
{
	int64_t wait_ms, kill_at;
	int r;

	if (monitor->is_restarting)
		loop_stop(monitor->loop, 0);
	monitor->stays_ended = monitor->stays_ended || monitor->ended;
	if (monitor->ended)
		return 0;
	if (signal == 0)
		signal = monitor->launch.stop_signal;
	if (timeout_s == MONITOR_STOP_OWN)
		timeout_s = monitor->launch.stop_timeout;
	r = proc_pidfd_signal(monitor->process.pid_fd, signal);
	if (r < 0 && r != -ESRCH)
		return err_number(err, r, "cannot send %s to container %.12s",
				  signal_name(signal), monitor->record.id);
	if (r >= 0)
		tell_signal(monitor, signal);
	pause_lift(monitor);
	monitor->is_stopping = monitor->stays_ended = true;
	held_expect_end(monitor);
	if (timeout_s < 0)
		return 0;
	/* Of several stops the most impatient one counts. */
	wait_ms = (int64_t)timeout_s * 1000;
	kill_at = clock_ms() + wait_ms;
	if (monitor->kill_at != 0 && monitor->kill_at <= kill_at)
		return 0;
	monitor->kill_at = kill_at;
	if (monitor->kill_timer) {
		loop_timer_set(monitor->kill_timer, wait_ms);
		return 0;
	}
	return loop_add_timer(monitor->loop, wait_ms, on_kill_timer, monitor,
			      &monitor->kill_timer, err);
}

/* ---- the end ---- */

void server_close(struct monitor *monitor)
{
	struct connection *next;

	if (monitor->listen_fd < 0)
		return;
	unlinkat(monitor->record.directory_fd, "control", 0);
	while (accept_one(monitor) > 0)
		;
	loop_remove(monitor->listen_source);
	monitor->listen_source = NULL;
	loop_remove(monitor->accept_timer);
	monitor->accept_timer = NULL;
	close_fd(&monitor->listen_fd);
	for (struct connection *connection = monitor->connections; connection;
	     connection = next) {
		next = connection->next;
		if (connection->kind == CONNECTION_NEW)
			receive(connection);
	}
}

void server_answer_ports(struct monitor *monitor, uint32_t request,
			 const struct error *err)
{
	struct connection *next;

	for (struct connection *connection = monitor->connections; connection;
	     connection = next) {
		next = connection->next;
		if (connection->kind != CONNECTION_PORTS ||
		    connection->request > request)
			continue;
		if (err)
			answer_error(connection, err);
		else
			answer(connection, json_object());
	}
}

void server_answer_run(struct monitor *monitor)
{
	struct connection *next;

	for (struct connection *connection = monitor->connections; connection;
	     connection = next) {
		next = connection->next;
		switch (connection->kind) {
		case CONNECTION_WAIT:
			answer_exit(connection, monitor->exit_code);
			break;
		/* The record has them for the next run. */
		case CONNECTION_PORTS:
			answer(connection, json_object());
			break;
		case CONNECTION_EXEC:
		case CONNECTION_FREEZE:
			connection_close(connection);
			break;
		case CONNECTION_NEW:
		case CONNECTION_STOP:
			break;
		}
	}
}

void server_answer_end(struct monitor *monitor)
{
	struct connection *next;

	for (struct connection *connection = monitor->connections; connection;
	     connection = next) {
		next = connection->next;
		switch (connection->kind) {
		case CONNECTION_WAIT:
			answer_exit(connection, monitor->exit_code);
			break;
		case CONNECTION_STOP:
		case CONNECTION_PORTS:
			answer(connection, json_object());
			break;
		case CONNECTION_NEW:
		case CONNECTION_EXEC:
		case CONNECTION_FREEZE:
			connection_close(connection);
			break;
		}
	}
}

void server_release(struct monitor *monitor)
{
	while (monitor->connections)
		connection_close(monitor->connections);
	loop_remove(monitor->listen_source);
	monitor->listen_source = NULL;
	close_fd(&monitor->listen_fd);
}
