/* net/refuse.h */
#include "net/refuse.h"

#include <arpa/inet.h>
#include <net/ethernet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"

#define SYN 0x02
#define ACK 0x10
#define RST 0x04

static const uint8_t client_mac[6] = {2, 0, 0, 0, 0, 1};
static const uint8_t gateway_mac[6] = {2, 0, 0, 0, 0, 2};

/* A segment of port 4321 to 5432, sequence 0xfffffffe; its length. */
static size_t make(uint8_t frame[128], int family, uint8_t flags)
{
	uint8_t *packet = frame + 14;
	uint8_t *tcp = packet + (family == AF_INET ? 20 : 40);
	static const uint8_t segment[] = {
		0x10, 0xe1, 0x15, 0x38, 0xff, 0xff, 0xff, 0xfe, 0, 0,
		0,    0,    0x50, 0,	0xff, 0xff, 0,	  0,	0, 0,
	};

	memset(frame, 0, 128);
	memcpy(frame, gateway_mac, 6);
	memcpy(frame + 6, client_mac, 6);
	frame[12] = family == AF_INET ? 0x08 : 0x86;
	frame[13] = family == AF_INET ? 0x00 : 0xdd;
	if (family == AF_INET) {
		packet[0] = 0x45;
		packet[3] = 20 + sizeof(segment);
		packet[9] = IPPROTO_TCP;
		inet_pton(AF_INET, "10.0.2.100", packet + 12);
		inet_pton(AF_INET, "10.0.2.2", packet + 16);
	} else {
		packet[0] = 0x60;
		packet[5] = sizeof(segment);
		packet[6] = IPPROTO_TCP;
		inet_pton(AF_INET6, "fd00::100", packet + 8);
		inet_pton(AF_INET6, "fd00::2", packet + 24);
	}
	memcpy(tcp, segment, sizeof(segment));
	tcp[13] = flags;
	return (size_t)(tcp - frame) + sizeof(segment);
}

/* Folded: 0xffff where the checksum inside is right. */
static uint32_t sum(uint32_t start, const uint8_t *bytes, size_t length)
{
	for (size_t i = 0; i < length; i += 2)
		start += (uint32_t)bytes[i] << 8 | bytes[i + 1];
	while (start >> 16)
		start = (start & 0xffff) + (start >> 16);
	return start;
}

static void test_refusal(void **state)
{
	static const struct {
		int family;
		size_t header, size, source;
	} rows[] = {{AF_INET, 20, 4, 12}, {AF_INET6, 40, 16, 8}};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		uint8_t frame[128];
		uint8_t answer[PACKET_HEADERS_MAX];
		size_t length = make(frame, rows[i].family, SYN);
		const uint8_t *asked = frame + 14 + rows[i].source;
		const uint8_t *given = answer + 14 + rows[i].source;
		const uint8_t *tcp = answer + 14 + rows[i].header;
		const size_t size = rows[i].size;

		assert_int_equal(refuse_tcp(frame, length, answer),
				 14 + rows[i].header + 20);
		assert_memory_equal(answer, client_mac, 6);
		assert_memory_equal(answer + 6, gateway_mac, 6);
		assert_memory_equal(answer + 12, frame + 12, 2);
		assert_memory_equal(given, asked + size, size);
		assert_memory_equal(given + size, asked, size);
		assert_memory_equal(tcp, "\x15\x38\x10\xe1", 4);
		/* It acknowledges the SYN: 0xfffffffe + 1. */
		assert_memory_equal(tcp + 8, "\xff\xff\xff\xff", 4);
		assert_int_equal(tcp[13], RST | ACK);
		if (rows[i].family == AF_INET)
			assert_int_equal(sum(0, answer + 14, 20), 0xffff);
		assert_int_equal(
			sum(sum(IPPROTO_TCP + 20, given, 2 * size), tcp, 20),
			0xffff);
	}
}

/* Only a connection's first segment is answered. */
static void test_others(void **state)
{
	static const uint8_t flags[] = {ACK, SYN | ACK, RST, SYN | RST, 0};
	static const int families[] = {AF_INET, AF_INET6};
	uint8_t answer[PACKET_HEADERS_MAX];
	uint8_t frame[128];

	for (size_t f = 0; f < ARRAY_SIZE(families); f++) {
		size_t length;

		for (size_t i = 0; i < ARRAY_SIZE(flags); i++) {
			length = make(frame, families[f], flags[i]);
			assert_int_equal(refuse_tcp(frame, length, answer), 0);
		}
		length = make(frame, families[f], SYN);
		for (size_t cut = 0; cut < length; cut++)
			assert_int_equal(refuse_tcp(frame, cut, answer), 0);
		frame[14 + (families[f] == AF_INET ? 9 : 6)] = IPPROTO_UDP;
		assert_int_equal(refuse_tcp(frame, length, answer), 0);
		frame[13] = 0x06; /* ARP */
		assert_int_equal(refuse_tcp(frame, length, answer), 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_refusal),
		cmocka_unit_test(test_others),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
