/* core/engine/usage.h */
#include "core/engine/usage.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/str.h"

#define STAT(name, utime, stime, cutime, cstime, threads)              \
	"7 (" name ") S 1 7 7 0 -1 4194560 500 0 0 0 " utime " " stime \
	" " cutime " " cstime " 20 0 " threads                         \
	" 0 12345 1000 200 1844674407 1 1\n"

static uint64_t tick_ns(void)
{
	return 1000000000 / (uint64_t)sysconf(_SC_CLK_TCK);
}

static void test_stat(void **state)
{
	struct usage usage = {0};

	assert_true(
		usage_add_stat(&usage, STAT("sh", "1", "2", "3", "4", "5")));
	assert_int_equal(usage.user_ns, 4 * tick_ns());
	assert_int_equal(usage.system_ns, 6 * tick_ns());
	assert_int_equal(usage.tasks, 5);
	/* A name may look like the rest of the line. */
	assert_true(usage_add_stat(
		&usage, STAT("a) R 9 9 (b c", "10", "0", "0", "0", "1")));
	assert_int_equal(usage.user_ns, 14 * tick_ns());
	assert_int_equal(usage.tasks, 6);
}

static void test_no_stat(void **state)
{
	static const char *const texts[] = {
		NULL,
		"",
		"7 sh S 1",
		"7 (sh) S 1 7 7 0 -1",
		"7 (sh) S 1 7 7 0 -1 4194560 500 0 0 0 1 2 3 4 20 0",
	};
	struct usage usage = {0};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		assert_false(usage_add_stat(&usage, texts[i]));
	assert_int_equal(usage.user_ns, 0);
}

static void test_memory(void **state)
{
	struct usage usage = {0};

	usage_add_memory(&usage,
			 "00400000-7fff ---p 00000000 00:00 0 [rollup]\n"
			 "Rss:    400 kB\nPss:    100 kB\nPss_Dirty: 50 kB\n"
			 "Pss_Anon: 60 kB\nPss_File: 30 kB\nPss_Shmem: 10 kB\n"
			 "SwapPss: 7 kB\n",
			 "VmRSS: 1 kB\n");
	assert_int_equal(usage.memory, 100 * 1024);
	assert_int_equal(usage.anon, 60 * 1024);
	assert_int_equal(usage.file, 30 * 1024);
	assert_int_equal(usage.shmem, 10 * 1024);
	/* No share is known: all of it. */
	usage_add_memory(&usage, NULL,
			 "Name:\tVmRSS: 99\nVmHWM:\t 8 kB\nVmRSS:\t 4 kB\n"
			 "RssAnon:\t 3 kB\nRssFile:\t 1 kB\n");
	assert_int_equal(usage.memory, 104 * 1024);
	assert_int_equal(usage.anon, 63 * 1024);
	/* A zombie has none. */
	usage_add_memory(&usage, "", "Name:\tsh\n");
	usage_add_memory(&usage, NULL, NULL);
	assert_int_equal(usage.memory, 104 * 1024);
}

static void test_io(void **state)
{
	struct usage usage = {.has_io = true};

	usage_add_io(&usage, "rchar: 9\nwchar: 9\nsyscr: 9\nsyscw: 9\n"
			     "read_bytes: 4096\nwrite_bytes: 8192\n"
			     "cancelled_write_bytes: 5\n");
	usage_add_io(&usage, "read_bytes: 1\nwrite_bytes: 2\n");
	assert_true(usage.has_io);
	assert_int_equal(usage.read, 4097);
	assert_int_equal(usage.written, 8194);
	/* One that may not be looked at makes the sum a wrong one. */
	usage_add_io(&usage, NULL);
	assert_false(usage.has_io);
	usage.has_io = true;
	usage_add_io(&usage, "read_bytes: 1\nwrite_bytes: x\n");
	assert_false(usage.has_io);
	assert_int_equal(usage.read, 4097);
}

static void test_interfaces(void **state)
{
	static const char text[] =
		"Inter-|   Receive                    |  Transmit\n"
		" face |bytes    packets errs drop fifo frame compressed "
		"multicast|bytes    packets errs drop fifo colls carrier "
		"compressed\n"
		"    lo: 5 1 0 0 0 0 0 0 5 1 0 0 0 0 0 0\n"
		"  eth0:1000 10 1 2 3 4 5 6 2000 20 3 4 5 6 7 8\n"
		"veth-long: 18446744073709551615 1 0 0 0 0 0 0 7 1 0 0 0 0 0 "
		"0\n"
		"eth1: 1 2 3\n"
		"nonsense\n";
	struct usage_interface interfaces[USAGE_INTERFACES_MAX];

	assert_int_equal(usage_interfaces(text, interfaces), 2);
	assert_string_equal(interfaces[0].name, "eth0");
	assert_int_equal(interfaces[0].rx_bytes, 1000);
	assert_int_equal(interfaces[0].rx_packets, 10);
	assert_int_equal(interfaces[0].rx_errors, 1);
	assert_int_equal(interfaces[0].rx_dropped, 2);
	assert_int_equal(interfaces[0].tx_bytes, 2000);
	assert_int_equal(interfaces[0].tx_packets, 20);
	assert_int_equal(interfaces[0].tx_errors, 3);
	assert_int_equal(interfaces[0].tx_dropped, 4);
	assert_string_equal(interfaces[1].name, "veth-long");
	assert_true(interfaces[1].rx_bytes == UINT64_MAX);
	assert_int_equal(usage_interfaces("", interfaces), 0);
	assert_int_equal(usage_interfaces(NULL, interfaces), 0);
}

/* A container may have made as many as it likes. */
static void test_many_interfaces(void **state)
{
	struct usage_interface interfaces[USAGE_INTERFACES_MAX];
	cleanup_str struct str text = {0};

	for (int i = 0; i < USAGE_INTERFACES_MAX + 10; i++)
		str_appendf(&text, "if%d: 1 1 0 0 0 0 0 0 1 1 0 0 0 0 0 0\n",
			    i);
	assert_int_equal(usage_interfaces(str_text(&text), interfaces),
			 USAGE_INTERFACES_MAX);
}

static void test_machine(void **state)
{
	uint64_t ns = 0;
	unsigned int cpus = 0;

	assert_int_equal(usage_machine("cpu  1 2 3 4 5 6 7 100 200 300\n"
				       "cpu0 1 1 1 1 1 1 1 0 0 0\n"
				       "cpu13 0 1 2 3 4 5 6 0 0 0\n"
				       "intr 5 cpu0\n"
				       "cpu99 1 1 1\n",
				       &ns, &cpus, NULL),
			 0);
	assert_int_equal(ns, 28 * tick_ns());
	assert_int_equal(cpus, 2);
}

static void test_no_machine(void **state)
{
	static const char *const texts[] = {
		NULL,
		"",
		"intr 5\n",
		"cpu 1 2 3\ncpu0 1 2 3\n",
		"cpu 1 2 3 4 5 6 7\n",
		"cpu0 1 2 3 4 5 6 7\n",
		"cpu x\ncpu0 1\n",
	};
	uint64_t ns = 3;
	unsigned int cpus = 3;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct error err = {0};

		assert_true(usage_machine(texts[i], &ns, &cpus, &err) < 0);
		assert_int_equal(err.kind, ERROR_UNSUPPORTED);
	}
	assert_int_equal(ns, 3);
	assert_int_equal(cpus, 3);
}

static void test_own_process(void **state)
{
	struct usage usage = {.has_io = true};

	usage_add_process(&usage, getpid());
	assert_true(usage.memory > 64 * 1024);
	assert_int_equal(usage.tasks, 1);
	/* One that there is not changes nothing. */
	usage_add_process(&usage, 0x3fffffff);
	assert_int_equal(usage.tasks, 1);
}

static void write_file(const char *directory, const char *name,
		       const char *text)
{
	cleanup_free char *path = xasprintf("%s/%s", directory, name);
	cleanup_file FILE *file = fopen(path, "we");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
}

/* What the cgroup has takes the place of what its processes told. */
static void test_cgroup(void **state)
{
	char directory[] = "/tmp/moss-usage-XXXXXX";
	struct usage usage = {
		.user_ns = 1,
		.memory = 2,
		.memory_limit = 1000,
		.read = 3,
		.tasks = 4,
		.has_io = false,
	};

	usage_take_cgroup(&usage, "");
	usage_take_cgroup(&usage, "/nosuch/cgroup");
	assert_int_equal(usage.user_ns, 1);
	assert_non_null(mkdtemp(directory));
	write_file(directory, "cpu.stat",
		   "usage_usec 30\nuser_usec 10\nsystem_usec 20\n"
		   "nr_periods 5\nnr_throttled 2\nthrottled_usec 7\n");
	usage_take_cgroup(&usage, directory);
	assert_int_equal(usage.user_ns, 10000);
	assert_int_equal(usage.throttled_periods, 2);
	assert_int_equal(usage.memory, 2);
	assert_int_equal(usage.tasks, 4);
	assert_int_equal(usage.tasks_limit, 0);
	assert_false(usage.has_io);
	write_file(directory, "memory.current", "500\n");
	write_file(directory, "memory.max", "max\n");
	write_file(directory, "memory.stat",
		   "anon 100\nfile 200\nshmem 50\ninactive_file 30\n");
	write_file(directory, "pids.current", "6\n");
	write_file(directory, "pids.max", "max\n");
	write_file(directory, "io.stat",
		   "8:0 rbytes=90 wbytes=10 rios=1 wios=1\n"
		   "8:16 rbytes=5 wbytes=0 rios=1 wios=0\n");
	usage_take_cgroup(&usage, directory);
	assert_int_equal(usage.memory, 500);
	/* No more than the machine has. */
	assert_int_equal(usage.memory_limit, 1000);
	assert_int_equal(usage.file, 200);
	assert_int_equal(usage.inactive_file, 30);
	assert_int_equal(usage.tasks, 6);
	assert_true(usage.tasks_limit == UINT64_MAX);
	assert_true(usage.has_io);
	assert_int_equal(usage.read, 95);
	assert_int_equal(usage.written, 10);
	write_file(directory, "memory.max", "600\n");
	usage_take_cgroup(&usage, directory);
	assert_int_equal(usage.memory_limit, 600);
	assert_int_equal(tree_remove_at(AT_FDCWD, directory, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_stat),
		cmocka_unit_test(test_no_stat),
		cmocka_unit_test(test_memory),
		cmocka_unit_test(test_io),
		cmocka_unit_test(test_interfaces),
		cmocka_unit_test(test_many_interfaces),
		cmocka_unit_test(test_machine),
		cmocka_unit_test(test_no_machine),
		cmocka_unit_test(test_own_process),
		cmocka_unit_test(test_cgroup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
