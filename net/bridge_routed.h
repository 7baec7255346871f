/*
 * The wire of a container that must not reach what is beyond its network, as it
 * has an egress policy and a way out of its own for that (net/egress.h). Part
 * of net/bridge.h:
 *
 *        network's namespace                      container's
 *   tun0 ── routes ── br0 ── vethY ════════════ eth0 of another
 *               └─── (only the subnet) ─ vethX ═ eth1 (address), and its tap
 *
 * Its end is no port of the bridge, so that nothing it makes is seen by anybody
 * as a frame, but an interface of its own, between which and the bridge the
 * kernel routes. What comes in from there is held against the table ROUTED,
 * which has the subnet and the other wires like it, and then an end: no
 * uplink, no other address. The source must be the container's own (rp_filter),
 * so that the network's name server knows whom it answers. IPv6 has no such
 * filter: it is off on the wire.
 *
 * Both sides believe that they are on one link: the kernel answers ARP for
 * whoever is on the other one. Broadcasts and multicasts do not pass. A bridged
 * container's link address follows from its address, so that others need not
 * learn who has it after it; between one kind and the other they are told.
 *
 *   rule 100   from br0          table DETOUR: the subnet is unreachable
 *   rule 101   from br0          table main
 *   rule 102   from tun0         table main
 *   rule 103   from here         table main
 *   rule 104   from elsewhere    table ROUTED, which ends all
 *
 * What comes from the bridge for another container of the network comes over
 * the bridge, or not at all: handed on by way of the gateway it would get
 * around ports that are isolated. DETOUR says so, but for the wires that are
 * routed to anyway.
 *
 * No rule names a wire, nor does any route outlive it: of a container that is
 * killed there remains that its address was behind one.
 */
#pragma once

#include "base/error.h"
#include "net/bridge.h"

#define BRIDGE_INTERFACE "br0"
#define BRIDGE_TUN	 "tun0"

/* The rules for a family, in a new namespace. */
int bridge_rules(int nl_fd, unsigned int bridge,
		 const struct net_prefix *gateway);
/* The outer end of a new wire, index, which is still down. */
int bridge_routed_wire(int nl_fd, unsigned int index, const char *name,
		       const struct bridge_port *port, struct error *err);
/* A new port of the bridge: its address may have been behind such a wire. */
int bridge_bridged_wire(int nl_fd, const struct bridge_port *port);
