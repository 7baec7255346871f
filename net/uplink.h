/*
 * moss-net, the helper process beside a container: libslirp on the tap for
 * everything outbound, behind the container's egress policy (net/egress.h), and
 * the port forwards inbound.
 *
 * It is started early, as exec and the dynamic linker take most of its start:
 * uplink_spawn() while the container is still being made, uplink_configure()
 * once there are a tap and a network namespace. It confines itself before the
 * first packet: an empty root but for the host's resolv.conf, read-only;
 * no_new_privs; no capabilities (the thread of published ports keeps
 * CAP_NET_ADMIN over the container's network namespace, to keep clients'
 * addresses); a seccomp filter that knows no socket family but INET and INET6.
 *
 * Up to three threads: the uplink in the host's network namespace; when ports
 * are published, the forwarder in the container's, which accepts on host
 * sockets it was given and connects inside (net/forward.h); and when there are
 * host ports, one that does the same in the other direction (net/host_port.h).
 * With --publish-mode slirp the published ports are the uplink's (net/port.h).
 *
 * The socket it was configured over stays open for what comes later
 * (net/uplink_wire.h): ports are added and removed, and it reports. Nothing
 * here waits for it longer than a moment, and nothing that it says is believed
 * before it was checked: it talks to the world.
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
	int socket_fd; /* non-blocking once it is configured */
};

struct uplink_forward {
	uint32_t id; /* the caller's, by which it is removed */
	int fds[2];  /* from port_bind(); -1 unused; stay the caller's */
	uint16_t container_port;
	enum port_protocol protocol;
};

struct uplink_request {
	const char *name; /* of the container, for ps(1) */
	int tap_fd;	  /* these two stay the caller's; -1: no uplink, only
			     the port forwards */
	int netns_fd;
	int egress_fd; /* with a tap: from egress_policy_pack(), stays the
			  caller's; has_egress: it counts */
	bool has_egress;
	const char *address;  /* the container's IPv4; NULL: NET_ADDRESS */
	const char *address6; /* without a tap; NULL: none */
	bool host_loopback;   /* may the gateway reach the host's 127.0.0.1? */
	const struct uplink_forward *forwards;
	size_t forward_count;
	/* With a tap: as many, where libslirp itself listens on the host;
	   forwards have no sockets then. NULL: they have. */
	const struct port_mapping *hosts;
	const struct port_list *host_ports; /* net/host_port.h; NULL: none */
};

/*
 * resolv_directory: of a net/resolv_copy.h, absolute; NULL, or not there: the
 * host's file as it is now.
 *
 * The caller must hold CAP_SYS_ADMIN over the user namespace that owns
 * netns_fd, as every moss process in the pinned namespace does.
 */
int uplink_spawn(const char *resolv_directory, struct uplink *ret_uplink,
		 struct error *err);
/*
 * Waits until it serves. The caller may close its copies of the descriptors
 * then. On failure the process is gone and reaped.
 */
int uplink_configure(struct uplink *uplink,
		     const struct uplink_request *request, struct error *err);
/* Kills and reaps it, in any state; one that is not there is fine. */
void uplink_stop(struct uplink *uplink);

/*
 * One that serves ports already gets more of them, or those with these IDs
 * taken away. At most UPLINK_BATCH_MAX at a time; an answer with the number
 * `request` follows. Fails at once when it does not take requests.
 */
#define UPLINK_BATCH_MAX 64
int uplink_add_ports(const struct uplink *uplink, uint32_t request,
		     const struct uplink_forward *forwards, size_t count,
		     struct error *err);
int uplink_remove_ports(const struct uplink *uplink, uint32_t request,
			const uint32_t *ids, size_t count, struct error *err);

enum uplink_report_kind {
	UPLINK_REPORT_EGRESS, /* what the egress policy has to say */
	UPLINK_REPORT_KINDS,
};

struct uplink_message {
	bool is_report;

	/* an answer */
	uint32_t request;
	int result; /* 0 or a negative errno */

	/* a report */
	enum uplink_report_kind kind;
	uint32_t lost; /* that were dropped before this one */
	size_t length;
	char bytes[2048]; /* whatever moss-net was made to say */
};

/*
 * 1 and a message, 0 when it has closed its end, -EAGAIN when there is none,
 * -EBADMSG for what is none: it is not to be talked to any more.
 */
int uplink_receive(const struct uplink *uplink,
		   struct uplink_message *ret_message);
