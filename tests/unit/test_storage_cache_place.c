/* Build caches in directories: image_cache_read(), image_cache_fetch(). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "storage/store/blob.h"
#include "storage/transfer.h"
#include "storage/transfer_build.h"
#include "tests/unit/namespace.h"
#include "tests/unit/tar_builder.h"

#define KEY "00000000000000000000000000000000000000000000000000000000000000aa"

static char directory[PATH_MAX]; /* of one test */
static int top;
static struct store store, other;
static struct store_work work, other_work;
static struct layer_chain chain; /* one layer */
static struct error error;

static char *path_of(const char *name)
{
	return xasprintf("%s/%s", directory, name);
}

static void import_layer(void)
{
	static const struct tar_file files[] = {
		{.path = "made", .data = "by a step\n"},
	};
	cleanup_str struct str tar = {0};
	cleanup_free char *path = path_of("layer.tar");
	const struct import_request request = {
		.source = path,
		.progress_fd = -1,
	};
	cleanup_free char *id = NULL;

	tar_build(&tar, files, ARRAY_SIZE(files));
	assert_int_equal(file_write_atomic_at(top, "layer.tar", tar.data,
					      tar.length, 0644, FILE_VOLATILE,
					      &error),
			 0);
	if (image_import(&store, &request, &id, &error) < 0 ||
	    image_chain(&store, &work, id, &chain, &error) < 0)
		fail_msg("%s", error.message);
}

static int set_up(void **state)
{
	const char *tmp = getenv("TMPDIR");
	cleanup_free char *first = NULL;
	cleanup_free char *second = NULL;

	snprintf(directory, sizeof(directory), "%s/moss-cache-XXXXXX",
		 tmp ? tmp : "/var/tmp");
	if (!mkdtemp(directory))
		return -1;
	top = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	first = path_of("store");
	second = path_of("other");
	err_clear(&error);
	if (store_open(first, &store, &error) < 0 ||
	    store_open(second, &other, &error) < 0 ||
	    store_work_new(&store, &work, &error) < 0 ||
	    store_work_new(&other, &other_work, &error) < 0)
		return -1;
	import_layer();
	return 0;
}

static int tear_down(void **state)
{
	layer_chain_release(&chain);
	store_work_release(&work);
	store_work_release(&other_work);
	store_close(&store);
	store_close(&other);
	close_fd(&top);
	return tree_remove_at(AT_FDCWD, directory, NULL);
}

static const char good[] =
	"{\"version\":1,\"records\":[{\"key\":\"" KEY
	"\",\"layer\":0,\"description\":\"RUN make\"},{\"key\":\"" KEY "\"}]}";

/* Writes the directory "cache" with that member in its config. */
static void write_cache(const char *member)
{
	cleanup_free char *path = path_of("cache");
	const struct assemble_output output = {
		.path = path,
		.directory = true,
	};
	struct assemble_request request = {
		.chain = &chain,
		.outputs = &output,
		.output_count = 1,
		.output_fd = -1,
		.epoch = -1,
		.progress_fd = -1,
	};
	cleanup_free char *text = xasprintf(
		"{\"architecture\":\"amd64\",\"os\":\"linux\",\"config\":{},"
		"\"history\":[{}]%s%s}",
		member ? ",\"" BUILD_CACHE_MEMBER "\":" : "",
		member ? member : "");
	cleanup_json cJSON *image = NULL;
	struct assembled_image made;

	assert_int_equal(
		json_parse(text, strlen(text), "image", &image, &error), 0);
	request.image = image;
	if (image_assemble(&store, &request, &made, &error) < 0)
		fail_msg("%s", error.message);
}

static int read_cache(cJSON **ret_cache)
{
	cleanup_free char *path = path_of("cache");
	const struct cache_place place = {.directory = path};

	err_clear(&error);
	return image_cache_read(&other, &place, ret_cache, &error);
}

static int fetch(void)
{
	cleanup_free char *path = path_of("cache");
	const struct cache_place place = {.directory = path};

	err_clear(&error);
	return image_cache_fetch(&other, &place, &chain.layers[0],
				 other_work.name, -1, &error);
}

static void test_read(void **state)
{
	cleanup_json cJSON *cache = NULL;
	cleanup_free char *records = NULL;
	CLEANUP(layer_chain_release) struct layer_chain layers = {0};

	write_cache(good);
	if (read_cache(&cache) < 0)
		fail_msg("%s", error.message);
	records = json_print(json_member(cache, "records"));
	assert_string_equal(records,
			    "[{\"key\":\"" KEY "\",\"layer\":0,\"description\":"
			    "\"RUN make\"},{\"key\":\"" KEY "\"}]");
	assert_int_equal(layer_chain_from_json(json_member(cache, "layers"),
					       "layers", &layers, &error),
			 0);
	assert_int_equal(layers.count, 1);
	assert_string_equal(layers.layers[0].diff_id, chain.layers[0].diff_id);
}

/* A record without a word for people counts as well. */
static void test_descriptions(void **state)
{
	cleanup_json cJSON *cache = NULL;
	cleanup_free char *records = NULL;

	write_cache("{\"version\":1,\"records\":[{\"key\":\"" KEY
		    "\",\"description\":\"a\\u001b[2J\"}]}");
	if (read_cache(&cache) < 0)
		fail_msg("%s", error.message);
	records = json_print(json_member(cache, "records"));
	assert_string_equal(records, "[{\"key\":\"" KEY "\"}]");
}

/* The layer is there, as long as the work of the build is. */
static void test_fetch(void **state)
{
	const char *diff_id = chain.layers[0].diff_id;
	cleanup_strv char **leases = NULL;

	write_cache(good);
	if (fetch() < 0)
		fail_msg("%s", error.message);
	assert_true(layer_exists(&other, diff_id));
	assert_true(blob_exists(&other, chain.layers[0].blob.digest));
	assert_int_equal(store_leases(&other, &leases, &error), 0);
	assert_true(strv_contains(leases, digest_hex(diff_id)));
	assert_int_equal(fetch(), 0);
}

static void test_damaged_layer(void **state)
{
	cleanup_free char *command = NULL;

	write_cache(good);
	command = xasprintf(
		"printf x | dd of=%s/cache/blobs/sha256/%s bs=1 seek=20 "
		"conv=notrunc status=none",
		directory, digest_hex(chain.layers[0].blob.digest));
	assert_int_equal(system(command), 0);
	assert_true(fetch() < 0);
	assert_int_equal(error.kind, ERROR_CORRUPT);
	assert_false(layer_exists(&other, chain.layers[0].diff_id));
	assert_false(blob_exists(&other, chain.layers[0].blob.digest));
}

/* A layer that is not what its record says is no layer. */
static void test_other_layer(void **state)
{
	write_cache(good);
	chain.layers[0].diff_id[20] ^= 1;
	assert_true(fetch() < 0);
	assert_int_equal(error.kind, ERROR_CORRUPT);
}

static void test_damaged_config(void **state)
{
	cleanup_free char *command = xasprintf(
		"cd %s/cache/blobs/sha256 && sed -i 's/RUN make/RUN evil/' "
		"$(grep -l 'RUN make' *)",
		directory);
	cJSON *cache = NULL;

	write_cache(good);
	assert_int_equal(system(command), 0);
	assert_true(read_cache(&cache) < 0);
	assert_non_null(strstr(error.message, "wrong digest"));
}

static void test_bad_records(void **state)
{
	static const char *const members[] = {
		NULL,
		"{}",
		"{\"version\":2,\"records\":[]}",
		"{\"version\":1,\"records\":{}}",
		"{\"version\":1,\"records\":[1]}",
		"{\"version\":1,\"records\":[{}]}",
		"{\"version\":1,\"records\":[{\"key\":\"../../etc\"}]}",
		"{\"version\":1,\"records\":[{\"key\":\"" KEY
		"\",\"layer\":1}]}",
		"{\"version\":1,\"records\":[{\"key\":\"" KEY
		"\",\"layer\":-2}]}",
		"{\"version\":1,\"records\":[{\"key\":\"" KEY
		"\",\"layer\":\"0\"}]}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
		cJSON *cache = NULL;

		write_cache(members[i]);
		if (read_cache(&cache) >= 0)
			fail_msg("%s was read", members[i]);
	}
}

static void test_nothing_there(void **state)
{
	cJSON *cache = NULL;

	assert_true(read_cache(&cache) < 0);
	assert_int_equal(error.kind, ERROR_NOT_FOUND);
}

static int run(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_read, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_descriptions, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_fetch, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_damaged_layer, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_other_layer, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_damaged_config, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_bad_records, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_nothing_there, set_up,
						tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	return namespace_run(run);
}
