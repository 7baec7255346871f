/*
 * The namespace of a named network, and the wires into it. Called by monitors,
 * which hold CAP_NET_ADMIN and CAP_SYS_ADMIN over the user namespace that owns
 * it and over those of their containers; all is said to the kernel by netlink.
 *
 *        network's namespace                     container's
 *   tun0 ── routes ── br0 (gateway) ─┬─ vethX ═══ eth0 (address)
 *   (uplink)                         └─ vethY ═══ eth0 of another
 *
 * br0 is a bridge with the network's gateway address, on which the gateway
 * process (net/gateway.h) answers DNS; nothing else listens in there. The way
 * out is routed, not bridged: tun0 has no link layer, so that a container
 * cannot speak to the uplink but by packets that the kernel has routed, nor
 * answer in its place. A network without a way out has no tun0.
 *
 * The gateway hands nothing on from one container to another: that is the
 * bridge's, which may be told to keep them apart. The exception is a container
 * with an egress policy, whose wire is routed: net/bridge_routed.h.
 *
 * Each network has a namespace of its own, so that there is no path between two
 * of them. It lives as long as somebody has a descriptor of it: the gateway
 * process and the monitor of each container that is on it. So the death of one
 * leaves the bridge and what flows over it alone.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "net/prefix.h"

#define BRIDGE_SOCKETS_MAX 4
#define BRIDGE_NAME_MAX	   16 /* IFNAMSIZ */

struct bridge_config {
	struct net_prefix gateway;  /* its address in the subnet */
	struct net_prefix gateway6; /* family 0: no IPv6 */
	unsigned int mtu;
	bool uplink;
};

/* A new namespace with all of the above but the containers; its descriptor. */
int bridge_make(const struct bridge_config *config, struct error *err);
/*
 * What the gateway process serves, made inside: the tun device (-1 without an
 * uplink) and port 53 of the gateway's addresses (UDP, TCP; -1 unused). Waits
 * for a gateway that is on its way out to let go of them.
 */
struct bridge_services {
	int tun_fd;
	int sockets[BRIDGE_SOCKETS_MAX];
};
#define BRIDGE_NO_SERVICES                                  \
	(struct bridge_services)                            \
	{                                                   \
		.tun_fd = -1, .sockets = { -1, -1, -1, -1 } \
	}
int bridge_open_services(int netns_fd, const struct bridge_config *config,
			 struct bridge_services *ret_services,
			 struct error *err);
void bridge_services_release(struct bridge_services *services);

/* A container's wire. */
struct bridge_port {
	struct net_prefix address;  /* with the subnet's length */
	struct net_prefix address6; /* family 0: none */
	uint8_t mac[6];
	unsigned int mtu;
	bool isolated; /* speaks to the gateway only */
	bool routed;   /* reaches the subnet only: net/bridge_routed.h */
	/* The route to everywhere goes here, over the gateway. */
	struct net_address_value gateway, gateway6; /* family 0: it does not */
	char name[BRIDGE_NAME_MAX]; /* in the container, "eth0"; "": the
				       first free one, which is told here */
};
int bridge_attach(int netns_fd, int container_fd, struct bridge_port *port,
		  struct error *err);
/* Takes the wire away; one that is not there is fine. */
int bridge_detach(int container_fd, const char *name, struct error *err);
/* Sets or (family 0) leaves alone the container's default routes. */
int bridge_route(int container_fd, const char *name,
		 const struct net_address_value *gateway,
		 const struct net_address_value *gateway6, struct error *err);
