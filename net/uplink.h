/*
 * moss-net, the helper process beside a container: libslirp on the tap for
 * everything outbound, and the port forwards. It confines itself before the
 * first packet: no capabilities, no_new_privs, an empty root, its own seccomp
 * filter. Two threads: the uplink in the host's network namespace, the splice
 * forwarder in the container's (it accepts on host sockets it was given and
 * connects inside). It dies with its parent and when the namespace's last
 * process is gone.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "net/port.h"

struct uplink_forward {
	int fds[2]; /* from port_bind(); -1 unused */
	uint16_t container_port;
	enum port_protocol protocol;
};

struct uplink_request {
	const char *name; /* of the container, for ps(1) */
	int tap_fd;
	int userns_fd; /* the container's, to enter netns_fd's owner */
	int netns_fd;
	const char *address; /* the container's IPv4; NULL: NET_ADDRESS */
	char *const *dns;    /* upstream resolvers' override; NULL: host's */
	bool host_loopback;  /* may the gateway reach the host's 127.0.0.1? */
	const struct uplink_forward *forwards;
	size_t forward_count;
};

/* Starts it and waits until it serves. Returns the PID (a child). */
pid_t uplink_start(const struct uplink_request *request, struct error *err);
