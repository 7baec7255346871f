#include "net/slirp_loop.h"

#include <arpa/inet.h>
#include <errno.h>
#include <glib.h>
#include <libslirp.h>
#include <net/ethernet.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "net/egress.h"
#include "net/frame.h"
#include "net/neighbour.h"
#include "net/netns.h"
#include "net/refuse.h"
#include "net/window.h"

/*
 * What is taken from the tap before the sockets get their turn: many small
 * frames, or one of a bulk transfer, so that what is sent back to others does
 * not wait for more of it.
 */
#define TURN_FRAMES 64
#define TURN_BYTES  NET_MTU
/* Ethernet header and VLAN tag around an MTU. */
#define FRAME_MAX (NET_MTU + 18)
/* What libslirp asks for when it has nothing to wait for. */
#define SLIRP_IDLE_MS 1000

/* Answers that wait until the library can take them. */
#define ANSWERS_MAX 64

struct answer {
	uint8_t frame[NEIGHBOUR_FRAME_MAX];
	size_t length;
};

struct slirp_loop {
	Slirp *slirp;
	int tap_fd;
	bool routed;
	bool host_loopback;
	struct in_addr gateway;
	struct in6_addr gateway6;
	struct net_prefix subnets[2];
	struct answer answers[ANSWERS_MAX];
	size_t answer_count;
	struct pollfd *fds; /* [0] is the tap */
	size_t fd_count;
	size_t fd_room;
	struct egress *egress; /* NULL: everything may go out */
	uint8_t frame[FRAME_MAX];
};

/* True when frame asks for somebody; the library is not to be called now. */
static bool answer_neighbour(struct slirp_loop *loop, const void *frame,
			     size_t length)
{
	struct answer *answer = &loop->answers[loop->answer_count];

	if (length < sizeof(struct ether_header))
		return true;
	/* It asks again for what is not answered. */
	if (loop->answer_count == ANSWERS_MAX)
		return false;
	answer->length = neighbour_answer(frame, length, answer->frame);
	if (answer->length == 0)
		return false;
	loop->answer_count++;
	return true;
}

static void write_frame(const struct slirp_loop *loop, const uint8_t *frame,
			size_t length)
{
	uint8_t headers[WINDOW_HEADERS_MAX];
	const size_t changed = window_shrink(frame, length, headers);
	const size_t skip = loop->routed ? sizeof(struct ether_header) : 0;
	const uint8_t *start = changed > 0 ? headers : frame;
	const size_t split = changed > 0 ? changed : length;
	const struct iovec parts[] = {
		{.iov_base = (void *)(uintptr_t)(start + skip),
		 .iov_len = split - skip},
		{.iov_base = (void *)(uintptr_t)(frame + split),
		 .iov_len = length - split},
	};

	/* A frame lost is what networks do; TCP sends it again. */
	while (writev(loop->tap_fd, parts, ARRAY_SIZE(parts)) < 0 &&
	       errno == EINTR)
		;
}

static ssize_t send_packet(const void *frame, size_t length, void *opaque)
{
	struct slirp_loop *loop = opaque;

	if (loop->egress &&
	    !egress_inbound(loop->egress, frame, length, clock_ms()))
		return (ssize_t)length;
	if (!loop->routed || !answer_neighbour(loop, frame, length))
		write_frame(loop, frame, length);
	return (ssize_t)length;
}

static void egress_to_container(const void *frame, size_t length, void *opaque)
{
	write_frame(opaque, frame, length);
}

static void egress_to_uplink(const void *frame, size_t length, void *opaque)
{
	struct slirp_loop *loop = opaque;

	slirp_input(loop->slirp, frame, (int)length);
}

static void guest_error(const char *message, void *opaque)
{
}

static int64_t clock_get_ns(void *opaque)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/*
 * The only timer is that of unsolicited router advertisements, which a
 * container with static addresses can do without.
 */
static void *timer_new(SlirpTimerCb callback, void *callback_opaque,
		       void *opaque)
{
	return opaque;
}

static void *timer_new_opaque(SlirpTimerId id, void *callback_opaque,
			      void *opaque)
{
	return opaque;
}

static void timer_free(void *timer, void *opaque)
{
}

static void timer_mod(void *timer, int64_t expire_time, void *opaque)
{
}

/* Nobody reads what the library has to say about the container's packets. */
static void ignore_log(const char *domain, GLogLevelFlags level,
		       const char *message, void *data)
{
}

static void poll_fd_changed(int fd, void *opaque)
{
}

static void notify(void *opaque)
{
}

static const SlirpCb callbacks = {
	.send_packet = send_packet,
	.guest_error = guest_error,
	.clock_get_ns = clock_get_ns,
	.timer_new = timer_new,
	.timer_free = timer_free,
	.timer_mod = timer_mod,
	.register_poll_fd = poll_fd_changed,
	.unregister_poll_fd = poll_fd_changed,
	.notify = notify,
	.timer_new_opaque = timer_new_opaque,
};

int slirp_loop_new(const struct slirp_config *request,
		   struct slirp_loop **ret_loop, struct error *err)
{
	SlirpConfig config = {
		.version = 4,
		.in_enabled = true,
		.in6_enabled = true,
		.vprefix_len = NET_PREFIX6,
		.if_mtu = NET_MTU,
		.if_mru = NET_MTU,
		.disable_host_loopback = !request->host_loopback,
		.disable_dhcp = true,
	};
	struct slirp_loop *loop;

	inet_pton(AF_INET, NET_GATEWAY, &config.vhost);
	inet_pton(AF_INET, NET_DNS, &config.vnameserver);
	config.vnetmask.s_addr = htonl(~0u << (32 - NET_PREFIX));
	config.vnetwork.s_addr = config.vhost.s_addr & config.vnetmask.s_addr;
	config.vdhcp_start = config.vhost;
	inet_pton(AF_INET6, NET_GATEWAY6, &config.vhost6);
	inet_pton(AF_INET6, NET_DNS6, &config.vnameserver6);
	memcpy(&config.vprefix_addr6, &config.vhost6, NET_PREFIX6 / 8);

	g_log_set_default_handler(ignore_log, NULL);
	loop = xcalloc(1, sizeof(*loop));
	loop->tap_fd = request->tap_fd;
	loop->routed = request->routed;
	loop->host_loopback = request->host_loopback;
	loop->gateway = config.vhost;
	loop->gateway6 = config.vhost6;
	memcpy(loop->subnets, request->subnets, sizeof(loop->subnets));
	loop->slirp = slirp_new(&config, &callbacks, loop);
	if (!loop->slirp) {
		free(loop);
		return err_set(err, ERROR_UNSUPPORTED,
			       "libslirp %s does not take moss's configuration",
			       slirp_version_string());
	}
	if (request->egress) {
		const struct egress_hooks hooks = {
			.to_container = egress_to_container,
			.to_uplink = egress_to_uplink,
			.report = request->report,
			.opaque = loop,
		};

		loop->egress = egress_new(request->egress, &hooks);
	}
	*ret_loop = loop;
	return 0;
}

/* One address of the host, to the container's of the same family. */
static int publish_family(struct slirp_loop *loop,
			  const struct slirp_port *port, int family,
			  struct in_addr address)
{
	struct sockaddr_in6 host6 = {.sin6_family = AF_INET6,
				     .sin6_port = htons(port->host_port)};
	struct sockaddr_in6 guest6 = {.sin6_family = AF_INET6,
				      .sin6_port = htons(port->container_port)};
	struct sockaddr_in host = {.sin_family = AF_INET,
				   .sin_port = htons(port->host_port)};
	const struct sockaddr_in guest = {.sin_family = AF_INET,
					  .sin_port =
						  htons(port->container_port),
					  .sin_addr = address};
	int flags = port->protocol == PORT_UDP ? SLIRP_HOSTFWD_UDP : 0;
	int r;

	if (family == AF_INET) {
		if (*port->host_ip)
			inet_pton(AF_INET, port->host_ip, &host.sin_addr);
		r = slirp_add_hostxfwd(
			loop->slirp, (const struct sockaddr *)&host,
			sizeof(host), (const struct sockaddr *)&guest,
			sizeof(guest), flags);
	} else {
		if (*port->host_ip)
			inet_pton(AF_INET6, port->host_ip, &host6.sin6_addr);
		inet_pton(AF_INET6, NET_ADDRESS6, &guest6.sin6_addr);
		r = slirp_add_hostxfwd(
			loop->slirp, (const struct sockaddr *)&host6,
			sizeof(host6), (const struct sockaddr *)&guest6,
			sizeof(guest6), flags | SLIRP_HOSTFWD_V6ONLY);
	}
	return r < 0 ? -errno : 0;
}

int slirp_loop_publish(struct slirp_loop *loop, const struct slirp_port *port,
		       struct in_addr address, struct error *err)
{
	bool is6 = strchr(port->host_ip, ':') != NULL;
	int r = 0;

	if (!is6)
		r = publish_family(loop, port, AF_INET, address);
	if (r >= 0 && (is6 || *port->host_ip == '\0'))
		r = publish_family(loop, port, AF_INET6, address);
	/* The host may have no IPv6. */
	if (!is6 && (r == -EAFNOSUPPORT || r == -EADDRNOTAVAIL))
		r = 0;
	return r < 0 ? err_number(err, r, "libslirp cannot publish port %u/%s",
				  port->host_port,
				  port_protocol_name(port->protocol))
		     : 0;
}

static const struct {
	int slirp;
	short poll;
} events_map[] = {
	{SLIRP_POLL_IN, POLLIN},   {SLIRP_POLL_OUT, POLLOUT},
	{SLIRP_POLL_PRI, POLLPRI}, {SLIRP_POLL_ERR, POLLERR},
	{SLIRP_POLL_HUP, POLLHUP},
};

static int push_fd(struct slirp_loop *loop, int fd, short events)
{
	if (loop->fd_count == loop->fd_room) {
		loop->fd_room = loop->fd_room ? 2 * loop->fd_room : 16;
		loop->fds =
			xrealloc(loop->fds, loop->fd_room, sizeof(*loop->fds));
	}
	loop->fds[loop->fd_count] = (struct pollfd){.fd = fd, .events = events};
	return (int)loop->fd_count++;
}

static int add_poll(int fd, int events, void *opaque)
{
	short wanted = 0;

	for (size_t i = 0; i < ARRAY_SIZE(events_map); i++) {
		if (events & events_map[i].slirp)
			wanted |= events_map[i].poll;
	}
	return push_fd(opaque, fd, wanted);
}

static int get_events(int index, void *opaque)
{
	const struct slirp_loop *loop = opaque;
	int events = 0;

	for (size_t i = 0; i < ARRAY_SIZE(events_map); i++) {
		if (loop->fds[index].revents & events_map[i].poll)
			events |= events_map[i].slirp;
	}
	return events;
}

/* Where a packet comes from, by its own word. */
static bool is_from_inside(const struct slirp_loop *loop, const uint8_t *packet,
			   size_t length)
{
	struct net_address_value source = {.family = AF_INET};
	size_t offset = 12;

	if (packet[0] >> 4 == 6) {
		source.family = AF_INET6;
		offset = 8;
	}
	if (length < offset + address_size(source.family))
		return false;
	memcpy(source.bytes, packet + offset, address_size(source.family));
	for (size_t i = 0; i < ARRAY_SIZE(loop->subnets); i++) {
		if (prefix_contains(&loop->subnets[i], &source))
			return true;
	}
	return false;
}

/* A packet of a tun device as a frame: its length, or as read(2). */
static ssize_t read_packet(struct slirp_loop *loop)
{
	struct ether_header header = {0};
	const size_t room = sizeof(loop->frame) - sizeof(header);
	uint8_t *packet = loop->frame + sizeof(header);
	ssize_t length = read(loop->tap_fd, packet, room);

	if (length <= 0)
		return length;
	memcpy(header.ether_shost, neighbour_mac, sizeof(neighbour_mac));
	header.ether_type =
		htons(packet[0] >> 4 == 6 ? ETHERTYPE_IPV6 : ETHERTYPE_IP);
	memcpy(loop->frame, &header, sizeof(header));
	if (!is_from_inside(loop, packet, (size_t)length))
		return 0;
	return length + (ssize_t)sizeof(header);
}

/* The host's loopback, which is closed? An allowed frame is long enough. */
static bool is_to_closed(const struct slirp_loop *loop, const uint8_t *frame)
{
	const uint8_t *packet = frame + sizeof(struct ether_header);
	struct ether_header header;

	if (loop->host_loopback)
		return false;
	memcpy(&header, frame, sizeof(header));
	switch (ntohs(header.ether_type)) {
	case ETHERTYPE_IP:
		return memcmp(packet + offsetof(struct ip, ip_dst),
			      &loop->gateway, sizeof(loop->gateway)) == 0;
	case ETHERTYPE_IPV6:
		return memcmp(packet + offsetof(struct ip6_hdr, ip6_dst),
			      &loop->gateway6, sizeof(loop->gateway6)) == 0;
	default:
		return false;
	}
}

static void input_frame(struct slirp_loop *loop, size_t length)
{
	uint8_t answer[PACKET_HEADERS_MAX];
	size_t refused = 0;

	if (!frame_is_allowed(loop->frame, length))
		return;
	if (loop->egress &&
	    !egress_outbound(loop->egress, loop->frame, length, clock_ms()))
		return;
	if (is_to_closed(loop, loop->frame))
		refused = refuse_tcp(loop->frame, length, answer);
	if (refused > 0)
		write_frame(loop, answer, refused);
	else
		slirp_input(loop->slirp, loop->frame, (int)length);
}

/* False when the tap is gone. */
static bool read_tap(struct slirp_loop *loop)
{
	size_t bytes = 0;

	for (int i = 0; i < TURN_FRAMES && bytes < TURN_BYTES; i++) {
		ssize_t length = loop->routed ? read_packet(loop)
					      : read(loop->tap_fd, loop->frame,
						     sizeof(loop->frame));

		if (length < 0)
			return errno == EAGAIN || errno == EINTR ||
			       errno == ENOMEM || errno == ENOBUFS;
		bytes += (size_t)length;
		input_frame(loop, (size_t)length);
	}
	return true;
}

/* True when there was one; what waited for it goes out in the next turn. */
static bool give_answers(struct slirp_loop *loop)
{
	size_t count = loop->answer_count;

	for (size_t i = 0; i < count; i++)
		slirp_input(loop->slirp, loop->answers[i].frame,
			    (int)loop->answers[i].length);
	memmove(loop->answers, loop->answers + count,
		(loop->answer_count - count) * sizeof(*loop->answers));
	loop->answer_count -= count;
	return count > 0;
}

_Noreturn void slirp_loop_run(struct slirp_loop *loop)
{
	bool tap = true;

	for (;;) {
		uint32_t timeout = UINT32_MAX;
		bool answered = give_answers(loop);
		int expire = loop->egress
				     ? egress_expire(loop->egress, clock_ms())
				     : -1;
		int wait;
		int r;

		loop->fd_count = 0;
		/* poll(2) passes over -1. */
		push_fd(loop, tap ? loop->tap_fd : -1, POLLIN);
		slirp_pollfds_fill(loop->slirp, &timeout, add_poll, loop);
		wait = timeout >= SLIRP_IDLE_MS && loop->fd_count == 1
			       ? -1
			       : (int)timeout;
		if (answered)
			wait = 0;
		if (expire >= 0 && (wait < 0 || expire < wait))
			wait = expire;
		r = poll(loop->fds, loop->fd_count, wait);
		slirp_pollfds_poll(loop->slirp, r < 0, get_events, loop);
		if (r > 0 && loop->fds[0].revents)
			tap = read_tap(loop);
	}
}
