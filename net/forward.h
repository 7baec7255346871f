/*
 * The forwarder: published ports of the host, connected to the container.
 *
 * A thread of its own in the container's network namespace (a socket belongs to
 * the namespace it was made in, wherever it is used): sockets that listen on
 * the host come from outside, the ones that connect to the container are made
 * here. One epoll instance, no locks. Host ports (net/host_port.h) go the other
 * way: a second forwarder, of TCP alone, in a thread that stays in the host's
 * namespace. The two share nothing but the limit of descriptors.
 *
 * TCP: accept, connect to the container's own address, move bytes both ways,
 * by read and write while they are few, by splice(2) through a pipe when they
 * come in bulk, so that they are never copied to user space. End of file is
 * passed on as a half-close, a reset as a reset; who is refused inside is reset
 * at once. What one side does not take is not read from the other. Urgent data
 * stays urgent: net/forward_flow.h.
 *
 * Speed is wake-ups saved. After it has served, the loop looks for the next
 * event awake for some microseconds (not where there is one CPU, and ever more
 * rarely where it is in vain; longer for a connection that is alone): most
 * servers answer sooner than a sleeper wakes.
 * A client's first bytes are passed on in the turn that accepts it. Bulk is
 * waited for in lumps, two milliseconds at most.
 *
 * UDP: a flow for each client and address it asked, with a connected socket
 * inside; answers leave from the address that was asked. A flow ends after
 * 180 s of silence, or 30 s if the container never answered.
 *
 * Who does the container see? The client itself where possible. TCP: the inner
 * socket is bound to the client's address (IP_TRANSPARENT) and marked; the
 * answering side inherits the mark (tcp_fwmark_accept), and a routing rule for
 * the mark leads its packets back here instead of out of the tap. UDP, where
 * the answering side inherits nothing: a rule for the source port leads to a
 * table with a local route to each client that has a living flow
 * (forward_clients.c). Clients on the host's loopback are NET_FORWARDER, and so
 * are UDP clients that may be somebody else: nobody outside may look like the
 * container's own 127.0.0.1 or address, or like one of its neighbours. A
 * server of the other IP version than its client sees NET_FORWARDER, too.
 *
 * Ports come and go while it serves (net/uplink_wire.h): the listener of one
 * that was removed ends at once, and so do its UDP flows, while TCP connections
 * go on.
 *
 * Limits: what RLIMIT_NOFILE leaves, the soft one having been raised to the
 * hard one (net/confine.h); a listener waits in the kernel's backlog when they
 * are reached. A connection has two descriptors, and pipes only while it is
 * busy: at a limit of 20,000 there can be 8,900 connections, at 65,536 or more
 * 31,700; half of it where there are host ports too.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "net/port.h"

struct forwarder;

struct forward_listener {
	int fd;	     /* non-blocking */
	uint32_t id; /* of its mapping, by which it is removed */
	uint16_t container_port;
	enum port_protocol protocol;
};

struct forward_config {
	struct in_addr address;	  /* the container's */
	struct in6_addr address6; /* unspecified: has none */
	const struct forward_listener *listeners;
	size_t listener_count;
	size_t fd_max; /* this process may have, the uplink's included */
	/*
	 * The other way (net/host_port.h): in the host's namespace, from
	 * sockets of the container's to the host's loopback. The monitor's
	 * requests are not this one's.
	 */
	bool to_host;
};

/*
 * Prepares the calling thread's network namespace; needs CAP_NET_ADMIN over it
 * and /proc of the thread at proc_fd. A client's address is not kept where the
 * kernel does not help. With to_host nothing of that.
 */
int forwarder_new(const struct forward_config *config, int proc_fd,
		  struct forwarder **ret_forwarder, struct error *err);
/* Serves for good, the monitor's requests too (UPLINK_SOCKET). Needs
 * CAP_NET_ADMIN to keep clients' addresses. */
_Noreturn void forwarder_run(struct forwarder *forwarder);
