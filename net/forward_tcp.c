#include "net/forward_flow.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"

/* Connections taken from one listener before others get their turn. */
#define ACCEPT_BATCH 64
/* What is read in vain from one whose counterpart failed. */
#define DISCARD_MAX  (4u << 20)
#define DISCARD_SIZE (16u << 10)

/* A client that vanished is noticed after this many seconds of silence. */
#define KEEPALIVE_IDLE	   75
#define KEEPALIVE_INTERVAL 15
#define KEEPALIVE_COUNT	   5

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

void tcp_queue(struct forwarder *forwarder, struct tcp_connection *connection)
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
	     clock_ms() < forwarder->paused_until))
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

/* Closing it will send RST instead of FIN; bytes on their way are lost. */
static void reset_fd(int fd)
{
	const struct linger linger = {.l_onoff = 1, .l_linger = 0};

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
}

static void connection_end(struct forwarder *forwarder,
			   struct tcp_connection *connection)
{
	for (int i = 0; i < 2; i++) {
		struct tcp_side *side = &connection->sides[i];

		if (connection->sides[!i].failed && !side->failed &&
		    !has_unsent(side->source.fd))
			reset_fd(side->source.fd);
		close_fd(&side->source.fd);
		tcp_flow_release(forwarder, connection, i);
	}
	free(connection);
	forwarder->connection_count--;
}

/*
 * One socket failed, and all that came from it was passed on: true when that
 * has arrived, too. Until then the other one cannot be closed while it holds
 * bytes nobody will read, as the kernel would reset it at once and drop what is
 * still to be sent.
 */
static bool has_settled(const struct forwarder *forwarder,
			struct tcp_connection *connection)
{
	struct tcp_side *side = &connection->sides[connection->sides[0].failed];
	static _Thread_local char nowhere[DISCARD_SIZE];

	if (!connection->sides[0].failed && !connection->sides[1].failed)
		return true;
	if (side->failed || !has_unsent(side->source.fd))
		return true;
	tcp_close_half(side);
	if (tcp_watch_out(forwarder, side) < 0)
		return true;
	while (side->readable && connection->discarded < DISCARD_MAX) {
		ssize_t length =
			read(side->source.fd, nowhere, sizeof(nowhere));

		if (length < 0 &&
		    tcp_blocked_or_failed(&side->readable) != PROGRESS_FAILED)
			continue;
		if (length <= 0)
			return true;
		connection->discarded += (size_t)length;
	}
	return connection->discarded >= DISCARD_MAX;
}

/* False when it is over, and freed. */
static bool serve(struct forwarder *forwarder,
		  struct tcp_connection *connection)
{
	const struct tcp_side *sides = connection->sides;
	enum progress progress[2];

	if (connection->connecting) {
		if (!connection->sides[0].failed)
			return true;
		connection_end(forwarder, connection);
		return false;
	}
	for (int i = 0; i < 2; i++)
		progress[i] = tcp_flow_move(forwarder, connection, i);
	/* Nothing can be carried to where the socket failed. */
	for (int i = 0; i < 2; i++) {
		if (sides[!i].failed)
			progress[i] = PROGRESS_DONE;
	}
	if (progress[0] == PROGRESS_DONE && progress[1] == PROGRESS_DONE) {
		if (!has_settled(forwarder, connection))
			return true;
		connection_end(forwarder, connection);
		return false;
	}
	if (progress[0] == PROGRESS_MORE || progress[1] == PROGRESS_MORE)
		tcp_queue(forwarder, connection);
	return true;
}

static int watch(struct forwarder *forwarder, struct tcp_connection *connection)
{
	/* The container first: it is the one that will speak next. */
	for (int i = 1; i >= 0; i--) {
		struct tcp_side *side = &connection->sides[i];
		int r = forward_watch(forwarder, &side->source,
				      side->watched_out
					      ? TCP_SIDE_EVENTS | EPOLLOUT
					      : TCP_SIDE_EVENTS);

		if (r < 0)
			return r;
	}
	connection->watched = true;
	return 0;
}

/*
 * Takes both descriptors, whatever happens. What the client has sent by now is
 * passed on before anything else is done.
 */
static void connection_start(struct forwarder *forwarder, int client_fd,
			     bool client_is_local, int inner_fd,
			     bool connecting)
{
	const int fds[2] = {client_fd, inner_fd};
	struct tcp_connection *connection = calloc(1, sizeof(*connection));

	if (!connection) {
		reset_fd(client_fd);
		close(client_fd);
		close(inner_fd);
		return;
	}
	for (int i = 0; i < 2; i++) {
		struct tcp_side *side = &connection->sides[i];

		side->source.kind = SOURCE_TCP_SIDE;
		side->source.fd = fds[i];
		side->connection = connection;
		side->writable = i == 0 || !connecting;
		tcp_flow_init(&connection->flows[i]);
	}
	connection->connecting = connecting;
	connection->sides[0].readable = true;
	connection->sides[0].local = client_is_local;
	connection->sides[1].local = true;
	connection->sides[1].watched_out = connecting;
	forwarder->connection_count++;
	if (!serve(forwarder, connection))
		return;
	if (watch(forwarder, connection) < 0) {
		connection->sides[1].failed = true;
		connection_end(forwarder, connection);
	}
}

/*
 * One descriptor is held back, so that who is accepted with the last one has
 * a second for the way inside.
 */
static bool hold_spare(struct forwarder *forwarder)
{
	if (forwarder->spare_fd < 0)
		forwarder->spare_fd =
			socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return forwarder->spare_fd >= 0;
}

static int connect_inside(struct forwarder *forwarder,
			  const union net_address *client, uint16_t port,
			  bool *ret_connecting)
{
	int fd = tcp_connect_inside(forwarder, client, port, ret_connecting);

	if (fd != -EMFILE && fd != -ENFILE)
		return fd;
	close_fd(&forwarder->spare_fd);
	return tcp_connect_inside(forwarder, client, port, ret_connecting);
}

static bool is_loopback(const union net_address *client)
{
	if (client->any.sa_family == AF_INET6)
		return IN6_IS_ADDR_LOOPBACK(&client->v6.sin6_addr);
	return ntohl(client->v4.sin_addr.s_addr) >> 24 == 127;
}

/* False when no more can be accepted now. */
static bool accept_one(struct forwarder *forwarder,
		       const struct listener *listener)
{
	union net_address client = {0};
	socklen_t length = sizeof(client);
	bool connecting;
	int inner_fd;
	int fd;

	if (!hold_spare(forwarder)) {
		pause_listeners(forwarder, clock_ms() + FORWARD_PAUSE_MS);
		return false;
	}
	fd = accept4(listener->source.fd, &client.any, &length,
		     SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0) {
		if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS ||
		    errno == ENOMEM)
			pause_listeners(forwarder,
					clock_ms() + FORWARD_PAUSE_MS);
		/* A host port's: the container's root can end its sockets. */
		if (errno == EINVAL)
			epoll_ctl(forwarder->epoll_fd, EPOLL_CTL_DEL,
				  listener->source.fd, NULL);
		return errno == ECONNABORTED || errno == EINTR ||
		       errno == EPROTO;
	}
	inner_fd = connect_inside(forwarder, &client, listener->container_port,
				  &connecting);
	if (inner_fd < 0) {
		reset_fd(fd);
		close(fd);
		return true;
	}
	connection_start(forwarder, fd, is_loopback(&client), inner_fd,
			 connecting);
	return true;
}

/*
 * One in a turn while they come one by one: the next try would be in vain, and
 * the loop asks anyway. Twice as many in each turn that follows another.
 */
void tcp_accept(struct forwarder *forwarder, struct listener *listener)
{
	if (listener->burst == 0 || listener->last_turn + 1 != forwarder->turn)
		listener->burst = 1;
	else if (listener->burst < ACCEPT_BATCH)
		listener->burst *= 2;
	listener->last_turn = forwarder->turn;
	for (unsigned int i = 0; i < listener->burst; i++) {
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

	if (events & (EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		side->readable = true;
	if (events & EPOLLPRI)
		side->urgent = true;
	if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
		side->writable = true;
	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		side->hung_up = true;
	if (side == &connection->sides[1] &&
	    (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
		connection->connecting = false;
	/* Who has gone is not waited for. */
	if (connection->connecting && (events & EPOLLHUP))
		connection->sides[0].failed = true;
	forward_note(forwarder, connection);
	tcp_queue(forwarder, connection);
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
