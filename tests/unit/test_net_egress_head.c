/* net/egress_head.h */
#include "net/egress_head.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/str.h"

static enum egress_head parse(const void *data, size_t length, bool ended,
			      char name[EGRESS_NAME_MAX])
{
	/* Where the sanitizers see a byte too far. */
	cleanup_free uint8_t *copy = xcalloc(1, length + 1);

	copy = xrealloc(copy, length ? length : 1, 1);
	memcpy(copy, data, length);
	return egress_head_parse(copy, length, ended, name);
}

static void test_http(void **state)
{
	static const struct {
		const char *text;
		enum egress_head head;
		const char *name;
	} rows[] = {
		{"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n", EGRESS_HEAD_HTTP,
		 "a.test"},
		{"GET / HTTP/1.1\nX: y\nhOsT:\t A.Test:8080 \n\n",
		 EGRESS_HEAD_HTTP, "a.test"},
		{"\r\n\r\nPOST / HTTP/1.0\r\nHost: a.test.\r\n\r\nbody",
		 EGRESS_HEAD_HTTP, "a.test"},
		{"GET http://a.test/x HTTP/1.1\r\nHost: a.test\r\n\r\n",
		 EGRESS_HEAD_HTTP, "a.test"},
		{"GET http://b.test/x HTTP/1.1\r\nHost: a.test\r\n\r\n",
		 EGRESS_HEAD_BAD, NULL},
		{"GET http://a.test@b.test/ HTTP/1.1\r\nHost: a.test\r\n\r\n",
		 EGRESS_HEAD_BAD, NULL},
		{"CONNECT b.test:443 HTTP/1.1\r\nHost: b.test:443\r\n\r\n",
		 EGRESS_HEAD_HTTP, "b.test"},
		{"CONNECT b.test:443 HTTP/1.1\r\nHost: a.test\r\n\r\n",
		 EGRESS_HEAD_BAD, NULL},
		{"GET / HTTP/1.1\r\nHost: a.test\r\nHost: b.test\r\n\r\n",
		 EGRESS_HEAD_BAD, NULL},
		{"GET / HTTP/1.1\r\nHost: a.test\r\n b.test\r\n\r\n",
		 EGRESS_HEAD_BAD, NULL},
		{"GET / HTTP/1.1\r\nHost : a.test\r\n\r\n", EGRESS_HEAD_BAD,
		 NULL},
		{"GET / HTTP/1.1\r\nX\r\nHost: a.test\r\n\r\n", EGRESS_HEAD_BAD,
		 NULL},
		{"GET / HTTP/1.1\r\nX: a\rb\r\nHost: a.test\r\n\r\n",
		 EGRESS_HEAD_BAD, NULL},
		{"GET / HTTP/1.1\r\n\r\n", EGRESS_HEAD_NO_NAME, NULL},
		{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", EGRESS_HEAD_NO_NAME, NULL},
		{"GET  / HTTP/1.1\r\nHost: a.test\r\n\r\n", EGRESS_HEAD_BAD,
		 NULL},
		{"GET / HTTP/1.1 \r\nHost: a.test\r\n\r\n", EGRESS_HEAD_BAD,
		 NULL},
		{"GET\t/\tHTTP/1.1\r\nHost: a.test\r\n\r\n", EGRESS_HEAD_BAD,
		 NULL},
		{"FOO / http/1.1\r\nHost: a.test\r\n\r\n", EGRESS_HEAD_BAD,
		 NULL},
		{" GET / HTTP/1.1\r\nHost: a.test\r\n\r\n", EGRESS_HEAD_BAD,
		 NULL},
		{"\r\n\tGET / HTTP/1.1\r\nHost: a.test\r\n\r\n",
		 EGRESS_HEAD_BAD, NULL},
		{"GET /\r\n", EGRESS_HEAD_BAD, NULL},
		{"GET / HTTP/1.1\r\nHost: a.test\r\n", EGRESS_HEAD_MORE, NULL},
		{"GE", EGRESS_HEAD_MORE, NULL},
		{"", EGRESS_HEAD_MORE, NULL},
		{"EHLO mail.test\r\n", EGRESS_HEAD_OTHER, NULL},
		{"SSH-2.0-OpenSSH_9.2\r\n", EGRESS_HEAD_OTHER, NULL},
		{"*1\r\n$4\r\nPING\r\n", EGRESS_HEAD_OTHER, NULL},
		{"\x01\x02\x03", EGRESS_HEAD_OTHER, NULL},
		{"0032git-upload-pack /p.git", EGRESS_HEAD_MORE, NULL},
		{"0032git-x / HTTP/1.1\r\nHost: b.test\r\n\r\n",
		 EGRESS_HEAD_HTTP, "b.test"},
		{"GET / HTTP/1.1\rHost: b.test\nHost: a.test\r\n\r\n",
		 EGRESS_HEAD_BAD, NULL},
		{"GET / HTTP/1.1\rHost:b.test\nHost: a.test\r\n\r\n",
		 EGRESS_HEAD_BAD, NULL},
		{"GET / HTTP/1.11\r\nHost: a.test\r\n\r\n", EGRESS_HEAD_BAD,
		 NULL},
		{"a1 LOGIN me secret\r\n", EGRESS_HEAD_OTHER, NULL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		size_t length = strlen(rows[i].text);
		char name[EGRESS_NAME_MAX] = "";
		enum egress_head head =
			parse(rows[i].text, length, false, name);

		if (head != rows[i].head)
			fail_msg("%s: %d", rows[i].text, head);
		if (rows[i].name)
			assert_string_equal(name, rows[i].name);
		/* What has a name is never taken for something else before. */
		for (size_t j = 0; rows[i].name && j < length; j++) {
			head = parse(rows[i].text, j, false, name);
			assert_true(head == EGRESS_HEAD_MORE ||
				    head == EGRESS_HEAD_HTTP);
		}
	}
}

/* PROXY protocol: who is asked for comes behind it. */
static void test_proxied(void **state)
{
	static const char text[] = "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"
				   "GET / HTTP/1.1\r\nHost: b.test\r\n\r\n";
	static const char binary[] = "\r\n\r\n\0\r\nQUIT\n!\x11\0\x0c";
	static const struct {
		const char *data;
		size_t length, from; /* what is enough to be refused */
	} rows[] = {
		{text, sizeof(text) - 1, 6},
		{binary, sizeof(binary), 5},
	};
	char name[EGRESS_NAME_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		for (size_t j = 0; j <= rows[i].length; j++)
			assert_int_equal(parse(rows[i].data, j, false, name),
					 j < rows[i].from ? EGRESS_HEAD_MORE
							  : EGRESS_HEAD_BAD);
	}
}

static void test_git(void **state)
{
	static const char git[] = "0032git-upload-pack /p.git\0host=a.test";
	static const char other[] =
		"0032git-x / HTTP/1.1\r\nHost: b.test\r\n\r\n";
	char name[EGRESS_NAME_MAX];

	assert_int_equal(parse(git, sizeof(git), false, name),
			 EGRESS_HEAD_OTHER);
	/* With its NUL. */
	assert_int_equal(parse(other, sizeof(other), false, name),
			 EGRESS_HEAD_HTTP);
}

/* A server that takes any word for a method may take a long one. */
static void test_long_method(void **state)
{
	static const char rest[] = " / HTTP/1.1\r\nHost: b.test\r\n\r\n";
	char text[4000 + sizeof(rest)];
	char name[EGRESS_NAME_MAX];

	memset(text, 'A', sizeof(text));
	assert_int_equal(parse(text, 4000, false, name), EGRESS_HEAD_MORE);
	memcpy(text + 4000, rest, sizeof(rest));
	assert_int_equal(parse(text, sizeof(text) - 1, false, name),
			 EGRESS_HEAD_HTTP);
	assert_string_equal(name, "b.test");
}

static void test_end(void **state)
{
	char name[EGRESS_NAME_MAX];

	assert_int_equal(parse("ping", 4, false, name), EGRESS_HEAD_MORE);
	assert_int_equal(parse("ping", 4, true, name), EGRESS_HEAD_OTHER);
	assert_int_equal(parse("GET / HTTP/1.1", 14, true, name),
			 EGRESS_HEAD_MORE);
}

struct hello {
	uint8_t bytes[4096];
	size_t length;
};

static void put(struct hello *hello, const void *bytes, size_t length)
{
	memcpy(hello->bytes + hello->length, bytes, length);
	hello->length += length;
}

static void put16(struct hello *hello, size_t value)
{
	const uint8_t bytes[] = {(uint8_t)(value >> 8), (uint8_t)value};

	put(hello, bytes, 2);
}

static void put_name(struct hello *hello, const char *name, size_t length)
{
	put16(hello, 0);
	put16(hello, length + 5);
	put16(hello, length + 3);
	put(hello, "", 1);
	put16(hello, length);
	put(hello, name, length);
}

/* A ClientHello with these names, in records of at most `record` bytes. */
static struct hello make_hello(const char *const *names, size_t record)
{
	static const uint8_t zeros[64];
	struct hello extensions = {.length = 0};
	struct hello body = {.length = 0};
	struct hello whole = {.length = 0};

	put16(&extensions, 43);
	put16(&extensions, 3);
	put(&extensions, "\x02\x03\x04", 3);
	for (size_t i = 0; names[i]; i++)
		put_name(&extensions, names[i], strlen(names[i]));
	put(&body, "\x01\0\0\0\x03\x03", 6);
	put(&body, zeros, 32);
	put(&body, "\x20", 1);
	put(&body, zeros, 32);
	put16(&body, 2);
	put16(&body, 0x1301);
	put(&body, "\x01\0", 2);
	put16(&body, extensions.length);
	put(&body, extensions.bytes, extensions.length);
	body.bytes[2] = (uint8_t)((body.length - 4) >> 8);
	body.bytes[3] = (uint8_t)(body.length - 4);
	for (size_t i = 0; i < body.length; i += record) {
		size_t part =
			body.length - i < record ? body.length - i : record;

		put(&whole, "\x16\x03\x01", 3);
		put16(&whole, part);
		put(&whole, body.bytes + i, part);
	}
	return whole;
}

static void test_tls(void **state)
{
	static const size_t records[] = {4000, 16, 1};
	char name[EGRESS_NAME_MAX];

	for (size_t i = 0; i < ARRAY_SIZE(records); i++) {
		struct hello hello = make_hello(
			(const char *[]){"WWW.a.test", NULL}, records[i]);

		assert_int_equal(parse(hello.bytes, hello.length, false, name),
				 EGRESS_HEAD_TLS);
		assert_string_equal(name, "www.a.test");
		for (size_t j = 0; j < hello.length; j++)
			assert_int_equal(parse(hello.bytes, j, false, name),
					 EGRESS_HEAD_MORE);
	}
}

static void test_wrong_tls(void **state)
{
	struct hello hello = make_hello((const char *[]){NULL}, 4000);
	char name[EGRESS_NAME_MAX];

	assert_int_equal(parse(hello.bytes, hello.length, false, name),
			 EGRESS_HEAD_NO_NAME);
	hello = make_hello((const char *[]){"a.test", "b.test", NULL}, 4000);
	assert_int_equal(parse(hello.bytes, hello.length, false, name),
			 EGRESS_HEAD_BAD);
	hello = make_hello((const char *[]){"a.test/", NULL}, 4000);
	assert_int_equal(parse(hello.bytes, hello.length, false, name),
			 EGRESS_HEAD_BAD);
	/* The first record is an alert. */
	hello = make_hello((const char *[]){"a.test", NULL}, 16);
	hello.bytes[21] = 21;
	assert_int_equal(parse(hello.bytes, hello.length, false, name),
			 EGRESS_HEAD_BAD);
	/* No ClientHello. */
	hello = make_hello((const char *[]){"a.test", NULL}, 4000);
	hello.bytes[5] = 2;
	assert_int_equal(parse(hello.bytes, hello.length, false, name),
			 EGRESS_HEAD_BAD);
}

/* Each byte changed: never past the end, and never another name. */
static void test_damaged_tls(void **state)
{
	struct hello hello = make_hello((const char *[]){"a.test", NULL}, 4000);
	char name[EGRESS_NAME_MAX];

	for (size_t i = 0; i < hello.length; i++) {
		for (unsigned int bit = 0; bit < 8; bit++) {
			hello.bytes[i] ^= (uint8_t)(1u << bit);
			parse(hello.bytes, hello.length, false, name);
			hello.bytes[i] ^= (uint8_t)(1u << bit);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_http),
		cmocka_unit_test(test_proxied),
		cmocka_unit_test(test_git),
		cmocka_unit_test(test_long_method),
		cmocka_unit_test(test_end),
		cmocka_unit_test(test_tls),
		cmocka_unit_test(test_wrong_tls),
		cmocka_unit_test(test_damaged_tls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
