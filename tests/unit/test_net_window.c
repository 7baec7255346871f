/* net/window.h */
#include "net/window.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "base/cleanup.h"

#define FRAME_SIZE 128
#define DATA	   8

/* Of words in network byte order, from bytes on: 0xffff where it is right. */
static uint32_t sum(uint32_t start, const uint8_t *bytes, size_t length)
{
	for (size_t i = 0; i < length; i += 2)
		start += (uint32_t)bytes[i] << 8 | bytes[i + 1];
	while (start >> 16)
		start = (start & 0xffff) + (start >> 16);
	return start;
}

/* The header and the addresses before it, which are its pseudo header. */
static uint32_t sum_segment(const uint8_t *frame, int family)
{
	const size_t header = family == AF_INET ? 20 : 40;
	const size_t addresses = family == AF_INET ? 8 : 32;
	const size_t length = 20 + DATA;

	return sum(IPPROTO_TCP + (uint32_t)length,
		   frame + 14 + header - addresses, addresses + length);
}

/* A segment with data and its checksum; the length. */
static size_t make(uint8_t frame[FRAME_SIZE], int family, uint16_t window,
		   uint8_t noise)
{
	const size_t header = family == AF_INET ? 20 : 40;
	uint8_t *packet = frame + 14;
	uint8_t *tcp = packet + header;
	uint32_t checksum;

	memset(frame, 0, FRAME_SIZE);
	frame[12] = family == AF_INET ? 0x08 : 0x86;
	frame[13] = family == AF_INET ? 0x00 : 0xdd;
	packet[0] = family == AF_INET ? 0x45 : 0x60;
	packet[family == AF_INET ? 9 : 6] = IPPROTO_TCP;
	memset(tcp - 8, noise, 8 + 12);
	tcp[12] = 0x50;
	tcp[14] = (uint8_t)(window >> 8);
	tcp[15] = (uint8_t)window;
	memset(tcp + 20, noise, DATA);
	checksum = ~sum_segment(frame, family);
	tcp[16] = (uint8_t)(checksum >> 8);
	tcp[17] = (uint8_t)checksum;
	return 14 + header + 20 + DATA;
}

static void test_shrinks(void **state)
{
	static const int families[] = {AF_INET, AF_INET6};

	for (size_t i = 0; i < 2 * 256; i++) {
		const int family = families[i % 2];
		const size_t size = family == AF_INET ? 54 : 74;
		uint8_t headers[WINDOW_HEADERS_MAX];
		uint8_t frame[FRAME_SIZE];
		uint8_t before[FRAME_SIZE];
		size_t length = make(frame, family, 0xffff, (uint8_t)(i / 2));

		memcpy(before, frame, sizeof(before));
		assert_int_equal(sum_segment(frame, family), 0xffff);
		assert_int_equal(window_shrink(frame, length, headers), size);
		assert_memory_equal(frame, before, sizeof(before));
		assert_memory_equal(headers, frame, size - 6);
		assert_memory_equal(headers + size - 6, "\xff\xfe", 2);
		assert_memory_equal(headers + size - 2, frame + size - 2, 2);
		memcpy(frame, headers, size);
		assert_int_equal(sum_segment(frame, family), 0xffff);
	}
}

static void test_leaves_others(void **state)
{
	static const uint16_t windows[] = {0, 1, 0x7fff, 0xff00, 0xfffe, 0xff};
	static const struct {
		size_t at;
		uint8_t value;
	} changes[] = {
		{12, 0x81}, /* a VLAN tag */
		{13, 0x06}, /* ARP */
		{14, 0x46}, /* options */
		{23, IPPROTO_UDP},
	};
	uint8_t headers[WINDOW_HEADERS_MAX];
	uint8_t frame[FRAME_SIZE];

	for (size_t i = 0; i < ARRAY_SIZE(windows); i++) {
		size_t length = make(frame, AF_INET, windows[i], 1);

		assert_int_equal(window_shrink(frame, length, headers), 0);
	}
	for (size_t i = 0; i < ARRAY_SIZE(changes); i++) {
		size_t length = make(frame, AF_INET, 0xffff, 1);

		frame[changes[i].at] = changes[i].value;
		assert_int_equal(window_shrink(frame, length, headers), 0);
	}
	/* Headers that are not whole. */
	make(frame, AF_INET, 0xffff, 1);
	for (size_t length = 0; length < 54; length++)
		assert_int_equal(window_shrink(frame, length, headers), 0);
	make(frame, AF_INET6, 0xffff, 1);
	for (size_t length = 0; length < 74; length++)
		assert_int_equal(window_shrink(frame, length, headers), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shrinks),
		cmocka_unit_test(test_leaves_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
