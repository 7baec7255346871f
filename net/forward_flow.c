#include "net/forward_flow.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/cleanup.h"

/* Bytes a connection may move each way before others get their turn. */
#define TURN_BYTES (256u << 10)
/* What is read by copying; as much at once means: bulk, splice from now on. */
#define COPY_SIZE (16u << 10)
/* A splice of less means: no longer bulk. */
#define BULK_MIN    (8u << 10)
#define SPLICE_SIZE (512u << 10)

/*
 * To be woken costs more than to move a hundred kilobytes. A flow that brought
 * PATIENT_AFTER in bulk is let collect PATIENT_BYTES before it wakes us up
 * (SO_RCVLOWAT; its end and a full window do, anyhow). What lies there for a
 * tick without growing to that is fetched, and the flow must bring
 * IMPATIENT_AFTER more before it is trusted again.
 */
#define PATIENT_BYTES	(256u << 10)
#define PATIENT_AFTER	(4u << 20)
#define IMPATIENT_AFTER (16u << 20)

enum progress tcp_blocked_or_failed(bool *ready)
{
	if (errno == EINTR)
		return PROGRESS_MORE;
	if (errno != EAGAIN)
		return PROGRESS_FAILED;
	*ready = false;
	return PROGRESS_BLOCKED;
}

void tcp_close_half(struct tcp_side *side)
{
	if (!side->closed)
		shutdown(side->source.fd, SHUT_WR);
	side->closed = true;
}

void tcp_flow_init(struct tcp_flow *flow)
{
	*flow = (struct tcp_flow){
		.pipe = {-1, -1},
		.patient_from = PATIENT_AFTER,
	};
}

static void set_low_water(const struct tcp_side *side, unsigned int bytes)
{
	const int value = (int)bytes;

	setsockopt(side->source.fd, SOL_SOCKET, SO_RCVLOWAT, &value,
		   sizeof(value));
}

static void become_patient(struct forwarder *forwarder, struct tcp_side *from,
			   struct tcp_flow *flow)
{
	if (flow->patient || flow->spliced < flow->patient_from ||
	    forwarder->patient_count >= FORWARD_PATIENT_MAX)
		return;
	flow->patient = true;
	flow->stirred = true;
	forwarder->patient[forwarder->patient_count++] = from;
	set_low_water(from, PATIENT_BYTES);
}

static struct tcp_flow *flow_of(struct tcp_side *side)
{
	struct tcp_connection *connection = side->connection;

	return &connection->flows[side == &connection->sides[1]];
}

static void become_impatient(struct forwarder *forwarder, struct tcp_side *from)
{
	struct tcp_flow *flow = flow_of(from);

	if (!flow->patient)
		return;
	flow->patient = false;
	flow->patient_from = flow->spliced + IMPATIENT_AFTER;
	for (size_t i = 0; i < forwarder->patient_count; i++) {
		if (forwarder->patient[i] != from)
			continue;
		forwarder->patient[i] =
			forwarder->patient[--forwarder->patient_count];
		return;
	}
}

void tcp_tick(struct forwarder *forwarder)
{
	size_t i = 0;

	while (i < forwarder->patient_count) {
		struct tcp_side *from = forwarder->patient[i];
		struct tcp_flow *flow = flow_of(from);

		if (flow->stirred) {
			flow->stirred = false;
			i++;
			continue;
		}
		/* Takes it out of the list. */
		become_impatient(forwarder, from);
		set_low_water(from, 1);
		from->readable = true;
		tcp_queue(forwarder, from->connection);
	}
}

void tcp_flow_release(struct forwarder *forwarder,
		      struct tcp_connection *connection, int i)
{
	struct tcp_flow *flow = &connection->flows[i];

	become_impatient(forwarder, &connection->sides[i]);
	pipe_pool_return(&forwarder->pipes, &flow->pipe, flow->in_pipe == 0);
	flow->in_pipe = 0;
	free(flow->rest);
	flow->rest = NULL;
}

int tcp_watch_out(const struct forwarder *forwarder, struct tcp_side *side)
{
	struct epoll_event event = {.events = TCP_SIDE_EVENTS | EPOLLOUT,
				    .data.ptr = &side->source};

	if (side->watched_out)
		return 0;
	if (side->connection->watched &&
	    epoll_ctl(forwarder->epoll_fd, EPOLL_CTL_MOD, side->source.fd,
		      &event) < 0)
		return -errno;
	side->watched_out = true;
	return 0;
}

/* Who could not be written to is heard of when that changes. */
static enum progress write_blocked(const struct forwarder *forwarder,
				   struct tcp_side *side)
{
	enum progress progress = tcp_blocked_or_failed(&side->writable);

	if (progress == PROGRESS_BLOCKED && tcp_watch_out(forwarder, side) < 0)
		return PROGRESS_FAILED;
	return progress;
}

/* Sends what is held; PROGRESS_DONE when nothing is left. */
static enum progress flush(const struct forwarder *forwarder,
			   struct tcp_flow *flow, struct tcp_side *to)
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
			enum progress progress = write_blocked(forwarder, to);

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

/*
 * At the mark its byte goes first: a read would pass over it. PROGRESS_BLOCKED
 * while it cannot be sent.
 */
static enum progress pass_urgent(const struct forwarder *forwarder,
				 struct tcp_side *from, struct tcp_side *to)
{
	enum progress progress = PROGRESS_DONE;
	int at_mark = 0;
	ssize_t length;
	char byte;

	if (ioctl(from->source.fd, SIOCATMARK, &at_mark) < 0 || !at_mark)
		return progress;
	/* It stays, in case it cannot be sent. */
	length = recv(from->source.fd, &byte, 1, MSG_OOB | MSG_PEEK);
	if (length < 0 && errno == EAGAIN)
		return progress; /* announced, but not there yet */
	if (length == 1 &&
	    send(to->source.fd, &byte, 1, MSG_OOB | MSG_NOSIGNAL) < 0)
		progress = write_blocked(forwarder, to);
	if (progress != PROGRESS_BLOCKED)
		from->urgent = false;
	return progress;
}

/* Bytes moved, 0 at end of file, -1 and errno. */
static ssize_t read_copying(const struct forwarder *forwarder,
			    struct tcp_flow *flow, struct tcp_side *from,
			    struct tcp_side *to)
{
	static _Thread_local char buffer[COPY_SIZE];
	ssize_t length = read(from->source.fd, buffer, sizeof(buffer));
	ssize_t sent = 0;

	if (length <= 0)
		return length;
	/* That was all, and what comes makes another event. */
	if (length < (ssize_t)sizeof(buffer) && !from->hung_up && !from->urgent)
		from->readable = false;
	if (to->writable) {
		sent = send(to->source.fd, buffer, (size_t)length,
			    MSG_NOSIGNAL);
		if (sent < 0 &&
		    write_blocked(forwarder, to) == PROGRESS_FAILED) {
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

/*
 * Within the machine nothing is lost and nothing is gained by pacing, which
 * the host's choice (BBR) may do, with a timer for every few segments. Small
 * messages are as fast with it.
 */
static void tune(struct tcp_flow *flow, const struct tcp_side *to)
{
	static const char plain[] = "reno";

	if (flow->tuned)
		return;
	flow->tuned = true;
	if (to->local)
		setsockopt(to->source.fd, IPPROTO_TCP, TCP_CONGESTION, plain,
			   sizeof(plain) - 1);
}

static ssize_t read_splicing(struct forwarder *forwarder, struct tcp_flow *flow,
			     struct tcp_side *from, struct tcp_side *to)
{
	ssize_t length;

	if (flow->pipe.out < 0 &&
	    pipe_pool_take(&forwarder->pipes, &flow->pipe) < 0)
		return read_copying(forwarder, flow, from, to);
	tune(flow, to);
	length = splice(from->source.fd, NULL, flow->pipe.in, NULL, SPLICE_SIZE,
			SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	if (length > 0) {
		flow->in_pipe = (size_t)length;
		flow->spliced += (size_t)length;
		flow->bulk = length >= (ssize_t)BULK_MIN;
	}
	return length;
}

/* Reads once; PROGRESS_MORE when there may be more to read. */
static enum progress fill(struct forwarder *forwarder, struct tcp_flow *flow,
			  struct tcp_side *from, struct tcp_side *to,
			  size_t *moved)
{
	enum progress progress;
	ssize_t length;

	if (from->urgent) {
		/* A splice would stop at the mark for good. */
		flow->bulk = false;
		progress = pass_urgent(forwarder, from, to);
		if (progress != PROGRESS_DONE) {
			to->failed = progress == PROGRESS_FAILED;
			return progress == PROGRESS_BLOCKED ? progress
							    : PROGRESS_MORE;
		}
	}
	length = flow->bulk ? read_splicing(forwarder, flow, from, to)
			    : read_copying(forwarder, flow, from, to);
	if (length > 0) {
		*moved += (size_t)length;
		flow->stirred = true;
		return PROGRESS_MORE;
	}
	if (length == 0) {
		from->ended = true;
		return PROGRESS_MORE;
	}
	progress = tcp_blocked_or_failed(&from->readable);
	if (progress == PROGRESS_FAILED) {
		from->failed = true;
		from->ended = true;
		return PROGRESS_MORE;
	}
	/* An idle flow holds no pipe. */
	if (progress == PROGRESS_BLOCKED) {
		pipe_pool_return(&forwarder->pipes, &flow->pipe, true);
		if (flow->bulk)
			become_patient(forwarder, from, flow);
	}
	return progress;
}

enum progress tcp_flow_move(struct forwarder *forwarder,
			    struct tcp_connection *connection, int i)
{
	struct tcp_side *from = &connection->sides[i];
	struct tcp_side *to = &connection->sides[!i];
	struct tcp_flow *flow = &connection->flows[i];
	size_t moved = 0;

	while (moved < TURN_BYTES) {
		enum progress progress = to->failed
						 ? PROGRESS_FAILED
						 : flush(forwarder, flow, to);

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
				tcp_close_half(to);
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
