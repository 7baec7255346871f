#include "net/uplink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/proc.h"
#include "net/netns.h"
#include "net/uplink_wire.h"

#define PROGRAM "moss-net"

int uplink_spawn(struct uplink *ret_uplink, struct error *err)
{
	cleanup_free char *path = proc_helper_path(PROGRAM, err);
	cleanup_fd int mine = -1;
	cleanup_fd int theirs = -1;
	struct spawn_fd fd;
	int pair[2];
	pid_t pid;

	if (!path)
		return err ? err_return(err) : -ENOENT;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(err, "cannot start %s", PROGRAM);
	mine = pair[0];
	theirs = pair[1];

	fd = (struct spawn_fd){.from = theirs, .to = UPLINK_SOCKET};
	/*
	 * Nothing else of the environment: G_DEBUG and friends change what the
	 * library does. The second thread hardly needs a heap of its own.
	 */
	pid = proc_spawn(
		&(struct spawn){
			.path = path,
			.argv = (char *[]){path, NULL},
			.env = (char *[]){"MALLOC_ARENA_MAX=1", NULL},
			.fds = &fd,
			.fd_count = 1,
			.die_with_parent = true,
		},
		err);
	if (pid < 0)
		return pid;
	*ret_uplink = (struct uplink){.pid = pid, .socket_fd = steal_fd(&mine)};
	return 0;
}

void uplink_stop(struct uplink *uplink)
{
	close_fd(&uplink->socket_fd);
	if (uplink->pid <= 0)
		return;
	kill(uplink->pid, SIGKILL);
	proc_wait(uplink->pid);
	uplink->pid = 0;
}

static int send_with_fds(int socket_fd, const void *data, size_t length,
			 const int *fds, size_t fd_count)
{
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(UPLINK_FDS_MAX * sizeof(int))];
	} control = {0};
	/* sendmsg() reads only; struct iovec has no const. */
	struct iovec iov = {.iov_base = (void *)(uintptr_t)data,
			    .iov_len = length};
	struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};

	if (fd_count > 0) {
		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(fd_count * sizeof(int));
		memcpy(CMSG_DATA(&control.header), fds, fd_count * sizeof(int));
	}
	while (sendmsg(socket_fd, &message, MSG_NOSIGNAL) < 0) {
		if (errno != EINTR)
			return -errno;
	}
	return 0;
}

static int send_start(int socket_fd, const struct uplink_request *request)
{
	struct uplink_wire_start start = {
		.magic = UPLINK_MAGIC,
		.port_count = (uint32_t)request->forward_count,
		.host_loopback = request->host_loopback,
		.has_tap = request->tap_fd >= 0,
	};
	const int fds[] = {request->netns_fd, request->tap_fd};
	const bool named = request->tap_fd < 0;
	const char *address = request->address ? request->address : NET_ADDRESS;
	const char *address6 = named ? request->address6 : NET_ADDRESS6;

	if (inet_pton(AF_INET, address, &start.address) != 1 ||
	    (address6 && inet_pton(AF_INET6, address6, start.address6) != 1))
		return -EINVAL;
	snprintf(start.name, sizeof(start.name), "%s",
		 request->name ? request->name : "");
	return send_with_fds(socket_fd, &start, sizeof(start), fds,
			     named ? 1 : 2);
}

static int send_ports(int socket_fd, const struct uplink_request *request)
{
	size_t next = 0;

	while (next < request->forward_count) {
		struct uplink_wire_ports packet = {0};
		int fds[UPLINK_FDS_MAX];
		size_t fd_count = 0;
		int r;

		while (next < request->forward_count &&
		       packet.count < UPLINK_PORTS_MAX) {
			const struct uplink_forward *forward =
				&request->forwards[next++];
			struct uplink_wire_port *port =
				&packet.ports[packet.count++];

			port->container_port = forward->container_port;
			port->protocol = (uint8_t)forward->protocol;
			for (size_t i = 0; i < ARRAY_SIZE(forward->fds); i++) {
				if (forward->fds[i] < 0)
					continue;
				fds[fd_count++] = forward->fds[i];
				port->fd_count++;
			}
		}
		r = send_with_fds(socket_fd, &packet, sizeof(packet), fds,
				  fd_count);
		if (r < 0)
			return r;
	}
	return 0;
}

/* What moss-net says: it serves, why not, or nothing as it has ended. */
static int receive_result(int socket_fd, struct error *err)
{
	struct error result = {0};
	ssize_t length;

	do {
		length = recv(socket_fd, &result, sizeof(result), 0);
	} while (length < 0 && errno == EINTR);
	if (length == sizeof(UPLINK_READY))
		return 0;
	if (length == sizeof(result))
		return err_copy(err, &result);
	if (length < 0)
		return err_errno(err, "cannot hear from %s", PROGRAM);
	return err_set(err, ERROR_GENERIC, "%s ended before it was ready",
		       PROGRAM);
}

int uplink_configure(struct uplink *uplink,
		     const struct uplink_request *request, struct error *err)
{
	int r;

	if (request->forward_count > PORT_MAPPINGS_MAX) {
		uplink_stop(uplink);
		return err_set(err, ERROR_INVALID,
			       "too many ports: the limit is %d",
			       PORT_MAPPINGS_MAX);
	}
	r = send_start(uplink->socket_fd, request);
	if (r == 0)
		r = send_ports(uplink->socket_fd, request);
	/* A broken pipe has its reason on the way back. */
	if (r == 0 || r == -EPIPE || r == -ECONNRESET)
		r = receive_result(uplink->socket_fd, err);
	else
		err_number(err, r, "cannot configure %s", PROGRAM);
	if (r < 0) {
		uplink_stop(uplink);
		return r;
	}
	close_fd(&uplink->socket_fd);
	return 0;
}

pid_t uplink_start(const struct uplink_request *request, struct error *err)
{
	struct uplink uplink = {.socket_fd = -1};
	int r = uplink_spawn(&uplink, err);

	if (r < 0)
		return r;
	r = uplink_configure(&uplink, request, err);
	if (r < 0)
		return r;
	return uplink.pid;
}
