/*
 * storage/tar/sync_tree.h: what is synced how. The calls that sync are this
 * file's own and only written down, so that it is the same on any file system.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/path.h"
#include "base/str.h"
#include "storage/tar/sync_tree.h"

static struct {
	pthread_mutex_t lock;
	char top[64]; /* of the trees */
	char **names; /* that were synced alone, below top */
	unsigned int whole;
	long type; /* of the file system */
	int failure;
} calls = {.lock = PTHREAD_MUTEX_INITIALIZER};

int fstatfs(int fd, struct statfs *fs)
{
	*fs = (struct statfs){.f_type = calls.type};
	return 0;
}

int syncfs(int fd)
{
	calls.whole++;
	errno = calls.failure;
	return errno ? -1 : 0;
}

int fsync(int fd)
{
	char link[PATH_FD_MAX];
	char path[4096];
	ssize_t length;

	path_of_fd(link, fd);
	length = readlink(link, path, sizeof(path) - 1);
	assert_true(length > (ssize_t)strlen(calls.top));
	path[length] = '\0';
	pthread_mutex_lock(&calls.lock);
	strv_push(&calls.names, path + strlen(calls.top) + 1);
	pthread_mutex_unlock(&calls.lock);
	errno = calls.failure;
	return errno ? -1 : 0;
}

struct fixture {
	char top[64];
	int fd;
};

static void make_file(int dir_fd, const char *name)
{
	assert_int_equal(file_write_atomic_at(dir_fd, name, "x", 1, 0600,
					      FILE_VOLATILE, NULL),
			 0);
}

static int set_up(void **state)
{
	struct fixture *fixture = xcalloc(1, sizeof(*fixture));

	strcpy(fixture->top, "/var/tmp/moss-sync-XXXXXX");
	assert_non_null(mkdtemp(fixture->top));
	fixture->fd = open(fixture->top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(fixture->fd >= 0);
	strcpy(calls.top, fixture->top);
	calls.type = EXT4_SUPER_MAGIC;
	calls.failure = 0;
	calls.whole = 0;
	*state = fixture;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *fixture = *state;

	close_fd(&fixture->fd);
	assert_int_equal(tree_remove_at(AT_FDCWD, fixture->top, NULL), 0);
	free(fixture);
	strv_free(steal_ptr(&calls.names));
	return 0;
}

static int sync_two(const struct fixture *fixture, struct error *err)
{
	static const char *const paths[] = {"one", "gone", "two", NULL};

	return sync_trees(fixture->fd, paths, "the store", err);
}

static void make_trees(const struct fixture *fixture)
{
	static const char *const directories[] = {"one", "one/in", "two",
						  "other"};

	for (size_t i = 0; i < ARRAY_SIZE(directories); i++)
		assert_int_equal(mkdirat(fixture->fd, directories[i], 0700), 0);
	make_file(fixture->fd, "one/in/a");
	make_file(fixture->fd, "one/b");
	make_file(fixture->fd, "two/c");
	make_file(fixture->fd, "other/not");
	assert_int_equal(symlinkat("../other/not", fixture->fd, "one/link"), 0);
	assert_int_equal(symlinkat("../other", fixture->fd, "one/way"), 0);
	/* Opening it would wait for a writer. */
	assert_int_equal(mkfifoat(fixture->fd, "one/pipe", 0600), 0);
}

/* Each file and directory below the named ones, and nothing else. */
static void test_each(void **state)
{
	static const char *const wanted[] = {"one",   "one/in", "one/in/a",
					     "one/b", "two",	"two/c"};
	struct error error = {0};

	make_trees(*state);
	assert_int_equal(sync_two(*state, &error), 0);
	assert_int_equal(strv_length(calls.names), ARRAY_SIZE(wanted));
	for (size_t i = 0; i < ARRAY_SIZE(wanted); i++)
		assert_true(strv_contains(calls.names, wanted[i]));
	assert_int_equal(calls.whole, 0);
}

static void test_other_file_systems(void **state)
{
	make_trees(*state);
	calls.type = BTRFS_SUPER_MAGIC;
	assert_int_equal(sync_two(*state, NULL), 0);
	assert_null(calls.names);
	assert_int_equal(calls.whole, 1);
}

static void test_many(void **state)
{
	const struct fixture *fixture = *state;
	char name[32];

	assert_int_equal(mkdirat(fixture->fd, "one", 0700), 0);
	for (int i = 0; i < SYNC_TREE_MOST - 1; i++) {
		snprintf(name, sizeof(name), "one/f%d", i);
		make_file(fixture->fd, name);
	}
	assert_int_equal(sync_two(fixture, NULL), 0);
	assert_int_equal(strv_length(calls.names), SYNC_TREE_MOST);
	assert_int_equal(calls.whole, 0);
	make_file(fixture->fd, "one/more");
	assert_int_equal(sync_two(fixture, NULL), 0);
	assert_int_equal(strv_length(calls.names), SYNC_TREE_MOST);
	assert_int_equal(calls.whole, 1);
}

static void test_deep(void **state)
{
	const struct fixture *fixture = *state;
	char path[256] = "one";

	assert_int_equal(mkdirat(fixture->fd, path, 0700), 0);
	for (int i = 0; i < 80; i++) {
		strcat(path, "/d");
		assert_int_equal(mkdirat(fixture->fd, path, 0700), 0);
	}
	assert_int_equal(sync_two(fixture, NULL), 0);
	assert_null(calls.names);
	assert_int_equal(calls.whole, 1);
}

static void test_failures(void **state)
{
	struct error error = {0};

	make_trees(*state);
	calls.failure = EIO;
	assert_int_equal(sync_two(*state, &error), -EIO);
	assert_non_null(strstr(error.message, "cannot sync the store: "));
	calls.type = BTRFS_SUPER_MAGIC;
	assert_int_equal(sync_two(*state, &error), -EIO);
	assert_non_null(strstr(error.message, "cannot sync the store: "));
}

#define TEST(function) \
	cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_each), TEST(test_other_file_systems), TEST(test_many),
		TEST(test_deep), TEST(test_failures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
