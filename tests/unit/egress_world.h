/*
 * A container and a libslirp that are played here, for tests of net/egress.h,
 * and what passes between them.
 */
#pragma once

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "net/dns_message.h"
#include "net/egress.h"
#include "net/packet.h"

struct capture {
	uint8_t frame[PACKET_FRAME_MAX];
	size_t length;
	size_t count;
};

struct world {
	struct egress *egress;
	struct capture container, uplink; /* the last frame for each */
	char bytes[65536]; /* all data that libslirp was given, in order */
	size_t byte_count;
	struct egress_report report; /* the last one */
	size_t reports;
	uint64_t told; /* refusals that they count */
	bool deaf;
	int64_t now;
	uint32_t seq; /* of the container's next byte */
};

static void capture(struct capture *to, const void *frame, size_t length)
{
	memcpy(to->frame, frame, length);
	to->length = length;
	to->count++;
}

static void to_container(const void *frame, size_t length, void *opaque)
{
	capture(&((struct world *)opaque)->container, frame, length);
}

static void to_uplink(const void *frame, size_t length, void *opaque)
{
	struct world *world = opaque;
	struct packet packet;

	capture(&world->uplink, frame, length);
	packet_parse(frame, length, &packet);
	if (packet.kind == PACKET_TCP) {
		memcpy(world->bytes + world->byte_count, packet.data,
		       packet.data_length);
		world->byte_count += packet.data_length;
	}
}

static bool take_report(const struct egress_report *report, void *opaque)
{
	struct world *world = opaque;

	if (world->deaf)
		return false;
	world->report = *report;
	world->reports++;
	world->told += report->count;
	return true;
}

static struct world *make_world_of(enum egress_mode mode, const char *allow,
				   const char *deny, bool has_networks)
{
	const struct egress_hooks hooks = {to_container, to_uplink, take_report,
					   NULL};
	struct world *world = xcalloc(1, sizeof(*world));
	struct egress_policy policy = {.mode = mode, .resolver_count = 2};
	struct egress_hooks own = hooks;

	if (allow)
		assert_int_equal(
			egress_policy_add_list(&policy, allow, false, NULL), 0);
	if (deny)
		assert_int_equal(
			egress_policy_add_list(&policy, deny, true, NULL), 0);
	address_parse("10.0.2.3", &policy.resolvers[0]);
	address_parse("fd00::3", &policy.resolvers[1]);
	policy.has_networks = has_networks;
	own.opaque = world;
	world->now = 1000;
	world->egress = egress_new(&policy, &own);
	return world;
}

static struct world *make_world(enum egress_mode mode, const char *allow,
				const char *deny)
{
	return make_world_of(mode, allow, deny, false);
}

static void free_world(struct world *world)
{
	egress_free(world->egress);
	free(world);
}
#define cleanup_world CLEANUP(free_world_cleanup)
DEFINE_CLEANUP(struct world *, free_world);

static struct packet_path path_to(const char *address, uint16_t port)
{
	struct packet_path path = {
		.ethernet = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12},
		.source_port = 40000,
		.destination_port = port,
	};

	address_parse(address, &path.destination);
	address_parse(strchr(address, ':') ? "fd00::100" : "10.0.2.100",
		      &path.source);
	return path;
}

static bool send_tcp(struct world *world, const struct packet_path *path,
		     uint8_t flags, uint32_t seq, const char *data,
		     size_t length)
{
	uint8_t frame[PACKET_FRAME_MAX];
	const struct packet_tcp tcp = {.seq = seq,
				       .ack = 5001,
				       .flags = flags,
				       .window = 64000,
				       .data = data,
				       .data_length = length};

	return egress_outbound(world->egress, frame,
			       packet_make_tcp(path, &tcp, frame), world->now);
}

static bool answer_tcp(struct world *world, const struct packet_path *path,
		       uint8_t flags, uint32_t ack)
{
	uint8_t frame[PACKET_FRAME_MAX];
	const struct packet_path back = packet_path_back(path);
	const struct packet_tcp tcp = {
		.seq = 5000, .ack = ack, .flags = flags, .window = 60000};

	return egress_inbound(world->egress, frame,
			      packet_make_tcp(&back, &tcp, frame), world->now);
}

static bool send_udp(struct world *world, const struct packet_path *path,
		     const void *data, size_t length)
{
	uint8_t frame[PACKET_FRAME_MAX];

	return egress_outbound(world->egress, frame,
			       packet_make_udp(path, data, length, frame),
			       world->now);
}

static struct packet last(const struct capture *of)
{
	struct packet packet;

	packet_parse(of->frame, of->length, &packet);
	return packet;
}

static void expect_report(struct world *world, enum egress_reason reason)
{
	egress_expire(world->egress, world->now);
	assert_true(world->reports > 0);
	assert_int_equal(world->report.reason, reason);
}

/* ---- Names ---- */

static size_t make_question(const char *name, uint16_t type, uint8_t *message)
{
	size_t length = DNS_HEADER_SIZE;

	memset(message, 0, DNS_HEADER_SIZE);
	message[0] = 0x12;
	message[1] = 0x34;
	message[2] = 1;
	message[5] = 1;
	while (*name) {
		size_t label = strcspn(name, ".");

		message[length++] = (uint8_t)label;
		memcpy(message + length, name, label);
		length += label;
		name += label + (name[label] == '.');
	}
	message[length++] = 0;
	message[length++] = (uint8_t)(type >> 8);
	message[length++] = (uint8_t)type;
	message[length++] = 0;
	message[length++] = 1;
	return length;
}

static void ask(struct world *world, const char *name, uint16_t type)
{
	const struct packet_path path = path_to("10.0.2.3", 53);
	uint8_t message[512];

	assert_false(send_udp(world, &path, message,
			      make_question(name, type, message)));
}

/* The resolver's answer to what was passed on to it. */
static void resolve(struct world *world, const char *address, int id_change)
{
	struct packet asked = last(&world->uplink);
	const struct packet_path back = packet_path_back(&asked.path);
	struct net_address_value value;
	uint8_t message[1024], frame[PACKET_FRAME_MAX];
	struct dns_query query;
	struct dns_answer answer = {
		.addresses = &value, .address_count = 1, .ttl = 60};
	size_t length;

	assert_true(address_parse(address, &value));
	assert_int_equal(dns_parse(asked.data, asked.data_length, &query), 0);
	length = dns_build(&query, asked.data, &answer, message,
			   sizeof(message));
	message[1] ^= (uint8_t)id_change;
	assert_false(egress_inbound(
		world->egress, frame,
		packet_make_udp(&back, message, length, frame), world->now));
}

static void learn(struct world *world, const char *name, const char *address)
{
	size_t asked = world->uplink.count;

	ask(world, name, strchr(address, ':') ? DNS_TYPE_AAAA : DNS_TYPE_A);
	assert_int_equal(world->uplink.count, asked + 1);
	resolve(world, address, 0);
}
