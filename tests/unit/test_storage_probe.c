/* snapshot_choose(): what works here, what it says when something does not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/path.h"
#include "base/str.h"
#include "storage/root/snapshot.h"
#include "tests/unit/namespace.h"

static char directory[PATH_MAX]; /* of one test */
static struct store store;
static int cache_fd;
static struct error error;

static int set_up(void **state)
{
	const char *tmp = getenv("TMPDIR");
	char path[PATH_MAX];

	snprintf(directory, sizeof(directory), "%s/moss-probe-XXXXXX",
		 tmp ? tmp : "/var/tmp");
	if (!mkdtemp(directory))
		return -1;
	snprintf(path, sizeof(path), "%.3000s/store", directory);
	cache_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	err_clear(&error);
	setenv("PATH", "/usr/local/bin:/usr/bin:/bin", 1);
	return store_open(path, &store, &error);
}

static int tear_down(void **state)
{
	store_close(&store);
	close_fd(&cache_fd);
	return tree_remove_at(AT_FDCWD, directory, NULL);
}

/* Nothing of a trial stays in the store. */
static void assert_tmp_is_empty(void)
{
	cleanup_dir DIR *dir = NULL;
	const struct dirent *entry;
	int fd = openat(store.tmp_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	dir = fdopendir(fd);
	assert_non_null(dir);
	while ((entry = readdir(dir)))
		assert_true(entry->d_name[0] == '.');
}

/* As it is without this driver: no namespace can be made any more. */
static void forbid_namespaces(bool forbid)
{
	assert_int_equal(file_write_once_at(
				 AT_FDCWD, "/proc/sys/user/max_user_namespaces",
				 forbid ? "0" : "10000", NULL),
			 0);
}

static void test_works(void **state)
{
	enum snapshot_driver driver = SNAPSHOT_AUTO;
	cleanup_free char *reasons = NULL;

	assert_int_equal(snapshot_choose(&store, SNAPSHOT_AUTO, false, -1,
					 &driver, &reasons, &error),
			 0);
	assert_string_equal(reasons, "overlay: works (userxattr)\n"
				     "fuse-overlayfs: works");
	assert_int_equal(driver, SNAPSHOT_OVERLAY);
	assert_int_equal(snapshot_choose(&store, SNAPSHOT_AUTO, true, -1,
					 &driver, NULL, &error),
			 0);
	assert_int_equal(driver, SNAPSHOT_FUSE_OVERLAYFS);
	assert_int_equal(snapshot_choose(&store, SNAPSHOT_OVERLAY, false, -1,
					 &driver, NULL, &error),
			 0);
	assert_int_equal(driver, SNAPSHOT_OVERLAY);
	assert_int_equal(snapshot_choose(&store, SNAPSHOT_FUSE_OVERLAYFS, false,
					 -1, &driver, NULL, &error),
			 0);
	assert_int_equal(driver, SNAPSHOT_FUSE_OVERLAYFS);
	assert_tmp_is_empty();
}

static void test_forced_cannot_shift(void **state)
{
	enum snapshot_driver driver = SNAPSHOT_AUTO;

	assert_true(snapshot_choose(&store, SNAPSHOT_OVERLAY, true, -1, &driver,
				    NULL, &error) < 0);
	assert_int_equal(error.kind, ERROR_UNSUPPORTED);
	assert_non_null(strstr(error.message, "overlay cannot shift IDs"));
	assert_non_null(strstr(error.hint, "fuse-overlayfs"));
	assert_int_equal(driver, SNAPSHOT_AUTO);
}

/* A success is remembered, a failure is not; neither without a cache. */
static void test_cache(void **state)
{
	enum snapshot_driver driver = SNAPSHOT_AUTO;
	cleanup_free char *text = NULL;
	static const char stale[] = "5.10.0 8:1\n";

	forbid_namespaces(true);
	assert_true(snapshot_choose(&store, SNAPSHOT_AUTO, false, cache_fd,
				    &driver, NULL, &error) < 0);
	assert_int_equal(error.kind, ERROR_UNSUPPORTED);
	assert_non_null(strstr(error.message, "overlay: cannot make a user"));
	assert_non_null(strstr(error.message, "max_user_namespaces"));
	assert_non_null(strstr(error.message, "fuse-overlayfs: cannot make"));
	assert_tmp_is_empty();
	forbid_namespaces(false);
	assert_int_equal(snapshot_choose(&store, SNAPSHOT_AUTO, false, cache_fd,
					 &driver, NULL, &error),
			 0);
	assert_int_equal(driver, SNAPSHOT_OVERLAY);
	forbid_namespaces(true);
	driver = SNAPSHOT_AUTO;
	assert_int_equal(snapshot_choose(&store, SNAPSHOT_AUTO, false, cache_fd,
					 &driver, NULL, &error),
			 0);
	assert_int_equal(driver, SNAPSHOT_OVERLAY);
	assert_true(snapshot_choose(&store, SNAPSHOT_AUTO, false, -1, &driver,
				    NULL, &error) < 0);
	/* Another kernel or disk. */
	assert_int_equal(file_write_atomic_at(cache_fd, "snapshot-overlay",
					      stale, strlen(stale), 0600,
					      FILE_VOLATILE, NULL),
			 0);
	assert_true(snapshot_choose(&store, SNAPSHOT_AUTO, false, cache_fd,
				    &driver, NULL, &error) < 0);
	forbid_namespaces(false);
	assert_int_equal(snapshot_choose(&store, SNAPSHOT_AUTO, false, cache_fd,
					 &driver, NULL, &error),
			 0);
	assert_int_equal(file_read_at(cache_fd, "snapshot-overlay", 4096, &text,
				      NULL, NULL),
			 0);
	assert_string_not_equal(text, stale);
}

static void test_program_missing(void **state)
{
	enum snapshot_driver driver = SNAPSHOT_AUTO;
	cleanup_free char *reasons = NULL;

	/* Even when it worked before. */
	assert_int_equal(snapshot_choose(&store, SNAPSHOT_FUSE_OVERLAYFS, false,
					 cache_fd, &driver, NULL, &error),
			 0);
	setenv("PATH", directory, 1);
	assert_true(snapshot_choose(&store, SNAPSHOT_FUSE_OVERLAYFS, false,
				    cache_fd, &driver, NULL, &error) < 0);
	assert_string_equal(error.message,
			    "the storage driver fuse-overlayfs does not work "
			    "here: the program fuse-overlayfs is not "
			    "installed");
	assert_string_equal(error.hint, "install the package fuse-overlayfs");
	assert_int_equal(snapshot_choose(&store, SNAPSHOT_AUTO, false, cache_fd,
					 &driver, &reasons, &error),
			 0);
	assert_int_equal(driver, SNAPSHOT_OVERLAY);
	assert_string_equal(reasons, "overlay: works (userxattr)\n"
				     "fuse-overlayfs: the program "
				     "fuse-overlayfs is not installed; install "
				     "the package fuse-overlayfs");
}

/* A program that is no fuse-overlayfs: what it says is the reason. */
static void test_program_fails(void **state)
{
	static const char script[] = "#!/bin/sh\n"
				     "echo 'unknown argument ignored' >&2\n"
				     "echo 'cannot do this' >&2\n"
				     "echo 'unknown argument ignored: x' >&2\n"
				     "exit 3\n";
	enum snapshot_driver driver = SNAPSHOT_AUTO;

	assert_int_equal(file_write_atomic_at(cache_fd, "fuse-overlayfs",
					      script, strlen(script), 0755,
					      FILE_VOLATILE, NULL),
			 0);
	setenv("PATH", directory, 1);
	assert_true(snapshot_choose(&store, SNAPSHOT_FUSE_OVERLAYFS, false, -1,
				    &driver, NULL, &error) < 0);
	assert_non_null(
		strstr(error.message, "ended with status 3: cannot do this"));
	assert_tmp_is_empty();
}

static void test_device_missing(void **state)
{
	enum snapshot_driver driver = SNAPSHOT_AUTO;
	cleanup_free char *path = xasprintf("%s/device", directory);

	assert_int_equal(mknod(path, S_IFREG | 0600, 0), 0);
	assert_int_equal(mount(path, "/dev/fuse", NULL, MS_BIND, NULL), 0);
	assert_int_equal(mount(NULL, "/dev/fuse", NULL,
			       MS_REMOUNT | MS_BIND | MS_RDONLY, NULL),
			 0);
	assert_true(snapshot_choose(&store, SNAPSHOT_FUSE_OVERLAYFS, false, -1,
				    &driver, NULL, &error) < 0);
	assert_non_null(strstr(error.message, "/dev/fuse is not accessible: "));
	assert_string_not_equal(error.hint, "");
	assert_int_equal(umount("/dev/fuse"), 0);
}

/* overlay over overlay is refused: the next driver takes its place. */
static void test_store_on_overlay(void **state)
{
	enum snapshot_driver driver = SNAPSHOT_AUTO;
	cleanup_free char *reasons = NULL;
	cleanup_free char *path = xasprintf("%s/merged/store", directory);
	const char *const names[] = {"lower", "upper", "work", "merged"};
	struct store inner;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		assert_int_equal(mkdirat(cache_fd, names[i], 0755), 0);
	assert_int_equal(chdir(directory), 0);
	assert_int_equal(mount("overlay", "merged", "overlay", 0,
			       "lowerdir=lower,upperdir=upper,workdir=work,"
			       "userxattr"),
			 0);
	assert_int_equal(store_open(path, &inner, &error), 0);
	assert_int_equal(snapshot_choose(&inner, SNAPSHOT_AUTO, false, -1,
					 &driver, &reasons, &error),
			 0);
	assert_int_equal(driver, SNAPSHOT_FUSE_OVERLAYFS);
	assert_true(str_starts(reasons, "overlay: "));
	assert_false(str_starts(reasons, "overlay: works"));
	assert_non_null(strstr(reasons, "\nfuse-overlayfs: works"));
	store_close(&inner);
	assert_int_equal(chdir("/"), 0);
	free(path);
	path = xasprintf("%s/merged", directory);
	assert_int_equal(umount2(path, MNT_DETACH), 0);
}

static void test_path_with_colon(void **state)
{
	enum snapshot_driver driver = SNAPSHOT_AUTO;
	cleanup_free char *path = xasprintf("%s/a:b", directory);
	struct store inner;

	assert_int_equal(store_open(path, &inner, &error), 0);
	assert_int_equal(snapshot_choose(&inner, SNAPSHOT_OVERLAY, false, -1,
					 &driver, NULL, &error),
			 0);
	assert_true(snapshot_choose(&inner, SNAPSHOT_FUSE_OVERLAYFS, false, -1,
				    &driver, NULL, &error) < 0);
	assert_non_null(strstr(error.message, "colon"));
	store_close(&inner);
}

#define TEST(function) \
	cmocka_unit_test_setup_teardown(function, set_up, tear_down)

static int all_tests(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_works),
		TEST(test_forced_cannot_shift),
		TEST(test_cache),
		TEST(test_program_missing),
		TEST(test_program_fails),
		TEST(test_device_missing),
		TEST(test_store_on_overlay),
		TEST(test_path_with_colon),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	return namespace_run(all_tests);
}
