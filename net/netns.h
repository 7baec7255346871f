/*
 * Inside a container's new network namespace: rtnetlink and the tap, without
 * ip(8). Called by the container's first process while it still has
 * CAP_NET_ADMIN over the namespace and sees the host's /dev; nothing needs host
 * privileges.
 *
 * 10.0.2.0/24 as slirp has it: .2 is the host, .3 its resolver, .1 stands for
 * clients of published ports whose own address cannot be kept. IPv6 is there
 * when the kernel has it: fd00::/64, without duplicate address detection and
 * link-local address, as nobody else is on the wire.
 */
#pragma once

#include <stdint.h>

#include "base/error.h"

#define NET_MTU	       65520
#define NET_ADDRESS    "10.0.2.100"
#define NET_PREFIX     24
#define NET_GATEWAY    "10.0.2.2" /* the host, as seen by the container */
#define NET_DNS	       "10.0.2.3"
#define NET_FORWARDER  "10.0.2.1"
#define NET_ADDRESS6   "fd00::100"
#define NET_PREFIX6    64
#define NET_GATEWAY6   "fd00::2"
#define NET_DNS6       "fd00::3"
#define NET_FORWARDER6 "fd00::1"

struct netns_config {
	const char *interface; /* "eth0" */
	const char *address;   /* dotted quad; NULL: NET_ADDRESS */
	const char *mac;       /* NULL: derived from the address, 02:42:… */
	int tun_fd;	       /* O_PATH of the host's /dev/net/tun, or -1 for
				  that name: the kernel ties a tap to the
				  namespace in which it is opened, so that is
				  done here */
};

/* Brings lo up; nothing else (--network none). */
int netns_loopback_up(struct error *err);
/*
 * lo, tap with address, routes and MTU. Returns the tap's fd for moss-net,
 * non-blocking. The interface stays until its namespace goes.
 */
int netns_attach_tap(const struct netns_config *config, struct error *err);

/* --ip: a host of 10.0.2.0/24 that is nobody else's. */
int netns_address_check(const char *text, struct error *err);
/* --mac-address, as Go's net.ParseMAC takes it: six bytes, unicast. */
int netns_mac_parse(const char *text, uint8_t ret_mac[6], struct error *err);
