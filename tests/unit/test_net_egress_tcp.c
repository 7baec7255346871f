/* net/egress.h: connections that are checked for a name. */
#include "net/egress.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include "tests/unit/egress_world.h"

#define GET(host) "GET / HTTP/1.1\r\nHost: " host "\r\n\r\n"

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

#define POST(field) "POST / HTTP/1.1\r\nHost: a.test\r\n" field "\r\n\r\n"

/* As the container's next bytes. */
static bool say(struct world *world, const struct packet_path *path,
		const char *text, size_t length)
{
	bool passes = send_tcp(world, path, TCP_ACK | TCP_PSH, world->seq, text,
			       length);

	world->seq += (uint32_t)length;
	return passes;
}

/* The same, and what passes is libslirp's. */
static void hear(struct world *world, const struct packet_path *path,
		 const char *text, size_t length)
{
	if (!say(world, path, text, length))
		return;
	memcpy(world->bytes + world->byte_count, text, length);
	world->byte_count += length;
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
}

/* A server's name is asked for in each request. */
static void test_second_request(void **state)
{
	static const struct {
		const char *first, *second;
		bool passes;
	} rows[] = {
		{GET("a.test"), GET("a.test"), true},
		{GET("a.test"), GET("b.test"), false},
		{GET("a.test"), "\r\n" GET("b.test"), false},
		{GET("a.test"), "x\r\n", false},
		{POST("Content-Length: 3") "abc", GET("a.test"), true},
		{POST("Content-Length: 3") "abc", GET("b.test"), false},
		{POST("Content-Length: 3") "ab", "c" GET("b.test"), false},
		{POST("Content-Length: 300") "ab", GET("b.test"), true},
		{POST("Transfer-Encoding: chunked") "3\r\nabc\r\n0\r\n\r\n",
		 GET("b.test"), false},
		{POST("Transfer-Encoding: chunked"), GET("b.test"), false},
		/* Another protocol, where one was asked for. */
		{POST("Upgrade: websocket"), "\x81\x01x", true},
		{POST("Upgrade: websocket"), GET("b.test"), false},
		{POST("X: websocket"), "\x81\x01x", false},
	};

	/* One after the other, at once, and byte by byte. */
	for (size_t i = 0; i < 3 * ARRAY_SIZE(rows); i++) {
		cleanup_world struct world *world =
			make_world(EGRESS_DENY, "a.test:80", NULL);
		const struct packet_path path = open_pinned(world);
		const char *first = rows[i / 3].first;
		const char *second = rows[i / 3].second;
		cleanup_free char *both = xasprintf("%s%s", first, second);
		size_t length = strlen(both);
		bool passed;

		if (i % 3 == 0) {
			hear(world, &path, first, strlen(first));
			hear(world, &path, second, strlen(second));
		} else if (i % 3 == 1) {
			hear(world, &path, both, length);
		} else {
			for (size_t j = 0; j < length; j++)
				hear(world, &path, both + j, 1);
		}
		passed = world->byte_count == length;
		if (passed != rows[i / 3].passes)
			fail_msg("%zu: %zu bytes of %s", i % 3,
				 world->byte_count, both);
		assert_memory_equal(world->bytes, both, world->byte_count);
		if (!passed)
			assert_true(last(&world->container).flags & TCP_RST);
	}
}

/* What libslirp would not take, or takes later, is not looked at. */
static void test_order_of_bodies(void **state)
{
	cleanup_world struct world *world =
		make_world(EGRESS_DENY, "a.test:80", NULL);
	const struct packet_path path = open_pinned(world);
	static const char text[] = POST("Content-Length: 100000");
	char bytes[30000] = {0};
	uint32_t next;

	say(world, &path, text, strlen(text));
	next = world->seq;
	assert_false(send_tcp(world, &path, TCP_ACK, next + 1, "x", 1));
	assert_int_equal(last(&world->container).ack, next);
	/* 60,000 are what libslirp offered. */
	assert_true(send_tcp(world, &path, TCP_ACK, next, bytes, 30000));
	assert_false(send_tcp(world, &path, TCP_ACK, next, bytes, 30000));
	next += 30000;
	assert_int_equal(last(&world->container).ack, next);
	assert_false(send_tcp(world, &path, TCP_ACK, next, bytes, 30000));
	assert_int_equal(last(&world->container).window, 30000 - strlen(text));
	answer_tcp(world, &path, TCP_ACK, next);
	assert_false(send_tcp(world, &path, TCP_ACK | TCP_URG, next, bytes, 1));
	assert_true(send_tcp(world, &path, TCP_ACK, next, bytes, 30000));
	assert_true(send_tcp(world, &path, TCP_ACK | TCP_FIN, next, NULL, 0));
}

/* Many wait in the middle of a second head: the first to come ends first. */
static void test_second_heads_wait(void **state)
{
	cleanup_world struct world *world =
		make_world(EGRESS_DENY, "a.test:80", NULL);
	struct packet_path path = open_pinned(world);
	struct packet_path late;

	assert_false(say(world, &path, "GET ", 4));
	late = path;
	late.source_port++;
	world->now += EGRESS_HOLD_MS / 2;
	assert_true(send_tcp(world, &late, TCP_SYN, 1000, NULL, 0));
	answer_tcp(world, &late, TCP_SYN | TCP_ACK, 1001);
	assert_false(send_tcp(world, &late, TCP_ACK, 1001, "GET ", 4));
	assert_false(say(world, &path, &(GET("a.test") "GET ")[4],
			 strlen(GET("a.test"))));
	assert_int_equal(world->byte_count, strlen(GET("a.test")));
	assert_int_equal(egress_expire(world->egress, world->now),
			 EGRESS_HOLD_MS);
	world->now += EGRESS_HOLD_MS;
	egress_expire(world->egress, world->now);
	assert_int_equal(egress_expire(world->egress, world->now), -1);
	assert_int_equal(world->byte_count, strlen(GET("a.test")));
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
	assert_false(
		send_tcp(world, &path, TCP_ACK | TCP_URG, world->seq, "x", 1));
	/* Where bytes are of no interest any more they may be urgent. */
	path.source_port++;
	assert_true(send_tcp(world, &path, TCP_SYN, 1000, NULL, 0));
	assert_true(answer_tcp(world, &path, TCP_SYN | TCP_ACK, 1001));
	assert_false(send_tcp(world, &path, TCP_ACK, 1001, "\1", 1));
	assert_false(send_tcp(world, &path, TCP_ACK | TCP_URG, 1002, "x", 1));
	assert_true(answer_tcp(world, &path, TCP_ACK, 1002));
	assert_true(send_tcp(world, &path, TCP_ACK | TCP_URG, 1002, "x", 1));
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
	/* Nor afterwards: in HTTP all that comes is followed. */
	assert_true(answer_tcp(world, &path, TCP_ACK, 1001 + (uint32_t)length));
	assert_false(send_tcp(world, &path, TCP_ACK, 1001, evil, length));
	assert_int_equal(world->byte_count, length);
}

/* libslirp itself knows what it has of what is none. */
static void test_overlap_of_others(void **state)
{
	cleanup_world struct world *world =
		make_world(EGRESS_DENY, "a.test:80", NULL);
	const struct packet_path path = open_pinned(world);

	assert_false(say(world, &path, "\1\2", 2));
	assert_false(send_tcp(world, &path, TCP_ACK, 1001, "\3\4", 2));
	assert_true(answer_tcp(world, &path, TCP_ACK, 1003));
	assert_true(send_tcp(world, &path, TCP_ACK, 1001, "\3\4", 2));
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
	assert_false(say(world, &path, &(GET("a.test"))[4],
			 strlen(GET("a.test")) - 4));
	assert_int_equal(world->byte_count, strlen(GET("a.test")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_host),
		cmocka_unit_test(test_second_request),
		cmocka_unit_test(test_order_of_bodies),
		cmocka_unit_test(test_second_heads_wait),
		cmocka_unit_test(test_overlap_of_others),
		cmocka_unit_test(test_urgent),
		cmocka_unit_test(test_other_host),
		cmocka_unit_test(test_one_byte_at_a_time),
		cmocka_unit_test(test_overlap),
		cmocka_unit_test(test_false_start),
		cmocka_unit_test(test_again),
		cmocka_unit_test(test_time_out),
		cmocka_unit_test(test_too_long),
		cmocka_unit_test(test_many_holds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
