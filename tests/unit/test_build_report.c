/*
 * core/build/report.h: calls in, lines out. The pipe keeps writes apart, so
 * that each read is what one write was.
 */
#include "core/build/report.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"

struct listener {
	struct report report;
	int fd;
};

static int open_listener(void **state)
{
	struct listener *listener = xcalloc(1, sizeof(*listener));
	int ends[2];

	assert_int_equal(pipe2(ends, O_CLOEXEC | O_DIRECT | O_NONBLOCK), 0);
	listener->fd = ends[0];
	listener->report.fd = ends[1];
	*state = listener;
	return 0;
}

static int close_listener(void **state)
{
	struct listener *listener = *state;

	close(listener->fd);
	close(listener->report.fd);
	free(listener);
	return 0;
}

/* What one write was, "" when there was none. */
static char *next_line(const struct listener *listener)
{
	char line[2 * REPORT_LINE_MAX];
	ssize_t length = read(listener->fd, line, sizeof(line));

	if (length <= 0)
		return xstrdup("");
	assert_true(length <= REPORT_LINE_MAX);
	assert_int_equal(line[length - 1], '\n');
	assert_null(memchr(line, '\n', (size_t)length - 1));
	return xstrndup(line, (size_t)length - 1);
}

static cJSON *next_message(const struct listener *listener)
{
	cleanup_free char *line = next_line(listener);
	cJSON *message = NULL;

	assert_int_equal(json_parse(line, strlen(line), "line", &message, NULL),
			 0);
	return message;
}

static void assert_next(const struct listener *listener, const char *expected)
{
	cleanup_free char *line = next_line(listener);

	assert_string_equal(line, expected);
}

static void test_messages(void **state)
{
	const struct listener *listener = *state;
	const struct report *report = &listener->report;

	report_vertex(report, 3, "build", "[build 2/5] RUN echo \"a\\b\"\n");
	assert_next(listener, "{\"vertex\":3,\"stage\":\"build\",\"name\":"
			      "\"[build 2/5] RUN echo \\\"a\\\\b\\\"\\n\"}");
	report_cached(report, 3);
	assert_next(listener, "{\"vertex\":3,\"cached\":true}");
	report_status(report, 3, "sha256:abc", "extracting", 5, 10);
	assert_next(listener, "{\"vertex\":3,\"id\":\"sha256:abc\",\"status\":"
			      "\"extracting\",\"current\":5,\"total\":10}");
	report_status(report, 3, "sha256:abc", "done", -1, 0);
	assert_next(listener, "{\"vertex\":3,\"id\":\"sha256:abc\",\"status\":"
			      "\"done\"}");
	report_warning(report, 4, "old");
	assert_next(listener, "{\"warning\":\"old\",\"line\":4}");
	report_warning(report, 0, "old");
	assert_next(listener, "{\"warning\":\"old\"}");
}

static void test_times(void **state)
{
	const struct listener *listener = *state;
	const struct error failure = {.message = "exit code: 1"};
	cleanup_json cJSON *started = NULL;
	cleanup_json cJSON *completed = NULL;
	cleanup_json cJSON *failed = NULL;

	report_started(&listener->report, 1);
	report_completed(&listener->report, 1, NULL);
	report_completed(&listener->report, 2, &failure);
	started = next_message(listener);
	completed = next_message(listener);
	failed = next_message(listener);
	/* Of this century. */
	assert_true(json_member(started, "started")->valuedouble > 1.6e18);
	assert_true(json_member(completed, "completed")->valuedouble >=
		    json_member(started, "started")->valuedouble);
	assert_null(json_member(completed, "error"));
	assert_string_equal(json_member(failed, "error")->valuestring,
			    "exit code: 1");
}

static void test_log_bytes(void **state)
{
	static const struct {
		const char *bytes;
		size_t length;
		const char *expected; /* the text's JSON */
	} cases[] = {
		{"gcc\n", 4, "gcc\\n"},
		{"\0\1\x1b[2J\x7f\r", 8,
		 "\xef\xbf\xbd\\u0001\\u001b[2J\\u007f\\u000d"},
		{"\xc3\xa9\xe2\x82\xac", 5, "\xc3\xa9\xe2\x82\xac"},
		{"\xff\x80x\xed\xa0\x80", 6,
		 "\xef\xbf\xbd\xef\xbf\xbdx\xef\xbf\xbd\xef\xbf\xbd"
		 "\xef\xbf\xbd"},
		{"\xc0\xaf", 2, "\xef\xbf\xbd\xef\xbf\xbd"},
	};
	const struct listener *listener = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct report_stream stream = {.vertex = 7, .number = 2};
		cleanup_free char *expected =
			xasprintf("{\"vertex\":7,\"log\":\"%s\",\"stream\":2}",
				  cases[i].expected);

		report_log(&listener->report, &stream, cases[i].bytes,
			   cases[i].length);
		report_log_end(&listener->report, &stream);
		assert_next(listener, expected);
		assert_next(listener, "");
	}
}

/* A character that two reads have parts of is one all the same. */
static void test_log_split_character(void **state)
{
	const struct listener *listener = *state;
	struct report_stream stream = {.vertex = 7, .number = 1};

	report_log(&listener->report, &stream, "a\xe2", 2);
	assert_next(listener, "{\"vertex\":7,\"log\":\"a\",\"stream\":1}");
	report_log(&listener->report, &stream, "\x82", 1);
	assert_next(listener, "");
	report_log(&listener->report, &stream, "\xac", 1);
	assert_next(listener,
		    "{\"vertex\":7,\"log\":\"\xe2\x82\xac\",\"stream\":1}");
	/* The end of it never comes. */
	report_log(&listener->report, &stream, "\xf0\x9f", 2);
	assert_next(listener, "");
	report_log_end(&listener->report, &stream);
	assert_next(listener, "{\"vertex\":7,\"log\":\"\xef\xbf\xbd"
			      "\xef\xbf\xbd\",\"stream\":1}");
	report_log_end(&listener->report, &stream);
	assert_next(listener, "");
}

static void test_long_log(void **state)
{
	const struct listener *listener = *state;
	struct report_stream stream = {.vertex = 7, .number = 1};
	cleanup_str struct str text = {0};
	cleanup_str struct str back = {0};

	for (int i = 0; i < 2000; i++)
		str_append(&text, i % 2 ? "\x1b" : "\xe2\x82\xac");
	report_log(&listener->report, &stream, str_text(&text), text.length);
	while (back.length < text.length) {
		cleanup_json cJSON *message = next_message(listener);

		str_append(&back, json_member(message, "log")->valuestring);
	}
	assert_string_equal(str_text(&back), str_text(&text));
	assert_next(listener, "");
}

/* Whatever is in them, they fit and can be read. */
static void test_long_texts(void **state)
{
	const struct listener *listener = *state;
	char controls[20001];
	struct report_failure failure = {
		.file = controls,
		.text = controls,
		.line = 1,
		.last = 1,
	};
	struct error error = {0};

	memset(controls, 1, sizeof(controls) - 1);
	controls[sizeof(controls) - 1] = '\0';
	memset(error.message, 2, sizeof(error.message) - 1);
	report_vertex(&listener->report, 1, controls, controls);
	report_status(&listener->report, 1, controls, controls, 1, 2);
	report_warning(&listener->report, 1, controls);
	report_completed(&listener->report, 1, &error);
	report_failed(&listener->report, &failure);
	for (int i = 0; i < 5; i++) {
		cleanup_json cJSON *message = next_message(listener);

		assert_true(cJSON_IsObject(message));
	}
}

static void test_excerpt(void **state)
{
	static const char text[] = "1\n2\n3\n4\n5\n6\n7\n8\n9";
	static const struct {
		unsigned int line;
		unsigned int last;
		int first_shown;
		int last_shown;
	} cases[] = {
		{5, 5, 3, 7}, {1, 1, 1, 3}, {9, 9, 7, 9},
		{4, 6, 3, 7}, {1, 9, 1, 9},
	};
	const struct listener *listener = *state;

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct report_failure failure = {
			.file = "Dockerfile",
			.text = text,
			.line = cases[i].line,
			.last = cases[i].last,
			.vertex = 3,
			.exit_code = 1,
		};
		cleanup_json cJSON *message = NULL;
		const cJSON *failed;
		const cJSON *excerpt;
		int count;

		report_failed(&listener->report, &failure);
		message = next_message(listener);
		failed = json_member(message, "failed");
		excerpt = json_member(failed, "excerpt");
		count = cJSON_GetArraySize(excerpt);
		assert_int_equal(json_member(failed, "exit")->valueint, 1);
		assert_int_equal(json_member(failed, "vertex")->valueint, 3);
		assert_int_equal(count, cases[i].last_shown -
						cases[i].first_shown + 1);
		for (int row = 0; row < count; row++) {
			const cJSON *pair = cJSON_GetArrayItem(excerpt, row);
			int number = cJSON_GetArrayItem(pair, 0)->valueint;

			assert_int_equal(number, cases[i].first_shown + row);
			assert_int_equal(
				cJSON_GetArrayItem(pair, 1)->valuestring[0],
				'0' + number);
		}
	}
}

static void test_long_excerpt(void **state)
{
	const struct listener *listener = *state;
	cleanup_str struct str text = {0};
	struct report_failure failure = {
		.file = "Dockerfile",
		.line = 1,
		.last = 100,
		.exit_code = -1,
	};
	cleanup_json cJSON *message = NULL;
	const cJSON *failed;

	for (int i = 0; i < 100; i++)
		str_appendf(&text, "RUN %0300d\n", i);
	failure.text = str_text(&text);
	report_failed(&listener->report, &failure);
	message = next_message(listener);
	failed = json_member(message, "failed");
	assert_null(json_member(failed, "exit"));
	assert_null(json_member(failed, "vertex"));
	assert_true(cJSON_GetArraySize(json_member(failed, "excerpt")) >= 10);
}

static void test_nobody_listens(void **state)
{
	const struct report report = {-1};
	struct report_stream stream = {.vertex = 1, .number = 1};

	(void)state;
	report_started(&report, 1);
	report_log(&report, &stream, "a", 1);
}

#define test(function) \
	cmocka_unit_test_setup_teardown(function, open_listener, close_listener)

int main(void)
{
	const struct CMUnitTest tests[] = {
		test(test_messages),
		test(test_times),
		test(test_log_bytes),
		test(test_log_split_character),
		test(test_long_log),
		test(test_long_texts),
		test(test_excerpt),
		test(test_long_excerpt),
		cmocka_unit_test(test_nobody_listens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
