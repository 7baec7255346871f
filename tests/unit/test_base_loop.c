/* base/loop.h */
#include "base/loop.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"

/* What the callbacks of a test did, in order. */
struct trace {
	struct loop *loop;
	struct loop_source *sources[4];
	int pipes[2][2];
	char log[64];
	int count;
};

static void note(struct trace *trace, char what)
{
	size_t length = strlen(trace->log);

	assert_true(length + 1 < sizeof(trace->log));
	trace->log[length] = what;
}

static int set_up(void **state)
{
	struct trace *trace = calloc(1, sizeof(*trace));

	*state = trace;
	for (int i = 0; i < 2; i++) {
		if (pipe2(trace->pipes[i], O_CLOEXEC | O_NONBLOCK) < 0)
			return -1;
	}
	return loop_new(&trace->loop, NULL);
}

static int tear_down(void **state)
{
	struct trace *trace = *state;

	loop_free(trace->loop);
	for (int i = 0; i < 2; i++) {
		close_fd(&trace->pipes[i][0]);
		close_fd(&trace->pipes[i][1]);
	}
	free(trace);
	return 0;
}

static void stop(struct loop_source *source, void *data)
{
	struct trace *trace = data;

	note(trace, '.');
	loop_stop(trace->loop, 7);
}

/* Reads one byte and notes it; level-triggered, so called for each. */
static void on_byte(struct loop_source *source, int fd, uint32_t events,
		    void *data)
{
	char byte = '?';

	assert_true(events & EPOLLIN);
	assert_int_equal(read(fd, &byte, 1), 1);
	note(data, byte);
}

static void test_descriptor(void **state)
{
	struct trace *trace = *state;
	struct loop_source *source = NULL;

	assert_int_equal(loop_add_fd(trace->loop, trace->pipes[0][0], EPOLLIN,
				     on_byte, trace, &source, NULL),
			 0);
	assert_int_equal(
		loop_add_timer(trace->loop, 20, stop, trace, NULL, NULL), 0);
	assert_int_equal(write(trace->pipes[0][1], "abc", 3), 3);
	assert_int_equal(loop_run(trace->loop), 7);
	assert_string_equal(trace->log, "abc.");

	/* Silent without events, heard again afterwards. */
	assert_int_equal(write(trace->pipes[0][1], "de", 2), 2);
	assert_int_equal(loop_set_events(source, 0), 0);
	loop_add_timer(trace->loop, 5, stop, trace, NULL, NULL);
	assert_int_equal(loop_run(trace->loop), 7);
	assert_string_equal(trace->log, "abc..");
	assert_int_equal(loop_set_events(source, EPOLLIN), 0);
	loop_add_timer(trace->loop, 20, stop, trace, NULL, NULL);
	assert_int_equal(loop_run(trace->loop), 7);
	assert_string_equal(trace->log, "abc..de.");

	/* Removed: the descriptor is still ours. */
	loop_remove(source);
	loop_remove(NULL);
	assert_int_equal(write(trace->pipes[0][1], "f", 1), 1);
	loop_add_timer(trace->loop, 5, stop, trace, NULL, NULL);
	loop_run(trace->loop);
	assert_string_equal(trace->log, "abc..de..");
}

static void test_bad_descriptor(void **state)
{
	struct trace *trace = *state;
	struct loop_source *source = NULL;
	struct error err = {0};

	assert_int_equal(loop_add_fd(trace->loop, 9999, EPOLLIN, on_byte, trace,
				     &source, &err),
			 -EBADF);
	assert_non_null(strstr(err.message, "9999"));
	assert_null(source);
	assert_int_equal(
		loop_add_signal(trace->loop, 12345, NULL, NULL, &source, &err),
		-EINVAL);
	assert_int_equal(
		loop_add_signal(trace->loop, -1, NULL, NULL, &source, &err),
		-EINVAL);
}

static void on_always(struct loop_source *source, int fd, uint32_t events,
		      void *data)
{
	struct trace *trace = data;
	char byte;

	assert_int_equal(events, EPOLLIN);
	if (read(fd, &byte, 1) == 1) {
		note(trace, byte);
		return;
	}
	note(trace, '$');
	loop_remove(source);
}

/* epoll knows neither files nor /dev/null: they are always ready. */
static void test_files(void **state)
{
	struct trace *trace = *state;
	char name[] = "/tmp/moss-test-XXXXXX";
	cleanup_fd int file = mkostemp(name, O_CLOEXEC);
	cleanup_fd int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	struct loop_source *source = NULL;

	unlink(name);
	assert_int_equal(write(file, "xy", 2), 2);
	lseek(file, 0, SEEK_SET);
	assert_int_equal(loop_add_fd(trace->loop, file, EPOLLIN, on_always,
				     trace, NULL, NULL),
			 0);
	loop_add_timer(trace->loop, 10, stop, trace, NULL, NULL);
	assert_int_equal(loop_run(trace->loop), 7);
	assert_string_equal(trace->log, "xy$.");

	assert_int_equal(loop_add_fd(trace->loop, null, 0, on_always, trace,
				     &source, NULL),
			 0);
	loop_add_timer(trace->loop, 5, stop, trace, NULL, NULL);
	loop_run(trace->loop);
	assert_string_equal(trace->log, "xy$..");
	assert_int_equal(loop_set_events(source, EPOLLIN), 0);
	loop_add_timer(trace->loop, 5, stop, trace, NULL, NULL);
	loop_run(trace->loop);
	assert_string_equal(trace->log, "xy$..$.");
}

static void on_timer(struct loop_source *source, void *data)
{
	struct trace *trace = data;

	for (int i = 0; i < 4; i++) {
		if (trace->sources[i] == source)
			note(trace, (char)('0' + i));
	}
}

static void test_timers(void **state)
{
	static const int64_t delays[] = {20, 0, 10, -1};
	struct trace *trace = *state;
	struct timespec before;
	struct timespec after;
	int64_t elapsed;

	for (int i = 0; i < 4; i++)
		loop_add_timer(trace->loop, delays[i], on_timer, trace,
			       &trace->sources[i], NULL);
	loop_add_timer(trace->loop, 30, stop, trace, NULL, NULL);
	clock_gettime(CLOCK_MONOTONIC, &before);
	loop_run(trace->loop);
	clock_gettime(CLOCK_MONOTONIC, &after);
	elapsed = (after.tv_sec - before.tv_sec) * 1000000000 + after.tv_nsec -
		  before.tv_nsec;
	assert_string_equal(trace->log, "120.");
	/* Never early. */
	assert_true(elapsed >= 29 * 1000000);

	/* Armed again, and disarmed. */
	loop_timer_set(trace->sources[3], 1);
	loop_timer_set(trace->sources[0], 1);
	loop_timer_set(trace->sources[0], -1);
	loop_add_timer(trace->loop, 10, stop, trace, NULL, NULL);
	loop_run(trace->loop);
	assert_string_equal(trace->log, "120.3.");
	assert_int_equal(loop_set_events(trace->sources[0], EPOLLIN), -EINVAL);
	assert_int_equal(loop_timer_set(trace->sources[0], INT64_MAX), 0);
}

static void rearm(struct loop_source *source, void *data)
{
	struct trace *trace = data;

	if (++trace->count < 5)
		loop_timer_set(source, 0);
	else
		loop_stop(trace->loop, trace->count);
}

/* Several due at once come in the order of their times. */
static void test_late_timers(void **state)
{
	static const int64_t delays[] = {3, 1, 4, 2};
	struct trace *trace = *state;

	for (int i = 0; i < 4; i++)
		loop_add_timer(trace->loop, delays[i], on_timer, trace,
			       &trace->sources[i], NULL);
	loop_add_timer(trace->loop, 5, stop, trace, NULL, NULL);
	usleep(10000);
	loop_run(trace->loop);
	assert_string_equal(trace->log, "1302.");
}

static void test_timer_rearms_itself(void **state)
{
	struct trace *trace = *state;

	loop_add_timer(trace->loop, 0, rearm, trace, NULL, NULL);
	assert_int_equal(loop_run(trace->loop), 5);
}

/* A timer that is always due must not keep descriptors waiting. */
static void rearm_for_ever(struct loop_source *source, void *data)
{
	struct trace *trace = data;

	assert_true(++trace->count < 100000);
	loop_timer_set(source, 0);
}

static void stop_on_byte(struct loop_source *source, int fd, uint32_t events,
			 void *data)
{
	struct trace *trace = data;

	note(trace, 'b');
	loop_stop(trace->loop, 3);
}

static void test_timer_does_not_starve(void **state)
{
	struct trace *trace = *state;

	loop_add_timer(trace->loop, 0, rearm_for_ever, trace, NULL, NULL);
	loop_add_fd(trace->loop, trace->pipes[0][0], EPOLLIN, stop_on_byte,
		    trace, NULL, NULL);
	assert_int_equal(write(trace->pipes[0][1], "x", 1), 1);
	assert_int_equal(loop_run(trace->loop), 3);
}

static void remove_both(struct loop_source *source, int fd, uint32_t events,
			void *data)
{
	struct trace *trace = data;

	note(trace, 'r');
	/* Its own and one whose event may be waiting in the same batch. */
	for (int i = 0; i < 2; i++) {
		loop_remove(trace->sources[i]);
		close_fd(&trace->pipes[i][0]);
	}
}

static void test_remove_in_callback(void **state)
{
	struct trace *trace = *state;

	for (int i = 0; i < 2; i++) {
		loop_add_fd(trace->loop, trace->pipes[i][0], EPOLLIN,
			    remove_both, trace, &trace->sources[i], NULL);
		assert_int_equal(write(trace->pipes[i][1], "x", 1), 1);
	}
	loop_add_timer(trace->loop, 5, stop, trace, NULL, NULL);
	loop_run(trace->loop);
	assert_string_equal(trace->log, "r.");
}

static void add_other(struct loop_source *source, int fd, uint32_t events,
		      void *data)
{
	struct trace *trace = data;

	note(trace, 'a');
	loop_remove(source);
	loop_add_fd(trace->loop, trace->pipes[1][0], EPOLLIN, on_byte, trace,
		    NULL, NULL);
	loop_add_timer(trace->loop, 10, stop, trace, NULL, NULL);
}

static void test_add_in_callback(void **state)
{
	struct trace *trace = *state;

	loop_add_fd(trace->loop, trace->pipes[0][0], EPOLLIN, add_other, trace,
		    NULL, NULL);
	assert_int_equal(write(trace->pipes[0][1], "x", 1), 1);
	assert_int_equal(write(trace->pipes[1][1], "y", 1), 1);
	loop_run(trace->loop);
	assert_string_equal(trace->log, "ay.");
}

static void remove_all_timers(struct loop_source *source, void *data)
{
	struct trace *trace = data;

	note(trace, 't');
	for (int i = 0; i < 4; i++)
		loop_remove(trace->sources[i]);
}

static void test_remove_due_timers(void **state)
{
	struct trace *trace = *state;

	for (int i = 0; i < 4; i++)
		loop_add_timer(trace->loop, 0, remove_all_timers, trace,
			       &trace->sources[i], NULL);
	loop_add_timer(trace->loop, 5, stop, trace, NULL, NULL);
	loop_run(trace->loop);
	assert_string_equal(trace->log, "t.");
}

static void on_signal(struct loop_source *source,
		      const struct signalfd_siginfo *info, void *data)
{
	struct trace *trace = data;

	assert_int_equal(info->ssi_signo, SIGUSR1);
	assert_int_equal(info->ssi_pid, getpid());
	note(trace, 's');
	loop_remove(source);
	loop_stop(trace->loop, 1);
}

static void test_signal(void **state)
{
	struct trace *trace = *state;
	sigset_t pending;

	assert_int_equal(loop_add_signal(trace->loop, SIGUSR1, on_signal, trace,
					 NULL, NULL),
			 0);
	kill(getpid(), SIGUSR1);
	assert_int_equal(loop_run(trace->loop), 1);
	assert_string_equal(trace->log, "s");
	/* Without the source it stays blocked instead of striking. */
	kill(getpid(), SIGUSR1);
	sigpending(&pending);
	assert_true(sigismember(&pending, SIGUSR1));
}

static void test_stop_before_run(void **state)
{
	struct trace *trace = *state;

	loop_stop(trace->loop, -5);
	assert_int_equal(loop_run(trace->loop), -5);
}

/* Nothing more is called once the loop is told to stop. */
static void test_stop_is_at_once(void **state)
{
	struct trace *trace = *state;

	for (int i = 0; i < 2; i++) {
		loop_add_fd(trace->loop, trace->pipes[i][0], EPOLLIN,
			    stop_on_byte, trace, NULL, NULL);
		assert_int_equal(write(trace->pipes[i][1], "x", 1), 1);
	}
	loop_add_timer(trace->loop, 0, on_timer, trace, &trace->sources[0],
		       NULL);
	usleep(1000);
	assert_int_equal(loop_run(trace->loop), 3);
	assert_string_equal(trace->log, "b");
}

#define TEST(function) \
	cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_descriptor),
		TEST(test_bad_descriptor),
		TEST(test_files),
		TEST(test_timers),
		TEST(test_late_timers),
		TEST(test_timer_rearms_itself),
		TEST(test_timer_does_not_starve),
		TEST(test_remove_in_callback),
		TEST(test_add_in_callback),
		TEST(test_remove_due_timers),
		TEST(test_signal),
		TEST(test_stop_before_run),
		TEST(test_stop_is_at_once),
	};

	loop_free(NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
