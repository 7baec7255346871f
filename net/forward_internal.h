/*
 * What the parts of the forwarder share: forward.c has the loop and the
 * listeners, forward_tcp.c and forward_udp.c an engine each, forward_route.c
 * the namespace's routes, forward_control.c the requests of the monitor.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "net/forward.h"
#include "net/pipe_pool.h"

#define FORWARD_MARK 0x6d6f7373u /* "moss" */

/* Anything in the epoll set starts with one of these. */
enum source_kind {
	SOURCE_TCP_LISTENER,
	SOURCE_TCP_SIDE,
	SOURCE_UDP_LISTENER,
	SOURCE_UDP_FLOW,
	SOURCE_CONTROL,
};

struct source {
	enum source_kind kind;
	int fd; /* -1: ended, events that are still on their way don't count */
};

struct listener {
	struct source source;
	uint32_t id;
	uint16_t container_port; /* host byte order */
	unsigned int burst;	 /* how many to accept in a turn */
	uint64_t last_turn;	 /* in which one was accepted */
	struct listener *next;
};

struct control {
	struct source source;
	bool waits; /* for room for this answer */
	uint32_t request;
	int result;
};

union net_address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

/* Flows that are waited for at once. */
#define FORWARD_PATIENT_MAX 64

struct tcp_connection;
struct tcp_side;
struct udp_flows;
struct clients;

/* Whether to look for events awake: forward.c. */
struct awake {
	bool possible;
	unsigned int vain;		   /* times in a row */
	unsigned int sleeps;		   /* before the next time */
	const struct tcp_connection *last; /* that had an event; may be gone */
	unsigned int run;		   /* events of its in a row */
};

struct forwarder {
	int epoll_fd;
	uint64_t turn; /* of the loop */
	struct awake awake;
	struct in_addr address;	  /* the container's */
	struct in6_addr address6; /* and its IPv6 one */
	struct in_addr forwarder; /* NET_FORWARDER */
	struct in6_addr forwarder6;
	bool to_host;
	bool transparent4; /* clients' addresses can be kept */
	bool transparent6;
	int route_fd;	       /* netlink, -1: none */
	uint32_t client_table; /* of routes to UDP clients */
	struct clients *clients;
	bool hides_datagrams; /* routes cannot be had for a port */

	struct control control;
	struct listener *listeners;
	struct listener *removed; /* freed after the batch */
	size_t listener_count;
	size_t fd_share; /* descriptors that are the forwarder's */

	/* TCP */
	size_t connection_count;
	size_t connection_max;
	int spare_fd;		      /* held back: forward_tcp.c; -1: none */
	bool paused;		      /* listeners are out of the epoll set */
	int64_t paused_until;	      /* clock_ms(); 0: a connection ends */
	struct tcp_connection *ready; /* to be served in this turn */
	struct pipe_pool pipes;
	struct tcp_side *patient[FORWARD_PATIENT_MAX]; /* who is let collect */
	size_t patient_count;
	int64_t last_tick; /* clock_ms() */

	/* UDP */
	struct udp_flows *flows;
	size_t flow_max;
};

/* How soon to accept again when descriptors ran out. */
#define FORWARD_PAUSE_MS 100
/* How long bytes may lie that are waited for to become more. */
#define FORWARD_TICK_MS 1

socklen_t net_address_length(const union net_address *address);

/* Adds a source with its fd; 0 or -errno. */
int forward_watch(const struct forwarder *forwarder, struct source *source,
		  uint32_t events);

/* A connection had an event. */
void forward_note(struct forwarder *forwarder,
		  const struct tcp_connection *connection);

/* Takes listener->fd when it returns 0, else a negative errno. */
int forward_add_listener(struct forwarder *forwarder,
			 const struct forward_listener *given);
/* Those with the ID; without `end` their sockets stay open. */
void forward_remove_listeners(struct forwarder *forwarder, uint32_t id,
			      bool end);

/* forward_control.c: 0 or -errno. */
int control_start(struct forwarder *forwarder);
void control_event(struct forwarder *forwarder);

/* forward_route.c: fills transparent4 and transparent6, route_fd and
   client_table. */
void forward_route_prepare(struct forwarder *forwarder, int proc_fd);
/* Answers from the container's UDP port are led to clients with a route. */
int forward_route_port(const struct forwarder *forwarder, uint16_t port,
		       bool add);
/* 0 or -errno. */
int forward_route_client(const struct forwarder *forwarder,
			 const union net_address *client, bool add);
/* Is it nobody whom the container can reach without a gateway? */
bool forward_route_is_far(const struct forwarder *forwarder,
			  const union net_address *client);

/* forward_tcp.c */
void tcp_listener_prepare(int fd);
void tcp_accept(struct forwarder *forwarder, struct listener *listener);
void tcp_side_event(struct forwarder *forwarder, struct source *source,
		    uint32_t events);
/* Moves bytes of all connections that had events; true if more is to do. */
bool tcp_serve(struct forwarder *forwarder);
/* Puts it among those that tcp_serve() serves. */
void tcp_queue(struct forwarder *forwarder, struct tcp_connection *connection);
/* Listens again after a pause if there is room. */
void tcp_resume(struct forwarder *forwarder);

/* forward_flow.c: fetches what has lain for a tick. */
void tcp_tick(struct forwarder *forwarder);

/* forward_connect.c: may the container see this client, over this family? */
bool forward_keeps_address(const struct forwarder *forwarder,
			   const union net_address *client, int family);
/* The inner socket of a client's connection. */
int tcp_connect_inside(const struct forwarder *forwarder,
		       const union net_address *client, uint16_t port,
		       bool *ret_connecting);
/* Of its datagrams, over one family; keep: with the client's own address. */
int udp_connect_inside(const struct forwarder *forwarder,
		       const union net_address *client, int family,
		       uint16_t port, bool keep);

/*
 * forward_clients.c: UDP clients whose address the container sees. True when
 * it does, until as many releases.
 */
struct clients *clients_new(void);
bool clients_hold(struct forwarder *forwarder, const union net_address *client);
void clients_release(struct forwarder *forwarder,
		     const union net_address *client);

/* forward_udp.c */
struct udp_flows *udp_flows_new(size_t flow_max);
void udp_listener_prepare(int fd);
void udp_listener_event(struct forwarder *forwarder,
			const struct listener *listener);
void udp_flow_event(struct forwarder *forwarder, struct source *source);
/* Flows of a listener that is about to be closed. */
void udp_end_flows(struct forwarder *forwarder, int listener_fd);
/* Ends silent flows; returns the milliseconds until the next may, or -1. */
int udp_expire(struct forwarder *forwarder);
