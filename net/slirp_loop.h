/*
 * The uplink: libslirp between the tap and sockets of the host's network
 * namespace, in one thread, with poll(2). It sleeps without a timer while
 * nothing is connected.
 *
 * A frame of the container's passes, in this order:
 *
 *   net/frame.h   what may reach libslirp at all
 *   net/egress.h  the container's egress policy, if it has one
 *   net/refuse.h  connections to the host's loopback, where that is closed
 *   libslirp
 *
 * What libslirp sends passes the egress policy, too, and net/window.h. A bulk
 * transfer gives the sockets their turn after each frame, so that others do not
 * wait for it.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>

#include "base/error.h"
#include "net/egress.h"
#include "net/port.h"
#include "net/prefix.h"

struct slirp_loop;

struct slirp_config {
	int tap_fd;	    /* kept; non-blocking */
	bool host_loopback; /* may the gateway's address reach the host's
			       127.0.0.1? Otherwise TCP is refused there. */
	/*
	 * routed: tap_fd is a tun device, without a link layer, behind which
	 * there are these networks (family 0: none). Packets that come from
	 * elsewhere are dropped.
	 */
	bool routed;
	struct net_prefix subnets[2];
	/* What may go out; NULL: everything. Taken. Not with routed. */
	struct egress_policy *egress;
	bool (*report)(const struct egress_report *report, void *opaque);
};

int slirp_loop_new(const struct slirp_config *config,
		   struct slirp_loop **ret_loop, struct error *err);
struct slirp_port {
	const char *host_ip; /* "" means all addresses, v4 and v6 */
	uint16_t host_port;
	uint16_t container_port;
	enum port_protocol protocol;
};

/*
 * A port that the library listens on, on the host, and forwards through the
 * tap: to the container's address of the same IP version.
 */
int slirp_loop_publish(struct slirp_loop *loop, const struct slirp_port *port,
		       struct in_addr address, struct error *err);
/* Serves for good; without a tap (the container removed it) does nothing. */
_Noreturn void slirp_loop_run(struct slirp_loop *loop);
