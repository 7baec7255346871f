/* The build cache, in a store made by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "storage/store/build_cache.h"
#include "storage/store/collect.h"
#include "storage/store/image.h"
#include "storage/store/usage.h"
#include "tests/unit/store_by_hand.h"

/* "1" stands for the key 1111…. */
static const char *key_of(char c)
{
	static char keys[256][DIGEST_HEX + 1];
	char *key = keys[(unsigned char)c];

	memset(key, c, DIGEST_HEX);
	return key;
}

/* A layer, its blob and, as they are named, the reference to both. */
static struct layer_ref make_layer(char c)
{
	struct layer_ref layer = {.blob = {.media_type = "tar", .size = 5}};

	put_layer(c);
	put_blob(c, "layer");
	digest(layer.diff_id, c);
	digest(layer.blob.digest, c);
	return layer;
}

static void put(char key, char c)
{
	struct layer_ref layer = make_layer(c);

	assert_int_equal(build_cache_put(&store, key_of(key),
					 &(struct build_cache_entry){
						 .layer = &layer,
						 .description = "RUN make",
					 },
					 &error),
			 0);
}

/* What is found by a key; a lease of it does not stay. */
static int find(char key, struct layer_ref *ret_layer)
{
	CLEANUP(store_work_release)
	struct store_work work = {.fd = -1, .lock_fd = -1};

	assert_int_equal(store_work_new(&store, &work, &error), 0);
	return build_cache_find(&store, &work, key_of(key), ret_layer, &error);
}

static struct build_cache usage(void)
{
	struct build_cache cache;

	assert_int_equal(build_cache_usage(&store, &cache, &error), 0);
	return cache;
}

/* Removes those of these keys; what went, as digits. Caller frees. */
static char *removed_of(const char *keys, uint64_t *ret_bytes)
{
	cleanup_strv char **wanted = NULL;
	cleanup_strv char **removed = NULL;
	struct str text = {0};

	for (; *keys; keys++)
		strv_push(&wanted, key_of(*keys));
	assert_int_equal(
		build_cache_remove(&store, wanted, &removed, ret_bytes, &error),
		0);
	for (size_t i = 0; removed && removed[i]; i++)
		str_append_char(&text, removed[i][0]);
	return str_steal(&text);
}

static char *record_file(char key)
{
	return xasprintf(BUILD_CACHE_DIR "/%s", key_of(key));
}

static void write_record(char key, const char *text)
{
	cleanup_free char *path = record_file(key);

	assert_int_equal(file_write_atomic_at(store.root_fd, path, text,
					      strlen(text), 0644, FILE_VOLATILE,
					      &error),
			 0);
}

static void cut_blob(const char *path)
{
	cleanup_fd int fd = openat(store.image_fd, path, O_WRONLY | O_CLOEXEC);

	assert_int_equal(ftruncate(fd, 3), 0);
}

static void test_find(void **state)
{
	struct layer_ref layer = {0};
	struct layer_ref made;

	assert_int_equal(find('1', &layer), BUILD_CACHE_MISS);
	put('1', 'd');
	assert_int_equal(build_cache_put(&store, key_of('2'),
					 &(struct build_cache_entry){0},
					 &error),
			 0);
	made = make_layer('d');
	assert_int_equal(find('1', &layer), BUILD_CACHE_LAYER);
	assert_string_equal(layer.diff_id, made.diff_id);
	assert_string_equal(layer.blob.digest, made.blob.digest);
	assert_string_equal(layer.blob.media_type, "tar");
	assert_int_equal(layer.blob.size, 5);
	assert_int_equal(find('2', &layer), BUILD_CACHE_EMPTY);
	/* Another result of the same step counts from now on. */
	put('1', 'e');
	assert_int_equal(find('1', &layer), BUILD_CACHE_LAYER);
	assert_string_equal(layer.diff_id, digest(made.diff_id, 'e'));
	assert_int_equal(
		build_cache_find(&store, NULL, "../../x", &layer, &error),
		-EINVAL);
	/* A layer that nobody has is no result. */
	digest(made.diff_id, 'f');
	assert_true(build_cache_put(&store, key_of('3'),
				    &(struct build_cache_entry){.layer = &made},
				    &error) < 0);
	assert_int_equal(find('3', &layer), BUILD_CACHE_MISS);
}

static void test_record(void **state)
{
	CLEANUP(build_cache_release) struct build_cache cache = {0};
	struct layer_ref layer;
	char long_text[BUILD_CACHE_DESCRIPTION_MAX + 10];
	const struct build_cache_record *record;
	struct stat st;
	cleanup_free char *path = record_file('1');
	struct timespec old[2] = {{.tv_sec = 1000}, {.tv_sec = 1000}};

	put('1', 'd');
	assert_int_equal(utimensat(store.root_fd, path, old, 0), 0);
	assert_int_equal(find('1', &layer), BUILD_CACHE_LAYER);
	assert_int_equal(find('1', &layer), BUILD_CACHE_LAYER);
	assert_int_equal(fstatat(store.root_fd, path, &st, 0), 0);
	assert_true(st.st_mtim.tv_sec > 1000);
	memset(long_text, 'x', sizeof(long_text));
	/* A character that the cut goes through. */
	memcpy(long_text + BUILD_CACHE_DESCRIPTION_MAX - 1, "\xc3\xa4", 2);
	long_text[sizeof(long_text) - 1] = '\0';
	assert_int_equal(build_cache_put(&store, key_of('0'),
					 &(struct build_cache_entry){
						 .description = long_text},
					 &error),
			 0);
	cache = usage();
	assert_int_equal(cache.count, 2);
	record = &cache.records[0];
	assert_true(record->empty);
	assert_int_equal(record->uses, 0);
	assert_int_equal(strlen(record->description),
			 BUILD_CACHE_DESCRIPTION_MAX - 1);
	record = &cache.records[1];
	assert_string_equal(record->key, key_of('1'));
	assert_string_equal(record->description, "RUN make");
	assert_int_equal(record->uses, 2);
	assert_int_equal(record->size, 1005);
	assert_true(parse_time(record->created, &old[0]) == 0);
	assert_int_equal(record->last_used.tv_sec, st.st_mtim.tv_sec);
}

/* What a power cut, a full disk or a stranger leaves is no hit. */
static void test_damaged(void **state)
{
	static const char *const texts[] = {
		"",
		"{\"diffId\":\"sha256:",
		"[]",
		"{}",
		"{\"empty\":1}",
		"{\"diffId\":\"sha256:../../../x\",\"blob\":{}}",
	};
	struct layer_ref layer;
	uint64_t bytes;
	char name[BLOB_PATH_MAX];
	char hex[DIGEST_TEXT_MAX];
	cleanup_free char *removed = NULL;
	cleanup_free char *again = NULL;

	put('1', 'd');
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		CLEANUP(build_cache_release) struct build_cache cache = {0};

		write_record('1', texts[i]);
		assert_int_equal(find('1', &layer), BUILD_CACHE_MISS);
		cache = usage();
		assert_int_equal(cache.count, 0);
		assert_int_equal(strv_length(cache.broken), 1);
	}
	put('2', 'e');
	put('3', 'f');
	put('4', 'a');
	blob_path(name, digest(hex, 'e'));
	cut_blob(name);
	assert_int_equal(find('2', &layer), BUILD_CACHE_MISS);
	assert_int_equal(tree_remove_at(store.layers_fd,
					digest_hex(digest(hex, 'f')), NULL),
			 0);
	assert_int_equal(find('3', &layer), BUILD_CACHE_MISS);
	removed = removed_of("", &bytes);
	assert_string_equal(removed, "231");
	assert_int_equal(find('4', &layer), BUILD_CACHE_LAYER);
	assert_false(has_layer('d') || has_layer('e') || has_blob('f'));
	again = removed_of("", &bytes);
	assert_string_equal(again, "");
}

static void test_collect(void **state)
{
	uint64_t bytes = 0;
	cleanup_free char *removed = NULL;
	cleanup_strv char **report = NULL;
	struct layer_ref layer;

	put_image('1', 'a', "de", "docker.io/library/one:latest");
	put('1', 'e');
	put('2', 'f');
	put('3', 'f');
	put_layer('8');
	write_record('0', "{\"empty\":true}");
	assert_int_equal(file_write_atomic_at(store.root_fd,
					      BUILD_CACHE_DIR "/.tmp-x", "", 0,
					      0644, FILE_VOLATILE, &error),
			 0);
	assert_int_equal(
		image_remove(&store, "one", false, NULL, NULL, &report, &error),
		0);
	assert_false(has_layer('d') || has_layer('8'));
	assert_true(has_layer('e') && has_blob('e'));
	assert_true(has_layer('f') && has_blob('f'));
	assert_int_equal(
		faccessat(store.root_fd, BUILD_CACHE_DIR "/.tmp-x", F_OK, 0),
		-1);
	assert_int_equal(find('1', &layer), BUILD_CACHE_LAYER);
	/* The other record keeps the layer. */
	removed = removed_of("2", &bytes);
	assert_string_equal(removed, "2");
	assert_int_equal(bytes, 0);
	assert_true(has_layer('f'));
	free(removed);
	removed = removed_of("013", &bytes);
	assert_string_equal(removed, "013");
	assert_int_equal(bytes, 2010);
	assert_false(has_layer('e') || has_layer('f') || has_blob('f'));
}

static void test_usage(void **state)
{
	CLEANUP(build_cache_release) struct build_cache cache = {0};
	CLEANUP(usage_release) struct usage images = {0};
	CLEANUP(store_work_release)
	struct store_work work = {.fd = -1, .lock_fd = -1};
	cleanup_free char *removed = NULL;
	uint64_t total;
	uint64_t bytes;
	struct layer_ref layer;

	put_image('1', 'a', "de", "docker.io/library/one:latest");
	assert_int_equal(usage_read(&store, NULL, NULL, &images, &error), 0);
	total = images.total;
	usage_release(&images);
	put('1', 'e');
	put('2', 'f');
	put('3', 'f');
	assert_int_equal(store_work_new(&store, &work, &error), 0);
	assert_int_equal(
		build_cache_find(&store, &work, key_of('2'), &layer, &error),
		BUILD_CACHE_LAYER);
	cache = usage();
	assert_int_equal(cache.count, 3);
	assert_true(cache.records[0].in_image && !cache.records[0].in_use);
	assert_true(!cache.records[1].in_image && cache.records[1].in_use);
	assert_true(!cache.records[1].repeated && cache.records[2].repeated);
	/* What only the cache has is not the images'. */
	assert_int_equal(usage_read(&store, NULL, NULL, &images, &error), 0);
	assert_int_equal(images.total, total);
	assert_int_equal(images.needed, 0);
	assert_int_equal(images.count, 1);
	assert_int_equal(images.images[0].shared, 0);
	/* In use: it stays, with its record. */
	removed = removed_of("123", &bytes);
	assert_string_equal(removed, "1");
	assert_int_equal(bytes, 0);
	assert_true(has_layer('e') && has_layer('f'));
}

/* A process that has the lock of a key until it is killed. */
static pid_t hold(char key)
{
	int ends[2];
	char byte;
	pid_t child;

	assert_int_equal(pipe(ends), 0);
	child = fork();
	if (child == 0) {
		if (build_cache_lock(&store, key_of(key), true, NULL) < 0)
			_exit(1);
		(void)write_all(ends[1], "x", 1);
		for (;;)
			pause();
	}
	assert_int_equal(read(ends[0], &byte, 1), 1);
	close(ends[0]);
	close(ends[1]);
	return child;
}

static void test_lock(void **state)
{
	cleanup_fd int mine = -1;
	cleanup_fd int waited = -1;
	pid_t child = hold('1');
	int status;

	assert_int_equal(build_cache_lock(&store, key_of('1'), false, &error),
			 -EAGAIN);
	mine = build_cache_lock(&store, key_of('2'), false, &error);
	assert_true(mine >= 0);
	kill(child, SIGKILL);
	/* Waits until the other is really gone. */
	waited = build_cache_lock(&store, key_of('1'), true, &error);
	assert_true(waited >= 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status));
}

#define TEST(function) \
	cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_find),    TEST(test_record), TEST(test_damaged),
		TEST(test_collect), TEST(test_usage),  TEST(test_lock),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
