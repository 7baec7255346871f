#include "core/build/agent.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/proc.h"
#include "base/str.h"

#define BUFFER_SIZE (32u << 10)
#define NAME	    "moss: ssh agent"

/* One direction. */
struct flow {
	char bytes[BUFFER_SIZE];
	size_t start, end; /* what is still to be written */
	bool from_ended;   /* no more will come */
	bool to_ended;	   /* and that was told */
};

struct connection {
	int fds[2];	      /* the step's, the agent's; -1: free */
	struct flow flows[2]; /* from fds[i] to the other */
};

struct agent {
	int listen_fd;
	struct sockaddr_un address;
	struct connection connections[AGENT_CONNECTIONS_MAX];
};

static void connection_close(struct connection *connection)
{
	close_fd(&connection->fds[0]);
	close_fd(&connection->fds[1]);
}

static struct connection *find_free(struct agent *agent)
{
	for (size_t i = 0; i < AGENT_CONNECTIONS_MAX; i++) {
		if (agent->connections[i].fds[0] < 0)
			return &agent->connections[i];
	}
	return NULL;
}

static void take_connection(struct agent *agent)
{
	struct connection *connection = find_free(agent);
	cleanup_fd int theirs = -1;
	cleanup_fd int ours = -1;

	if (!connection)
		return;
	theirs = accept4(agent->listen_fd, NULL, NULL,
			 SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (theirs < 0)
		return;
	/* It blocks for as long as the agent is busy, which is not long. */
	ours = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (ours < 0 || connect(ours, (const struct sockaddr *)&agent->address,
				sizeof(agent->address)) < 0)
		return;
	for (size_t i = 0; i < ARRAY_SIZE(connection->flows); i++) {
		struct flow *flow = &connection->flows[i];

		flow->start = flow->end = 0;
		flow->from_ended = flow->to_ended = false;
	}
	connection->fds[0] = steal_fd(&theirs);
	connection->fds[1] = steal_fd(&ours);
}

static bool may_try_again(void)
{
	return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

/* False when the connection is of no use any more. */
static bool read_flow(struct flow *flow, int fd)
{
	ssize_t length;

	if (flow->from_ended || flow->end > 0)
		return true;
	length = recv(fd, flow->bytes, sizeof(flow->bytes), MSG_DONTWAIT);
	if (length < 0)
		return may_try_again();
	flow->from_ended = length == 0;
	flow->end = (size_t)length;
	return true;
}

static bool write_flow(struct flow *flow, int fd)
{
	if (flow->start < flow->end) {
		ssize_t length = send(fd, flow->bytes + flow->start,
				      flow->end - flow->start,
				      MSG_DONTWAIT | MSG_NOSIGNAL);

		if (length < 0)
			return may_try_again();
		flow->start += (size_t)length;
	}
	if (flow->start < flow->end)
		return true;
	flow->start = flow->end = 0;
	if (flow->from_ended && !flow->to_ended) {
		shutdown(fd, SHUT_WR);
		flow->to_ended = true;
	}
	return true;
}

static void serve(struct connection *connection)
{
	for (int i = 0; i < 2; i++) {
		struct flow *flow = &connection->flows[i];

		if (!read_flow(flow, connection->fds[i]) ||
		    !write_flow(flow, connection->fds[!i])) {
			connection_close(connection);
			return;
		}
	}
	if (connection->flows[0].to_ended && connection->flows[1].to_ended)
		connection_close(connection);
}

/* What an end is waited for: bytes, where there is room for some, and room,
   where there are bytes. A hang-up comes unasked, so it may only be listened
   to where it will be dealt with. */
static short events_of(const struct connection *connection, int end)
{
	const struct flow *from = &connection->flows[end];
	const struct flow *to = &connection->flows[!end];
	short events = 0;

	if (!from->from_ended && from->end == 0)
		events |= POLLIN;
	if (to->start < to->end)
		events |= POLLOUT;
	return events;
}

static _Noreturn void run(struct agent *agent)
{
	struct pollfd fds[1 + 2 * AGENT_CONNECTIONS_MAX];

	for (;;) {
		fds[0] = (struct pollfd){
			.fd = find_free(agent) ? agent->listen_fd : -1,
			.events = POLLIN,
		};
		for (size_t i = 0; i < 2 * AGENT_CONNECTIONS_MAX; i++) {
			const struct connection *connection =
				&agent->connections[i / 2];
			int end = (int)(i % 2);
			short events = connection->fds[end] < 0
					       ? 0
					       : events_of(connection, end);

			fds[1 + i] = (struct pollfd){
				.fd = events ? connection->fds[end] : -1,
				.events = events,
			};
		}
		if (poll(fds, ARRAY_SIZE(fds), -1) < 0 && errno != EINTR)
			_exit(1);
		for (size_t i = 0; i < AGENT_CONNECTIONS_MAX; i++) {
			if (fds[1 + 2 * i].revents || fds[2 + 2 * i].revents)
				serve(&agent->connections[i]);
		}
		if (fds[0].revents)
			take_connection(agent);
	}
}

/* The only descriptor that it keeps is the socket's. */
static _Noreturn void become(struct agent *agent, pid_t parent)
{
	struct sigaction standard = {.sa_handler = SIG_DFL};
	sigset_t none;
	int fd = agent->listen_fd;

	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || getppid() != parent)
		_exit(1);
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	for (int i = 1; i < NSIG; i++)
		sigaction(i, &standard, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setsid();
	if ((fd > 0 && syscall(SYS_close_range, 0, fd - 1, 0) < 0) ||
	    syscall(SYS_close_range, fd + 1, ~0U, 0) < 0)
		_exit(1);
	proc_name_set(NAME);
	run(agent);
}

pid_t agent_start(int listen_fd, const char *socket_path, struct error *err)
{
	cleanup_free struct agent *agent = xcalloc(1, sizeof(*agent));
	cleanup_fd int fd = listen_fd;
	pid_t parent = getpid();
	pid_t pid;

	agent->listen_fd = fd;
	agent->address.sun_family = AF_UNIX;
	if (strlen(socket_path) >= sizeof(agent->address.sun_path))
		return err_set(err, ERROR_INVALID,
			       "the path of the agent's socket is too long: %s",
			       socket_path);
	strcpy(agent->address.sun_path, socket_path);
	for (size_t i = 0; i < AGENT_CONNECTIONS_MAX; i++)
		agent->connections[i].fds[0] = agent->connections[i].fds[1] =
			-1;
	pid = fork();
	if (pid == 0)
		become(agent, parent);
	return pid < 0 ? err_errno(err, "cannot start a process") : pid;
}

void agent_stop(pid_t pid)
{
	if (pid <= 0)
		return;
	kill(pid, SIGKILL);
	proc_wait(pid);
}
