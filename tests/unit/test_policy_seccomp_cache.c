/* policy/seccomp.h: the cache of compiled filters. */
#include "policy/seccomp.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/str.h"
#include "tests/unit/seccomp_child.h"

#define DENY(error) "\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":" #error

/* lseek of descriptor -1: EBADF when it is let through. */
static long lseek_under(const struct seccomp_filter *filter)
{
	const struct call call = {SYS_lseek, {~0UL, 0, 0}};

	return seccomp_child_call(filter, seccomp_child_raw, &call);
}

struct cache {
	char path[32];
	int fd;
};

static int set_up_cache(void **state)
{
	struct cache *cache = xcalloc(1, sizeof(*cache));

	strcpy(cache->path, "/tmp/test_policy.XXXXXX");
	if (!mkdtemp(cache->path))
		return -1;
	cache->fd = open(cache->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	*state = cache;
	return cache->fd < 0;
}

static int tear_down_cache(void **state)
{
	struct cache *cache = *state;
	int r = tree_remove_at(AT_FDCWD, cache->path, NULL);

	close(cache->fd);
	free(cache);
	return r;
}

/* Names of the cache's files; their number. */
static size_t cache_files(const struct cache *cache, char ret_last[256])
{
	cleanup_dir DIR *dir = opendir(cache->path);
	const struct dirent *entry;
	size_t count = 0;

	while ((entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(ret_last, 256, "%s", entry->d_name);
		count++;
	}
	return count;
}

static const char cached_profile[] =
	"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"name\":"
	"\"lseek\"," DENY(7) "}]}";

static void load_cached(const struct cache *cache, const char *profile,
			uint64_t capabilities, long result)
{
	const struct seccomp_request request = {
		.profile = profile,
		.profile_length = strlen(profile),
		.capabilities = capabilities,
	};
	CLEANUP(seccomp_filter_release) struct seccomp_filter filter = {0};
	struct error err = {0};

	if (seccomp_filter_load(&request, cache->fd, &filter, &err) < 0)
		fail_msg("%s", err.message);
	assert_int_equal(filter.flags, SECCOMP_FILTER_FLAG_SPEC_ALLOW);
	assert_int_equal(lseek_under(&filter), result);
}

static void test_cache_hit(void **state)
{
	const struct cache *cache = *state;
	struct stat before;
	struct stat after;
	char name[256];

	load_cached(cache, cached_profile, 0, -7);
	assert_int_equal(cache_files(cache, name), 1);
	assert_int_equal(fstatat(cache->fd, name, &before, 0), 0);
	assert_int_equal(before.st_mode & 0777, 0600);
	load_cached(cache, cached_profile, 0, -7);
	assert_int_equal(cache_files(cache, name), 1);
	assert_int_equal(fstatat(cache->fd, name, &after, 0), 0);
	/* Not written again: it was found. */
	assert_int_equal(before.st_ino, after.st_ino);

	load_cached(cache, cached_profile, 1, -7);
	assert_int_equal(cache_files(cache, name), 2);
	load_cached(cache, "{\"defaultAction\":\"SCMP_ACT_ALLOW\"}", 0, -EBADF);
	assert_int_equal(cache_files(cache, name), 3);
}

static void write_file(const struct cache *cache, const char *name,
		       const char *data, size_t length)
{
	assert_int_equal(file_write_atomic_at(cache->fd, name, data, length,
					      0600, FILE_VOLATILE, NULL),
			 0);
}

static void test_cache_damage(void **state)
{
	const struct cache *cache = *state;
	cleanup_free char *good = NULL;
	cleanup_free char *bad = NULL;
	cleanup_free char *again = NULL;
	char name[256];
	size_t size;

	load_cached(cache, cached_profile, 0, -7);
	cache_files(cache, name);
	assert_int_equal(
		file_read_at(cache->fd, name, 1 << 20, &good, &size, NULL), 0);
	bad = xcalloc(1, size + 1);
	/* Any byte, at any place, costs a compilation and nothing else. */
	for (size_t i = 0; i < size; i += 1 + size / 97) {
		memcpy(bad, good, size);
		bad[i] ^= 0x40;
		write_file(cache, name, bad, size);
		load_cached(cache, cached_profile, 0, -7);
		free(steal_ptr(&again));
		assert_int_equal(file_read_at(cache->fd, name, 1 << 20, &again,
					      NULL, NULL),
				 0);
		assert_memory_equal(again, good, size);
	}
	/* Cut short, or longer. */
	for (size_t i = 0; i < size; i += 1 + size / 31) {
		write_file(cache, name, good, i);
		load_cached(cache, cached_profile, 0, -7);
	}
	memcpy(bad, good, size);
	write_file(cache, name, bad, size + 1);
	load_cached(cache, cached_profile, 0, -7);
	/* Not even a file. */
	assert_int_equal(unlinkat(cache->fd, name, 0), 0);
	assert_int_equal(mkdirat(cache->fd, name, 0700), 0);
	load_cached(cache, cached_profile, 0, -7);
}

static void test_cache_collision(void **state)
{
	const struct cache *cache = *state;
	char name[256];
	char other[256];
	static const char other_profile[] =
		"{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"name\":"
		"\"lseek\"," DENY(8) "}]}";

	load_cached(cache, cached_profile, 0, -7);
	cache_files(cache, name);
	assert_int_equal(renameat(cache->fd, name, cache->fd, "kept"), 0);
	load_cached(cache, other_profile, 0, -8);
	assert_int_equal(unlinkat(cache->fd, name, 0) < 0, 1);
	{
		/* The other's file under the name of the first. */
		cleanup_dir DIR *dir = opendir(cache->path);
		const struct dirent *entry;

		while ((entry = readdir(dir))) {
			if (str_ends(entry->d_name, ".bpf"))
				snprintf(other, sizeof(other), "%s",
					 entry->d_name);
		}
	}
	assert_int_equal(renameat(cache->fd, other, cache->fd, name), 0);
	load_cached(cache, cached_profile, 0, -7);
}

static void test_cache_bounded(void **state)
{
	const struct cache *cache = *state;
	char name[256];

	for (uint64_t i = 0; i < 80; i++)
		load_cached(cache, cached_profile, i, -7);
	assert_int_equal(cache_files(cache, name), 64);
}

static void test_cache_read_only(void **state)
{
	/* Nothing can be stored in /proc; the filter comes all the same. */
	struct cache cache = {
		.fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC)};

	assert_true(cache.fd >= 0);
	load_cached(&cache, cached_profile, 0, -7);
	close(cache.fd);
}

#define CACHE_TEST(test) \
	cmocka_unit_test_setup_teardown(test, set_up_cache, tear_down_cache)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CACHE_TEST(test_cache_hit),
		CACHE_TEST(test_cache_damage),
		CACHE_TEST(test_cache_collision),
		CACHE_TEST(test_cache_bounded),
		cmocka_unit_test(test_cache_read_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
