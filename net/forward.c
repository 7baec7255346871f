#include "net/forward.h"

#include <arpa/inet.h>
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "net/forward_internal.h"
#include "net/netns.h"

#define EVENT_BATCH   256
#define UDP_FLOWS_MAX 4096
/* Descriptors that are never clients': a quarter, at most so many. */
#define UPLINK_RESERVE 2048

/*
 * To sleep and be woken takes longer than most servers take to answer: the next
 * event is first looked for awake, for so long. After n times in vain, the next
 * 2^n waits sleep at once.
 */
#define AWAKE_US       30
#define AWAKE_VAIN_MAX 10
/*
 * Longer where one connection alone had so many events in a row: its two ends
 * wait for each other, and nobody for the CPU. To wake a virtual one that was
 * halted may take 50 us.
 */
#define AWAKE_ALONE    64
#define AWAKE_ALONE_US 200

socklen_t net_address_length(const union net_address *address)
{
	return address->any.sa_family == AF_INET6 ? sizeof(address->v6)
						  : sizeof(address->v4);
}

int forward_watch(const struct forwarder *forwarder, struct source *source,
		  uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = source};

	if (epoll_ctl(forwarder->epoll_fd, EPOLL_CTL_ADD, source->fd, &event) <
	    0)
		return -errno;
	return 0;
}

static bool has_udp(const struct forwarder *forwarder)
{
	const struct listener *listener = forwarder->listeners;

	while (listener && listener->source.kind != SOURCE_UDP_LISTENER)
		listener = listener->next;
	return listener != NULL;
}

/* A TCP connection has two descriptors; pipes have some. */
static void share_descriptors(struct forwarder *forwarder)
{
	size_t taken = forwarder->listener_count + 2 * PIPE_POOL_MAX / 4 + 16;
	size_t share = forwarder->fd_share;

	if (has_udp(forwarder))
		taken += forwarder->flow_max;

	forwarder->connection_max = share > taken ? (share - taken) / 2 : 0;
	if (forwarder->connection_max < 8)
		forwarder->connection_max = 8;
}

static void share_flows(struct forwarder *forwarder)
{
	forwarder->flow_max = forwarder->fd_share / 4;
	if (forwarder->flow_max > UDP_FLOWS_MAX)
		forwarder->flow_max = UDP_FLOWS_MAX;
	if (forwarder->flow_max < 16)
		forwarder->flow_max = 16;
	forwarder->flows = udp_flows_new(forwarder->flow_max);
}

int forward_add_listener(struct forwarder *forwarder,
			 const struct forward_listener *given)
{
	struct listener *listener = xcalloc(1, sizeof(*listener));
	bool udp = given->protocol == PORT_UDP;
	int r = 0;

	*listener = (struct listener){
		.source = {.kind = udp ? SOURCE_UDP_LISTENER
				       : SOURCE_TCP_LISTENER,
			   .fd = given->fd},
		.id = given->id,
		.container_port = given->container_port,
		.next = forwarder->listeners,
	};
	if (udp) {
		udp_listener_prepare(given->fd);
		if (forward_route_port(forwarder, given->container_port, true) <
		    0)
			forwarder->hides_datagrams = true;
	} else {
		tcp_listener_prepare(given->fd);
	}
	/* While TCP is paused, tcp_resume() watches it. */
	if (udp || !forwarder->paused)
		r = forward_watch(forwarder, &listener->source, EPOLLIN);
	if (r < 0) {
		free(listener);
		return r;
	}
	forwarder->listeners = listener;
	forwarder->listener_count++;
	share_descriptors(forwarder);
	return 0;
}

/* Answers to clients need no way of their own any more. */
static void end_route(const struct forwarder *forwarder, uint16_t port)
{
	const struct listener *other = forwarder->listeners;

	while (other && (other->source.kind != SOURCE_UDP_LISTENER ||
			 other->container_port != port))
		other = other->next;
	if (!other)
		(void)forward_route_port(forwarder, port, false);
}

void forward_remove_listeners(struct forwarder *forwarder, uint32_t id,
			      bool end)
{
	struct listener **link = &forwarder->listeners;

	while (*link) {
		struct listener *listener = *link;

		if (listener->id != id) {
			link = &listener->next;
			continue;
		}
		if (listener->source.kind == SOURCE_UDP_LISTENER)
			udp_end_flows(forwarder, listener->source.fd);
		/* The monitor has the same socket, so closing is not enough. */
		epoll_ctl(forwarder->epoll_fd, EPOLL_CTL_DEL,
			  listener->source.fd, NULL);
		if (end)
			close(listener->source.fd);
		listener->source.fd = -1;
		*link = listener->next;
		if (listener->source.kind == SOURCE_UDP_LISTENER)
			end_route(forwarder, listener->container_port);
		listener->next = forwarder->removed;
		forwarder->removed = listener;
		forwarder->listener_count--;
	}
	share_descriptors(forwarder);
}

static void free_listeners(struct listener **list)
{
	while (*list) {
		struct listener *listener = *list;

		*list = listener->next;
		free(listener);
	}
}

static int start(struct forwarder *forwarder,
		 const struct forward_config *config)
{
	int r = 0;

	for (size_t i = 0; r >= 0 && i < config->listener_count; i++)
		r = forward_add_listener(forwarder, &config->listeners[i]);
	if (r < 0 || config->to_host)
		return r;
	return control_start(forwarder);
}

/* So that no number of clients takes the container's way out. */
static size_t left_to_uplink(size_t fd_max)
{
	return fd_max / 4 < UPLINK_RESERVE ? fd_max / 4 : UPLINK_RESERVE;
}

int forwarder_new(const struct forward_config *config, int proc_fd,
		  struct forwarder **ret_forwarder, struct error *err)
{
	struct forwarder *forwarder = xcalloc(1, sizeof(*forwarder));
	cpu_set_t cpus;
	int r;

	forwarder->spare_fd = -1;
	forwarder->address = config->address;
	forwarder->address6 = config->address6;
	inet_pton(AF_INET, NET_FORWARDER, &forwarder->forwarder);
	inet_pton(AF_INET6, NET_FORWARDER6, &forwarder->forwarder6);
	forwarder->to_host = config->to_host;
	forwarder->route_fd = -1;
	if (!config->to_host) {
		forward_route_prepare(forwarder, proc_fd);
		forwarder->clients = clients_new();
	}
	/* With a single CPU, it is needed by who will answer. */
	forwarder->awake.possible =
		sched_getaffinity(0, sizeof(cpus), &cpus) == 0 &&
		CPU_COUNT(&cpus) > 1;

	forwarder->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (forwarder->epoll_fd < 0) {
		free(forwarder->clients);
		close_fd(&forwarder->route_fd);
		free(forwarder);
		return err_errno(err, "cannot make an epoll instance");
	}
	forwarder->fd_share = config->fd_max - left_to_uplink(config->fd_max);
	share_flows(forwarder);
	r = start(forwarder, config);
	if (r < 0) {
		close(forwarder->epoll_fd);
		free_listeners(&forwarder->listeners);
		free(forwarder->flows);
		free(forwarder->clients);
		close_fd(&forwarder->route_fd);
		free(forwarder);
		return err_number(err, r, "cannot watch the published ports");
	}
	*ret_forwarder = forwarder;
	return 0;
}

static void dispatch(struct forwarder *forwarder,
		     const struct epoll_event *event)
{
	struct source *source = event->data.ptr;

	if (source->fd < 0)
		return;
	switch (source->kind) {
	case SOURCE_TCP_LISTENER:
		tcp_accept(forwarder, (struct listener *)(void *)source);
		break;
	case SOURCE_TCP_SIDE:
		tcp_side_event(forwarder, source, event->events);
		break;
	case SOURCE_UDP_LISTENER:
		udp_listener_event(forwarder,
				   (struct listener *)(void *)source);
		break;
	case SOURCE_UDP_FLOW:
		udp_flow_event(forwarder, source);
		break;
	case SOURCE_CONTROL:
		control_event(forwarder);
		break;
	}
}

/* True if there is something to serve. */
static bool tick(struct forwarder *forwarder)
{
	int64_t now = clock_ms();

	if (now - forwarder->last_tick < FORWARD_TICK_MS)
		return false;
	forwarder->last_tick = now;
	tcp_tick(forwarder);
	return forwarder->ready != NULL;
}

static int64_t now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

void forward_note(struct forwarder *forwarder,
		  const struct tcp_connection *connection)
{
	struct awake *awake = &forwarder->awake;

	if (awake->last != connection)
		awake->run = 0;
	else if (awake->run < AWAKE_ALONE && ++awake->run == AWAKE_ALONE)
		awake->vain = awake->sleeps = 0;
	awake->last = connection;
}

/* Events without sleeping, or 0. */
static int look_awake(struct forwarder *forwarder, struct epoll_event *events)
{
	struct awake *awake = &forwarder->awake;
	int64_t until;

	if (!awake->possible)
		return 0;
	if (awake->sleeps > 0) {
		awake->sleeps--;
		return 0;
	}
	until = now_us() +
		(awake->run < AWAKE_ALONE ? AWAKE_US : AWAKE_ALONE_US);
	do {
		int count =
			epoll_wait(forwarder->epoll_fd, events, EVENT_BATCH, 0);

		if (count > 0) {
			awake->vain = 0;
			return count;
		}
	} while (now_us() < until);
	if (awake->vain < AWAKE_VAIN_MAX)
		awake->vain++;
	awake->sleeps = 1u << awake->vain;
	return 0;
}

/* Milliseconds until something is to be done in any case, or -1. */
static int find_timeout(struct forwarder *forwarder)
{
	int timeout = udp_expire(forwarder);

	if (forwarder->paused && (timeout < 0 || timeout > FORWARD_PAUSE_MS))
		timeout = FORWARD_PAUSE_MS;
	if (forwarder->patient_count > 0 &&
	    (timeout < 0 || timeout > FORWARD_TICK_MS))
		timeout = FORWARD_TICK_MS;
	return timeout;
}

/*
 * Connections end in tcp_serve(), flows are freed in udp_expire(), listeners
 * here: never while the batch may still have an event of theirs.
 */
_Noreturn void forwarder_run(struct forwarder *forwarder)
{
	struct epoll_event events[EVENT_BATCH];
	bool more = false;

	for (;;) {
		int timeout = find_timeout(forwarder);
		int count = 0;

		if (more)
			timeout = 0;
		else
			count = look_awake(forwarder, events);
		if (count == 0)
			count = epoll_wait(forwarder->epoll_fd, events,
					   EVENT_BATCH, timeout);
		forwarder->turn++;
		for (int i = 0; i < count; i++)
			dispatch(forwarder, &events[i]);
		free_listeners(&forwarder->removed);
		more = tcp_serve(forwarder);
		if (forwarder->patient_count > 0)
			more |= tick(forwarder);
		if (forwarder->paused)
			tcp_resume(forwarder);
	}
}
