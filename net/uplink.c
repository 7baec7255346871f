#include "net/uplink.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fds.h"
#include "base/proc.h"
#include "net/helper.h"
#include "net/netns.h"
#include "net/uplink_wire.h"

#define PROGRAM "moss-net"

/* To be made, and to take what it is told: milliseconds in the worst case. */
#define CONFIGURE_TIMEOUT_S 20
#define ERRNO_MAX	    4095 /* the kernel's */

_Static_assert(UPLINK_BATCH_MAX == UPLINK_PORTS_MAX, "one packet");
_Static_assert(sizeof(((struct port_mapping *)NULL)->host_ip) == UPLINK_IP_MAX,
	       "any address");
_Static_assert(sizeof(((struct uplink_message *)NULL)->bytes) ==
		       UPLINK_REPORT_SIZE,
	       "any report");

int uplink_spawn(const char *resolv_directory, struct uplink *ret_uplink,
		 struct error *err)
{
	char *directory = (char *)(uintptr_t)resolv_directory;
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

	fd = (struct spawn_fd){.from = theirs, .to = UPLINK_SOCKET};
	/*
	 * Nothing else of the environment: G_DEBUG and friends change what the
	 * library does. The second thread hardly needs a heap of its own.
	 */
	pid = proc_spawn(
		&(struct spawn){
			.path = path,
			.argv = (char *[]){path, directory, NULL},
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

static int send_start(int socket_fd, const struct uplink_request *request)
{
	struct uplink_wire_start start = {
		.magic = UPLINK_MAGIC,
		.port_count = (uint32_t)request->forward_count,
		.host_loopback = request->host_loopback,
		.has_tap = request->tap_fd >= 0,
		.has_egress = request->has_egress,
		.has_hosts = request->hosts != NULL,
	};
	const int fds[] = {request->netns_fd, request->tap_fd,
			   request->egress_fd};
	const bool named = request->tap_fd < 0;
	const char *address = request->address ? request->address : NET_ADDRESS;
	const char *address6 = named ? request->address6 : NET_ADDRESS6;

	if (inet_pton(AF_INET, address, &start.address) != 1 ||
	    (address6 && inet_pton(AF_INET6, address6, start.address6) != 1))
		return -EINVAL;
	for (size_t i = 0;
	     request->host_ports && i < request->host_ports->count; i++) {
		const struct port_mapping *port =
			&request->host_ports->entries[i];

		if (i == UPLINK_HOST_PORTS)
			return -E2BIG;
		start.host_ports[i] = (struct uplink_wire_host_port){
			.host = port->host_port,
			.container = port->container_port,
		};
		start.host_port_count++;
	}
	snprintf(start.name, sizeof(start.name), "%s",
		 request->name ? request->name : "");
	return fds_send(socket_fd, 0, &start, sizeof(start), fds,
			named		      ? 1
			: request->has_egress ? 3
					      : 2);
}

/* One packet of at most UPLINK_PORTS_MAX of them. */
static int send_forwards(int socket_fd, uint32_t request,
			 const struct uplink_forward *forwards,
			 const struct port_mapping *hosts, size_t count)
{
	struct uplink_wire_ports packet = {
		.type = UPLINK_ADD_PORTS,
		.request = request,
		.count = (uint32_t)count,
	};
	int fds[UPLINK_FDS_MAX];
	size_t fd_count = 0;

	for (size_t i = 0; i < count; i++) {
		struct uplink_wire_port *port = &packet.ports[i];

		port->id = forwards[i].id;
		port->container_port = forwards[i].container_port;
		port->protocol = (uint8_t)forwards[i].protocol;
		for (size_t j = 0; j < ARRAY_SIZE(forwards[i].fds); j++) {
			if (forwards[i].fds[j] < 0)
				continue;
			fds[fd_count++] = forwards[i].fds[j];
			port->fd_count++;
		}
		if (!hosts)
			continue;
		port->host_port = hosts[i].host_port;
		memcpy(port->host_ip, hosts[i].host_ip, sizeof(port->host_ip));
	}
	return fds_send(socket_fd, 0, &packet, sizeof(packet), fds, fd_count);
}

static int send_ports(int socket_fd, const struct uplink_request *request)
{
	size_t next = 0;

	while (next < request->forward_count) {
		size_t left = request->forward_count - next;
		size_t count =
			left < UPLINK_PORTS_MAX ? left : UPLINK_PORTS_MAX;
		int r = send_forwards(
			socket_fd, 0, request->forwards + next,
			request->hosts ? request->hosts + next : NULL, count);

		if (r < 0)
			return r;
		next += count;
	}
	return 0;
}

int uplink_configure(struct uplink *uplink,
		     const struct uplink_request *request, struct error *err)
{
	const struct timeval timeout = {.tv_sec = CONFIGURE_TIMEOUT_S};
	int r;

	if (request->forward_count > PORT_MAPPINGS_MAX) {
		uplink_stop(uplink);
		return err_set(err, ERROR_INVALID,
			       "too many ports: the limit is %d",
			       PORT_MAPPINGS_MAX);
	}
	setsockopt(uplink->socket_fd, SOL_SOCKET, SO_RCVTIMEO, &timeout,
		   sizeof(timeout));
	setsockopt(uplink->socket_fd, SOL_SOCKET, SO_SNDTIMEO, &timeout,
		   sizeof(timeout));
	r = send_start(uplink->socket_fd, request);
	if (r == 0)
		r = send_ports(uplink->socket_fd, request);
	/* A broken pipe has its reason on the way back. */
	if (r == 0 || r == -EPIPE || r == -ECONNRESET)
		r = helper_wait_ready(uplink->socket_fd, PROGRAM, err);
	else
		err_number(err, r, "cannot configure %s", PROGRAM);
	if (r >= 0 && fcntl(uplink->socket_fd, F_SETFL, O_NONBLOCK) < 0)
		r = err_errno(err, "cannot talk to %s", PROGRAM);
	if (r < 0)
		uplink_stop(uplink);
	return r;
}

static int explain_request(int r, struct error *err)
{
	if (r == -EAGAIN)
		return err_set(err, ERROR_TIMEOUT,
			       "the network helper does not take requests");
	return err_number(err, r, "the network helper cannot be asked");
}

int uplink_add_ports(const struct uplink *uplink, uint32_t request,
		     const struct uplink_forward *forwards, size_t count,
		     struct error *err)
{
	int r = send_forwards(uplink->socket_fd, request, forwards, NULL,
			      count);

	return r < 0 ? explain_request(r, err) : 0;
}

int uplink_remove_ports(const struct uplink *uplink, uint32_t request,
			const uint32_t *ids, size_t count, struct error *err)
{
	struct uplink_wire_ports packet = {
		.type = UPLINK_REMOVE_PORTS,
		.request = request,
		.count = (uint32_t)count,
	};
	int r;

	for (size_t i = 0; i < count; i++)
		packet.ports[i].id = ids[i];
	r = fds_send(uplink->socket_fd, 0, &packet, sizeof(packet), NULL, 0);
	return r < 0 ? explain_request(r, err) : 0;
}

union packet {
	uint32_t type;
	struct uplink_wire_answer answer;
	struct uplink_wire_report report;
};

static int parse_report(const struct uplink_wire_report *report, size_t length,
			struct uplink_message *ret_message)
{
	const size_t header = offsetof(struct uplink_wire_report, bytes);

	if (length < header || report->kind >= UPLINK_REPORT_KINDS ||
	    report->length != length - header)
		return -EBADMSG;
	ret_message->is_report = true;
	ret_message->kind = (enum uplink_report_kind)report->kind;
	ret_message->lost = report->lost;
	ret_message->length = report->length;
	memcpy(ret_message->bytes, report->bytes, report->length);
	return 1;
}

static int parse_answer(const struct uplink_wire_answer *answer, size_t length,
			struct uplink_message *ret_message)
{
	if (length != sizeof(*answer) || answer->result > 0 ||
	    answer->result < -ERRNO_MAX)
		return -EBADMSG;
	ret_message->is_report = false;
	ret_message->request = answer->request;
	ret_message->result = answer->result;
	return 1;
}

int uplink_receive(const struct uplink *uplink,
		   struct uplink_message *ret_message)
{
	union packet packet;
	ssize_t length;

	do {
		/* Descriptors that come along are dropped by the kernel. */
		length = recv(uplink->socket_fd, &packet, sizeof(packet),
			      MSG_DONTWAIT | MSG_TRUNC);
	} while (length < 0 && errno == EINTR);
	if (length < 0)
		return errno == ECONNRESET ? 0 : -errno;
	if (length == 0)
		return 0;
	if ((size_t)length < sizeof(packet.type) ||
	    (size_t)length > sizeof(packet))
		return -EBADMSG;
	switch (packet.type) {
	case UPLINK_ANSWER:
		return parse_answer(&packet.answer, (size_t)length,
				    ret_message);
	case UPLINK_REPORT:
		return parse_report(&packet.report, (size_t)length,
				    ret_message);
	default:
		return -EBADMSG;
	}
}
