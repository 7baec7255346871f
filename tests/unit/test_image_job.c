/* storage/job/job.h: the messages of a job, as the reader of the pipe gets
 * them. */
#include "storage/job/job.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
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

#define THREADS 4
#define ROUNDS	200

static int read_fd;
static struct job job;

static int set_up(void **state)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -1;
	/* Room for all that a test says before it reads. */
	(void)fcntl(fds[1], F_SETPIPE_SZ, 1 << 20);
	read_fd = fds[0];
	job = (struct job){.progress_fd = fds[1]};
	return 0;
}

static int tear_down(void **state)
{
	close_fd(&read_fd);
	close_fd(&job.progress_fd);
	return 0;
}

/* Closes the writing end; the lines (strv). */
static char **all_lines(void)
{
	cleanup_str struct str text = {0};
	char bytes[4096];
	ssize_t length;
	char **lines;

	close_fd(&job.progress_fd);
	while ((length = read(read_fd, bytes, sizeof(bytes))) > 0)
		str_append_bytes(&text, bytes, (size_t)length);
	assert_int_equal(length, 0);
	assert_true(str_ends(str_text(&text), "\n"));
	text.data[text.length - 1] = '\0';
	lines = strv_split(str_text(&text), '\n');
	for (size_t i = 0; lines[i]; i++) {
		cleanup_json cJSON *json = NULL;

		assert_true(strlen(lines[i]) + 1 < PIPE_BUF);
		assert_int_equal(json_parse(lines[i], strlen(lines[i]), "line",
					    &json, NULL),
				 0);
	}
	return lines;
}

static void test_messages(void **state)
{
	struct job_meter meter = {0};
	cleanup_strv char **lines = NULL;

	job_status(&job, "a2abf6c4d29d", "Waiting for %d", 2);
	job_status(&job, NULL, "Digest: %s", "sha256:00");
	job_progress(&job, &meter, "a2abf6c4d29d", "Downloading", 5, 9);
	job_progress(&job, &(struct job_meter){0}, NULL, "Importing", 7, 0);
	job_note(&job, "%d files", 3);
	lines = all_lines();
	assert_int_equal(strv_length(lines), 5);
	assert_string_equal(lines[0], "{\"status\":\"Waiting for 2\","
				      "\"id\":\"a2abf6c4d29d\"}");
	assert_string_equal(lines[1], "{\"status\":\"Digest: sha256:00\"}");
	assert_string_equal(lines[2],
			    "{\"status\":\"Downloading\",\"progressDetail\":"
			    "{\"current\":5,\"total\":9},"
			    "\"id\":\"a2abf6c4d29d\"}");
	assert_string_equal(lines[3], "{\"status\":\"Importing\","
				      "\"progressDetail\":{\"current\":7}}");
	assert_string_equal(lines[4], "{\"warning\":\"3 files\"}");
}

/* Few lines, however often it is told, and the last one in any case. */
static void test_rate(void **state)
{
	struct job_meter meter = {0};
	cleanup_strv char **lines = NULL;

	for (uint64_t i = 1; i <= 1000; i++)
		job_progress(&job, &meter, "a", "Downloading", i, 1000);
	lines = all_lines();
	assert_in_range(strv_length(lines), 2, 20);
	assert_non_null(strstr(lines[0], "\"current\":1,"));
	assert_non_null(
		strstr(lines[strv_length(lines) - 1], "\"current\":1000,"));
}

/* Longest and worst: still one line below PIPE_BUF, checked by all_lines(). */
static void test_hostile(void **state)
{
	char text[5000];
	cleanup_strv char **lines = NULL;
	struct job_meter meter = {0};

	memset(text, '\n', sizeof(text) - 1);
	text[sizeof(text) - 1] = '\0';
	job_status(&job, text, "%s", text);
	memset(text, '\001', sizeof(text) - 1);
	job_status(&job, text, "%s", text);
	job_note(&job, "%s", text);
	job_progress(&job, &meter, text, text, UINT64_MAX / 4, UINT64_MAX / 2);
	lines = all_lines();
	assert_int_equal(strv_length(lines), 4);
}

static void *talk(void *data)
{
	const char *id = data;

	for (int i = 0; i < ROUNDS; i++)
		job_status(&job, id, "%s %d %0250d", id, i, i);
	return NULL;
}

static void test_threads(void **state)
{
	char ids[THREADS][8] = {"one", "two", "three", "four"};
	pthread_t threads[THREADS];
	cleanup_strv char **lines = NULL;

	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(
			pthread_create(&threads[i], NULL, talk, ids[i]), 0);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	lines = all_lines();
	assert_int_equal(strv_length(lines), THREADS * ROUNDS);
}

static void test_nobody_reads(void **state)
{
	struct job deaf = {.progress_fd = -1};

	signal(SIGPIPE, SIG_IGN);
	job_status(&deaf, "a", "b");
	job_note(&deaf, "c");
	close_fd(&read_fd);
	job_status(&job, "a", "b");
	job_progress(&job, &(struct job_meter){0}, "a", "b", 1, 2);
	job_note(&job, "c");
}

#define TEST(function) \
	cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_messages),	 TEST(test_rate),
		TEST(test_hostile),	 TEST(test_threads),
		TEST(test_nobody_reads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
