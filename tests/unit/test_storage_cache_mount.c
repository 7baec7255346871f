/* storage/store/cache_mount.h */
#include "storage/store/cache_mount.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"

#define A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static char directory[64];
static struct store store;
static struct error error;
static int fills;

static int set_up(void **state)
{
	cleanup_free char *path = NULL;

	(void)state;
	strcpy(directory, "/tmp/moss-mounts-XXXXXX");
	assert_non_null(mkdtemp(directory));
	path = xasprintf("%s/store", directory);
	fills = 0;
	return store_open(path, &store, &error);
}

static int tear_down(void **state)
{
	(void)state;
	store_close(&store);
	return tree_remove_at(AT_FDCWD, directory, NULL);
}

static int fill(int data_fd, void *data, struct error *err)
{
	fills++;
	if (data)
		return err_set(err, ERROR_GENERIC, "failed");
	assert_int_equal(mkdirat(data_fd, "first", 0755), 0);
	return 0;
}

static int take(const char *id, enum lock_mode mode, char **ret_path)
{
	const struct cache_mount_request request = {
		.id = id,
		.description = "/root/.cache",
		.mode = mode,
		.fill = fill,
	};

	return cache_mount_take(&store, &request, ret_path, &error);
}

static void test_take(void **state)
{
	cleanup_free char *path = NULL;
	cleanup_free char *again = NULL;
	cleanup_free char *file = NULL;
	char *none = NULL;
	int first, second;

	(void)state;
	first = take(A, LOCK_SHARED, &path);
	assert_true(first >= 0);
	assert_true(str_ends(path, "/build/mounts/" A "/data"));
	second = take(A, LOCK_SHARED, &again);
	assert_true(second >= 0);
	assert_string_equal(path, again);
	assert_int_equal(fills, 1);
	assert_int_equal(take(A, LOCK_EXCLUSIVE, &none), -EAGAIN);
	assert_null(none);
	close(first);
	close(second);

	file = xasprintf("%s/first/x", path);
	close(open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
	free(path);
	path = NULL;
	first = take(A, LOCK_EXCLUSIVE, &path);
	assert_true(first >= 0);
	assert_int_equal(access(file, F_OK), 0);
	assert_int_equal(take(A, LOCK_SHARED, &none), -EAGAIN);
	close(first);
	assert_true(take("../../etc", LOCK_SHARED, &none) < 0);
	assert_true(take("", LOCK_SHARED, &none) < 0);
}

/* Whoever failed to fill it, or was killed, leaves nothing to be seen. */
static void test_half_made(void **state)
{
	const struct cache_mount_request request = {
		.id = B,
		.description = "x",
		.mode = LOCK_SHARED,
		.fill = fill,
		.data = &fills,
	};
	char *path = NULL;
	int fd;

	(void)state;
	assert_true(cache_mount_take(&store, &request, &path, &error) < 0);
	assert_null(path);
	assert_string_equal(error.message, "cache mount x: failed");
	assert_int_equal(mkdirat(store.root_fd,
				 CACHE_MOUNTS "/" B "/data.new/left", 0755),
			 0);
	fd = take(B, LOCK_SHARED, &path);
	assert_true(fd >= 0);
	close(fd);
	assert_int_equal(faccessat(store.root_fd,
				   CACHE_MOUNTS "/" B "/data/left", F_OK, 0),
			 -1);
	free(path);
}

static void test_list_and_remove(void **state)
{
	struct cache_mount *list = NULL;
	cleanup_free char *path = NULL;
	cleanup_free char *other = NULL;
	uint64_t bytes = 0;
	size_t count = 9;
	int fd;

	(void)state;
	assert_int_equal(cache_mount_list(&store, &list, &count, &error), 0);
	assert_int_equal(count, 0);
	assert_true(cache_mount_remove(&store, A, &bytes, &error) < 0);
	assert_int_equal(error.kind, ERROR_NOT_FOUND);

	close(take(B, LOCK_SHARED, &other));
	fd = take(A, LOCK_SHARED, &path);
	assert_int_equal(cache_mount_list(&store, &list, &count, &error), 0);
	assert_int_equal(count, 2);
	assert_string_equal(list[0].id, A);
	assert_string_equal(list[0].description, "/root/.cache");
	assert_true(list[0].in_use);
	assert_int_equal(list[0].uses, 1);
	assert_true(list[0].size > 0);
	assert_true(list[0].last_used.tv_sec > 0);
	assert_true(str_starts(list[0].created, "20"));
	assert_false(list[1].in_use);
	cache_mount_list_free(list, count);

	err_clear(&error);
	assert_true(cache_mount_remove(&store, A, &bytes, &error) < 0);
	assert_int_equal(error.kind, ERROR_CONFLICT);
	assert_int_equal(access(path, F_OK), 0);
	close(fd);
	assert_int_equal(cache_mount_remove(&store, A, &bytes, &error), 0);
	assert_true(bytes > 0);
	assert_int_equal(access(path, F_OK), -1);
	assert_int_equal(cache_mount_list(&store, &list, &count, &error), 0);
	assert_int_equal(count, 1);
	cache_mount_list_free(list, count);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_take, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_half_made, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_list_and_remove, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
