/*
 * net/uplink_wire.h, both ends: the ports that moss-net is given
 * (net/channel.h), and what the monitor hears of a moss-net that the world may
 * have taken over (net/uplink.h, reports of net/egress.h).
 *
 * Input: a byte that says how many descriptors come along, and a message.
 */
#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/channel.h"
#include "net/egress.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FIRST_FD 1000

static void check_ports(const uint8_t *data, size_t size, size_t length,
			size_t fd_count)
{
	struct uplink_wire_ports packet = {0};
	struct forward_listener listeners[UPLINK_FDS_MAX] = {0};
	int fds[UPLINK_FDS_MAX];
	ssize_t count;

	for (size_t i = 0; i < UPLINK_FDS_MAX; i++)
		fds[i] = FIRST_FD + (int)i;
	memcpy(&packet, data, size < sizeof(packet) ? size : sizeof(packet));
	count = channel_parse_ports(&packet, length, fds, fd_count, listeners);
	if (count < 0) {
		assert(count == -EINVAL);
		return;
	}
	/* Each descriptor once, in order, and no other. */
	assert(length == sizeof(packet) && (size_t)count == fd_count);
	for (size_t i = 0; i < fd_count; i++) {
		assert(listeners[i].fd == FIRST_FD + (int)i);
		assert(listeners[i].protocol == PORT_TCP ||
		       listeners[i].protocol == PORT_UDP);
	}
}

static void check_message(const struct uplink_message *message)
{
	struct egress_report report;

	if (!message->is_report) {
		assert(message->result <= 0);
		return;
	}
	assert(message->length <= sizeof(message->bytes));
	assert(message->kind < UPLINK_REPORT_KINDS);
	if (!egress_report_parse(message->bytes, message->length, &report))
		return;
	assert(report.reason < EGRESS_REASON_COUNT);
	assert(egress_reason_name((enum egress_reason)report.reason));
	assert(memchr(report.name, '\0', sizeof(report.name)));
	for (const char *c = report.name; *c; c++)
		assert(*c > ' ' && *c < 127);
}

static void check_answers(const uint8_t *data, size_t size)
{
	struct uplink_message message = {0};
	struct uplink uplink = {0};
	int fds[2];
	int r;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) < 0)
		abort();
	uplink.socket_fd = fds[0];
	assert(uplink_receive(&uplink, &message) == -EAGAIN);
	if (send(fds[1], data, size, MSG_NOSIGNAL) != (ssize_t)size)
		abort();
	close(fds[1]);
	r = uplink_receive(&uplink, &message);
	if (r == 1)
		check_message(&message);
	else
		assert(r == -EBADMSG || (r == 0 && size == 0));
	if (r != 0)
		assert(uplink_receive(&uplink, &message) == 0);
	close(fds[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t fd_count;

	if (size == 0 || size > 8192)
		return 0;
	fd_count = *data++;
	size--;
	/* As it is, and as if it had been of the length that is expected. */
	check_ports(data, size, size, fd_count);
	check_ports(data, size, sizeof(struct uplink_wire_ports), fd_count);
	check_answers(data, size);
	return 0;
}
