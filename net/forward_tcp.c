#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "net/forward_internal.h"

/* Connections taken from one listener before others get their turn. */
#define ACCEPT_BATCH 64
/* Bytes a connection may move each way before others get their turn. */
#define TURN_BYTES (1u << 20)
/* What is read by copying; as much at once means: bulk, splice from now on. */
#define COPY_SIZE (16u << 10)
/* A splice of less means: no longer bulk. */
#define BULK_MIN    (8u << 10)
#define SPLICE_SIZE (1u << 20)

/* What is read in vain from one whose counterpart failed. */
#define DISCARD_MAX (4u << 20)

/* A client that vanished is noticed after this many seconds of silence. */
#define KEEPALIVE_IDLE	   75
#define KEEPALIVE_INTERVAL 15
#define KEEPALIVE_COUNT	   5

/*
 * One of the two sockets. Events are edge-triggered: readable and writable hold
 * from an event to the EAGAIN that ends it. A socket that failed is not written
 * to any more, but what it received before is still passed on, as its end would
 * have been able to read it: the early answer to an upload, say.
 */
struct tcp_side {
	struct source source;
	struct tcp_connection *connection;
	bool readable;
	bool writable;
	bool hung_up; /* end of file or a failure is waiting to be read */
	bool ended;   /* end of file was read */
	bool closed;  /* our half was shut down */
	bool failed;  /* a reset came in */
};

/* Bytes read from side i on their way to the other. */
struct tcp_flow {
	struct pipe pipe;
	size_t in_pipe;
	char *rest; /* copied bytes that were not taken */
	size_t rest_length;
	size_t rest_offset;
	bool bulk;
};

struct tcp_connection {
	struct tcp_side sides[2]; /* the client's, the container's */
	struct tcp_flow flows[2];
	size_t discarded; /* read after the other socket failed */
	bool connecting;
	bool queued;
	struct tcp_connection *next_ready;
};

enum progress {
	PROGRESS_BLOCKED, /* until the next event */
	PROGRESS_MORE,	  /* its turn is over */
	PROGRESS_DONE,	  /* everything to the end of file is through */
	PROGRESS_FAILED,
};

/* Inherited by the connections: no further calls for each. */
void tcp_listener_prepare(int fd)
{
	static const struct {
		int level;
		int option;
		int value;
	} options[] = {
		{IPPROTO_TCP, TCP_NODELAY, 1},
		{SOL_SOCKET, SO_KEEPALIVE, 1},
		{IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE},
		{IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL},
		{IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_COUNT},
	};

	for (size_t i = 0; i < ARRAY_SIZE(options); i++)
		setsockopt(fd, options[i].level, options[i].option,
			   &options[i].value, sizeof(options[i].value));
}

static void queue(struct forwarder *forwarder,
		  struct tcp_connection *connection)
{
	if (connection->queued)
		return;
	connection->queued = true;
	connection->next_ready = forwarder->ready;
	forwarder->ready = connection;
}

static void pause_listeners(struct forwarder *forwarder, int64_t until)
{
	if (forwarder->paused)
		return;
	forwarder->paused = true;
	forwarder->paused_until = until;
	for (struct listener *listener = forwarder->listeners; listener;
	     listener = listener->next) {
		if (listener->source.kind == SOURCE_TCP_LISTENER)
			epoll_ctl(forwarder->epoll_fd, EPOLL_CTL_DEL,
				  listener->source.fd, NULL);
	}
}

void tcp_resume(struct forwarder *forwarder)
{
	if (!forwarder->paused ||
	    forwarder->connection_count >= forwarder->connection_max ||
	    (forwarder->paused_until > 0 &&
	     forward_now() < forwarder->paused_until))
		return;
	forwarder->paused = false;
	for (struct listener *listener = forwarder->listeners; listener;
	     listener = listener->next) {
		if (listener->source.kind == SOURCE_TCP_LISTENER)
			forward_watch(forwarder, &listener->source, EPOLLIN);
	}
}

/* Has the other end not acknowledged everything yet? */
static bool has_unsent(int fd)
{
	int unsent = 0;

	return ioctl(fd, SIOCOUTQ, &unsent) == 0 && unsent > 0;
}

/* RST instead of FIN, unless bytes on their way would be lost by it. */
static void reset_fd(int fd)
{
	const struct linger linger = {.l_onoff = 1, .l_linger = 0};

	if (has_unsent(fd))
		return;
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}

static void close_half(struct tcp_side *side)
{
	if (!side->closed)
		shutdown(side->source.fd, SHUT_WR);
	side->closed = true;
}

static void flow_release(struct forwarder *forwarder, struct tcp_flow *flow)
{
	pipe_pool_return(&forwarder->pipes, &flow->pipe, flow->in_pipe == 0);
	flow->in_pipe = 0;
	free(flow->rest);
	flow->rest = NULL;
}

static void connection_end(struct forwarder *forwarder,
			   struct tcp_connection *connection, bool reset)
{
	for (int i = 0; i < 2; i++) {
		struct source *source = &connection->sides[i].source;

		if (reset)
			reset_fd(source->fd);
		close_fd(&source->fd);
		flow_release(forwarder, &connection->flows[i]);
	}
	free(connection);
	forwarder->connection_count--;
}

static int watch_side(struct forwarder *forwarder,
		      struct tcp_connection *connection, int i, int fd)
{
	struct tcp_side *side = &connection->sides[i];

	side->source = (struct source){.kind = SOURCE_TCP_SIDE, .fd = fd};
	side->connection = connection;
	connection->flows[i].pipe = (struct pipe){-1, -1};
	return forward_watch(forwarder, &side->source,
			     EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET);
}

/* Takes both descriptors, whatever happens. */
static void connection_start(struct forwarder *forwarder, int client_fd,
			     int inner_fd, bool connecting)
{
	struct tcp_connection *connection = calloc(1, sizeof(*connection));

	if (!connection) {
		close(client_fd);
		close(inner_fd);
		return;
	}
	connection->connecting = connecting;
	forwarder->connection_count++;
	if (watch_side(forwarder, connection, 0, client_fd) < 0) {
		connection->sides[1].source.fd = inner_fd;
		connection->flows[1].pipe = (struct pipe){-1, -1};
		connection_end(forwarder, connection, true);
		return;
	}
	if (watch_side(forwarder, connection, 1, inner_fd) < 0)
		connection_end(forwarder, connection, true);
}

/* False when no more can be accepted now. */
static bool accept_one(struct forwarder *forwarder,
		       const struct listener *listener)
{
	union net_address client = {0};
	socklen_t length = sizeof(client);
	bool connecting;
	int inner_fd;
	int fd = accept4(listener->source.fd, &client.any, &length,
			 SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0) {
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
		    errno == ENOMEM)
			pause_listeners(forwarder,
					forward_now() + FORWARD_PAUSE_MS);
		/* A host port's: the container's root can end its sockets. */
		if (errno == EINVAL)
			epoll_ctl(forwarder->epoll_fd, EPOLL_CTL_DEL,
				  listener->source.fd, NULL);
		return errno == ECONNABORTED || errno == EINTR ||
		       errno == EPROTO;
	}
	inner_fd = tcp_connect_inside(forwarder, &client,
				      listener->container_port, &connecting);
	if (inner_fd < 0) {
		reset_fd(fd);
		close(fd);
		return true;
	}
	connection_start(forwarder, fd, inner_fd, connecting);
	return true;
}

void tcp_accept(struct forwarder *forwarder, const struct listener *listener)
{
	for (int i = 0; i < ACCEPT_BATCH; i++) {
		if (forwarder->connection_count >= forwarder->connection_max) {
			pause_listeners(forwarder, 0);
			return;
		}
		if (!accept_one(forwarder, listener))
			return;
	}
}

void tcp_side_event(struct forwarder *forwarder, struct source *source,
		    uint32_t events)
{
	struct tcp_side *side = (struct tcp_side *)(void *)source;
	struct tcp_connection *connection = side->connection;

	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		side->readable = true;
	if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
		side->writable = true;
	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		side->hung_up = true;
	if (side == &connection->sides[1] && (events & (EPOLLOUT | EPOLLERR)))
		connection->connecting = false;
	queue(forwarder, connection);
}

/* What a failed read, write or splice means for the socket it was on. */
static enum progress blocked_or_failed(bool *ready)
{
	if (errno == EINTR)
		return PROGRESS_MORE;
	if (errno != EAGAIN)
		return PROGRESS_FAILED;
	*ready = false;
	return PROGRESS_BLOCKED;
}

/* Sends what is held; PROGRESS_DONE when nothing is left. */
static enum progress flush(struct tcp_flow *flow, struct tcp_side *to)
{
	while (flow->in_pipe > 0 || flow->rest) {
		ssize_t n;

		if (!to->writable)
			return PROGRESS_BLOCKED;
		if (flow->in_pipe > 0)
			n = splice(flow->pipe.out, NULL, to->source.fd, NULL,
				   flow->in_pipe,
				   SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
		else
			n = send(to->source.fd, flow->rest + flow->rest_offset,
				 flow->rest_length - flow->rest_offset,
				 MSG_NOSIGNAL);
		if (n < 0) {
			enum progress progress =
				blocked_or_failed(&to->writable);

			if (progress == PROGRESS_MORE)
				continue;
			return progress;
		}
		if (flow->in_pipe > 0) {
			flow->in_pipe -= (size_t)n;
			continue;
		}
		flow->rest_offset += (size_t)n;
		if (flow->rest_offset == flow->rest_length) {
			free(flow->rest);
			flow->rest = NULL;
		}
	}
	return PROGRESS_DONE;
}

/* Bytes moved, 0 at end of file, -1 and errno. */
static ssize_t read_copying(struct tcp_flow *flow, struct tcp_side *from,
			    struct tcp_side *to)
{
	static _Thread_local char buffer[COPY_SIZE];
	ssize_t length = read(from->source.fd, buffer, sizeof(buffer));
	ssize_t sent = 0;

	if (length <= 0)
		return length;
	/* That was all, and what comes makes another event. */
	if (length < (ssize_t)sizeof(buffer) && !from->hung_up)
		from->readable = false;
	if (to->writable) {
		sent = send(to->source.fd, buffer, (size_t)length,
			    MSG_NOSIGNAL);
		if (sent < 0 && errno != EAGAIN && errno != EINTR) {
			to->failed = true;
			return length;
		}
		if (sent < 0)
			sent = 0;
	}
	if (sent < length) {
		flow->rest_length = (size_t)(length - sent);
		flow->rest_offset = 0;
		flow->rest = malloc(flow->rest_length);
		if (!flow->rest) {
			errno = ENOMEM;
			return -1;
		}
		memcpy(flow->rest, buffer + sent, flow->rest_length);
	}
	flow->bulk = (size_t)length == sizeof(buffer);
	return length;
}

static ssize_t read_splicing(struct forwarder *forwarder, struct tcp_flow *flow,
			     struct tcp_side *from, struct tcp_side *to)
{
	ssize_t length;

	if (flow->pipe.out < 0 &&
	    pipe_pool_take(&forwarder->pipes, &flow->pipe) < 0)
		return read_copying(flow, from, to);
	length = splice(from->source.fd, NULL, flow->pipe.in, NULL, SPLICE_SIZE,
			SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	if (length > 0)
		flow->in_pipe = (size_t)length;
	if (length < (ssize_t)BULK_MIN)
		flow->bulk = false;
	return length;
}

/* Reads once; PROGRESS_MORE when there may be more to read. */
static enum progress fill(struct forwarder *forwarder, struct tcp_flow *flow,
			  struct tcp_side *from, struct tcp_side *to,
			  size_t *moved)
{
	enum progress progress;
	ssize_t length = flow->bulk ? read_splicing(forwarder, flow, from, to)
				    : read_copying(flow, from, to);

	if (length > 0) {
		*moved += (size_t)length;
		return PROGRESS_MORE;
	}
	if (length == 0) {
		from->ended = true;
		return PROGRESS_MORE;
	}
	progress = blocked_or_failed(&from->readable);
	if (progress == PROGRESS_FAILED) {
		from->failed = true;
		from->ended = true;
		return PROGRESS_MORE;
	}
	/* An idle flow holds no pipe. */
	if (progress == PROGRESS_BLOCKED) {
		flow->bulk = false;
		pipe_pool_return(&forwarder->pipes, &flow->pipe, true);
	}
	return progress;
}

/* Moves bytes from side i to the other, as far as they go in one turn. */
static enum progress move(struct forwarder *forwarder,
			  struct tcp_connection *connection, int i)
{
	struct tcp_side *from = &connection->sides[i];
	struct tcp_side *to = &connection->sides[!i];
	struct tcp_flow *flow = &connection->flows[i];
	size_t moved = 0;

	while (moved < TURN_BYTES) {
		enum progress progress =
			to->failed ? PROGRESS_FAILED : flush(flow, to);

		if (progress == PROGRESS_FAILED) {
			to->failed = true;
			return PROGRESS_DONE;
		}
		if (progress != PROGRESS_DONE)
			return progress;
		if (!flow->bulk)
			pipe_pool_return(&forwarder->pipes, &flow->pipe, true);
		if (from->ended) {
			if (!from->failed)
				close_half(to);
			return PROGRESS_DONE;
		}
		if (!from->readable || !to->writable)
			return PROGRESS_BLOCKED;
		progress = fill(forwarder, flow, from, to, &moved);
		if (progress == PROGRESS_BLOCKED)
			return progress;
	}
	return PROGRESS_MORE;
}

/*
 * One socket failed, and all that came from it was passed on: true when that
 * has arrived, too. Until then the other one cannot be closed while it holds
 * bytes nobody will read, as the kernel would reset it at once and drop what is
 * still to be sent.
 */
static bool has_settled(struct tcp_connection *connection)
{
	struct tcp_side *side = &connection->sides[connection->sides[0].failed];
	static _Thread_local char nowhere[COPY_SIZE];

	if (!connection->sides[0].failed && !connection->sides[1].failed)
		return true;
	if (side->failed || !has_unsent(side->source.fd))
		return true;
	close_half(side);
	while (side->readable && connection->discarded < DISCARD_MAX) {
		ssize_t length =
			read(side->source.fd, nowhere, sizeof(nowhere));

		if (length < 0 &&
		    blocked_or_failed(&side->readable) != PROGRESS_FAILED)
			continue;
		if (length <= 0)
			return true;
		connection->discarded += (size_t)length;
	}
	return connection->discarded >= DISCARD_MAX;
}

static void serve(struct forwarder *forwarder,
		  struct tcp_connection *connection)
{
	const struct tcp_side *sides = connection->sides;
	enum progress progress[2];

	if (connection->connecting)
		return;
	for (int i = 0; i < 2; i++)
		progress[i] = move(forwarder, connection, i);
	/* Nothing can be carried to where the socket failed. */
	for (int i = 0; i < 2; i++) {
		if (sides[!i].failed)
			progress[i] = PROGRESS_DONE;
	}
	if (progress[0] == PROGRESS_DONE && progress[1] == PROGRESS_DONE) {
		if (has_settled(connection))
			connection_end(forwarder, connection,
				       sides[0].failed || sides[1].failed);
		return;
	}
	if (progress[0] == PROGRESS_MORE || progress[1] == PROGRESS_MORE)
		queue(forwarder, connection);
}

bool tcp_serve(struct forwarder *forwarder)
{
	struct tcp_connection *next = forwarder->ready;

	forwarder->ready = NULL;
	while (next) {
		struct tcp_connection *connection = next;

		next = connection->next_ready;
		connection->queued = false;
		serve(forwarder, connection);
	}
	return forwarder->ready != NULL;
}
