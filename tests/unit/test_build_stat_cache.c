/* storage/build/stat_cache.h */
#include "storage/build/stat_cache.h"

#include <dirent.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>

#include "storage/build/content.h"
#include "tests/unit/build_tree.h"

#define CONTEXT "/the/context"

static struct tree store;
static struct error error;

static int set_up(void **state)
{
	err_clear(&error);
	tree_make(&store);
	return 0;
}

static int tear_down(void **state)
{
	tree_remove(&store);
	return 0;
}

static struct stat_cache *open_cache(void)
{
	return stat_cache_open(store.fd, store.fd, CONTEXT);
}

static void save(struct stat_cache *cache)
{
	if (stat_cache_save(cache, &error) < 0)
		fail_msg("%s", error.message);
}

/* As of an old file, the number-th. */
static struct stat stat_of(unsigned int number)
{
	return (struct stat){
		.st_dev = 5,
		.st_ino = 1000 + number,
		.st_size = 7,
		.st_mtim = {1000000000, 1},
		.st_ctim = {1000000000, 2},
	};
}

static void put(struct stat_cache *cache, unsigned int number, unsigned int sum)
{
	cleanup_free char *path = xasprintf("d/%u", number);
	struct stat st = stat_of(number);
	unsigned char bytes[HASH_SIZE] = {0};

	memcpy(bytes, &sum, sizeof(sum));
	stat_cache_put(cache, path, &st, bytes);
}

/* The number that was put in; 0: nothing is known. */
static unsigned int find(struct stat_cache *cache, unsigned int number)
{
	cleanup_free char *path = xasprintf("d/%u", number);
	struct stat st = stat_of(number);
	unsigned char bytes[HASH_SIZE] = {0};
	unsigned int sum;

	if (!stat_cache_find(cache, path, &st, bytes))
		return 0;
	memcpy(&sum, bytes, sizeof(sum));
	return sum;
}

static unsigned int find_saved(unsigned int number)
{
	cleanup_stat_cache struct stat_cache *cache = open_cache();

	return find(cache, number);
}

static void test_save(void **state)
{
	cleanup_stat_cache struct stat_cache *cache = open_cache();

	assert_int_equal(find(cache, 1), 0);
	for (unsigned int i = 1; i <= 1000; i++)
		put(cache, i, i);
	assert_int_equal(find_saved(1), 0);
	save(cache);
	for (unsigned int i = 1; i <= 1000; i++)
		assert_int_equal(find(cache, i), i);
	assert_int_equal(find_saved(1), 1);
	assert_int_equal(find_saved(1000), 1000);
	assert_int_equal(find_saved(1001), 0);
}

static void test_nothing_new_is_not_written(void **state)
{
	cleanup_stat_cache struct stat_cache *cache = open_cache();

	save(cache);
	assert_int_equal(faccessat(store.fd, "build", F_OK, 0), -1);
}

/* Each of these makes it another file. */
static void test_another_file(void **state)
{
	cleanup_stat_cache struct stat_cache *cache = open_cache();
	const struct stat st = stat_of(1);
	struct stat others[] = {st, st, st, st, st, st, st};
	unsigned char bytes[HASH_SIZE];

	put(cache, 1, 1);
	save(cache);
	others[0].st_dev++;
	others[1].st_ino++;
	others[2].st_size++;
	others[3].st_mtim.tv_nsec++;
	others[4].st_mtim.tv_sec++;
	others[5].st_ctim.tv_nsec++;
	others[6].st_ctim.tv_sec--;
	for (size_t i = 0; i < ARRAY_SIZE(others); i++)
		assert_false(stat_cache_find(cache, "d/1", &others[i], bytes));
	assert_false(stat_cache_find(cache, "d/2", &st, bytes));
	assert_true(stat_cache_find(cache, "d/1", &st, bytes));
}

static void test_each_context_has_its_own(void **state)
{
	cleanup_stat_cache struct stat_cache *cache = open_cache();
	cleanup_stat_cache struct stat_cache *other = NULL;

	put(cache, 1, 1);
	save(cache);
	other = stat_cache_open(store.fd, store.fd, CONTEXT "2");
	assert_int_equal(find(other, 1), 0);
}

/* What was written just now may be written again in the same tick. */
static void test_fresh_files(void **state)
{
	cleanup_stat_cache struct stat_cache *cache = open_cache();
	unsigned char bytes[HASH_SIZE] = {1};
	struct stat st = stat_of(1);

	clock_gettime(CLOCK_REALTIME, &st.st_ctim);
	stat_cache_put(cache, "now", &st, bytes);
	st.st_ctim.tv_sec++;
	stat_cache_put(cache, "future", &st, bytes);
	st.st_ctim.tv_sec -= 2;
	stat_cache_put(cache, "past", &st, bytes);
	save(cache);
	assert_true(stat_cache_find(cache, "past", &st, bytes));
	st.st_ctim.tv_sec += 2;
	assert_false(stat_cache_find(cache, "future", &st, bytes));
	st.st_ctim.tv_sec--;
	assert_false(stat_cache_find(cache, "now", &st, bytes));
}

/* Of two that began with the same each keeps what the other has found. */
static void test_merge(void **state)
{
	cleanup_stat_cache struct stat_cache *zero = open_cache();
	cleanup_stat_cache struct stat_cache *one = NULL;
	cleanup_stat_cache struct stat_cache *two = NULL;

	put(zero, 1, 1);
	put(zero, 2, 2);
	save(zero);
	one = open_cache();
	two = open_cache();
	put(one, 2, 20);
	put(one, 3, 3);
	put(two, 4, 4);
	put(two, 4, 4);
	save(one);
	save(two);
	assert_int_equal(find_saved(1), 1);
	assert_int_equal(find_saved(2), 20);
	assert_int_equal(find_saved(3), 3);
	assert_int_equal(find_saved(4), 4);
}

/* The cache's file, open for writing. */
static int open_file(void)
{
	cleanup_dir DIR *dir = NULL;
	const struct dirent *entry;
	int fd = openat(store.fd, STAT_CACHE_DIRECTORY,
			O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_true(fd >= 0);
	dir = fdopendir(fd);
	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		if (strlen(entry->d_name) == 64)
			return openat(dirfd(dir), entry->d_name,
				      O_RDWR | O_CLOEXEC);
	}
	fail_msg("there is no file");
	return -1;
}

/* A byte that is wrong, anywhere, and a file that is cut short, anywhere. */
static void test_damage(void **state)
{
	cleanup_stat_cache struct stat_cache *cache = open_cache();
	cleanup_fd int fd = -1;
	struct stat st;

	put(cache, 1, 1);
	put(cache, 2, 2);
	save(cache);
	fd = open_file();
	assert_int_equal(fstat(fd, &st), 0);
	for (off_t at = 0; at < st.st_size; at++) {
		char byte;

		assert_int_equal(pread(fd, &byte, 1, at), 1);
		byte ^= 0x55;
		assert_int_equal(pwrite(fd, &byte, 1, at), 1);
		assert_int_equal(find_saved(1), 0);
		byte ^= 0x55;
		assert_int_equal(pwrite(fd, &byte, 1, at), 1);
	}
	assert_int_equal(find_saved(1), 1);
	for (off_t size = st.st_size - 1; size >= 0; size--) {
		assert_int_equal(ftruncate(fd, size), 0);
		assert_int_equal(find_saved(1), 0);
	}
	/* And then it is as new. */
	put(cache, 3, 3);
	save(cache);
	assert_int_equal(find_saved(3), 3);
}

static void test_huge_file(void **state)
{
	cleanup_stat_cache struct stat_cache *cache = open_cache();
	cleanup_fd int fd = -1;

	put(cache, 1, 1);
	save(cache);
	fd = open_file();
	assert_int_equal(ftruncate(fd, (off_t)1 << 40), 0);
	assert_int_equal(find_saved(1), 0);
}

static unsigned int count_files(void)
{
	cleanup_dir DIR *dir = NULL;
	unsigned int count = 0;
	const struct dirent *entry;

	dir = fdopendir(openat(store.fd, STAT_CACHE_DIRECTORY,
			       O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	assert_non_null(dir);
	while ((entry = readdir(dir)))
		count += strlen(entry->d_name) == 64;
	return count;
}

static void test_number_of_contexts_is_bounded(void **state)
{
	for (unsigned int i = 0; i < STAT_CACHE_FILES_MAX + 5; i++) {
		cleanup_free char *path = xasprintf("/%u", i);
		cleanup_stat_cache struct stat_cache *cache =
			stat_cache_open(store.fd, store.fd, path);

		put(cache, 1, 1);
		save(cache);
	}
	assert_int_equal(count_files(), STAT_CACHE_FILES_MAX);
}

static void test_number_of_files_is_bounded(void **state)
{
	cleanup_stat_cache struct stat_cache *one = open_cache();
	cleanup_stat_cache struct stat_cache *two = open_cache();
	const unsigned int most = STAT_CACHE_SLOTS_MAX;
	unsigned int known = 0;

	for (unsigned int i = 1; i <= most; i++) {
		put(one, i, i);
		put(two, i + 10, i);
	}
	save(one);
	save(two);
	for (unsigned int i = 1; i <= most + 10; i++)
		known += find(two, i) != 0;
	assert_int_equal(known, most);
}

/* ---- with content_digest() ---- */

static void digest(const struct tree *tree, struct stat_cache *cache,
		   char ret_hex[CONTENT_HEX_MAX])
{
	char *const patterns[] = {".", NULL};
	const struct content_request request = {
		.root_fd = tree->fd,
		.patterns = patterns,
		.cache = cache,
	};

	if (content_digest(&request, ret_hex, &error) < 0)
		fail_msg("%s", error.message);
}

/*
 * What the cache knows is not read: the file's content is changed in a way that
 * the cache cannot see, which shows whether somebody looked.
 */
static void test_digest_believes_the_cache(void **state)
{
	cleanup_stat_cache struct stat_cache *cache = NULL;
	struct stat st;
	unsigned char bytes[HASH_SIZE] = {42};
	char real[CONTENT_HEX_MAX];
	char cached[CONTENT_HEX_MAX];
	struct tree tree;

	tree_make(&tree);
	tree_add(&tree, "f=1");
	usleep(STAT_CACHE_SETTLED_MS * 1000 + 20000);
	cache = open_cache();
	digest(&tree, cache, real);
	save(cache);
	digest(&tree, cache, cached);
	assert_string_equal(real, cached);
	/* Now it knows something that is wrong. */
	assert_int_equal(fstatat(tree.fd, "f", &st, 0), 0);
	assert_true(stat_cache_find(cache, "f", &st, bytes));
	bytes[0] ^= 1;
	stat_cache_put(cache, "f", &st, bytes);
	save(cache);
	digest(&tree, cache, cached);
	assert_string_not_equal(real, cached);
	/* A time of change later it is read again. */
	assert_int_equal(fchmodat(tree.fd, "f", 0600, 0), 0);
	assert_int_equal(fchmodat(tree.fd, "f", 0644, 0), 0);
	digest(&tree, cache, cached);
	assert_string_equal(real, cached);
	tree_remove(&tree);
}

/* Written right before and right after the scan, with the same size. */
static void test_digest_sees_quick_changes(void **state)
{
	static const struct timespec same[2] = {{1, 0}, {1, 0}};
	char first[CONTENT_HEX_MAX];
	char second[CONTENT_HEX_MAX];
	struct tree tree;

	tree_make(&tree);
	for (int i = 0; i < 50; i++) {
		cleanup_stat_cache struct stat_cache *cache = open_cache();

		tree_add(&tree, "f=1");
		assert_int_equal(utimensat(tree.fd, "f", same, 0), 0);
		digest(&tree, cache, first);
		save(cache);
		tree_add(&tree, "f=2");
		assert_int_equal(utimensat(tree.fd, "f", same, 0), 0);
		digest(&tree, cache, second);
		save(cache);
		assert_string_not_equal(first, second);
	}
	tree_remove(&tree);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_save),
		TEST(test_nothing_new_is_not_written),
		TEST(test_another_file),
		TEST(test_each_context_has_its_own),
		TEST(test_fresh_files),
		TEST(test_merge),
		TEST(test_damage),
		TEST(test_huge_file),
		TEST(test_number_of_contexts_is_bounded),
		TEST(test_number_of_files_is_bounded),
		TEST(test_digest_believes_the_cache),
		TEST(test_digest_sees_quick_changes),
	};

	return cmocka_run_group_tests_name("stat_cache", tests, NULL, NULL);
}
