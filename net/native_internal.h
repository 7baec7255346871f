/* Inside moss-native; net/native.h has the theory. */
#pragma once

#include <linux/capability.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "net/native.h"

union native_address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

/* A published port. */
struct native_target {
	uint16_t container_port;
	uint16_t host_port;
	int fds[2]; /* reservations of IPv4 and IPv6; -1: none */
	union native_address addresses[2];
};

/* What is waited for: epoll's data. */
struct watch {
	enum { WATCH_CONTROL, WATCH_LISTENER, WATCH_CONNECT } kind;
	int fd;
};

/* A blocking connect(2) that is under way. */
struct pending;

struct supervisor {
	enum native_boundary boundary;
	int proc_fd;
	int epoll_fd;
	int setting_fd; /* native_privileged_open() */
	struct pending *pending;
	size_t pending_count;
	dev_t netns_device;
	ino_t netns_inode;
	dev_t userns_device; /* the container's, which is ours */
	ino_t userns_inode;
	struct in6_addr addresses[NATIVE_ADDRESSES_MAX];
	size_t address_count;
	struct native_target *targets;
	size_t target_count;
};

/* ---- native_answer.c ---- */

/* Answers one notification; -errno when notify_fd is of no use any more. */
int native_answer(struct supervisor *supervisor, int notify_fd);

/* A process is told: 0 or -errno of the call it made. */
void native_reply(int notify_fd, uint64_t id, int result);

/* ---- native_connect.c ---- */

#define NATIVE_LATER 1

/*
 * connect(2) of fd, a socket of the container's, on behalf of who made the call
 * id: its result, or NATIVE_LATER when that will be told in time.
 */
int native_connect(struct supervisor *supervisor, int notify_fd, uint64_t id,
		   int fd, const struct sockaddr *address, socklen_t length);
/* The same for one whose connection is under way already. */
int native_connect_await(struct supervisor *supervisor, int notify_fd,
			 uint64_t id, int fd);
/* There is news of it. */
void native_connect_continue(struct supervisor *supervisor,
			     struct watch *watch);
/* Milliseconds until the next one times out, as epoll_wait(2) has them. */
int native_connect_timeout(struct supervisor *supervisor);

/* ---- native_socket.c ---- */

/*
 * A socket of the host's for the container's own, which wants to be bound to
 * address (its own namespace's). -EADDRINUSE when the port is taken by another
 * program of the container, -EOPNOTSUPP when the port is not published for such
 * an address.
 */
int native_socket_make(const struct supervisor *supervisor,
		       const struct native_target *target, int own_fd,
		       const union native_address *address);

/*
 * A socket of the host's, as own_fd is, that is connected to the published
 * port, or about to be (*ret_under_way), for a client in the container.
 * -ECONNREFUSED when nobody listens there.
 */
int native_socket_connect(const struct supervisor *supervisor,
			  const struct native_target *target, int own_fd,
			  const union native_address *wanted,
			  bool *ret_under_way);

/* ---- native_epoll.c ---- */

/*
 * Registers host_fd wherever process tid (process_fd) has own_fd's file as fd
 * in an epoll: the kernel forgets those of a file that is replaced.
 */
void native_epoll_repair(const struct supervisor *supervisor, pid_t tid,
			 int process_fd, int fd, int own_fd, int host_fd);

/* ---- native_privileged.c ---- */

/* The container's setting, which its root may change; negative: unknown. Needs
   rights over the network namespace. */
int native_privileged_open(const struct supervisor *supervisor, int netns_fd);
bool native_is_privileged(const struct supervisor *supervisor, uint16_t port);

/* ---- native_confine.c ---- */

/*
 * In the container's user namespace. CAP_NET_BIND_SERVICE is in force only
 * while a call is made for a process that has it, too.
 */
#define NATIVE_CAPABILITIES                               \
	(1ull << CAP_SYS_PTRACE | 1ull << CAP_NET_ADMIN | \
	 1ull << CAP_NET_BIND_SERVICE)
int native_bind_service(bool on);

/* The last step: nothing but what the files above call. */
int native_confine(struct error *err);

/* ---- moss-native.c ---- */

/*
 * The same file under a number that a program of the container hardly has for
 * a socket, so that ours are free for native_epoll_repair(). Negative ones, and
 * those that cannot be moved, are returned as they are.
 */
#define NATIVE_FD_BASE 1024
int native_raise(int fd);
