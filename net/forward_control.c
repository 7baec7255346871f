/*
 * The monitor's requests to a forwarder that serves: ports that come and go.
 */
#include <errno.h>
#include <sys/epoll.h>

#include "base/cleanup.h"
#include "base/fds.h"
#include "net/channel.h"
#include "net/forward_internal.h"

int control_start(struct forwarder *forwarder)
{
	forwarder->control = (struct control){
		.source = {.kind = SOURCE_CONTROL, .fd = UPLINK_SOCKET},
	};
	return forward_watch(forwarder, &forwarder->control.source, EPOLLIN);
}

static int add_ports(struct forwarder *forwarder,
		     const struct uplink_wire_ports *packet, size_t length,
		     const int *fds, size_t fd_count)
{
	struct forward_listener listeners[UPLINK_FDS_MAX];
	ssize_t count =
		channel_parse_ports(packet, length, fds, fd_count, listeners);
	int r = count < 0 ? (int)count : 0;

	for (size_t i = 0; r >= 0 && i < (size_t)count; i++)
		r = forward_add_listener(forwarder, &listeners[i]);
	if (r >= 0)
		return 0;
	/* All of a packet, or nothing. */
	for (size_t i = 0; count > 0 && i < packet->count; i++)
		forward_remove_listeners(forwarder, packet->ports[i].id, false);
	fds_close(fds, fd_count);
	return r;
}

static int remove_ports(struct forwarder *forwarder,
			const struct uplink_wire_ports *packet, size_t length,
			size_t fd_count)
{
	if (length != sizeof(*packet) || fd_count > 0 ||
	    packet->count > UPLINK_PORTS_MAX)
		return -EINVAL;
	for (size_t i = 0; i < packet->count; i++)
		forward_remove_listeners(forwarder, packet->ports[i].id, true);
	return 0;
}

/* An answer that the socket has no room for is all that is waited for. */
static void answer(struct forwarder *forwarder, uint32_t request, int result)
{
	struct control *control = &forwarder->control;
	struct epoll_event event = {.data.ptr = &control->source};

	control->waits = channel_answer(request, result) == -EAGAIN;
	control->request = request;
	control->result = result;
	event.events = control->waits ? EPOLLOUT : EPOLLIN;
	epoll_ctl(forwarder->epoll_fd, EPOLL_CTL_MOD, control->source.fd,
		  &event);
}

void control_event(struct forwarder *forwarder)
{
	struct control *control = &forwarder->control;
	struct uplink_wire_ports packet = {0};
	int fds[UPLINK_FDS_MAX];
	size_t fd_count = 0;
	ssize_t length;
	int r;

	if (control->waits) {
		answer(forwarder, control->request, control->result);
		return;
	}
	length =
		channel_receive(false, &packet, sizeof(packet), fds, &fd_count);
	if (length == -EAGAIN)
		return;
	/* The monitor has closed it: there is nothing to be told any more. */
	if (length == 0) {
		epoll_ctl(forwarder->epoll_fd, EPOLL_CTL_DEL,
			  control->source.fd, NULL);
		return;
	}
	if (length < 0) {
		r = (int)length;
	} else if (packet.type == UPLINK_ADD_PORTS) {
		r = add_ports(forwarder, &packet, (size_t)length, fds,
			      fd_count);
	} else {
		r = packet.type == UPLINK_REMOVE_PORTS
			    ? remove_ports(forwarder, &packet, (size_t)length,
					   fd_count)
			    : -EINVAL;
		fds_close(fds, fd_count);
	}
	answer(forwarder, packet.request, r);
}
