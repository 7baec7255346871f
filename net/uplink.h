/*
 * moss-net, the helper process beside a container: libslirp on the tap for
 * everything outbound, and the port forwards inbound.
 *
 * It is started early, as exec and the dynamic linker take most of its start:
 * uplink_spawn() while the container is still being made, uplink_configure()
 * once there are a tap and a network namespace. It confines itself before the
 * first packet: an empty root but for the host's resolv.conf, read-only;
 * no_new_privs; no capabilities (the forwarder's thread keeps CAP_NET_ADMIN
 * over the container's network namespace, to keep clients' addresses); a
 * seccomp filter that knows no socket family but INET and INET6.
 *
 * Two threads: the uplink in the host's network namespace, and, when ports are
 * published, the forwarder in the container's, which accepts on host sockets it
 * was given and connects inside (net/forward.h).
 *
 * It must be a child of the process that owns the container: it dies with that
 * one (PDEATHSIG), which kills and reaps it when the container is gone. It
 * keeps the network namespace alive until then. Whatever happens to it, the
 * kernel closes the ports.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "net/port.h"

struct uplink {
	pid_t pid;     /* a child; 0 when none */
	int socket_fd; /* to configure it; -1 afterwards */
};

struct uplink_forward {
	int fds[2]; /* from port_bind(); -1 unused; stay the caller's */
	uint16_t container_port;
	enum port_protocol protocol;
};

struct uplink_request {
	const char *name; /* of the container, for ps(1) */
	int tap_fd;	  /* these two stay the caller's; -1: no uplink, only
			     the port forwards */
	int netns_fd;
	const char *address;  /* the container's IPv4; NULL: NET_ADDRESS */
	const char *address6; /* without a tap; NULL: none */
	bool host_loopback;   /* may the gateway reach the host's 127.0.0.1? */
	const struct uplink_forward *forwards;
	size_t forward_count;
};

/*
 * The caller must hold CAP_SYS_ADMIN over the user namespace that owns
 * netns_fd, as every moss process in the pinned namespace does.
 */
int uplink_spawn(struct uplink *ret_uplink, struct error *err);
/*
 * Waits until it serves. The caller may close its copies of the descriptors
 * then. On failure the process is gone and reaped.
 */
int uplink_configure(struct uplink *uplink,
		     const struct uplink_request *request, struct error *err);
/* Kills and reaps it, in any state; one that is not there is fine. */
void uplink_stop(struct uplink *uplink);

/* Both steps. Returns the PID (a child). */
pid_t uplink_start(const struct uplink_request *request, struct error *err);
