/*
 * Inside a container's new network namespace: rtnetlink and the tap, without
 * ip(8). Called by the container's first process while it still has
 * CAP_NET_ADMIN over the namespace; nothing needs host privileges.
 */
#pragma once

#include <stdint.h>

#include "base/error.h"

#define NET_MTU	     65520
#define NET_ADDRESS  "10.0.2.100"
#define NET_PREFIX   24
#define NET_GATEWAY  "10.0.2.2" /* the host, as seen by the container */
#define NET_DNS	     "10.0.2.3"
#define NET_ADDRESS6 "fd00::100"
#define NET_GATEWAY6 "fd00::2"

struct netns_config {
	const char *interface; /* "eth0" */
	const char *address;   /* dotted quad; NULL: NET_ADDRESS */
	const char *mac;       /* NULL: derived from the address, 02:42:… */
	int tun_fd;	       /* /dev/net/tun opened on the host side, or -1 to
				  open it here */
};

/* Brings lo up; nothing else (--network none). */
int netns_loopback_up(struct error *err);
/* lo, tap with address, routes and MTU. Returns the tap's fd for moss-net. */
int netns_attach_tap(const struct netns_config *config, struct error *err);
