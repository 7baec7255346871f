/*
 * Published ports at the host's own speed: a container's bind(2) on a published
 * TCP port gets a socket of the host's network namespace.
 *
 * The container's processes have a seccomp filter that turns bind(2) and
 * connect(2) into notifications (policy/seccomp_native.h). moss-native, a
 * helper process beside the container, answers them: a TCP socket of the
 * container's, bound to a published port on any or an own address, is replaced
 * by one of the host's that is bound to the published address, with the same
 * options and flags, and with the epoll registrations it had. Other TCP sockets
 * it binds itself, and connects likewise, and a client inside that means a
 * published port gets a socket of the host's that is connected to it; all else
 * goes on as if nobody looked.
 *
 * Who does not trust whom. The container is hostile, and an answer "go on" is
 * no boundary, since another thread may exchange the descriptor before the
 * kernel looks at it. So nothing rests on it. There are two boundaries:
 *
 *   NATIVE_LANDLOCK  (Linux 6.7) the container's processes may not bind or
 *      connect TCP sockets at all: moss-native does it in their stead, for
 *      sockets of the container's own namespaces only. So a handed or accepted
 *      socket can never be connected nor bound again. Landlock's price: a
 *      program started by exec cannot look into those of another exec or of
 *      the container's own (ptrace, /proc/PID/fd, environ, …).
 *   NATIVE_FILTER    a locked socket filter (native_filter.h) that accepted,
 *      duplicated and passed sockets have, too, so that nothing but the
 *      published port's own traffic ever comes in. Newer kernels do not let an
 *      unprivileged user set one on TCP; where it can be had it is there beside
 *      Landlock, too.
 *
 * What is left of the host's network: to accept on the published port; to
 * learn the host's interfaces and addresses; with Landlock alone to make an
 * accepted socket listen on a port of the kernel's choice, and, by passing the
 * socket to an accomplice in a container without native ports, to connect; with
 * the filter alone to bind an accepted socket to another free, unprivileged
 * port, on which nothing is received, and to send requests for connections
 * that are never established.
 *
 * The port is held by a socket that is bound and does not listen, so that a
 * client is refused when no program listens, and nobody else's program gets
 * the port. Programs that bind it in turn, or share it by SO_REUSEPORT, work as
 * ever; who binds it without that option while another listens gets EADDRINUSE.
 * Two that bind at the same time before one listens are not told apart, nor
 * whether the first one shares. Ports below the container's
 * ip_unprivileged_port_start are for who may bind them there.
 *
 * UDP, ports published more than once and host addresses of IPv6 given by hand
 * are the forwarder's (net/forward.h), as are ports added while it runs. The
 * port does not exist in the container's own namespace: neighbours on a network
 * reach it by the host only.
 *
 * Lives and deaths: moss-native is a child of the monitor's and dies with it
 * (PDEATHSIG). The monitor keeps the reservations and the listening ends of
 * notifications, so that another can take over from one that was killed; binds
 * wait meanwhile. It is in the container's user namespace, with CAP_SYS_PTRACE,
 * CAP_NET_ADMIN and CAP_NET_BIND_SERVICE there and nowhere else (the last one
 * for those who have it themselves), not dumpable, in an empty root with /proc,
 * under a seccomp filter. One process a container, so that a flood of binds
 * delays nobody else.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "net/port.h"

#define NATIVE_ADDRESSES_MAX 32
#define NATIVE_LISTENERS_MAX 512 /* programs started by exec that live */

/* What keeps handed sockets from the host's network. */
enum native_boundary { NATIVE_FILTER, NATIVE_LANDLOCK };

struct native {
	pid_t pid; /* a child; 0: none */
	int socket_fd;
};

/* A reservation: one socket a family, -1 unused. */
struct native_port {
	int fds[2];
	uint16_t container_port;
};

struct native_request {
	const char *name; /* of the container, for ps(1) */
	enum native_boundary boundary;
	int userns_fd; /* of the container; -1: the caller's own */
	int netns_fd;
	/* The container's own, without loopback; text. */
	const char *addresses[NATIVE_ADDRESSES_MAX];
	size_t address_count;
	const struct native_port *ports;
	size_t port_count;
};

/* What this kernel has; ERROR_UNSUPPORTED with what it would take. */
int native_boundary(enum native_boundary *ret_boundary, struct error *err);
/* May this mapping, one of all, be published natively? */
bool native_is_possible(const struct port_mapping *mapping,
			const struct port_list *all);
/* Makes reservations of what port_bind() gave; the numbers stay the same. */
int native_reserve(int fds[2], struct error *err);

/* Returns when it is ready. The descriptors stay the caller's. */
int native_start(struct native *ret_native,
		 const struct native_request *request, struct error *err);
/* One more end of notifications to answer; stays the caller's. */
int native_listen(const struct native *native, int notify_fd,
		  struct error *err);
/* Kills and reaps it; one that is not there is fine. */
void native_stop(struct native *native);
