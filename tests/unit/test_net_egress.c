/* net/egress.h: what passes, names, and what is told of it. */
#include "net/egress.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "net/egress_names.h"
#include "tests/unit/egress_world.h"

/* The container was told so: a reset of its SYN. */
static void assert_refused(struct world *world, size_t before)
{
	struct packet packet = last(&world->container);

	assert_int_equal(world->container.count, before + 1);
	assert_int_equal(packet.kind, PACKET_TCP);
	assert_true(packet.flags & TCP_RST);
}

static int last_code(const struct world *world)
{
	return last(&world->container).data[3] & 15;
}

static size_t last_answers(const struct world *world)
{
	return last(&world->container).data[7];
}

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

/* Their name servers, which are asked as well, have the last word. */
static void test_names_beside_networks(void **state)
{
	cleanup_world struct world *world =
		make_world_of(EGRESS_DENY, "a.test:80,*", NULL, true);
	cleanup_world struct world *strict =
		make_world_of(EGRESS_DENY, "a.test:80", NULL, true);

	ask(strict, "c.test", DNS_TYPE_A);
	assert_int_equal(last_code(strict), DNS_REFUSED);
	expect_report(strict, EGRESS_NAME_REFUSED);
	ask(strict, "a.test", DNS_TYPE_A);
	assert_int_equal(strict->uplink.count, 1);
	/* One label: nobody outside is asked, and nothing is told. */
	ask(world, "web", DNS_TYPE_A);
	assert_int_equal(world->uplink.count, 0);
	assert_int_equal(last_code(world), DNS_REFUSED);
	assert_int_equal(world->reports, 0);
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

/* Each rule of a name has ports and addresses of its own. */
static void test_ports_of_addresses(void **state)
{
	static const struct {
		const char *address;
		uint16_t port;
		bool passes;
	} rows[] = {
		{"10.1.2.3", 80, true},	     {"10.1.2.3", 443, false},
		{"203.0.113.5", 443, true},  {"203.0.113.5", 80, false},
		{"192.168.1.1", 443, false}, {"10.1.2.3", 81, false},
	};
	cleanup_world struct world *world = make_world(
		EGRESS_DENY, "a.test@10.0.0.0/8:80,a.test:443", NULL);

	learn(world, "a.test", "10.1.2.3");
	assert_int_equal(last_answers(world), 1);
	learn(world, "a.test", "203.0.113.5");
	assert_int_equal(last_answers(world), 1);
	learn(world, "a.test", "192.168.1.1");
	assert_int_equal(last_answers(world), 0);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct packet_path path =
			path_to(rows[i].address, rows[i].port);

		if (send_tcp(world, &path, TCP_SYN, 1, NULL, 0) !=
		    rows[i].passes)
			fail_msg("%s:%u", rows[i].address, rows[i].port);
	}
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
		cmocka_unit_test(test_names_beside_networks),
		cmocka_unit_test(test_pins),
		cmocka_unit_test(test_private_addresses),
		cmocka_unit_test(test_ports_of_addresses),
		cmocka_unit_test(test_flood),
		cmocka_unit_test(test_reports_wait),
		cmocka_unit_test(test_record),
		cmocka_unit_test(test_published),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
