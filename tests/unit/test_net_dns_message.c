/* net/dns_message.h */
#include "net/dns_message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/str.h"

#define HEADER(id, flags, questions, answers, authorities, additional)   \
	(id) >> 8, (id)&255, (flags) >> 8, (flags)&255, 0, questions, 0, \
		answers, 0, authorities, 0, additional

#define MESSAGE(...)                                           \
	{                                                      \
		(const uint8_t[]){__VA_ARGS__},                \
			sizeof((const uint8_t[]){__VA_ARGS__}) \
	}

struct message {
	const uint8_t *data;
	size_t length;
};

static const uint8_t web_a[] = {
	HEADER(0x1234, 0x0100, 1, 0, 0, 0), 3, 'W', 'e', 'b', 0, 0, 1, 0, 1,
};

static void test_parse(void **state)
{
	const struct {
		struct message message;
		int result;
		const char *name;
		uint16_t type;
		size_t answer_size;
	} rows[] = {
		{MESSAGE(HEADER(1, 0, 1, 0, 0, 0), 3, 'w', 'E', 'b', 0, 0, 28,
			 0, 1),
		 0, "web", 28, 512},
		{MESSAGE(HEADER(1, 0, 1, 0, 0, 0), 1, 'a', 2, 'b', 'c', 0, 0, 1,
			 0, 255),
		 0, "a.bc", 1, 512},
		/* the root */
		{MESSAGE(HEADER(1, 0, 1, 0, 0, 0), 0, 0, 2, 0, 1), 0, "", 2,
		 512},
		/* dots and zeros in a label are not dots between them */
		{MESSAGE(HEADER(1, 0, 1, 0, 0, 0), 3, 'a', '.', 0, 0, 0, 1, 0,
			 1),
		 0, "a??", 1, 512},
		/* EDNS: 1232, 100 and 65535 bytes */
		{MESSAGE(HEADER(1, 0, 1, 0, 0, 1), 1, 'a', 0, 0, 1, 0, 1, 0, 0,
			 41, 4, 208, 0, 0, 0, 0, 0, 0),
		 0, "a", 1, 1232},
		{MESSAGE(HEADER(1, 0, 1, 0, 0, 1), 1, 'a', 0, 0, 1, 0, 1, 0, 0,
			 41, 0, 100, 0, 0, 0, 0, 0, 0),
		 0, "a", 1, 512},
		{MESSAGE(HEADER(1, 0, 1, 0, 0, 1), 1, 'a', 0, 0, 1, 0, 1, 0, 0,
			 41, 255, 255, 0, 0, 0, 0, 0, 0),
		 0, "a", 1, 4096},
		/* cut off within the record */
		{MESSAGE(HEADER(1, 0, 1, 0, 0, 1), 1, 'a', 0, 0, 1, 0, 1, 0, 0,
			 41, 4),
		 0, "a", 1, 512},
		/* too short, or an answer */
		{MESSAGE(0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0), -1, NULL, 0, 0},
		{MESSAGE(HEADER(1, 0x8000, 1, 0, 0, 0), 1, 'a', 0, 0, 1, 0, 1),
		 -1, NULL, 0, 0},
		/* no query, not one question, one with an answer */
		{MESSAGE(HEADER(1, 0x2800, 1, 0, 0, 0), 1, 'a', 0, 0, 1, 0, 1),
		 DNS_NOT_IMPLEMENTED, NULL, 0, 0},
		{MESSAGE(HEADER(1, 0, 0, 0, 0, 0)), DNS_FORMAT_ERROR, NULL, 0,
		 0},
		{MESSAGE(HEADER(1, 0, 2, 0, 0, 0), 1, 'a', 0, 0, 1, 0, 1),
		 DNS_FORMAT_ERROR, NULL, 0, 0},
		{MESSAGE(HEADER(1, 0, 1, 1, 0, 0), 1, 'a', 0, 0, 1, 0, 1),
		 DNS_FORMAT_ERROR, NULL, 0, 0},
		/* a pointer, a label past the end, no end, no type */
		{MESSAGE(HEADER(1, 0, 1, 0, 0, 0), 0xc0, 12, 0, 1, 0, 1),
		 DNS_FORMAT_ERROR, NULL, 0, 0},
		{MESSAGE(HEADER(1, 0, 1, 0, 0, 0), 63, 'a', 0, 0, 1, 0, 1),
		 DNS_FORMAT_ERROR, NULL, 0, 0},
		{MESSAGE(HEADER(1, 0, 1, 0, 0, 0), 1, 'a'), DNS_FORMAT_ERROR,
		 NULL, 0, 0},
		{MESSAGE(HEADER(1, 0, 1, 0, 0, 0), 1, 'a', 0, 0, 1, 0),
		 DNS_FORMAT_ERROR, NULL, 0, 0},
		/* CHAOS */
		{MESSAGE(HEADER(1, 0, 1, 0, 0, 0), 1, 'a', 0, 0, 16, 0, 3),
		 DNS_NOT_IMPLEMENTED, NULL, 0, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct dns_query query = {0};
		int r = dns_parse(rows[i].message.data, rows[i].message.length,
				  &query);

		if (r != rows[i].result)
			fail_msg("row %zu: %d", i, r);
		if (!rows[i].name)
			continue;
		assert_string_equal(query.name, rows[i].name);
		assert_int_equal(query.type, rows[i].type);
		assert_int_equal(query.answer_size, rows[i].answer_size);
	}
}

/* 4 x 63 letters are too many, a few less are not. */
static void test_long_names(void **state)
{
	for (size_t last = 61; last <= 63; last++) {
		uint8_t message[512] = {HEADER(1, 0, 1, 0, 0, 0)};
		const size_t labels[] = {63, 63, 63, last};
		struct dns_query query;
		size_t length = DNS_HEADER_SIZE;

		for (size_t i = 0; i < ARRAY_SIZE(labels); i++) {
			message[length++] = (uint8_t)labels[i];
			memset(message + length, 'x', labels[i]);
			length += labels[i];
		}
		message[length++] = 0;
		memcpy(message + length, "\0\1\0\1", 4);
		length += 4;
		assert_int_equal(dns_parse(message, length, &query),
				 last == 61 ? 0 : DNS_FORMAT_ERROR);
	}
}

static void test_answers(void **state)
{
	static const struct net_address_value addresses[] = {
		{AF_INET, {172, 18, 0, 2}},
		{AF_INET6, {0xfd, 1, [15] = 9}},
		{AF_INET, {172, 18, 0, 3}},
	};
	const struct dns_answer answer = {
		.addresses = addresses,
		.address_count = ARRAY_SIZE(addresses),
		.ttl = 5,
	};
	static const uint8_t wanted[] = {
		HEADER(0x1234, 0x8180, 1, 2, 0, 0),
		/* the question, as it was */
		3,
		'W',
		'e',
		'b',
		0,
		0,
		1,
		0,
		1,
		/* the IPv4 addresses */
		0xc0,
		12,
		0,
		1,
		0,
		1,
		0,
		0,
		0,
		5,
		0,
		4,
		172,
		18,
		0,
		2,
		0xc0,
		12,
		0,
		1,
		0,
		1,
		0,
		0,
		0,
		5,
		0,
		4,
		172,
		18,
		0,
		3,
	};
	uint8_t message[DNS_UDP_SIZE];
	struct dns_query query;
	size_t length;

	assert_int_equal(dns_parse(web_a, sizeof(web_a), &query), 0);
	length = dns_build(&query, web_a, &answer, message, sizeof(message));
	assert_int_equal(length, sizeof(wanted));
	assert_memory_equal(message, wanted, sizeof(wanted));
	/* With room for one: it is there, and the rest is said to be missing.
	 */
	length = dns_build(&query, web_a, &answer, message, sizeof(wanted) - 1);
	assert_int_equal(length, sizeof(wanted) - 16);
	assert_int_equal(message[2] & 2, 2);
	assert_int_equal(message[7], 1);
}

static void test_pointer(void **state)
{
	const struct message question =
		MESSAGE(HEADER(1, 0, 1, 0, 0, 1), 1, '2', 0, 0, 12, 0, 1, 0, 0,
			41, 4, 208, 0, 0, 0, 0, 0, 0);
	const struct dns_answer answer = {.pointer = "web.net"};
	static const uint8_t wanted[] = {
		0xc0,
		12,
		0,
		12,
		0,
		1,
		0,
		0,
		0,
		0,
		0,
		9,
		3,
		'w',
		'e',
		'b',
		3,
		'n',
		'e',
		't',
		0,
		/* EDNS again */
		0,
		0,
		41,
		16,
		0,
		0,
		0,
		0,
		0,
		0,
		0,
	};
	uint8_t message[DNS_UDP_SIZE];
	struct dns_query query;
	size_t length;

	assert_int_equal(dns_parse(question.data, question.length, &query), 0);
	length = dns_build(&query, question.data, &answer, message,
			   sizeof(message));
	assert_int_equal(length, DNS_HEADER_SIZE + 7 + sizeof(wanted));
	assert_memory_equal(message + DNS_HEADER_SIZE + 7, wanted,
			    sizeof(wanted));
	assert_int_equal(message[11], 1);
}

static void test_reverse(void **state)
{
	static const struct {
		const char *name;
		const char *address; /* NULL: not one */
	} rows[] = {
		{"2.0.18.172.in-addr.arpa", "172.18.0.2"},
		{"255.255.255.255.in-addr.arpa", "255.255.255.255"},
		{"9.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0."
		 "d.f.ip6.arpa",
		 "fd01::9"},
		{"256.0.18.172.in-addr.arpa", NULL},
		{"02.0.18.172.in-addr.arpa", NULL},
		{"0.18.172.in-addr.arpa", NULL},
		{"2.0.18.172.in-addr.arpa.x", NULL},
		{"2.0.18.172", NULL},
		{"g.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1.0."
		 "d.f.ip6.arpa",
		 NULL},
		{"ip6.arpa", NULL},
		{"", NULL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct net_address_value address;
		char text[ADDRESS_TEXT_MAX] = "";

		if (dns_parse_reverse(rows[i].name, &address))
			address_text(&address, text);
		if (!str_equal(text, rows[i].address ? rows[i].address : ""))
			fail_msg("%s: %s", rows[i].name, text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_long_names),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_pointer),
		cmocka_unit_test(test_reverse),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
