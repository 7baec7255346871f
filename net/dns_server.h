/*
 * The name server of a named network: names of its containers from
 * net/names.h, everything else from the resolvers of the host's resolv.conf,
 * over UDP and TCP. One thread, one poll(2), bounded in all that a container
 * can ask for: DNS_EXCHANGES_MAX questions wait for the host's resolvers at
 * once, DNS_CLIENT_MAX of them a container's, and DNS_STREAMS_MAX connections
 * are open, each for DNS_STREAM_MS at most. Of what one container sends, no
 * more than DNS_CLIENT_RATE datagrams a second are looked into: the rest is
 * taken off the queue, which all share, and dropped.
 *
 * A question to a resolver leaves from a port and with an ID of its own, both
 * random, and only that resolver's answer to that ID comes back. What is not
 * answered within DNS_TRY_MS is asked of the next resolver. Nothing is cached:
 * the host's resolver does that.
 */
#pragma once

#include <stddef.h>

#include "net/names.h"
#include "net/prefix.h"

#define DNS_EXCHANGES_MAX 256
#define DNS_CLIENT_MAX	  64
#define DNS_CLIENT_RATE	  2000
#define DNS_STREAMS_MAX	  32
#define DNS_TRY_MS	  2500
#define DNS_TRIES	  3
#define DNS_STREAM_MS	  10000
#define DNS_TTL		  0 /* containers come and go */

struct dns_config {
	/* Bound and non-blocking: UDP, listening TCP, UDP … */
	const int *sockets;
	size_t socket_count;
	struct names *names;
	struct net_prefix subnets[2];
	int wake_fd; /* tells when containers come or go */
	int grace_ms;
};

/* Serves until there has been no container for grace_ms. */
void dns_serve(const struct dns_config *config);
