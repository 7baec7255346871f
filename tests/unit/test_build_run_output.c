/* core/build/run_output.h: docker's frames in, progress out. */
#include "core/build/run_output.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "core/build/report.h"

static void add_frame(struct str *text, int stream, const char *data)
{
	size_t length = strlen(data);
	const unsigned char header[] = {(unsigned char)stream,
					0,
					0,
					0,
					0,
					0,
					(unsigned char)(length >> 8),
					(unsigned char)length};

	str_append_bytes(text, (const char *)header, sizeof(header));
	str_append_bytes(text, data, length);
}

/* What is told of each stream when bytes come in pieces of that length. */
static void feed(const struct str *bytes, size_t piece, struct str ret_said[2])
{
	struct error err = {0};
	char line[2 * REPORT_LINE_MAX];
	ssize_t length;
	int stream[2], said[2];
	struct report report;
	pid_t writer;

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, stream), 0);
	assert_int_equal(pipe2(said, O_CLOEXEC | O_DIRECT | O_NONBLOCK), 0);
	report.fd = said[1];
	writer = fork();
	if (writer == 0) {
		for (size_t at = 0; at < bytes->length; at += piece) {
			size_t left = bytes->length - at;

			(void)write_all(stream[1], bytes->data + at,
					left < piece ? left : piece);
			usleep(100);
		}
		_exit(0);
	}
	close(stream[1]);
	assert_int_equal(run_output(stream[0], &report, 7, &err), 0);
	close(stream[0]);
	assert_int_equal(waitpid(writer, NULL, 0), writer);
	while ((length = read(said[0], line, sizeof(line))) > 0) {
		cleanup_json cJSON *json = NULL;
		const char *text = NULL;
		int64_t number = 0, vertex = 0;

		assert_int_equal(
			json_parse(line, (size_t)length, "line", &json, &err),
			0);
		json_get_i64(json, "", "vertex", &vertex, NULL);
		json_get_i64(json, "", "stream", &number, NULL);
		json_get_string(json, "", "log", &text, NULL);
		assert_int_equal(vertex, 7);
		assert_in_range(number, 1, 2);
		str_append(&ret_said[number - 1], text);
	}
	close(said[0]);
	close(said[1]);
}

static void test_frames(void **state)
{
	static const size_t pieces[] = {1, 2, 3, 7, 8, 9, 11, 4096};
	struct str bytes = {0};

	add_frame(&bytes, 1, "out\n");
	add_frame(&bytes, 2, "err \xe2\x82");
	add_frame(&bytes, 1, "");
	add_frame(&bytes, 2, "\xac\n");
	add_frame(&bytes, 1, "more");
	for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
		struct str said[2] = {{0}, {0}};

		feed(&bytes, pieces[i], said);
		assert_string_equal(str_text(&said[0]), "out\nmore");
		assert_string_equal(str_text(&said[1]), "err \xe2\x82\xac\n");
		str_release(&said[0]);
		str_release(&said[1]);
	}
	str_release(&bytes);
}

/* Its monitor was killed in the middle of a frame. */
static void test_broken_off(void **state)
{
	struct str bytes = {0};
	struct str said[2] = {{0}, {0}};

	add_frame(&bytes, 1, "half of it");
	bytes.length -= 6;
	feed(&bytes, 4096, said);
	assert_string_equal(str_text(&said[0]), "half");
	str_release(&said[0]);
	str_release(&said[1]);
	str_release(&bytes);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_frames),
		cmocka_unit_test(test_broken_off),
	};

	return cmocka_run_group_tests_name("run output", tests, NULL, NULL);
}
