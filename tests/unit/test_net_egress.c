/*
 * net/egress.h: a container and a libslirp that are played here, and what
 * passes between them.
 */
#include "net/egress.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "net/dns_message.h"
#include "net/packet.h"
#include "net/egress_names.h"

#define GET(host) "GET / HTTP/1.1\r\nHost: " host "\r\n\r\n"

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

static struct world *make_world(enum egress_mode mode, const char *allow,
				const char *deny)
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
	own.opaque = world;
	world->now = 1000;
	world->egress = egress_new(&policy, &own);
	return world;
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

/* The container was told so: a reset of its SYN. */
static void assert_refused(struct world *world, size_t before)
{
	struct packet packet = last(&world->container);

	assert_int_equal(world->container.count, before + 1);
	assert_int_equal(packet.kind, PACKET_TCP);
	assert_true(packet.flags & TCP_RST);
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

static int last_code(const struct world *world)
{
	return last(&world->container).data[3] & 15;
}

static size_t last_answers(const struct world *world)
{
	return last(&world->container).data[7];
}

/* ---- Tests ---- */

static void test_addresses(void **state)
{
	static const struct {
		const char *allow, *to;
		uint16_t port;
		bool tcp, udp;
	} rows[] = {
		{"203.0.113.0/24", "203.0.113.9", 1, true, true},
		{"203.0.113.0/24:80", "203.0.113.9", 80, true, false},
		{"203.0.113.0/24:80", "203.0.113.9", 81, false, false},
		{"203.0.113.0/24:53/udp", "203.0.113.9", 53, false, true},
		{"203.0.113.0/24", "203.0.114.9", 1, false, false},
		{"203.0.113.0/24", "2001:db8::1", 1, false, false},
		{"[2001:db8::]/32:80", "2001:db8::1", 80, true, false},
		{"*:443", "2001:db8::1", 443, true, false},
		{"*:443", "1.1.1.1", 443, true, false},
		{"host.docker.internal:80", "10.0.2.2", 80, true, false},
		{"host.docker.internal:80", "fd00::2", 80, true, false},
		{"host.docker.internal:80", "10.0.2.1", 80, false, false},
		{"1.2.3.4", "10.0.2.3", 53, false, false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_world struct world *world =
			make_world(EGRESS_DENY, rows[i].allow, NULL);
		const struct packet_path path =
			path_to(rows[i].to, rows[i].port);

		assert_int_equal(send_tcp(world, &path, TCP_SYN, 1, NULL, 0),
				 rows[i].tcp);
		if (!rows[i].tcp)
			assert_refused(world, 0);
		/* Without its beginning: the same. */
		assert_int_equal(send_tcp(world, &path, TCP_ACK, 2, "x", 1),
				 rows[i].tcp);
		if (rows[i].port != 53 || rows[i].udp) {
			assert_int_equal(send_udp(world, &path, "x", 1),
					 rows[i].udp);
		}
	}
}

static void test_denied(void **state)
{
	cleanup_world struct world *world =
		make_world(EGRESS_ALLOW, NULL, "169.254.169.254,10.0.0.0/8:22");
	struct packet_path path = path_to("169.254.169.254", 80);

	assert_false(send_tcp(world, &path, TCP_SYN, 1, NULL, 0));
	expect_report(world, EGRESS_DENIED);
	path = path_to("10.1.2.3", 22);
	assert_false(send_tcp(world, &path, TCP_SYN, 1, NULL, 0));
	path = path_to("10.1.2.3", 23);
	assert_true(send_tcp(world, &path, TCP_SYN, 1, NULL, 0));
	/* Names are nobody's business here. */
	path = path_to("10.0.2.3", 53);
	assert_true(send_udp(world, &path, "anything", 8));
}

static void test_udp_is_told(void **state)
{
	cleanup_world struct world *world = make_world(EGRESS_DENY, NULL, NULL);
	const struct packet_path path = path_to("203.0.113.9", 99);
	const struct packet_path path6 = path_to("2001:db8::1", 99);
	const uint8_t *bytes;

	assert_false(send_udp(world, &path, "x", 1));
	bytes = world->container.frame + PACKET_ETHERNET;
	assert_int_equal(bytes[9], 1);
	assert_int_equal(bytes[20], 3);
	assert_int_equal(bytes[21], 13);
	assert_false(send_udp(world, &path6, "x", 1));
	bytes = world->container.frame + PACKET_ETHERNET;
	assert_int_equal(bytes[6], 58);
	assert_int_equal(bytes[40], 1);
	assert_int_equal(bytes[41], 1);
	expect_report(world, EGRESS_NO_RULE);
	assert_int_equal(world->reports, 2);
}

/* An answer comes in from those only whom the container may ask. */
static void test_strangers(void **state)
{
	cleanup_world struct world *world =
		make_world(EGRESS_DENY, "203.0.113.9:99/udp", NULL);
	struct packet_path path = path_to("203.0.113.9", 99);
	struct packet_path back;
	uint8_t frame[PACKET_FRAME_MAX];

	assert_true(send_udp(world, &path, "x", 1));
	back = packet_path_back(&path);
	assert_true(egress_inbound(world->egress, frame,
				   packet_make_udp(&back, "y", 1, frame),
				   world->now));
	path = path_to("203.0.113.10", 99);
	back = packet_path_back(&path);
	assert_false(egress_inbound(world->egress, frame,
				    packet_make_udp(&back, "y", 1, frame),
				    world->now));
}

/* Frames that no rule is asked for. */
static void test_odd_frames(void **state)
{
	cleanup_world struct world *world = make_world(EGRESS_DENY, "*", NULL);
	const struct packet_path path = path_to("203.0.113.9", 80);
	const struct packet_path path6 = path_to("2001:db8::1", 80);
	const struct packet_tcp tcp = {.flags = TCP_SYN};
	uint8_t frame[PACKET_FRAME_MAX];
	size_t length = packet_make_tcp(&path, &tcp, frame);

	assert_true(egress_outbound(world->egress, frame, length, 0));
	for (size_t i = 0; i < length; i++)
		assert_false(egress_outbound(world->egress, frame, i, 0));
	/* A fragment, the first and a later one. */
	frame[20] = 0x20;
	assert_false(egress_outbound(world->egress, frame, length, 0));
	frame[20] = 0;
	frame[21] = 1;
	assert_false(egress_outbound(world->egress, frame, length, 0));
	frame[21] = 0;
	/* Options. */
	frame[14] = 0x46;
	assert_false(egress_outbound(world->egress, frame, length, 0));
	frame[14] = 0x45;
	/* A VLAN tag. */
	frame[12] = 0x81;
	assert_false(egress_outbound(world->egress, frame, length, 0));
	frame[12] = 0x08;
	/* ARP passes, whatever it says. */
	frame[13] = 0x06;
	assert_true(egress_outbound(world->egress, frame, length, 0));
	/* A UDP datagram in a larger packet. */
	length = packet_make_udp(&path6, "abc", 3, frame);
	assert_true(egress_outbound(world->egress, frame, length, 0));
	frame[14 + 40 + 5]--;
	assert_false(egress_outbound(world->egress, frame, length, 0));
}

/* Extension headers, fragments among them, are no way around a rule. */
static void test_extension_headers(void **state)
{
	static const uint8_t headers[] = {0, 43, 44, 50, 51, 60, 135};
	cleanup_world struct world *world =
		make_world(EGRESS_DENY, "[2001:db8::]/32:80", NULL);
	const struct packet_path path6 = path_to("2001:db8::1", 80);
	const struct packet_tcp tcp = {.flags = TCP_SYN};
	uint8_t frame[PACKET_FRAME_MAX];
	size_t length = packet_make_tcp(&path6, &tcp, frame);

	assert_true(egress_outbound(world->egress, frame, length, 0));
	for (size_t i = 0; i < ARRAY_SIZE(headers); i++) {
		frame[14 + 6] = headers[i];
		assert_false(egress_outbound(world->egress, frame, length, 0));
	}
}

static void test_names(void **state)
{
	cleanup_world struct world *world =
		make_world(EGRESS_DENY, "a.test:80,*.b.test:80", NULL);
	struct packet asked, told;

	ask(world, "c.test", DNS_TYPE_A);
	assert_int_equal(world->uplink.count, 0);
	assert_int_equal(last_code(world), DNS_NO_SUCH_NAME);
	expect_report(world, EGRESS_NAME_REFUSED);
	assert_string_equal(world->report.name, "c.test");

	/* The resolver is asked with another ID, under which alone an answer
	   is taken. */
	ask(world, "a.test", DNS_TYPE_A);
	asked = last(&world->uplink);
	assert_int_equal(asked.kind, PACKET_UDP);
	resolve(world, "203.0.113.5", 1);
	assert_int_equal(world->container.count, 1);
	resolve(world, "203.0.113.5", 0);
	assert_int_equal(world->container.count, 2);
	told = last(&world->container);
	assert_int_equal(told.data[0] << 8 | told.data[1], 0x1234);
	assert_int_equal(last_answers(world), 1);
	/* It has been answered. */
	resolve(world, "203.0.113.6", 0);
	assert_int_equal(world->container.count, 2);

	ask(world, "x.b.test", DNS_TYPE_HTTPS);
	assert_int_equal(world->uplink.count, 1);
	assert_int_equal(last_code(world), DNS_NO_ERROR);
	assert_int_equal(last_answers(world), 0);
	ask(world, "a.test", DNS_TYPE_MX);
	assert_int_equal(world->uplink.count, 2);
}

static void test_pins(void **state)
{
	cleanup_world struct world *world =
		make_world(EGRESS_DENY, "a.test:80", NULL);
	struct packet_path path = path_to("203.0.113.5", 80);
	const struct packet_path other = path_to("203.0.113.6", 80);
	const struct packet_path port = path_to("203.0.113.5", 81);

	assert_false(send_tcp(world, &path, TCP_SYN, 1, NULL, 0));
	learn(world, "a.test", "203.0.113.5");
	assert_true(send_tcp(world, &path, TCP_SYN, 1, NULL, 0));
	assert_false(send_tcp(world, &other, TCP_SYN, 1, NULL, 0));
	assert_false(send_tcp(world, &port, TCP_SYN, 1, NULL, 0));
	/* UDP where a rule says so. */
	assert_false(send_udp(world, &path, "x", 1));
	/* A pin outlives its TTL by a while, and then no more. */
	world->now += PIN_MIN_MS - 1;
	path.source_port++;
	assert_true(send_tcp(world, &path, TCP_SYN, 1, NULL, 0));
	world->now += 2;
	path.source_port++;
	assert_false(send_tcp(world, &path, TCP_SYN, 1, NULL, 0));
}

static void test_private_addresses(void **state)
{
	static const char *const addresses[] = {
		"127.0.0.1",	   "10.0.2.2",	      "192.168.1.1",
		"172.31.0.1",	   "169.254.1.1",     "100.64.0.1",
		"0.0.0.0",	   "255.255.255.255", "::1",
		"::ffff:7f00:1",   "fe80::1",	      "fd00::2",
		"64:ff9b::7f00:1",
	};
	cleanup_world struct world *world = make_world(
		EGRESS_DENY, "a.test:80,corp.test@10.0.0.0/8:80", NULL);
	struct packet_path path = path_to("10.1.2.3", 80);

	for (size_t i = 0; i < ARRAY_SIZE(addresses); i++) {
		learn(world, "a.test", addresses[i]);
		if (last_answers(world) != 0)
			fail_msg("%s was taken", addresses[i]);
		expect_report(world, EGRESS_NAME_PRIVATE);
		path = path_to(addresses[i], 80);
		assert_false(send_tcp(world, &path, TCP_SYN, 1, NULL, 0));
	}
	path = path_to("10.1.2.3", 80);
	learn(world, "a.test", "64:ff9b::cb00:7105");
	assert_int_equal(last_answers(world), 1);
	/* Its rule says where it may be, and there only. */
	learn(world, "corp.test", "10.1.2.3");
	assert_int_equal(last_answers(world), 1);
	assert_true(send_tcp(world, &path, TCP_SYN, 1, NULL, 0));
	learn(world, "corp.test", "203.0.113.5");
	assert_int_equal(last_answers(world), 0);
}

/* A connection to a pinned address up to where its first bytes count. */
static struct packet_path open_pinned(struct world *world)
{
	const struct packet_path path = path_to("203.0.113.5", 80);

	learn(world, "a.test", "203.0.113.5");
	assert_true(send_tcp(world, &path, TCP_SYN, 1000, NULL, 0));
	assert_true(answer_tcp(world, &path, TCP_SYN | TCP_ACK, 1001));
	assert_true(send_tcp(world, &path, TCP_ACK, 1001, NULL, 0));
	world->seq = 1001;
	world->byte_count = 0;
	return path;
}

/* As the container's next bytes. */
static bool say(struct world *world, const struct packet_path *path,
		const char *text, size_t length)
{
	bool passes = send_tcp(world, path, TCP_ACK | TCP_PSH, world->seq, text,
			       length);

	world->seq += (uint32_t)length;
	return passes;
}

static void test_host(void **state)
{
	cleanup_world struct world *world =
		make_world(EGRESS_DENY, "a.test:80", NULL);
	const struct packet_path path = open_pinned(world);

	assert_false(say(world, &path, GET("a.test"), strlen(GET("a.test"))));
	assert_int_equal(world->byte_count, strlen(GET("a.test")));
	assert_memory_equal(world->bytes, GET("a.test"), world->byte_count);
	assert_int_equal(last(&world->uplink).seq, 1001);
	/* Everything after that is its own affair. */
	assert_true(say(world, &path, "more", 4));
}

/* A byte that an urgent pointer names is no byte of the request's any more. */
static void test_urgent(void **state)
{
	static const char request[] = "GET /http://b.test/ HTTP/1.1\r\n"
				      "Host: a.test\r\n\r\n";
	cleanup_world struct world *world =
		make_world(EGRESS_DENY, "a.test:80", NULL);
	struct packet_path path = path_to("203.0.113.5", 80);

	learn(world, "a.test", "203.0.113.5");
	assert_false(send_tcp(world, &path, TCP_SYN | TCP_URG, 1, NULL, 0));
	assert_true(send_tcp(world, &path, TCP_SYN, 1000, NULL, 0));
	assert_false(send_tcp(world, &path, TCP_ACK | TCP_URG, 1001, NULL, 0));
	path = open_pinned(world);
	assert_false(send_tcp(world, &path, TCP_ACK | TCP_URG, 1001, NULL, 0));
	assert_false(send_tcp(world, &path, TCP_ACK | TCP_URG | TCP_FIN, 1001,
			      NULL, 0));
	assert_false(say(world, &path, request, strlen(request)));
	assert_int_equal(last(&world->uplink).flags & TCP_URG, 0);
	assert_false(
		send_tcp(world, &path, TCP_ACK | TCP_URG, world->seq, "x", 1));
	assert_true(answer_tcp(world, &path, TCP_ACK, world->seq));
	assert_true(
		send_tcp(world, &path, TCP_ACK | TCP_URG, world->seq, "x", 1));
}

static void test_other_host(void **state)
{
	cleanup_world struct world *world =
		make_world(EGRESS_DENY, "a.test:80", NULL);
	const struct packet_path path = open_pinned(world);
	struct packet packet;

	assert_false(say(world, &path, GET("b.test"), strlen(GET("b.test"))));
	assert_int_equal(world->byte_count, 0);
	packet = last(&world->container);
	assert_true(packet.flags & TCP_RST);
	assert_int_equal(packet.seq, 5001);
	packet = last(&world->uplink);
	assert_true(packet.flags & TCP_RST);
	assert_int_equal(packet.seq, 1001);
	expect_report(world, EGRESS_OTHER_NAME);
	assert_string_equal(world->report.name, "b.test");
	assert_false(say(world, &path, "more", 4));
}

static void test_one_byte_at_a_time(void **state)
{
	cleanup_world struct world *world =
		make_world(EGRESS_DENY, "a.test:80", NULL);
	const struct packet_path path = open_pinned(world);
	const char *text = GET("a.test");

	for (size_t i = 0; text[i]; i++) {
		struct packet packet;

		assert_int_equal(world->byte_count, 0);
		assert_false(say(world, &path, text + i, 1));
		/* Acknowledged, or a sender that waits for that would wait. */
		packet = last(&world->container);
		assert_int_equal(packet.flags, TCP_ACK);
		assert_int_equal(packet.ack, 1002 + i);
		assert_int_equal(packet.seq, 5001);
	}
	assert_int_equal(world->byte_count, strlen(text));
	assert_memory_equal(world->bytes, text, world->byte_count);
}

/* What was looked at is what passes, whatever comes in which order. */
static void test_overlap(void **state)
{
	cleanup_world struct world *world =
		make_world(EGRESS_DENY, "a.test:80", NULL);
	const struct packet_path path = open_pinned(world);
	const char *good = GET("a.test");
	const char *evil = GET("b.test");
	size_t length = strlen(good);

	/* The end first, then the beginning, both of them twice. */
	assert_false(send_tcp(world, &path, TCP_ACK, 1001 + 10, evil + 10,
			      length - 10));
	assert_false(send_tcp(world, &path, TCP_ACK, 1001, good, 10));
	assert_false(send_tcp(world, &path, TCP_ACK, 1001, evil, length));
	assert_false(send_tcp(world, &path, TCP_ACK, 1001 + 5, evil + 5, 10));
	assert_int_equal(world->byte_count, 0);
	assert_false(send_tcp(world, &path, TCP_ACK, 1001 + 10, good + 10,
			      length - 10));
	assert_int_equal(world->byte_count, length);
	assert_memory_equal(world->bytes, good, length);
	/* Again, before libslirp has said that it has them. */
	assert_false(send_tcp(world, &path, TCP_ACK, 1001, evil, length));
	assert_true(last(&world->container).ack == 1001 + length);
	assert_true(answer_tcp(world, &path, TCP_ACK, 1001 + (uint32_t)length));
	/* Now it knows itself what it has. */
	assert_true(send_tcp(world, &path, TCP_ACK, 1001, evil, length));
}

/* Numbers that libslirp has not agreed to. */
static void test_false_start(void **state)
{
	cleanup_world struct world *world =
		make_world(EGRESS_DENY, "a.test:80", NULL);
	const struct packet_path path = path_to("203.0.113.5", 80);
	const char *good = GET("a.test");
	size_t length = strlen(good);

	learn(world, "a.test", "203.0.113.5");
	/* libslirp takes the first SYN; the second is to make the check begin
	   before libslirp's stream does. */
	assert_true(send_tcp(world, &path, TCP_SYN, 1000, NULL, 0));
	assert_true(send_tcp(world, &path, TCP_SYN, 1000 - (uint32_t)length,
			     NULL, 0));
	assert_false(send_tcp(world, &path, TCP_ACK, 1001 - (uint32_t)length,
			      good, length));
	assert_true(answer_tcp(world, &path, TCP_SYN | TCP_ACK, 1001));
	assert_false(send_tcp(world, &path, TCP_ACK, 1001 - (uint32_t)length,
			      good, length));
	assert_false(send_tcp(world, &path, TCP_ACK, 1001, GET("b.test"),
			      strlen(GET("b.test"))));
	assert_true(last(&world->container).flags & TCP_RST);
	/* With the SYN itself. */
	assert_false(send_tcp(world, &path, TCP_SYN, 1000, good, length));
	assert_int_equal(world->byte_count, 0);
}

/* A checked connection's ports again, for another one. */
static void test_again(void **state)
{
	cleanup_world struct world *world =
		make_world(EGRESS_DENY, "a.test:80", NULL);
	struct packet_path path = open_pinned(world);

	say(world, &path, GET("a.test"), strlen(GET("a.test")));
	assert_true(send_tcp(world, &path, TCP_SYN, 9000, NULL, 0));
	assert_false(send_tcp(world, &path, TCP_ACK, 9001, "x", 1));
	assert_true(answer_tcp(world, &path, TCP_SYN | TCP_ACK, 9001));
	world->seq = 9001;
	world->byte_count = 0;
	assert_false(say(world, &path, GET("b.test"), strlen(GET("b.test"))));
	assert_int_equal(world->byte_count, 0);
	/* After a reset nothing is known. */
	path = open_pinned(world);
	say(world, &path, GET("a.test"), strlen(GET("a.test")));
	assert_true(send_tcp(world, &path, TCP_RST, world->seq, NULL, 0));
	assert_false(say(world, &path, "more", 4));
}

static void test_time_out(void **state)
{
	cleanup_world struct world *world =
		make_world(EGRESS_DENY, "a.test:80", NULL);
	const struct packet_path path = open_pinned(world);

	assert_int_equal(egress_expire(world->egress, world->now), -1);
	assert_false(say(world, &path, "GET ", 4));
	assert_int_equal(egress_expire(world->egress, world->now),
			 EGRESS_HOLD_MS);
	world->now += EGRESS_HOLD_MS - 1;
	assert_int_equal(egress_expire(world->egress, world->now), 1);
	world->now++;
	egress_expire(world->egress, world->now);
	assert_true(last(&world->container).flags & TCP_RST);
	assert_true(last(&world->uplink).flags & TCP_RST);
	assert_int_equal(world->byte_count, 0);
}

static void test_too_long(void **state)
{
	cleanup_world struct world *world =
		make_world(EGRESS_DENY, "a.test:80", NULL);
	const struct packet_path path = open_pinned(world);
	char text[1024];

	memset(text, 'x', sizeof(text));
	assert_false(say(world, &path, "GET /", 5));
	for (size_t i = 0; i < 15; i++)
		assert_false(say(world, &path, text, sizeof(text)));
	assert_int_equal(last(&world->container).flags, TCP_ACK);
	assert_false(say(world, &path, text, sizeof(text)));
	assert_true(last(&world->container).flags & TCP_RST);
	assert_int_equal(world->byte_count, 0);
}

/* More than may be held: the oldest has to go, and none passes unseen. */
static void test_many_holds(void **state)
{
	cleanup_world struct world *world =
		make_world(EGRESS_DENY, "a.test:80", NULL);
	struct packet_path path = open_pinned(world);

	for (size_t i = 0; i < 4 * EGRESS_HOLDS_MAX; i++) {
		path.source_port++;
		assert_true(send_tcp(world, &path, TCP_SYN, 1000, NULL, 0));
		answer_tcp(world, &path, TCP_SYN | TCP_ACK, 1001);
		assert_false(send_tcp(world, &path, TCP_ACK, 1001, "GET ", 4));
	}
	assert_int_equal(world->byte_count, 0);
	/* The last one is still served. */
	world->seq = 1005;
	assert_false(say(world, &path, GET("a.test") + 4,
			 strlen(GET("a.test")) - 4));
	assert_int_equal(world->byte_count, strlen(GET("a.test")));
}

/* A flood costs no more memory than it may, and is counted to the end. */
static void test_flood(void **state)
{
	cleanup_world struct world *world =
		make_world(EGRESS_DENY, "a.test:80", NULL);
	struct packet_path path = path_to("198.51.100.1", 80);

	for (size_t i = 0; i < 100000; i++) {
		path.destination_port = (uint16_t)i;
		path.destination.bytes[3] = (uint8_t)(i >> 16);
		assert_false(send_tcp(world, &path, TCP_SYN, 1, NULL, 0));
	}
	for (size_t i = 0; i < 1000; i++) {
		egress_expire(world->egress, world->now);
		world->now += 100;
	}
	assert_true(world->reports <= 100 + EGRESS_REPORTS_MAX);
	/* The last of them stands for all that had no place. */
	assert_int_equal(world->told, 100000);
	assert_int_equal(world->report.address.family, 0);
}

static void test_reports_wait(void **state)
{
	cleanup_world struct world *world = make_world(EGRESS_DENY, NULL, NULL);
	const struct packet_path path = path_to("198.51.100.1", 80);

	world->deaf = true;
	for (size_t i = 0; i < 3; i++) {
		send_tcp(world, &path, TCP_SYN, 1, NULL, 0);
		assert_true(egress_expire(world->egress, world->now) > 0);
	}
	world->deaf = false;
	assert_int_equal(egress_expire(world->egress, world->now), -1);
	assert_int_equal(world->reports, 1);
	assert_int_equal(world->report.count, 3);
}

static void test_record(void **state)
{
	cleanup_world struct world *world =
		make_world(EGRESS_RECORD, NULL, NULL);
	const struct packet_path dns = path_to("10.0.2.3", 53);
	const struct packet_path path = path_to("203.0.113.5", 443);
	const struct packet_path back = packet_path_back(&dns);
	const struct net_address_value address = {AF_INET, {203, 0, 113, 5}};
	const struct dns_answer answer = {
		.addresses = &address, .address_count = 1, .ttl = 60};
	uint8_t question[512], message[512], frame[PACKET_FRAME_MAX];
	size_t length = make_question("a.test", DNS_TYPE_A, question);
	struct dns_query query;

	/* The question passes as it is, and so does the answer. */
	assert_true(send_udp(world, &dns, question, length));
	assert_int_equal(dns_parse(question, length, &query), 0);
	length = dns_build(&query, question, &answer, message, sizeof(message));
	assert_true(egress_inbound(
		world->egress, frame,
		packet_make_udp(&back, message, length, frame), world->now));
	assert_true(send_tcp(world, &path, TCP_SYN, 1, NULL, 0));
	expect_report(world, EGRESS_WAS_USED);
	assert_string_equal(world->report.name, "a.test");
	assert_int_equal(world->report.port, 443);
	assert_true(send_tcp(world, &path, TCP_ACK, 2, "x", 1));
}

/* A client of a published port is answered, whoever it is. */
static void test_published(void **state)
{
	cleanup_world struct world *world = make_world(EGRESS_DENY, NULL, NULL);
	struct packet_path path = path_to("198.51.100.1", 50000);

	path.source_port = 80;
	assert_false(send_tcp(world, &path, TCP_SYN | TCP_ACK, 1, NULL, 0));
	assert_true(answer_tcp(world, &path, TCP_SYN, 0));
	assert_true(send_tcp(world, &path, TCP_SYN | TCP_ACK, 1, NULL, 0));
	assert_true(send_tcp(world, &path, TCP_ACK, 2, "x", 1));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_denied),
		cmocka_unit_test(test_udp_is_told),
		cmocka_unit_test(test_strangers),
		cmocka_unit_test(test_odd_frames),
		cmocka_unit_test(test_extension_headers),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_pins),
		cmocka_unit_test(test_private_addresses),
		cmocka_unit_test(test_host),
		cmocka_unit_test(test_urgent),
		cmocka_unit_test(test_other_host),
		cmocka_unit_test(test_one_byte_at_a_time),
		cmocka_unit_test(test_overlap),
		cmocka_unit_test(test_false_start),
		cmocka_unit_test(test_again),
		cmocka_unit_test(test_time_out),
		cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_many_holds),
		cmocka_unit_test(test_flood),
		cmocka_unit_test(test_reports_wait),
		cmocka_unit_test(test_record),
		cmocka_unit_test(test_published),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
