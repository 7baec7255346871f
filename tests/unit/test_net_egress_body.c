/* net/egress_body.h */
#include "net/egress_body.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"

#define HEAD(fields) "POST / HTTP/1.1\r\nHost: a\r\n" fields "\r\n"
#define CHUNKED	     HEAD("Transfer-Encoding: chunked\r\n")
#define NEXT	     "GET / HTTP/1.1\r\n"

/* Where in text the next head begins: length when not in there, -1. */
static ssize_t find_next(const char *text, size_t step)
{
	size_t length = strlen(text);
	struct egress_body body = {0};
	ssize_t offset =
		egress_body_begin((const uint8_t *)text, length, &body);

	while (offset >= 0 && (size_t)offset < length) {
		size_t left = length - (size_t)offset;
		size_t size = step < left ? step : left;
		ssize_t taken = egress_body_take(
			&body, (const uint8_t *)text + offset, size);

		if (taken < 0)
			return -1;
		offset += taken;
		if ((size_t)taken < size) {
			assert_int_equal(body.state, BODY_BETWEEN);
			return offset;
		}
	}
	return offset;
}

static void test_ends(void **state)
{
	static const char *const bodies[] = {
		HEAD(""),
		"\r\n\n" HEAD(""),
		"GET / HTTP/1.0\nHost: a\n\n",
		HEAD("") "\r\n\n",
		HEAD("Content-Length: 0\r\n"),
		HEAD("content-length:5\r\n") "hello",
		HEAD("Content-Length:\t 5 \r\n") "\r\n\r\n!\r\n",
		HEAD("Content-Length: 16\r\n") NEXT,
		CHUNKED "0\r\n\r\n",
		CHUNKED "5\r\nhello\r\n0\r\n\r\n",
		CHUNKED "00a;x=\"y\"\r\n0\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n",
		CHUNKED "1 \r\nx\r\n10\r\n" NEXT
			"\r\n0\r\nA: b\r\nC: d\r\n\r\n",
		HEAD("Transfer-Encoding: ChunKed\r\n") "0\r\n\r\n",
		HEAD("X-Transfer-Encoding: gzip\r\nLength: x\r\n"),
	};

	for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
		char text[400] = "";

		strcat(text, bodies[i]);
		strcat(text, NEXT);
		for (size_t step = 1; step < sizeof(text); step++) {
			if (find_next(text, step) != (ssize_t)strlen(bodies[i]))
				fail_msg("%s: %zd by %zu", text,
					 find_next(text, step), step);
		}
	}
}

static void test_unended(void **state)
{
	static const char *const texts[] = {
		HEAD("Content-Length: 6\r\n") "hello",
		HEAD("Content-Length: 999999999999999999\r\n") NEXT,
		CHUNKED,
		CHUNKED "5",
		CHUNKED "5\r\nhello",
		CHUNKED "fffffffffffffff\r\n" NEXT,
		CHUNKED "0\r\n",
		CHUNKED "0\r\nA: b\r\n\r",
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		assert_int_equal(find_next(texts[i], 1), strlen(texts[i]));
}

static void test_ambiguous(void **state)
{
	static const char *const texts[] = {
		HEAD("Content-Length: 1\r\nContent-Length: 1\r\n"),
		HEAD("Content-Length: 1, 1\r\n"),
		HEAD("Content-Length: +1\r\n"),
		HEAD("Content-Length: -1\r\n"),
		HEAD("Content-Length: 0x1\r\n"),
		HEAD("Content-Length:\r\n"),
		HEAD("Content-Length: 1000000000000000000\r\n"),
		HEAD("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"),
		HEAD("Transfer-Encoding: chunked\r\ncontent-length: 3\r\n"),
		HEAD("Transfer-Encoding: identity\r\n"),
		HEAD("Transfer-Encoding: gzip, chunked\r\n"),
		HEAD("Transfer-Encoding:\r\n"),
		HEAD("Transfer-Encoding: chunked\r\n"
		     "Transfer-Encoding: chunked\r\n"),
		"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
		CHUNKED "\r\n",
		CHUNKED "x\r\n",
		CHUNKED " 1\r\n",
		CHUNKED "-1\r\n",
		CHUNKED "1\nx\r\n",
		CHUNKED "1\rx\r\n",
		CHUNKED "1;a\nx\r\n",
		CHUNKED "1\r\nxy\r\n",
		CHUNKED "1\r\nx\n0\r\n",
		CHUNKED "1000000000000000\r\n",
		CHUNKED "0\r\n\n",
		CHUNKED "0\r\nA: b\n\r\n",
		CHUNKED "0\r\n\rx",
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		if (find_next(texts[i], 1) != -1)
			fail_msg("%s", texts[i]);
	}
}

static void test_change(void **state)
{
	static const struct {
		const char *head;
		bool may_change;
	} rows[] = {
		{HEAD(""), false},
		{HEAD("Upgrade: h2c\r\n"), true},
		{HEAD("Upgrade-Insecure-Requests: 1\r\n"), false},
		{"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", true},
		{"CONNECTED a:443 HTTP/1.1\r\nHost: a\r\n\r\n", false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct egress_body body = {0};

		assert_int_equal(
			egress_body_begin((const uint8_t *)rows[i].head,
					  strlen(rows[i].head), &body),
			strlen(rows[i].head));
		assert_int_equal(body.may_change, rows[i].may_change);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ends),
		cmocka_unit_test(test_unended),
		cmocka_unit_test(test_ambiguous),
		cmocka_unit_test(test_change),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
