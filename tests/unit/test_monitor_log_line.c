/* core/monitor/log_line.h */
#include "core/monitor/log_line.h"

#include <errno.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/str.h"

#define TIME	"2026-01-02T03:04:05.006Z"
#define PREFIX	"{\"log\":\""
#define OUT	",\"stream\":\"stdout\",\"time\":\""
#define TEXT	40
#define LINE(t) PREFIX "x\"" OUT t "\"}"

static const struct {
	const char *text;
	size_t length;
	const char *json;
} encodings[] = {
#define ENCODING(text, json)                 \
	{                                    \
		text, sizeof(text) - 1, json \
	}
	ENCODING("", ""),
	ENCODING("plain text, 0-9", "plain text, 0-9"),
	ENCODING("\"\\/", "\\\"\\\\/"),
	ENCODING("a\r\n\t\b\f\033\001", "a\\r\\n\\u0009\\u0008\\u000c\\u001b"
					"\\u0001"),
	ENCODING("\0x", "\\u0000x"),
	ENCODING("<a href='x'>&\177", "\\u003ca href='x'\\u003e\\u0026\177"),
	ENCODING("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x8c\xb1",
		 "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x8c\xb1"),
	ENCODING("\xe2\x80\xa8|\xe2\x80\xa9|\xe2\x80\xaa",
		 "\\u2028|\\u2029|\xe2\x80\xaa"),
	/* a byte that begins nothing, overlong, surrogate, too high, torn */
	ENCODING("a\xff"
		 "b",
		 "a\\ufffdb"),
	ENCODING("\xc0\xaf", "\\ufffd\\ufffd"),
	ENCODING("\xe0\x80\x80", "\\ufffd\\ufffd\\ufffd"),
	ENCODING("\xed\xa0\x80", "\\ufffd\\ufffd\\ufffd"),
	ENCODING("\xf4\x90\x80\x80", "\\ufffd\\ufffd\\ufffd\\ufffd"),
	ENCODING("\xf0\x9f\x8c", "\\ufffd\\ufffd\\ufffd"),
	ENCODING("\xc3(", "\\ufffd("),
};

static void test_encode(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(encodings); i++) {
		cleanup_free char *line = xrealloc(NULL, LOG_LINE_MAX, 1);
		cleanup_free char *expected =
			xasprintf("{\"log\":\"%s\\n\",\"stream\":\"stderr\","
				  "\"time\":\"" TIME "\"}\n",
				  encodings[i].json);
		size_t length = log_line_encode(line, encodings[i].text,
						encodings[i].length, true, 2,
						NULL, TIME);

		assert_int_equal(length, strlen(expected));
		assert_memory_equal(line, expected, length);
	}
}

/* Between the stream and the time, whatever quotes they hold. */
static void test_attributes(void **state)
{
	static const char attributes[] = "{\"a\":\"b\\\",\\\"time\\\":\\\"\"}";
	char line[512];
	char buffer[512];
	struct log_entry entry;
	size_t length =
		log_line_encode(line, "x", 1, true, 2, attributes, TIME);

	assert_int_equal(
		log_line_decode(line, length - 1, buffer, NULL, &entry), 0);
	assert_int_equal(entry.stream, 2);
	assert_int_equal(entry.attributes_length, strlen(attributes));
	assert_memory_equal(entry.attributes, attributes, strlen(attributes));
	assert_int_equal(entry.time.tv_nsec, 6000000);
	length = log_line_encode(line, "x", 1, true, 2, NULL, TIME);
	assert_int_equal(
		log_line_decode(line, length - 1, buffer, NULL, &entry), 0);
	assert_null(entry.attributes);
}

static void test_encode_worst(void **state)
{
	cleanup_free char *text = xrealloc(NULL, LOG_TEXT_MAX, 1);
	cleanup_free char *line = xrealloc(NULL, LOG_LINE_MAX, 1);

	memset(text, 1, LOG_TEXT_MAX);
	assert_true(log_line_encode(line, text, LOG_TEXT_MAX, true, 1, NULL,
				    TIME) <= LOG_LINE_MAX);
}

static void test_round_trip(void **state)
{
	char every[256];
	char line[4096];
	char buffer[4096];
	struct log_entry entry;
	size_t length;

	for (size_t i = 0; i < 128; i++)
		every[i] = (char)i;
	length = log_line_encode(line, every, 128, false, 1, NULL, TIME);
	assert_int_equal(
		log_line_decode(line, length - 1, buffer, NULL, &entry), 0);
	assert_int_equal(entry.length, 128);
	assert_memory_equal(entry.text, every, 128);
	assert_int_equal(entry.stream, 1);
	assert_int_equal(entry.time.tv_nsec, 6000000);
}

static const struct {
	const char *line;
	const char *text; /* NULL: no log line */
} decodings[] = {
	{"{\"log\":\"x\\n\",\"stream\":\"stdout\",\"time\":\"" TIME "\"}",
	 "x\n"},
	{"{\"log\":\"\\ud83c\\udf31\\u00e9\\/\",\"stream\":\"stderr\","
	 "\"time\":\"" TIME "\"}",
	 "\xf0\x9f\x8c\xb1\xc3\xa9/"},
	{"{\"log\":\"\\ud83cx\\udf31\",\"stream\":\"stdout\",\"time\":\"" TIME
	 "\"}",
	 "\xef\xbf\xbdx\xef\xbf\xbd"},
	/* another order, further members */
	{"{\"stream\":\"stdout\",\"attrs\":{\"a\":\"b\"},\"log\":\"y\","
	 "\"time\":\"" TIME "\"}",
	 "y"},
	{"{ \"log\": \"z\", \"stream\": \"stdout\", \"time\": \"" TIME "\" }",
	 "z"},
	{"", NULL},
	{"{", NULL},
	{"x", NULL},
	{"[]", NULL},
	{"{\"log\":\"x\"}", NULL},
	{"{\"log\":\"x", NULL},
	{"{\"log\":\"x\\", NULL},
	{"{\"log\":\"x\\u12", NULL},
	{"{\"log\":\"x\\uzzzz\",\"stream\":\"stdout\",\"time\":\"" TIME "\"}",
	 NULL},
	{"{\"log\":\"x\\q\",\"stream\":\"stdout\",\"time\":\"" TIME "\"}",
	 NULL},
	{"{\"log\":\"x\",\"stream\":\"stdin\",\"time\":\"" TIME "\"}", NULL},
	{"{\"log\":\"x\",\"stream\":\"stdout\",\"time\":\"yesterday\"}", NULL},
	{"{\"log\":1,\"stream\":\"stdout\",\"time\":\"" TIME "\"}", NULL},
	{"{\"log\":\"x\",\"stream\":\"stdout\",\"time\":\"" TIME "\"}}", NULL},
};

static void test_decode(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(decodings); i++) {
		const char *line = decodings[i].line;
		char buffer[512];
		struct log_entry entry;
		int r = log_line_decode(line, strlen(line), buffer, NULL,
					&entry);

		if (!decodings[i].text) {
			assert_int_equal(r, -EINVAL);
			continue;
		}
		assert_int_equal(r, 0);
		assert_int_equal(entry.length, strlen(decodings[i].text));
		assert_memory_equal(entry.text, decodings[i].text,
				    entry.length);
	}
}

static void test_time_text(void **state)
{
	static const struct {
		struct timespec time;
		const char *text;
	} times[] = {
		{{0, 0}, "1970-01-01T00:00:00Z"},
		{{1767323045, 6000000}, "2026-01-02T03:04:05.006Z"},
		{{1767323045, 123456789}, "2026-01-02T03:04:05.123456789Z"},
		{{1767323040, 500000000}, "2026-01-02T03:04:00.5Z"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
		char text[LOG_TIME_MAX];

		log_time_text(text, &times[i].time);
		assert_string_equal(text, times[i].text);
	}
}

/* The JSON of one byte alone, which takes no step of many. */
static size_t encode_byte(char byte, char ret_json[16])
{
	char line[256];
	size_t length = log_line_encode(line, &byte, 1, false, 1, NULL, TIME);

	length -= strlen(PREFIX) + strlen("\"" OUT TIME "\"}\n");
	assert_in_range(length, 1, 6);
	memcpy(ret_json, line + strlen(PREFIX), length);
	return length;
}

/* Every byte at every place between others that go as they are. */
static void test_every_byte(void **state)
{
	char line[1024], buffer[1024], text[TEXT], json[16];

	for (int byte = 0; byte < 256 * TEXT; byte++) {
		size_t at = (size_t)byte / 256;
		size_t json_length = encode_byte((char)byte, json);
		struct log_entry entry;
		size_t length;

		memset(text, 'x', sizeof(text));
		text[at] = (char)byte;
		length =
			log_line_encode(line, text, TEXT, false, 1, NULL, TIME);
		assert_int_equal(length,
				 strlen(LINE(TIME)) + TEXT - 1 + json_length);
		assert_memory_equal(line + strlen(PREFIX) + at, json,
				    json_length);
		assert_int_equal(
			log_line_decode(line, length - 1, buffer, NULL, &entry),
			0);
		if ((byte & 0xff) >= 0x80)
			continue;
		assert_int_equal(entry.length, TEXT);
		assert_memory_equal(entry.text, text, TEXT);
	}
}

/* A string that does not end is none, wherever it is cut. */
static void test_cut_anywhere(void **state)
{
	char line[1024], buffer[1024], text[TEXT];
	struct log_entry entry;
	size_t length;

	memset(text, 'x', sizeof(text));
	length = log_line_encode(line, text, TEXT, true, 1, NULL, TIME);
	for (size_t i = 0; i < length - 1; i++) {
		cleanup_free char *copy = xrealloc(NULL, i + 1, 1);

		memcpy(copy, line, i);
		assert_int_equal(log_line_decode(copy, i, buffer, NULL, &entry),
				 -EINVAL);
		assert_int_equal(log_line_time(copy, i, NULL, &entry.time),
				 -EINVAL);
	}
}

static const struct {
	const char *time;
	long ns; /* -1: no time */
	time_t second;
} times[] = {
	{"2026-01-02T03:04:05.006Z", 6000000, 1767323045},
	/* of the same second */
	{"2026-01-02T03:04:05.999999999Z", 999999999, 1767323045},
	{"2026-01-02T03:04:05Z", 0, 1767323045},
	{"2026-01-02T03:04:05.0Z", 0, 1767323045},
	{"2026-01-02T03:04:05.1234567891Z", 123456789, 1767323045},
	{"2026-01-02T03:04:05.5+01:00", 500000000, 1767319445},
	{"2026-01-02T03:04:05.25Z", 250000000, 1767323045},
	{"2026-01-02T03:04:05.Z", -1, 0},
	{"2026-01-02T03:04:05.1", -1, 0},
	{"2026-01-02T03:04:05.1ZZ", -1, 0},
	{"2026-01-02T03:04:05.1x", -1, 0},
	{"2026-01-02T03:04:05", -1, 0},
	/* another */
	{"2026-01-02T03:04:06.5Z", 500000000, 1767323046},
	{"2026-01-02T03:04:05.5Z", 500000000, 1767323045},
	{"", -1, 0},
};

static void test_times(void **state)
{
	struct log_clock whole = {0};
	struct log_clock tail = {0};

	for (size_t i = 0; i < ARRAY_SIZE(times); i++) {
		cleanup_free char *line =
			xasprintf(PREFIX "x\"" OUT "%s\"}", times[i].time);
		size_t length = strlen(line);
		struct log_entry entry;
		struct timespec time;
		char buffer[512];
		int expected = times[i].ns < 0 ? -EINVAL : 0;

		if (log_line_decode(line, length, buffer, &whole, &entry) !=
			    expected ||
		    log_line_time(line, length, &tail, &time) != expected)
			fail_msg("%s: expected %d", line, expected);
		if (expected < 0)
			continue;
		assert_int_equal(entry.time.tv_sec, times[i].second);
		assert_int_equal(entry.time.tv_nsec, times[i].ns);
		assert_int_equal(time.tv_sec, times[i].second);
		assert_int_equal(time.tv_nsec, times[i].ns);
	}
}

/* A time in the text is not the line's. */
static void test_time_foreign(void **state)
{
	static const char *const lines[] = {
		"",
		"}",
		"\"}",
		PREFIX "x\",\"time\":\"" TIME "\",\"stream\":\"stdout\"}",
		PREFIX "x\",\"stream\":\"stdin\",\"time\":\"" TIME "\"}",
		PREFIX
		"\\\",\\\"stream\\\":\\\"stdout\\\",\\\"time\\\":\\\"" TIME
		"\"}",
		LINE(TIME) "}",
	};
	struct timespec time;

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		struct log_clock clock = {0};
		int r = log_line_time(lines[i], strlen(lines[i]), &clock,
				      &time);

		if (r != -EINVAL)
			fail_msg("taken: %s", lines[i]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_encode),
		cmocka_unit_test(test_attributes),
		cmocka_unit_test(test_encode_worst),
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_decode),
		cmocka_unit_test(test_time_text),
		cmocka_unit_test(test_every_byte),
		cmocka_unit_test(test_cut_anywhere),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_time_foreign),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
