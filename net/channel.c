#include "net/channel.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/clock.h"
#include "base/fds.h"

ssize_t channel_receive(bool wait, void *data, size_t size, int *fds,
			size_t *ret_fd_count)
{
	*ret_fd_count = UPLINK_FDS_MAX;
	return fds_receive(UPLINK_SOCKET, wait ? 0 : MSG_DONTWAIT, data, size,
			   fds, ret_fd_count);
}

ssize_t channel_parse_ports(const struct uplink_wire_ports *packet,
			    size_t length, const int *fds, size_t fd_count,
			    struct forward_listener *ret_listeners)
{
	size_t next = 0;

	if (length != sizeof(*packet) || packet->count == 0 ||
	    packet->count > UPLINK_PORTS_MAX || fd_count > UPLINK_FDS_MAX)
		return -EINVAL;
	for (size_t i = 0; i < packet->count; i++) {
		const struct uplink_wire_port *port = &packet->ports[i];

		if (port->fd_count == 0 || port->fd_count > 2 ||
		    port->fd_count > fd_count - next ||
		    (port->protocol != PORT_TCP && port->protocol != PORT_UDP))
			return -EINVAL;
		for (size_t j = 0; j < port->fd_count; j++, next++)
			ret_listeners[next] = (struct forward_listener){
				.fd = fds[next],
				.id = port->id,
				.container_port = port->container_port,
				.protocol = (enum port_protocol)port->protocol,
			};
	}
	return next == fd_count ? (ssize_t)next : -EINVAL;
}

/* True, or false and errno. */
static bool send_packet(const void *data, size_t length)
{
	ssize_t n;

	do {
		n = send(UPLINK_SOCKET, data, length,
			 MSG_DONTWAIT | MSG_NOSIGNAL);
	} while (n < 0 && errno == EINTR);
	return n >= 0;
}

int channel_answer(uint32_t request, int result)
{
	const struct uplink_wire_answer answer = {
		.type = UPLINK_ANSWER, .request = request, .result = result};

	/* Nobody is there for any other failure. */
	return send_packet(&answer, sizeof(answer)) || errno != EAGAIN
		       ? 0
		       : -EAGAIN;
}

void channel_report(enum uplink_report_kind kind, const void *bytes,
		    size_t length)
{
	static uint32_t lost, count;
	static int64_t second = -1;
	struct uplink_wire_report report = {
		.type = UPLINK_REPORT, .kind = kind, .lost = lost};
	int64_t now = clock_ms() / 1000;

	if (now != second) {
		second = now;
		count = 0;
	}
	if (length > sizeof(report.bytes))
		length = sizeof(report.bytes);
	report.length = (uint32_t)length;
	memcpy(report.bytes, bytes, length);
	if (count++ < UPLINK_REPORTS_MAX &&
	    send_packet(&report,
			offsetof(struct uplink_wire_report, bytes) + length))
		lost = 0;
	else
		lost++;
}
