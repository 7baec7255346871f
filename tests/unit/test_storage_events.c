/* storage/store/events.h */
#include "storage/store/events.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"

static struct store store;
static char directory[] = "/tmp/moss-events-XXXXXX";

static int set_up(void **state)
{
	memcpy(directory + strlen(directory) - 6, "XXXXXX", 6);
	if (!mkdtemp(directory))
		return -1;
	store.path = directory;
	store.root_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return store.root_fd < 0;
}

static int tear_down(void **state)
{
	close_fd(&store.root_fd);
	return tree_remove_at(AT_FDCWD, directory, NULL);
}

static void write_number(int number)
{
	cleanup_free char *id = xasprintf("%d", number);

	event_write(&store, EVENT_VOLUME, "create", id, NULL);
}

/* The number of the next event; -1: there is none. */
static int next_number(struct event_reader *reader)
{
	const char *line = NULL;
	cleanup_json cJSON *event = NULL;
	int64_t time_ns;
	int r = event_reader_next(reader, &line, &time_ns, NULL);

	assert_true(r >= 0);
	if (r == 0)
		return -1;
	assert_int_equal(json_parse(line, strlen(line), "event", &event, NULL),
			 0);
	return atoi(cJSON_GetStringValue(cJSON_GetObjectItem(
		cJSON_GetObjectItem(event, "Actor"), "ID")));
}

static struct event_reader *open_reader(enum event_position position)
{
	struct event_reader *reader = NULL;

	assert_int_equal(event_reader_open(&store, position, &reader, NULL), 0);
	return reader;
}

static void append(const char *text)
{
	cleanup_fd int fd = openat(store.root_fd, "events/journal",
				   O_WRONLY | O_APPEND | O_CLOEXEC);

	assert_int_equal(write_all(fd, text, strlen(text)), 0);
}

static bool is_told(const struct event_reader *reader)
{
	struct pollfd event = {.fd = event_reader_fd(reader), .events = POLLIN};

	return poll(&event, 1, 0) == 1;
}

static void test_form(void **state)
{
	struct event_reader *reader;
	cleanup_json cJSON *event = NULL;
	const char *line = NULL;
	cleanup_free char *end = NULL;
	int64_t time_ns = 0;

	event_write(&store, EVENT_CONTAINER, "die", "id",
		    event_attributes("image", "web", "none", NULL, "exitCode",
				     "3", NULL));
	reader = open_reader(EVENTS_PAST);
	assert_int_equal(event_reader_next(reader, &line, &time_ns, NULL), 1);
	assert_true(str_starts(
		line, "{\"status\":\"die\",\"id\":\"id\",\"from\":\"web\","
		      "\"Type\":\"container\",\"Action\":\"die\",\"Actor\":"
		      "{\"ID\":\"id\",\"Attributes\":{\"image\":\"web\","
		      "\"exitCode\":\"3\"}},\"scope\":\"local\",\"time\":"));
	end = xasprintf(",\"timeNano\":%lld}", (long long)time_ns);
	assert_true(str_ends(line, end));
	event_reader_close(reader);
}

static void test_follow(void **state)
{
	struct event_reader *past = open_reader(EVENTS_PAST);
	struct event_reader *coming;

	assert_int_equal(next_number(past), -1);
	assert_false(is_told(past));
	write_number(1);
	assert_true(is_told(past));
	assert_int_equal(next_number(past), 1);
	coming = open_reader(EVENTS_NEW);
	write_number(2);
	assert_int_equal(next_number(past), 2);
	assert_int_equal(next_number(past), -1);
	assert_int_equal(next_number(coming), 2);
	assert_int_equal(next_number(coming), -1);
	event_reader_close(past);
	event_reader_close(coming);
}

/* What is torn, foreign or too long is skipped, and hides nothing else. */
static void test_damage(void **state)
{
	struct event_reader *reader;
	cleanup_free char *long_line = xrealloc(NULL, 200001, 1);

	memset(long_line, 'x', 200000);
	long_line[200000] = '\0';
	write_number(1);
	append("{\"status\":\"torn");
	write_number(2);
	append("{\"timeNano\":12");
	write_number(3);
	append(long_line);
	write_number(4);
	append("\n\n,\"timeNano\":7}\n{,\"timeNano\":x}\n");
	write_number(5);
	reader = open_reader(EVENTS_PAST);
	for (int i = 1; i <= 5; i++)
		assert_int_equal(next_number(reader), i);
	assert_int_equal(next_number(reader), -1);
	event_reader_close(reader);
}

/* Attributes that have no room go, the last ones first. */
static void test_long(void **state)
{
	cleanup_free char *big = xrealloc(NULL, 5001, 1);
	struct event_reader *reader;
	const char *line = NULL;
	int64_t time_ns;

	memset(big, 'x', 5000);
	big[5000] = '\0';
	event_write(&store, EVENT_VOLUME, "create", "1",
		    event_attributes("name", "here", "big", big, NULL));
	event_write(&store, EVENT_VOLUME, "create", big, NULL);
	reader = open_reader(EVENTS_PAST);
	assert_int_equal(event_reader_next(reader, &line, &time_ns, NULL), 1);
	assert_true(strlen(line) + 2 <= PIPE_BUF);
	assert_non_null(strstr(line, "\"name\":\"here\""));
	assert_null(strstr(line, "big"));
	assert_int_equal(event_reader_next(reader, &line, &time_ns, NULL), 0);
	event_reader_close(reader);
}

/* A reader misses nothing when the files are turned, wherever it is. */
static void test_turn(void **state)
{
	struct event_reader *reader;
	struct stat status;
	int number = 0, read = 0;

	write_number(++number);
	reader = open_reader(EVENTS_PAST);
	while (fstatat(store.root_fd, "events/journal.1", &status, 0) < 0)
		write_number(++number);
	assert_true(status.st_size >= EVENTS_FILE_MAX);
	assert_true(status.st_size < EVENTS_FILE_MAX + PIPE_BUF);
	write_number(++number);
	while (read < number)
		assert_int_equal(next_number(reader), ++read);
	assert_int_equal(next_number(reader), -1);
	event_reader_close(reader);

	reader = open_reader(EVENTS_PAST);
	for (int i = 1; i <= number; i++)
		assert_int_equal(next_number(reader), i);
	event_reader_close(reader);
}

/* One that is behind by more than a file still finds all that is there. */
static void test_turned_twice(void **state)
{
	struct event_reader *reader;
	int number = 0;

	write_number(++number);
	reader = open_reader(EVENTS_NEW);
	for (int turns = 0; turns < 2; turns++) {
		struct stat before = {0}, now;

		(void)fstatat(store.root_fd, "events/journal.1", &before, 0);
		do
			write_number(++number);
		while (fstatat(store.root_fd, "events/journal.1", &now, 0) <
			       0 ||
		       now.st_ino == before.st_ino);
	}
	write_number(++number);
	for (int i = 2; i <= number; i++)
		assert_int_equal(next_number(reader), i);
	assert_int_equal(next_number(reader), -1);
	event_reader_close(reader);
}

/* Between a turn and the next event there is no present file. */
static void test_new_after_turn(void **state)
{
	struct event_reader *reader;

	write_number(1);
	assert_int_equal(renameat(store.root_fd, "events/journal",
				  store.root_fd, "events/journal.1"),
			 0);
	reader = open_reader(EVENTS_NEW);
	assert_int_equal(next_number(reader), -1);
	write_number(2);
	assert_int_equal(next_number(reader), 2);
	assert_int_equal(next_number(reader), -1);
	event_reader_close(reader);
}

/* Times are what the wall clock said; the order is that of writing. */
static void test_clock_set_back(void **state)
{
	struct event_reader *reader;
	const char *line = NULL;
	int64_t first = 0, second = 0;

	write_number(1);
	append("\n{\"Actor\":{\"ID\":\"2\"},\"timeNano\":7}\n");
	write_number(3);
	reader = open_reader(EVENTS_PAST);
	assert_int_equal(event_reader_next(reader, &line, &first, NULL), 1);
	assert_int_equal(event_reader_next(reader, &line, &second, NULL), 1);
	assert_int_equal(second, 7);
	assert_int_equal(next_number(reader), 3);
	event_reader_close(reader);
}

/* What the writers and their reader share. */
struct crowd {
	_Atomic int written, read;
};

#define WRITERS	    200
#define WRITES	    20
#define BIG_WRITERS 4
#define BIG_WRITES  900 /* together more than three files */
#define LEAD_MAX    900 /* less than a file */

static struct crowd *crowd_new(void)
{
	struct crowd *crowd = mmap(NULL, sizeof(*crowd), PROT_READ | PROT_WRITE,
				   MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_true(crowd != MAP_FAILED);
	return crowd;
}

static void write_many(struct crowd *crowd, int writer, int count,
		       const char *text)
{
	for (int i = 0; i < count; i++) {
		cleanup_free char *id = xasprintf("%d", writer * count + i);

		while (crowd->written - crowd->read > LEAD_MAX)
			usleep(1000);
		event_write(&store, EVENT_VOLUME, "create", id,
			    event_attributes("text", text, NULL));
		crowd->written++;
	}
}

static void start_writers(struct crowd *crowd, int writers, int count,
			  const char *text)
{
	for (int i = 0; i < writers; i++) {
		pid_t pid = fork();

		assert_true(pid >= 0);
		if (pid > 0)
			continue;
		write_many(crowd, i, count, text);
		_exit(0);
	}
}

/* Each once, and none that nobody wrote. */
static void read_all(struct event_reader *reader, struct crowd *crowd,
		     int expected)
{
	cleanup_free bool *seen = xcalloc((size_t)expected, sizeof(*seen));

	while (crowd->read < expected) {
		int number = next_number(reader);
		struct pollfd event = {.fd = event_reader_fd(reader),
				       .events = POLLIN};

		if (number < 0) {
			assert_int_equal(poll(&event, 1, 60000), 1);
			continue;
		}
		assert_true(number < expected);
		assert_false(seen[number]);
		seen[number] = true;
		crowd->read++;
	}
	assert_int_equal(next_number(reader), -1);
}

static void run_crowd(int writers, int count, const char *text)
{
	struct crowd *crowd = crowd_new();
	struct event_reader *reader = open_reader(EVENTS_NEW);
	int status;

	start_writers(crowd, writers, count, text);
	read_all(reader, crowd, writers * count);
	for (int i = 0; i < writers; i++) {
		assert_true(wait(&status) > 0);
		assert_int_equal(status, 0);
	}
	event_reader_close(reader);
	munmap(crowd, sizeof(*crowd));
}

static void test_many_writers(void **state)
{
	run_crowd(WRITERS, WRITES, "");
}

static void test_many_turns(void **state)
{
	cleanup_free char *text = xrealloc(NULL, 3801, 1);
	struct stat status;

	memset(text, 'x', 3800);
	text[3800] = '\0';
	run_crowd(BIG_WRITERS, BIG_WRITES, text);
	assert_int_equal(fstatat(store.root_fd, "events/journal.1", &status, 0),
			 0);
	assert_true(status.st_size < 2 * (off_t)EVENTS_FILE_MAX + PIPE_BUF);
}

/* Nobody is told of what cannot be written. */
static void test_no_directory(void **state)
{
	int fd = openat(store.root_fd, "events", O_WRONLY | O_CREAT, 0600);

	close(fd);
	write_number(1);
	assert_int_equal(unlinkat(store.root_fd, "events", 0), 0);
	write_number(2);
	assert_int_equal(faccessat(store.root_fd, "events/journal", F_OK, 0),
			 0);
}

int main(void)
{
#define TEST(function) \
	cmocka_unit_test_setup_teardown(function, set_up, tear_down)
	const struct CMUnitTest unit_tests[] = {
		TEST(test_form),	   TEST(test_follow),
		TEST(test_damage),	   TEST(test_long),
		TEST(test_turn),	   TEST(test_no_directory),
		TEST(test_turned_twice),   TEST(test_new_after_turn),
		TEST(test_clock_set_back), TEST(test_many_writers),
		TEST(test_many_turns),
	};

	return cmocka_run_group_tests(unit_tests, NULL, NULL);
}
