/*
 * The bytes of a forwarded TCP connection: two sockets ("sides"), and for each
 * a flow to the other one. forward_tcp.c makes, watches and ends connections;
 * forward_flow.c moves what they carry.
 *
 * Few bytes are copied: a read and a send. Bulk goes through a pipe by
 * splice(2), without being copied, and is waited for in lumps: see
 * forward_flow.c. A pipe is borrowed while bytes are in it or more are coming.
 *
 * Urgent data (MSG_OOB): where the mark comes by, its byte is read as such and
 * sent as such, at the same place of the stream. Other than on a direct
 * connection its announcement does not overtake the bytes before it.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "net/forward_internal.h"

/*
 * Edge-triggered: readable and writable hold from an event to the EAGAIN that
 * ends it. EPOLLOUT is only asked for once a write was blocked.
 */
#define TCP_SIDE_EVENTS (EPOLLIN | EPOLLPRI | EPOLLRDHUP | EPOLLET)

/*
 * One of the two sockets. One that failed is not written to any more, but what
 * it received before is still passed on, as its end would have been able to
 * read it: the early answer to an upload, say.
 */
struct tcp_side {
	struct source source;
	struct tcp_connection *connection;
	bool local; /* its other end is in this machine */
	bool readable;
	bool writable;
	bool watched_out; /* EPOLLOUT is asked for */
	bool urgent;	  /* there is a mark ahead */
	bool hung_up;	  /* end of file or a failure is waiting to be read */
	bool ended;	  /* end of file was read */
	bool closed;	  /* our half was shut down */
	bool failed;	  /* a reset came in */
};

/* Bytes read from side i on their way to the other. */
struct tcp_flow {
	struct pipe pipe;
	size_t in_pipe;
	char *rest; /* copied bytes that were not taken */
	size_t rest_length;
	size_t rest_offset;
	bool bulk;
	bool tuned;	     /* the socket it goes to is */
	bool patient;	     /* in the forwarder's list; SO_RCVLOWAT is set */
	bool stirred;	     /* brought something since the last tick */
	size_t spliced;	     /* bytes, ever */
	size_t patient_from; /* how many it takes to be waited for */
};

struct tcp_connection {
	struct tcp_side sides[2]; /* the client's, the container's */
	struct tcp_flow flows[2];
	size_t discarded; /* read after the other socket failed */
	bool connecting;
	bool watched; /* both sides are in the epoll set */
	bool queued;
	struct tcp_connection *next_ready;
};

enum progress {
	PROGRESS_BLOCKED, /* until the next event */
	PROGRESS_MORE,	  /* its turn is over */
	PROGRESS_DONE,	  /* everything to the end of file is through */
	PROGRESS_FAILED,
};

/* What a failed read, write or splice means for the socket it was on. */
enum progress tcp_blocked_or_failed(bool *ready);
/* Asks for EPOLLOUT from now on; 0 or -errno. */
int tcp_watch_out(const struct forwarder *forwarder, struct tcp_side *side);
void tcp_close_half(struct tcp_side *side);

void tcp_flow_init(struct tcp_flow *flow);
/* Moves bytes from side i to the other, as far as they go in one turn. */
enum progress tcp_flow_move(struct forwarder *forwarder,
			    struct tcp_connection *connection, int i);
void tcp_flow_release(struct forwarder *forwarder,
		      struct tcp_connection *connection, int i);
