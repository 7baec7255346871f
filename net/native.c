#include "net/native.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fds.h"
#include "base/proc.h"
#include "net/helper.h"
#include "net/native_filter.h"
#include "net/native_wire.h"

#define PROGRAM "moss-native"

bool native_is_possible(const struct port_mapping *mapping,
			const struct port_list *all)
{
	size_t same = 0;

	for (size_t i = 0; i < all->count; i++) {
		const struct port_mapping *other = &all->entries[i];

		if (other->protocol == mapping->protocol &&
		    other->container_port == mapping->container_port)
			same++;
	}
	return mapping->protocol == PORT_TCP && same == 1 &&
	       !strchr(mapping->host_ip, ':');
}

/* Of Landlock, which asks for its version by this flag. */
#define LANDLOCK_VERSION     1
#define LANDLOCK_VERSION_NET 4

int native_boundary(enum native_boundary *ret_boundary, struct error *err)
{
	cleanup_fd int fd = -1;

	if (syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_VERSION) >=
	    LANDLOCK_VERSION_NET) {
		*ret_boundary = NATIVE_LANDLOCK;
		return 0;
	}
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd >= 0 && native_filter_lock(fd, 0) == 0) {
		*ret_boundary = NATIVE_FILTER;
		return 0;
	}
	err_set(err, ERROR_UNSUPPORTED,
		"ports cannot be published in native mode: this kernel offers "
		"nothing to confine the sockets with");
	return err_hint(err, "use Linux 6.7 or later with Landlock, or "
			     "--publish-mode splice");
}

/*
 * Bound beside the one that listens, which SO_REUSEPORT allows to sockets of
 * one user, and alone once that is closed: without SO_REUSEADDR nobody else's
 * socket comes in. The number is bound by name, so it stays whatever becomes of
 * a socket.
 */
static int reserve(int fd)
{
	struct sockaddr_storage address;
	socklen_t length = sizeof(address);
	cleanup_fd int held = -1;
	const int on = 1, off = 0;

	if (getsockname(fd, (struct sockaddr *)&address, &length) < 0)
		return -errno;
	held = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (held < 0 ||
	    (address.ss_family == AF_INET6 &&
	     setsockopt(held, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) <
		     0) ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) < 0 ||
	    setsockopt(held, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) < 0 ||
	    setsockopt(held, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    bind(held, (struct sockaddr *)&address, length) < 0 ||
	    setsockopt(held, SOL_SOCKET, SO_REUSEADDR, &off, sizeof(off)) < 0)
		return -errno;
	/* In its place, so that nobody listens any more. */
	return dup3(held, fd, O_CLOEXEC) < 0 ? -errno : 0;
}

int native_reserve(int fds[2], struct error *err)
{
	for (size_t i = 0; i < 2; i++) {
		int r = fds[i] < 0 ? 0 : reserve(fds[i]);

		if (r < 0)
			return err_number(err, r, "cannot reserve a port");
	}
	return 0;
}

static bool parse_address(const char *text, uint8_t ret_bytes[16])
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	if (strchr(text, ':'))
		return inet_pton(AF_INET6, text, ret_bytes) == 1;
	memcpy(ret_bytes, mapped, sizeof(mapped));
	return inet_pton(AF_INET, text, ret_bytes + sizeof(mapped)) == 1;
}

static int send_start(int socket_fd, const struct native_request *request)
{
	struct native_wire_start start = {
		.magic = NATIVE_MAGIC,
		.port_count = (uint32_t)request->port_count,
		.boundary = request->boundary,
		.has_userns = request->userns_fd >= 0,
	};
	const int fds[] = {request->netns_fd, request->userns_fd};

	for (size_t i = 0; i < request->address_count; i++) {
		if (parse_address(request->addresses[i],
				  start.addresses[start.address_count]))
			start.address_count++;
	}
	snprintf(start.name, sizeof(start.name), "%s",
		 request->name ? request->name : "");
	return fds_send(socket_fd, 0, &start, sizeof(start), fds,
			start.has_userns ? 2 : 1);
}

static int send_ports(int socket_fd, const struct native_request *request)
{
	int r = 0;

	for (size_t i = 0; i < request->port_count && r == 0; i++) {
		const struct native_port *port = &request->ports[i];
		struct native_wire_port packet = {
			.container_port = port->container_port,
		};
		int fds[NATIVE_FDS_MAX];

		for (size_t j = 0; j < ARRAY_SIZE(port->fds); j++) {
			if (port->fds[j] >= 0)
				fds[packet.fd_count++] = port->fds[j];
		}
		r = fds_send(socket_fd, 0, &packet, sizeof(packet), fds,
			     packet.fd_count);
	}
	return r;
}

static int spawn(struct native *ret_native, struct error *err)
{
	cleanup_free char *path = proc_helper_path(PROGRAM, err);
	cleanup_fd int mine = -1;
	cleanup_fd int theirs = -1;
	struct spawn_fd fd;
	pid_t pid;
	int r;

	if (!path)
		return err ? err_return(err) : -ENOENT;
	r = helper_pair(PROGRAM, &mine, &theirs, err);
	if (r < 0)
		return r;
	fd = (struct spawn_fd){.from = theirs, .to = NATIVE_SOCKET};
	pid = proc_spawn(
		&(struct spawn){
			.path = path,
			.argv = (char *[]){path, NULL},
			.env = (char *[]){NULL},
			.fds = &fd,
			.fd_count = 1,
			.die_with_parent = true,
		},
		err);
	if (pid < 0)
		return pid;
	*ret_native = (struct native){.pid = pid, .socket_fd = steal_fd(&mine)};
	return 0;
}

int native_start(struct native *ret_native,
		 const struct native_request *request, struct error *err)
{
	struct native native = {.socket_fd = -1};
	int r = spawn(&native, err);

	if (r < 0)
		return r;
	r = send_start(native.socket_fd, request);
	if (r == 0)
		r = send_ports(native.socket_fd, request);
	/* A broken pipe has its reason on the way back. */
	if (r == 0 || r == -EPIPE || r == -ECONNRESET)
		r = helper_wait_ready(native.socket_fd, PROGRAM, err);
	else
		err_number(err, r, "cannot configure %s", PROGRAM);
	if (r < 0) {
		native_stop(&native);
		return r;
	}
	*ret_native = native;
	return 0;
}

int native_listen(const struct native *native, int notify_fd, struct error *err)
{
	int r = fds_send(native->socket_fd, MSG_DONTWAIT, NATIVE_LISTEN,
			 sizeof(NATIVE_LISTEN), &notify_fd, 1);

	return r < 0 ? err_number(err, r, "cannot reach %s", PROGRAM) : 0;
}

void native_stop(struct native *native)
{
	close_fd(&native->socket_fd);
	if (native->pid <= 0)
		return;
	kill(native->pid, SIGKILL);
	proc_wait(native->pid);
	native->pid = 0;
}
