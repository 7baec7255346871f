/* Processes held still: trees, orphans, threads, those stopped before. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "core/runtime/freeze.h"

#define COUNTERS 8

/* Each process of a test counts here, as long as it runs. */
static volatile unsigned long *counters;
static struct error error;

static void wait_ms(long ms)
{
	const struct timespec time = {ms / 1000, ms % 1000 * 1000000};

	nanosleep(&time, NULL);
}

static int set_up(void **state)
{
	counters = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	err_clear(&error);
	/* As the monitor of a container without a PID namespace. */
	return prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
}

static int tear_down(void **state)
{
	char text[4096];

	/* Orphans come to us, until there are none. */
	for (;;) {
		char path[64];
		FILE *file;
		size_t length;

		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		snprintf(path, sizeof(path), "/proc/self/task/%d/children",
			 (int)getpid());
		file = fopen(path, "re");
		length = fread(text, 1, sizeof(text) - 1, file);
		fclose(file);
		text[length] = '\0';
		if (length == 0)
			break;
		for (char *at = text, *end; *at; at = end) {
			long pid = strtol(at, &end, 10);

			if (end == at)
				break;
			kill((pid_t)pid, SIGKILL);
		}
	}
	munmap((void *)(uintptr_t)counters, 4096);
	return 0;
}

_Noreturn static void count(int number)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		counters[number]++;
		wait_ms(1);
	}
}

static pid_t start(int number)
{
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0)
		count(number);
	return pid;
}

static bool moves(int number)
{
	unsigned long before = counters[number];

	for (int i = 0; i < 100; i++) {
		if (counters[number] != before)
			return true;
		wait_ms(1);
	}
	return false;
}

static struct freeze *hold(const pid_t *except, size_t except_count)
{
	struct freeze *freeze = NULL;

	if (freeze_children(getpid(), except, except_count, &freeze, &error) <
	    0)
		fail_msg("%s", error.message);
	return freeze;
}

static void test_nobody(void **state)
{
	freeze_thaw(hold(NULL, 0));
	freeze_thaw(NULL);
}

static void test_tree(void **state)
{
	struct freeze *freeze;
	pid_t pid = fork();

	if (pid == 0) {
		start(1);
		count(0);
	}
	while (!moves(0) || !moves(1))
		;
	freeze = hold(NULL, 0);
	assert_false(moves(0));
	assert_false(moves(1));
	freeze_thaw(freeze);
	assert_true(moves(0));
	assert_true(moves(1));
}

static void test_stopped_before(void **state)
{
	struct freeze *freeze;
	pid_t stopped = start(0);

	start(1);
	while (!moves(0) || !moves(1))
		;
	kill(stopped, SIGSTOP);
	assert_int_equal(waitpid(stopped, NULL, WUNTRACED), stopped);
	freeze = hold(NULL, 0);
	assert_false(moves(1));
	freeze_thaw(freeze);
	assert_true(moves(1));
	assert_false(moves(0));
	kill(stopped, SIGCONT);
	assert_true(moves(0));
}

static void test_except(void **state)
{
	pid_t helper = start(0);
	struct freeze *freeze;

	start(1);
	while (!moves(0) || !moves(1))
		;
	freeze = hold(&helper, 1);
	assert_true(moves(0));
	assert_false(moves(1));
	freeze_thaw(freeze);
}

static void *thread_main(void *data)
{
	count(0);
}

/* A process whose first thread has ended looks like a zombie. */
static void test_threads(void **state)
{
	struct freeze *freeze;
	pid_t pid = fork();

	if (pid == 0) {
		pthread_t thread;

		pthread_create(&thread, NULL, thread_main, NULL);
		pthread_exit(NULL);
	}
	while (!moves(0))
		;
	freeze = hold(NULL, 0);
	assert_false(moves(0));
	freeze_thaw(freeze);
	assert_true(moves(0));
}

/* Each one has a child and ends: no PID is there for long, all are orphans. */
_Noreturn static void relay(int number)
{
	for (;;) {
		wait_ms(2);
		counters[number]++;
		if (fork() > 0)
			_exit(0);
		/* The test is over. */
		if (counters[7])
			_exit(0);
	}
}

static void test_relays(void **state)
{
	struct freeze *freeze;

	for (int i = 0; i < 3; i++) {
		if (fork() == 0)
			relay(i);
	}
	for (int round = 0; round < 5; round++) {
		for (int i = 0; i < 3; i++)
			assert_true(moves(i));
		freeze = hold(NULL, 0);
		for (int i = 0; i < 3; i++)
			assert_false(moves(i));
		freeze_thaw(freeze);
	}
	counters[7] = 1;
	wait_ms(50);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_nobody),	   TEST(test_tree),
		TEST(test_stopped_before), TEST(test_except),
		TEST(test_threads),	   TEST(test_relays),
	};

	return cmocka_run_group_tests_name("freeze", tests, NULL, NULL);
}
