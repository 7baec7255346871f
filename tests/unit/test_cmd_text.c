/* cmd/text.h, cmd/stream.h's detach keys, cmd/ports_text.h and
   cmd/time_option.h */
#include "cmd/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "cmd/ports_text.h"
#include "cmd/stream.h"
#include "cmd/time_option.h"

static void test_printable(void **state)
{
	static const struct {
		const char *text;
		const char *lines;
		const char *line;
	} rows[] = {
		{"plain", "plain", "plain"},
		{"a\nb\tc", "a\nb\tc", "a\\x0ab\\x09c"},
		{"\033[31mred", "\\x1b[31mred", "\\x1b[31mred"},
		{"\r\a\x7f", "\\x0d\\x07\\x7f", "\\x0d\\x07\\x7f"},
		{"grün …", "grün …", "grün …"},
		/* C1: CSI in one character, and as a bare byte. */
		{"\xc2\x9b", "\\xc2\\x9b", "\\xc2\\x9b"},
		{"\x9b", "\\x9b", "\\x9b"},
		/* Not UTF-8: overlong, surrogate, cut off, too large. */
		{"\xc0\xaf", "\\xc0\\xaf", "\\xc0\\xaf"},
		{"\xed\xa0\x80", "\\xed\\xa0\\x80", "\\xed\\xa0\\x80"},
		{"\xe2\x80", "\\xe2\\x80", "\\xe2\\x80"},
		{"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80",
		 "\\xf4\\x90\\x80\\x80"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *lines = text_printable(rows[i].text, false);
		cleanup_free char *line = text_printable(rows[i].text, true);

		assert_string_equal(lines, rows[i].lines);
		assert_string_equal(line, rows[i].line);
	}
}

static void test_width_and_cut(void **state)
{
	static const struct {
		const char *text;
		size_t width;
		const char *cut; /* to 5 columns */
	} rows[] = {
		{"", 0, ""},
		{"abcde", 5, "abcde"},
		{"abcdef", 6, "abcd…"},
		{"grüße", 5, "grüße"},
		{"grüße!", 6, "grüß…"},
		{"日本", 4, "日本"},
		{"日本語", 6, "日本…"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *cut = text_cut(rows[i].text, 5);

		assert_int_equal(text_width(rows[i].text), rows[i].width);
		assert_string_equal(cut, rows[i].cut);
	}
}

static void test_quote(void **state)
{
	static const char *const rows[][2] = {
		{"", "\"\""},
		{"sh -c", "\"sh -c\""},
		{"a\"b\\c", "\"a\\\"b\\\\c\""},
		{"a\nb\tc\r", "\"a\\nb\\tc\\r\""},
		{"\033\x7f", "\"\\x1b\\x7f\""},
		{"\xc2\x9b", "\"\\u009b\""},
		{"\xff", "\"\\xff\""},
		{"grün", "\"grün\""},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *quoted = text_quote(rows[i][0]);

		assert_string_equal(quoted, rows[i][1]);
	}
}

static void test_indent_json(void **state)
{
	static const struct {
		const char *text;
		const char *lines;
	} rows[] = {
		{"{}", "{}"},
		{" [ ] ", "[]"},
		{"7", "7"},
		{"{\"a\":1}", "{\n  \"a\": 1\n}"},
		{"{ \"a\" : [1, 2.50e3 ,{\"b\":{ }}] ,\"c\":null}",
		 "{\n  \"a\": [\n    1,\n    2.50e3,\n    {\n      \"b\": "
		 "{}\n    }\n  ],\n  \"c\": null\n}"},
		/* What looks like JSON in a string is none. */
		{"[\"{,:]\\\"[\",\"\\\\\"]",
		 "[\n  \"{,:]\\\"[\",\n  \"\\\\\"\n]"},
		/* No JSON, but an end. */
		{"\"a", "\"a"},
		{"\"a\\", "\"a\\"},
		{"]", "\n]"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *lines = text_indent_json(rows[i].text, "  ");

		assert_string_equal(lines, rows[i].lines);
	}
}

static void test_detach_keys(void **state)
{
	static const struct {
		const char *text;
		const char *keys; /* NULL: refused */
	} rows[] = {
		{"", ""},
		{"ctrl-p,ctrl-q", "\x10\x11"},
		{"a", "a"},
		{"a,b,c", "abc"},
		{"ctrl-a", "\x01"},
		{"Ctrl-A", "\x01"},
		{"ctrl-z", "\x1a"},
		{"ctrl-[", "\x1b"},
		{"ctrl-\\", "\x1c"},
		{"ctrl-]", "\x1d"},
		{"ctrl-^", "\x1e"},
		{"ctrl-_", "\x1f"},
		{"ctrl-x,d", "\x18"
			     "d"},
		{"ctrl-", NULL},
		{"ctrl-1", NULL},
		{"ctrl-ab", NULL},
		{"ab", NULL},
		{"a,,b", NULL},
		{",", NULL},
		{"a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a", NULL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct detach_keys keys = {.count = 99};
		struct error err = {0};
		int r = detach_keys_parse(rows[i].text, &keys, &err);

		if (!rows[i].keys) {
			if (r >= 0)
				fail_msg("%s: accepted", rows[i].text);
			assert_non_null(strstr(err.message, rows[i].text));
			assert_int_equal(keys.count, 99);
			continue;
		}
		if (r < 0)
			fail_msg("%s: %s", rows[i].text, err.message);
		assert_int_equal(keys.count, strlen(rows[i].keys));
		assert_memory_equal(keys.keys, rows[i].keys, keys.count);
	}
}

/* NUL is a key too: it cannot stand in the table above. */
static void test_detach_key_nul(void **state)
{
	struct detach_keys keys;

	assert_int_equal(detach_keys_parse("ctrl-@", &keys, NULL), 0);
	assert_int_equal(keys.count, 1);
	assert_int_equal(keys.keys[0], 0);
}

static void test_ports(void **state)
{
	static const char *const rows[][2] = {
		{"[]", ""},
		{"[{\"PrivatePort\":80,\"Type\":\"tcp\"}]", "80/tcp"},
		{"[{\"IP\":\"0.0.0.0\",\"PrivatePort\":80,\"PublicPort\":8080,"
		 "\"Type\":\"tcp\"}]",
		 "0.0.0.0:8080->80/tcp"},
		{"[{\"IP\":\"::\",\"PrivatePort\":80,\"PublicPort\":8080,"
		 "\"Type\":\"tcp\"}]",
		 "[::]:8080->80/tcp"},
		/* Neighbours are one range when they are the same outside. */
		{"[{\"IP\":\"0.0.0.0\",\"PrivatePort\":8001,\"PublicPort\":"
		 "9001,"
		 "\"Type\":\"tcp\"},"
		 "{\"IP\":\"0.0.0.0\",\"PrivatePort\":8000,\"PublicPort\":9000,"
		 "\"Type\":\"tcp\"}]",
		 "0.0.0.0:9000->8000/tcp, 0.0.0.0:9001->8001/tcp"},
		{"[{\"IP\":\"0.0.0.0\",\"PrivatePort\":8000,\"PublicPort\":"
		 "9000,"
		 "\"Type\":\"tcp\"},"
		 "{\"IP\":\"0.0.0.0\",\"PrivatePort\":8001,\"PublicPort\":9002,"
		 "\"Type\":\"tcp\"}]",
		 "0.0.0.0:9000->8000/tcp, 0.0.0.0:9002->8001/tcp"},
		{"[{\"PrivatePort\":53,\"Type\":\"udp\"},"
		 "{\"PrivatePort\":53,\"Type\":\"tcp\"},"
		 "{\"PrivatePort\":54,\"Type\":\"tcp\"}]",
		 "53-54/tcp, 53/udp"},
		/* All of it, as docker 28.2 writes it. */
		{"["
		 "{\"IP\":\"0.0.0.0\",\"PrivatePort\":80,\"PublicPort\":80,"
		 "\"Type\":\"tcp\"},"
		 "{\"IP\":\"0.0.0.0\",\"PrivatePort\":81,\"PublicPort\":81,"
		 "\"Type\":\"tcp\"},"
		 "{\"IP\":\"0.0.0.0\",\"PrivatePort\":82,\"PublicPort\":82,"
		 "\"Type\":\"tcp\"},"
		 "{\"IP\":\"::\",\"PrivatePort\":80,\"PublicPort\":80,\"Type\":"
		 "\"tcp\"},"
		 "{\"IP\":\"::\",\"PrivatePort\":81,\"PublicPort\":81,\"Type\":"
		 "\"tcp\"},"
		 "{\"IP\":\"::\",\"PrivatePort\":82,\"PublicPort\":82,\"Type\":"
		 "\"tcp\"},"
		 "{\"IP\":\"127.0.0.1\",\"PrivatePort\":53,\"PublicPort\":53,"
		 "\"Type\":\"udp\"},"
		 "{\"PrivatePort\":443,\"Type\":\"tcp\"},"
		 "{\"PrivatePort\":444,\"Type\":\"tcp\"},"
		 "{\"PrivatePort\":53,\"Type\":\"udp\"},"
		 "{\"IP\":\"0.0.0.0\",\"PrivatePort\":90,\"PublicPort\":8080,"
		 "\"Type\":\"tcp\"},"
		 "{\"IP\":\"0.0.0.0\",\"PrivatePort\":9000,\"PublicPort\":9000,"
		 "\"Type\":\"udp\"},"
		 "{\"IP\":\"0.0.0.0\",\"PrivatePort\":9001,\"PublicPort\":9001,"
		 "\"Type\":\"udp\"}"
		 "]",
		 "53/udp, 127.0.0.1:53->53/udp, 0.0.0.0:80-82->80-82/tcp, "
		 "[::]:80-82->80-82/tcp, 443-444/tcp, "
		 "0.0.0.0:9000-9001->9000-9001/udp, 0.0.0.0:8080->90/tcp"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_json cJSON *ports = NULL;
		cleanup_free char *text = NULL;

		assert_int_equal(json_parse(rows[i][0], strlen(rows[i][0]),
					    "ports", &ports, NULL),
				 0);
		text = ports_text(ports);
		assert_string_equal(text, rows[i][1]);
	}
	free(ports_text(NULL));
}

static void test_times(void **state)
{
	static const struct {
		const char *text;
		int64_t seconds;
		long nanoseconds;
	} rows[] = {
		{"1136073845", 1136073845, 0},
		{"1136073845.25", 1136073845, 250000000},
		{"2006-01-02T15:04:05Z", 1136214245, 0},
		{"2006-01-02T15:04:05.5+01:00", 1136210645, 500000000},
		/* Without a zone: the local one, which is 2 hours east. */
		{"2006-01-02", 1136152800, 0},
		{"2006-01-02T15", 1136206800, 0},
		{"2006-01-02T15:04", 1136207040, 0},
		{"2006-01-02T15:04:05", 1136207045, 0},
		{"2006-01-02T15:04:05.125", 1136207045, 125000000},
	};
	static const char *const wrong[] = {
		"",
		"yesterday",
		"2006-13-01",
		"2006-02-30",
		"2006-01-02T",
		"12.",
		"12.x",
		"-12",
		"1h30",
		"2006-01-02T15:04:05.",
		"99999999999999999999",
	};

	setenv("TZ", "XYZ-2", 1);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct timespec time = {0};
		struct error err = {0};

		if (time_option_parse("since", rows[i].text, &time, &err) < 0)
			fail_msg("%s: %s", rows[i].text, err.message);
		if (time.tv_sec != rows[i].seconds ||
		    time.tv_nsec != rows[i].nanoseconds)
			fail_msg("%s: %lld.%ld", rows[i].text,
				 (long long)time.tv_sec, time.tv_nsec);
	}
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		struct timespec time = {.tv_sec = 4711};
		struct error err = {0};

		if (time_option_parse("since", wrong[i], &time, &err) >= 0)
			fail_msg("%s: accepted", wrong[i]);
		assert_non_null(strstr(err.message, "\"--since\""));
		assert_int_equal(time.tv_sec, 4711);
	}
}

static void test_relative_times(void **state)
{
	struct timespec now, then;

	clock_gettime(CLOCK_REALTIME, &now);
	assert_int_equal(time_option_parse("since", "1h0.5s", &then, NULL), 0);
	assert_in_range(now.tv_sec - then.tv_sec, 3599, 3601);
	assert_in_range(then.tv_nsec, 0, 999999999);
	assert_int_equal(time_option_parse("until", "-10s", &then, NULL), 0);
	assert_in_range(then.tv_sec - now.tv_sec, 9, 12);
	assert_in_range(then.tv_nsec, 0, 999999999);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_printable),
		cmocka_unit_test(test_width_and_cut),
		cmocka_unit_test(test_quote),
		cmocka_unit_test(test_indent_json),
		cmocka_unit_test(test_detach_keys),
		cmocka_unit_test(test_detach_key_nul),
		cmocka_unit_test(test_ports),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_relative_times),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
