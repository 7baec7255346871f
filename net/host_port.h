/*
 * Host ports (--host-port): single ports of the host's loopback that a
 * container reaches at the gateway's address, host.docker.internal, while the
 * rest of that loopback stays closed to it.
 *
 * They do not go through the uplink. In the container's network namespace there
 * is, for each, a listening socket at NET_GATEWAY (and NET_GATEWAY6), which is
 * nobody's address there: a policy rule for TCP to this address and port makes
 * it local, so that all else at the gateway, ping as well, is the uplink's as
 * before. A forwarder (net/forward.h) in the host's namespace accepts on the
 * sockets and connects to 127.0.0.1, or where that refuses to [::1], at the
 * host's port, and at no other: whatever a container does with its routes,
 * addresses and packets, that is where its connections end.
 *
 * The socket is one of the container's namespace: nobody in there can listen on
 * all addresses at the same port at the same time.
 */
#pragma once

#include "base/error.h"
#include "net/forward.h"
#include "net/port.h"

#define HOST_PORTS_MAX 128

/*
 * "PORT[-END][:CONTAINERPORT[-END]][/tcp]"; appends. In a mapping host_port is
 * the host's and container_port what is reached inside.
 */
int host_port_parse(const char *text, struct port_list *list,
		    struct error *err);

/*
 * In moss-net: makes the listening sockets in the network namespace, over which
 * the caller has CAP_SYS_ADMIN, CAP_NET_ADMIN and, for low ports,
 * CAP_NET_BIND_SERVICE. ret_listeners: room for two for each; their count. What
 * is made when it fails ends with the process.
 */
int host_ports_open(int netns_fd, const struct port_mapping *ports,
		    size_t count, struct forward_listener *ret_listeners,
		    struct error *err);
