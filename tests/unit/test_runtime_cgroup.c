/* core/runtime/cgroup.h on made-up trees: no test here needs a real cgroup. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/path.h"
#include "base/str.h"
#include "core/runtime/cgroup.h"

#define USER_UID 1000
#define ALL	 "cpuset cpu io memory hugetlb pids rdma\n"
#define MANAGER	 "/user.slice/user-1000.slice/user@1000.service"

static const unsigned int everything = (1u << CGROUP_CONTROLLERS) - 1;

struct tree {
	char root[64];
};

static void write_file(const char *directory, const char *name,
		       const char *text)
{
	cleanup_free char *path = xasprintf("%s/%s", directory, name);
	cleanup_fd int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

	assert_true(fd >= 0);
	assert_int_equal(write_all(fd, text, strlen(text)), 0);
}

static char *read_file(const char *directory, const char *name)
{
	cleanup_free char *path = xasprintf("%s/%s", directory, name);
	char *text = NULL;

	assert_int_equal(file_read_at(AT_FDCWD, path, 65536, &text, NULL, NULL),
			 0);
	return text;
}

static char *make_directory(const struct tree *tree, const char *path)
{
	char *full = xasprintf("%s%s", tree->root, path);

	assert_true(path_mkdirs(full, 0755, NULL) >= 0);
	return full;
}

/* A cgroup below the mount; ours to write, or readable only. */
static void add_cgroup(const struct tree *tree, const char *path,
		       const char *controllers, bool writable)
{
	cleanup_free char *below = xasprintf("/sys/fs/cgroup%s", path);
	cleanup_free char *full = make_directory(tree, below);
	cleanup_free char *control =
		xasprintf("%s/cgroup.subtree_control", full);

	write_file(full, "cgroup.controllers", controllers);
	write_file(full, "cgroup.procs", "");
	write_file(full, "cgroup.subtree_control", "");
	if (!writable)
		assert_int_equal(chmod(control, 0444), 0);
}

static void add_process(const struct tree *tree, const char *own,
			const char *mounts)
{
	cleanup_free char *proc = make_directory(tree, "/proc/self");
	cleanup_free char *line = xasprintf("0::%s\n", own);

	write_file(proc, "cgroup", line);
	write_file(proc, "mountinfo", mounts);
}

static const char unified[] =
	"25 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n"
	"29 25 0:26 / /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 rw\n";

static void add_manager(const struct tree *tree, const char *controllers)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	cleanup_free char *run = make_directory(tree, "/run/user/1000/systemd");
	cleanup_free char *booted = make_directory(tree, "/run/systemd/system");
	cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	assert_true(snprintf(address.sun_path, sizeof(address.sun_path),
			     "%s/private",
			     run) < (int)sizeof(address.sun_path));
	assert_int_equal(
		bind(fd, (const struct sockaddr *)&address, sizeof(address)),
		0);
	add_cgroup(tree, MANAGER, controllers, true);
}

static int set_up(void **state)
{
	struct tree *tree = xcalloc(1, sizeof(*tree));

	strcpy(tree->root, "/tmp/moss-cgroup-XXXXXX");
	assert_non_null(mkdtemp(tree->root));
	*state = tree;
	return 0;
}

static int tear_down(void **state)
{
	struct tree *tree = *state;

	assert_int_equal(tree_remove_at(AT_FDCWD, tree->root, NULL), 0);
	free(tree);
	return 0;
}

/* ---- conversions ---- */

static void test_controllers(void **state)
{
	cleanup_free char *text = NULL;

	assert_int_equal(cgroup_controllers_parse(ALL), everything);
	assert_int_equal(cgroup_controllers_parse("cpusets memoryx pid\n"), 0);
	assert_int_equal(cgroup_controllers_parse(""), 0);
	text = cgroup_controllers_text(CGROUP_BIT(CGROUP_MEMORY) |
				       CGROUP_BIT(CGROUP_CPU));
	assert_string_equal(text, "cpu, memory");
}

static void test_weights(void **state)
{
	static const struct {
		uint64_t shares, weight;
	} rows[] = {
		{1, 1},		 {2, 1},	  {100, 17},
		{256, 35},	 {512, 59},	  {1024, 100},
		{2048, 174},	 {4096, 303},	  {65536, 3023},
		{262143, 10000}, {262144, 10000}, {1000000, 10000},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_int_equal(cgroup_weight_of_shares(rows[i].shares),
				 rows[i].weight);
	assert_int_equal(cgroup_weight_of_blkio(10), 1);
	assert_int_equal(cgroup_weight_of_blkio(500), 4950);
	assert_int_equal(cgroup_weight_of_blkio(1000), 10000);
}

/* ---- limits ---- */

static const char *const limit_files[] = {
	"memory.max",  "memory.swap.max", "memory.low", "cpu.weight", "cpu.max",
	"cpuset.cpus", "cpuset.mems",	  "pids.max",	"io.weight",  "io.max",
};

static char *add_leaf(const struct tree *tree, const char *without)
{
	char *path = make_directory(tree, "/leaf");

	for (size_t i = 0; i < ARRAY_SIZE(limit_files); i++) {
		if (!str_equal(limit_files[i], without))
			write_file(path, limit_files[i], "");
	}
	return path;
}

static void assert_file(const char *leaf, const char *name, const char *text)
{
	cleanup_free char *found = read_file(leaf, name);

	assert_string_equal(found, text);
}

static void test_limits_are_written(void **state)
{
	cleanup_free char *leaf = add_leaf(*state, NULL);
	cleanup_fd int fd = open(leaf, O_RDONLY | O_DIRECTORY);
	CLEANUP(cgroup_limits_release)
	struct cgroup_limits limits = {
		.memory = 64 << 20,
		.swap = 96 << 20,
		.reservation = 32 << 20,
		.shares = 1024,
		.quota = 50000,
		.cpus = xstrdup("0-1"),
		.mems = xstrdup("0"),
		.pids = 100,
		.weight = 1000,
	};
	struct cgroup_device *device = cgroup_limits_device(&limits, 8, 16);

	device->rates[RATE_RBPS] = 1048576;
	device->rates[RATE_WIOPS] = 10;
	assert_ptr_equal(cgroup_limits_device(&limits, 8, 16), device);
	assert_int_equal(cgroup_limits_controllers(&limits), everything);
	assert_int_equal(cgroup_limits_write(fd, &limits, NULL), 0);
	assert_file(leaf, "memory.max", "67108864");
	/* Of swap alone. */
	assert_file(leaf, "memory.swap.max", "33554432");
	assert_file(leaf, "memory.low", "33554432");
	assert_file(leaf, "cpu.weight", "100");
	assert_file(leaf, "cpu.max", "50000 100000");
	assert_file(leaf, "cpuset.cpus", "0-1");
	assert_file(leaf, "cpuset.mems", "0");
	assert_file(leaf, "pids.max", "100");
	assert_file(leaf, "io.weight", "default 10000");
	assert_file(leaf, "io.max", "8:16 rbps=1048576 wiops=10");
}

static void test_no_limit_is_max(void **state)
{
	cleanup_free char *leaf = add_leaf(*state, "cpu.max");
	cleanup_fd int fd = open(leaf, O_RDONLY | O_DIRECTORY);
	const struct cgroup_limits limits = {
		.memory = CGROUP_UNLIMITED,
		.swap = CGROUP_UNLIMITED,
		.pids = CGROUP_UNLIMITED,
	};

	assert_int_equal(cgroup_limits_controllers(&limits), 0);
	assert_int_equal(cgroup_limits_write(fd, &limits, NULL), 0);
	assert_file(leaf, "memory.max", "max");
	assert_file(leaf, "memory.swap.max", "max");
	assert_file(leaf, "pids.max", "max");
	assert_file(leaf, "cpu.weight", "");
}

static void test_limit_without_its_file(void **state)
{
	cleanup_free char *leaf = add_leaf(*state, "memory.max");
	cleanup_fd int fd = open(leaf, O_RDONLY | O_DIRECTORY);
	struct cgroup_limits limits = {.memory = 64 << 20};
	struct error err = {0};

	assert_int_equal(cgroup_limits_write(fd, &limits, &err), -ENOENT);
	assert_non_null(strstr(err.message, "memory.max to 67108864"));
	limits.memory = CGROUP_UNLIMITED;
	assert_int_equal(cgroup_limits_write(fd, &limits, &err), 0);
}

/* Twice the memory is docker's default and not what anybody asked for. */
static void test_swap_without_its_file(void **state)
{
	cleanup_free char *leaf = add_leaf(*state, "memory.swap.max");
	cleanup_fd int fd = open(leaf, O_RDONLY | O_DIRECTORY);
	struct cgroup_limits limits = {.memory = 64 << 20, .swap = 128 << 20};

	assert_int_equal(cgroup_limits_write(fd, &limits, NULL), 0);
	limits.swap = 100 << 20;
	assert_int_equal(cgroup_limits_write(fd, &limits, NULL), -ENOENT);
}

static void test_limits_out_of_range(void **state)
{
	static const struct cgroup_limits rows[] = {
		{.swap = 64 << 20},
		{.memory = 64 << 20, .swap = 32 << 20},
		{.weight = 9},
		{.weight = 1001},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_true(cgroup_limits_check(&rows[i], NULL) < 0);
}

/* ---- where ---- */

static void test_login_with_manager(void **state)
{
	CLEANUP(cgroup_host_release) struct cgroup_host host = {0};
	struct error err = {0};

	add_process(*state, "/user.slice/user-1000.slice/session-3.scope",
		    unified);
	add_cgroup(*state, "", ALL, false);
	add_cgroup(*state, "/user.slice/user-1000.slice/session-3.scope", ALL,
		   false);
	add_manager(*state, "memory pids\n");
	cgroup_host_read(((struct tree *)*state)->root, USER_UID, &host);
	assert_int_equal(host.version, CGROUP_VERSION_2);
	assert_int_equal(host.manager, CGROUP_MANAGER_SYSTEMD);
	assert_null(host.base);
	assert_int_equal(host.available, everything);
	assert_int_equal(host.delegated,
			 CGROUP_BIT(CGROUP_MEMORY) | CGROUP_BIT(CGROUP_PIDS));
	assert_int_equal(cgroup_host_check(&host, CGROUP_BIT(CGROUP_MEMORY),
					   "--memory", &err),
			 0);
	assert_true(cgroup_host_check(&host,
				      CGROUP_BIT(CGROUP_CPU) |
					      CGROUP_BIT(CGROUP_MEMORY),
				      "--cpus", &err) < 0);
	assert_int_equal(err.kind, ERROR_UNSUPPORTED);
	assert_non_null(strstr(err.message,
			       "cannot set --cpus: no cgroup with the "
			       "controller cpu is delegated"));
	assert_non_null(strstr(err.hint, "delegate.conf"));
}

static void test_unit_is_found_again(void **state)
{
	CLEANUP(cgroup_host_release) struct cgroup_host host = {0};

	add_process(*state, "/user.slice/user-1000.slice/session-3.scope",
		    unified);
	add_cgroup(*state, "", ALL, false);
	add_manager(*state, ALL);
	add_cgroup(*state, MANAGER "/app.slice/" CGROUP_UNIT, ALL, true);
	cgroup_host_read(((struct tree *)*state)->root, USER_UID, &host);
	assert_string_equal(host.base, MANAGER "/app.slice/" CGROUP_UNIT);
}

static void test_login_without_manager(void **state)
{
	CLEANUP(cgroup_host_release) struct cgroup_host host = {0};
	cleanup_free char *booted =
		make_directory(*state, "/run/systemd/system");
	struct error err = {0};

	add_process(*state, "/system.slice/cron.service", unified);
	add_cgroup(*state, "", ALL, false);
	add_cgroup(*state, "/system.slice/cron.service", ALL, false);
	cgroup_host_read(((struct tree *)*state)->root, USER_UID, &host);
	assert_int_equal(host.manager, CGROUP_MANAGER_NONE);
	assert_int_equal(host.delegated, 0);
	assert_true(cgroup_host_check(&host, CGROUP_BIT(CGROUP_PIDS),
				      "--pids-limit", &err) < 0);
	assert_non_null(strstr(err.hint, "log in by ssh"));
}

/* The outermost that is ours, as an administrator gave it. */
static void test_given_by_hand(void **state)
{
	CLEANUP(cgroup_host_release) struct cgroup_host host = {0};

	add_process(*state, "/moss/shells/1", unified);
	add_cgroup(*state, "", ALL, false);
	add_cgroup(*state, "/moss", "cpu memory\n", true);
	add_cgroup(*state, "/moss/shells", "", true);
	add_cgroup(*state, "/moss/shells/1", "", true);
	cgroup_host_read(((struct tree *)*state)->root, USER_UID, &host);
	assert_int_equal(host.manager, CGROUP_MANAGER_DIRECT);
	assert_string_equal(host.base, "/moss");
	assert_false(host.evacuate);
	assert_int_equal(host.delegated,
			 CGROUP_BIT(CGROUP_CPU) | CGROUP_BIT(CGROUP_MEMORY));
}

/* As in a container: the root of what is seen, and we are in it. */
static void test_own_must_be_emptied(void **state)
{
	CLEANUP(cgroup_host_release) struct cgroup_host host = {0};
	cleanup_free char *mount = NULL;
	cleanup_free char *base = NULL;
	cleanup_free char *moved = NULL;
	cleanup_free char *control = NULL;
	const struct tree *tree = *state;

	add_process(tree, "/", unified);
	add_cgroup(tree, "", "memory pids\n", true);
	mount = xasprintf("%s/sys/fs/cgroup", tree->root);
	write_file(mount, "cgroup.procs", "17\n");
	cgroup_host_read(tree->root, USER_UID, &host);
	assert_int_equal(host.manager, CGROUP_MANAGER_DIRECT);
	assert_string_equal(host.base, "/");
	assert_true(host.evacuate);
	/* Its file takes what is written, as nobody is behind it. */
	moved = make_directory(tree, "/sys/fs/cgroup/" CGROUP_MONITORS);
	write_file(moved, "cgroup.procs", "");
	assert_int_equal(
		cgroup_enter(&host, "", CGROUP_BIT(CGROUP_MEMORY), &base, NULL),
		0);
	assert_string_equal(base, mount);
	assert_file(moved, "cgroup.procs", "17");
	control = read_file(mount, "cgroup.subtree_control");
	assert_non_null(strstr(control, "+pids"));
}

/* Below the user's manager only what that has given away is ours. */
static void test_unmarked_below_manager(void **state)
{
	CLEANUP(cgroup_host_release) struct cgroup_host host = {0};
	const struct tree *tree = *state;
	cleanup_free char *unit = xasprintf(
		"%s/sys/fs/cgroup" MANAGER "/app.slice/x.service", tree->root);

	add_process(tree, MANAGER "/app.slice/x.service/inner", unified);
	add_cgroup(tree, "", ALL, false);
	add_manager(tree, ALL);
	add_cgroup(tree, MANAGER "/app.slice", ALL, true);
	add_cgroup(tree, MANAGER "/app.slice/x.service", "cpu\n", true);
	add_cgroup(tree, MANAGER "/app.slice/x.service/inner", "", true);
	cgroup_host_read(tree->root, USER_UID, &host);
	assert_int_equal(host.manager, CGROUP_MANAGER_SYSTEMD);
	cgroup_host_release(&host);
	if (setxattr(unit, "user.delegate", "1", 1, 0) < 0)
		skip(); /* /tmp is a tmpfs without user attributes */
	cgroup_host_read(tree->root, USER_UID, &host);
	assert_int_equal(host.manager, CGROUP_MANAGER_DIRECT);
	assert_string_equal(host.base, MANAGER "/app.slice/x.service");
}

static void test_versions(void **state)
{
	static const struct {
		const char *mounts;
		enum cgroup_version version;
	} rows[] = {
		{"25 1 8:1 / / rw - ext4 /dev/sda1 rw\n", CGROUP_VERSION_NONE},
		{"30 25 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n",
		 CGROUP_VERSION_1},
		{"30 25 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"
		 "31 25 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
		 CGROUP_VERSION_HYBRID},
	};
	const struct tree *tree = *state;

	add_cgroup(tree, "", "", false);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		CLEANUP(cgroup_host_release) struct cgroup_host host = {0};
		struct error err = {0};

		add_process(tree, "/", rows[i].mounts);
		cgroup_host_read(tree->root, USER_UID, &host);
		assert_int_equal(host.version, rows[i].version);
		assert_int_equal(host.manager, CGROUP_MANAGER_NONE);
		assert_true(cgroup_host_check(&host, CGROUP_BIT(CGROUP_MEMORY),
					      "--memory", &err) < 0);
		assert_non_null(strstr(err.hint, "boot the kernel with"));
	}
}

/* A part of the hierarchy is mounted, and named as outside. */
static void test_partial_mount(void **state)
{
	CLEANUP(cgroup_host_release) struct cgroup_host host = {0};
	const struct tree *tree = *state;

	add_process(tree, "/outer/ab/inner",
		    "29 25 0:26 /outer/ab /sys/fs/cgroup rw - cgroup2 c rw\n");
	add_cgroup(tree, "", "cpu\n", true);
	add_cgroup(tree, "/inner", "cpu\n", true);
	cgroup_host_read(tree->root, USER_UID, &host);
	assert_string_equal(host.own, "/inner");
	assert_string_equal(host.base, "/");
}

static void test_parents(void **state)
{
	static const struct {
		enum cgroup_manager manager;
		const char *parent;
		bool good;
	} rows[] = {
		{CGROUP_MANAGER_SYSTEMD, "", true},
		{CGROUP_MANAGER_SYSTEMD, "build.slice", true},
		{CGROUP_MANAGER_SYSTEMD, "/build", false},
		{CGROUP_MANAGER_SYSTEMD, ".slice", false},
		{CGROUP_MANAGER_SYSTEMD, "a/b.slice", false},
		{CGROUP_MANAGER_DIRECT, "jobs/7", true},
		{CGROUP_MANAGER_DIRECT, "/jobs", true},
		{CGROUP_MANAGER_DIRECT, "../other", false},
		{CGROUP_MANAGER_DIRECT, "jobs/..", false},
		{CGROUP_MANAGER_DIRECT, "/", false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const struct cgroup_host host = {.manager = rows[i].manager};

		assert_int_equal(
			cgroup_parent_check(&host, rows[i].parent, NULL) == 0,
			rows[i].good);
	}
}

static void test_enter_below_parent(void **state)
{
	CLEANUP(cgroup_host_release) struct cgroup_host host = {0};
	cleanup_free char *jobs = NULL;
	cleanup_free char *base = NULL;
	const struct tree *tree = *state;

	add_process(tree, "/moss/shell", unified);
	add_cgroup(tree, "", ALL, false);
	add_cgroup(tree, "/moss", "pids\n", true);
	add_cgroup(tree, "/moss/shell", "", true);
	add_cgroup(tree, "/moss/jobs", "pids\n", true);
	cgroup_host_read(tree->root, USER_UID, &host);
	assert_int_equal(cgroup_enter(&host, "/jobs", CGROUP_BIT(CGROUP_PIDS),
				      &base, NULL),
			 0);
	jobs = xasprintf("%s/sys/fs/cgroup/moss/jobs", tree->root);
	assert_string_equal(base, jobs);
	assert_file(jobs, "cgroup.subtree_control", "+pids");
}

/* ---- a container's ---- */

static void test_make_and_remove(void **state)
{
	const struct tree *tree = *state;
	cleanup_free char *path = xasprintf("%s/leaf", tree->root);
	cleanup_free char *below = xasprintf("%s/leaf/a/b", tree->root);
	struct cgroup cgroup = CGROUP_NONE;
	struct error err = {0};

	assert_int_equal(cgroup_open(path, &cgroup, &err), -ENOENT);
	assert_int_equal(err.kind, ERROR_NOT_FOUND);
	assert_int_equal(cgroup_make(path, &cgroup, NULL), 0);
	assert_true(cgroup.fd >= 0);
	cgroup_close(&cgroup);
	/* One of before gives way, with what a container made in it. */
	assert_true(path_mkdirs(below, 0755, NULL) >= 0);
	assert_int_equal(cgroup_make(path, &cgroup, NULL), 0);
	assert_int_equal(access(below, F_OK), -1);
	cgroup_close(&cgroup);
	assert_int_equal(cgroup_remove(path, NULL), 0);
	assert_int_equal(cgroup_remove(path, NULL), 0);
}

static void test_freeze_times_out(void **state)
{
	cleanup_free char *leaf = make_directory(*state, "/leaf");
	CLEANUP(cgroup_close) struct cgroup cgroup = CGROUP_NONE;
	struct error err = {0};

	assert_int_equal(cgroup_open(leaf, &cgroup, NULL), 0);
	assert_int_equal(cgroup_freeze(&cgroup, true, 100, &err), -ENOENT);
	write_file(leaf, "cgroup.freeze", "");
	write_file(leaf, "cgroup.events", "populated 1\nfrozen 0\n");
	assert_int_equal(cgroup_freeze(&cgroup, true, 100, &err), -ETIMEDOUT);
	assert_file(leaf, "cgroup.freeze", "0");
	write_file(leaf, "cgroup.events", "populated 1\nfrozen 1\n");
	assert_int_equal(cgroup_freeze(&cgroup, true, 100, &err), 0);
	assert_file(leaf, "cgroup.freeze", "1");
}

static void test_processes(void **state)
{
	cleanup_free char *leaf = make_directory(*state, "/leaf");
	cleanup_free char *below = make_directory(*state, "/leaf/a/b");
	CLEANUP(cgroup_close) struct cgroup cgroup = CGROUP_NONE;
	cleanup_free pid_t *pids = NULL;
	size_t count = 0;

	write_file(leaf, "cgroup.procs", "5\n0\n12\n");
	write_file(below, "cgroup.procs", "7\n");
	assert_int_equal(cgroup_open(leaf, &cgroup, NULL), 0);
	assert_int_equal(cgroup_processes(&cgroup, &pids, &count, NULL), 0);
	assert_int_equal(count, 3);
	assert_int_equal(pids[0], 7);
	assert_int_equal(pids[1], 5);
	assert_int_equal(pids[2], 12);
}

static void test_stats(void **state)
{
	cleanup_free char *leaf = make_directory(*state, "/leaf");
	CLEANUP(cgroup_close) struct cgroup cgroup = CGROUP_NONE;
	CLEANUP(cgroup_stats_release) struct cgroup_stats stats = {0};

	assert_int_equal(cgroup_open(leaf, &cgroup, NULL), 0);
	assert_true(cgroup_stats_read(&cgroup, &stats, NULL) < 0);
	assert_int_equal(cgroup_oom_kills(&cgroup), 0);
	write_file(leaf, "cpu.stat",
		   "usage_usec 30\nuser_usec 10\nsystem_usec 20\n"
		   "nr_periods 5\nnr_throttled 2\nthrottled_usec 7\n");
	assert_int_equal(cgroup_stats_read(&cgroup, &stats, NULL), 0);
	assert_int_equal(stats.has, CGROUP_BIT(CGROUP_CPU));
	assert_true(stats.memory_limit == UINT64_MAX);
	cgroup_stats_release(&stats);
	write_file(leaf, "memory.current", "4096\n");
	write_file(leaf, "memory.max", "max\n");
	write_file(leaf, "memory.peak", "8192\n");
	write_file(leaf, "memory.stat", "anon 1\ninactive_file 1024\n");
	write_file(leaf, "memory.events",
		   "low 0\nmax 3\noom 2\noom_kill 1\noom_group_kill 0\n");
	write_file(leaf, "pids.current", "4\n");
	write_file(leaf, "pids.max", "100\n");
	write_file(leaf, "io.stat",
		   "8:0 rbytes=90 wbytes=299 rios=8 wios=13 dbytes=0 dios=0\n"
		   "garbage\n7:1 \n");
	assert_int_equal(cgroup_stats_read(&cgroup, &stats, NULL), 0);
	assert_int_equal(stats.cpu_ns, 30000);
	assert_int_equal(stats.system_ns, 20000);
	assert_int_equal(stats.throttled_periods, 2);
	assert_int_equal(stats.memory, 4096);
	assert_int_equal(stats.memory_peak, 8192);
	assert_int_equal(stats.memory_inactive_file, 1024);
	assert_int_equal(stats.memory_failures, 3);
	assert_int_equal(stats.pids, 4);
	assert_int_equal(stats.pids_limit, 100);
	assert_int_equal(stats.io_count, 2);
	assert_int_equal(stats.io[0].written_bytes, 299);
	assert_int_equal(stats.io[0].reads, 8);
	assert_int_equal(stats.io[1].major, 7);
	assert_int_equal(cgroup_oom_kills(&cgroup), 1);
}

int main(void)
{
	/* File modes say what is ours to write, and they do not bind root. */
	if (geteuid() == 0 && seteuid(65534) < 0)
		return EXIT_FAILURE;
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_controllers),
		cmocka_unit_test(test_weights),
		TEST(test_limits_are_written),
		TEST(test_no_limit_is_max),
		TEST(test_limit_without_its_file),
		TEST(test_swap_without_its_file),
		cmocka_unit_test(test_limits_out_of_range),
		TEST(test_login_with_manager),
		TEST(test_unit_is_found_again),
		TEST(test_login_without_manager),
		TEST(test_given_by_hand),
		TEST(test_own_must_be_emptied),
		TEST(test_unmarked_below_manager),
		TEST(test_versions),
		TEST(test_partial_mount),
		cmocka_unit_test(test_parents),
		TEST(test_enter_below_parent),
		TEST(test_make_and_remove),
		TEST(test_freeze_times_out),
		TEST(test_processes),
		TEST(test_stats),
	};
#undef TEST

	return cmocka_run_group_tests(tests, NULL, NULL);
}
