/* net/frame.h */
#include "net/frame.h"

#include <arpa/inet.h>
#include <net/ethernet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"

#define FRAME_SIZE 128

static void make_header(uint8_t frame[FRAME_SIZE], uint16_t type)
{
	memset(frame, 0, FRAME_SIZE);
	frame[12] = (uint8_t)(type >> 8);
	frame[13] = (uint8_t)type;
}

/* TCP to an address of either family. */
static void make_packet(uint8_t frame[FRAME_SIZE], const char *destination)
{
	uint8_t *packet = frame + 14;

	if (strchr(destination, ':')) {
		make_header(frame, ETHERTYPE_IPV6);
		packet[0] = 0x60;
		packet[6] = IPPROTO_TCP;
		inet_pton(AF_INET6, destination, packet + 24);
	} else {
		make_header(frame, ETHERTYPE_IP);
		packet[0] = 0x45;
		packet[9] = IPPROTO_TCP;
		inet_pton(AF_INET, destination, packet + 16);
	}
}

static void test_destinations(void **state)
{
	static const struct {
		const char *destination;
		bool allowed;
	} rows[] = {
		{"10.0.2.2", true},
		{"10.0.2.3", true},
		{"198.51.100.1", true},
		{"223.255.255.255", true},
		{"1.0.0.1", true},
		{"126.0.0.1", true},
		{"128.0.0.1", true},
		{"127.0.0.1", false},
		{"127.0.0.53", false},
		{"127.255.255.255", false},
		{"0.0.0.0", false},
		{"0.1.2.3", false},
		{"224.0.0.1", false},
		{"239.255.255.250", false},
		{"255.255.255.255", false},
		{"240.0.0.1", false},
		{"fd00::2", true},
		{"fd00::3", true},
		{"2001:db8::1", true},
		{"64:ff9b::7f00:1", true},
		{"::1", false},
		{"::", false},
		{"::ffff:127.0.0.1", false},
		{"::ffff:8.8.8.8", false},
		{"::127.0.0.1", false},
		{"fe80::1", false},
		{"ff02::1", false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint8_t frame[FRAME_SIZE];

		make_packet(frame, rows[i].destination);
		if (frame_is_allowed(frame, sizeof(frame)) != rows[i].allowed)
			fail_msg("%s", rows[i].destination);
	}
}

static void test_types(void **state)
{
	uint8_t frame[FRAME_SIZE];

	make_header(frame, ETHERTYPE_ARP);
	assert_true(frame_is_allowed(frame, 42));
	make_header(frame, ETHERTYPE_VLAN);
	assert_false(frame_is_allowed(frame, sizeof(frame)));
	make_header(frame, 0x88f8); /* NC-SI, which libslirp speaks */
	assert_false(frame_is_allowed(frame, sizeof(frame)));

	/* neighbour discovery */
	make_packet(frame, "ff02::1:ff00:2");
	frame[14 + 6] = IPPROTO_ICMPV6;
	assert_true(frame_is_allowed(frame, sizeof(frame)));

	/* a version that belies the type, options */
	make_packet(frame, "10.0.2.2");
	frame[14] = 0x65;
	assert_false(frame_is_allowed(frame, sizeof(frame)));
	frame[14] = 0x46;
	assert_false(frame_is_allowed(frame, sizeof(frame)));
	make_packet(frame, "fd00::2");
	frame[14] = 0x40;
	assert_false(frame_is_allowed(frame, sizeof(frame)));
}

static void test_fragments(void **state)
{
	static const struct {
		uint8_t flags[2];
		bool allowed;
	} rows[] = {
		{{0x40, 0}, true},		     /* don't fragment */
		{{0x20, 0}, false},		     /* more fragments */
		{{0x60, 0}, false}, {{0, 1}, false}, /* offset */
		{{0x10, 0}, false}, {{0x41, 0}, false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint8_t frame[FRAME_SIZE];

		make_packet(frame, "10.0.2.2");
		memcpy(frame + 14 + 6, rows[i].flags, 2);
		assert_int_equal(frame_is_allowed(frame, sizeof(frame)),
				 rows[i].allowed);
	}
}

static void test_short(void **state)
{
	uint8_t frame[FRAME_SIZE];

	make_packet(frame, "10.0.2.2");
	for (size_t length = 0; length < 14 + 20; length++)
		assert_false(frame_is_allowed(frame, length));
	assert_true(frame_is_allowed(frame, 14 + 20));
	make_packet(frame, "fd00::2");
	for (size_t length = 0; length < 14 + 40; length++)
		assert_false(frame_is_allowed(frame, length));
	assert_true(frame_is_allowed(frame, 14 + 40));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_destinations),
		cmocka_unit_test(test_types),
		cmocka_unit_test(test_fragments),
		cmocka_unit_test(test_short),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
