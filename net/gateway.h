/*
 * moss-gateway, the process of a named network: its uplink (libslirp on a tun
 * device, for networks that have a way out) and its name server
 * (net/dns_server.h).
 *
 * It lives in the host's network namespace; of the network's it has a tun
 * device and sockets that were made in there for it, and a descriptor that
 * keeps the namespace. Before its first packet it has given up what moss-net
 * gives up (net/confine.h), and it keeps no capability at all: it cannot enter
 * the namespace it serves. It can read the store's networks directory, which
 * tells it the names.
 *
 * It is nobody's child. It is started with the first container on the network,
 * ends GATEWAY_GRACE_MS after the last has gone, and is started again by a
 * monitor when it dies before that; containers go on talking to each other
 * meanwhile.
 *
 *   moss-gateway NAME DIRECTORY HOST SUBNET SUBNET6|- internal|uplink|loopback
 *
 * with the descriptors below; on GATEWAY_SOCKET it says HELPER_READY or why
 * not, as a struct error.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "net/bridge.h"

#define GATEWAY_SOCKET	 3
#define GATEWAY_NETNS	 4
#define GATEWAY_TUN	 5
#define GATEWAY_SERVERS	 6 /* and the next: UDP, TCP, UDP6, TCP6 */
#define GATEWAY_GRACE_MS 3000

struct gateway_request {
	const char *name;	      /* of the network */
	const char *directory;	      /* absolute path of networks/ */
	const char *resolv_directory; /* of a net/resolv_copy.h */
	int netns_fd;		      /* stay the caller's */
	const struct bridge_config *bridge;
	const struct bridge_services *services;
	bool host_loopback;
};

/* Waits until it serves; its PID. */
pid_t gateway_start(const struct gateway_request *request, struct error *err);
