/* Chains of layers as builds pass them on, and leases for another's work. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
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
#include "storage/store/oci.h"
#include "storage/transfer_build.h"

static struct error error;

/* Of 64 equal digits. */
static void digest_of(char ret_digest[DIGEST_TEXT_MAX], char digit)
{
	memcpy(ret_digest, DIGEST_PREFIX, strlen(DIGEST_PREFIX));
	memset(ret_digest + strlen(DIGEST_PREFIX), digit, DIGEST_HEX);
	ret_digest[strlen(DIGEST_PREFIX) + DIGEST_HEX] = '\0';
}

static struct layer_ref layer_of(char digit)
{
	struct layer_ref layer = {.blob = {.size = 7}};

	digest_of(layer.diff_id, digit);
	digest_of(layer.blob.digest, digit);
	strcpy(layer.blob.media_type, OCI_LAYER_GZIP);
	return layer;
}

static void test_round_trip(void **state)
{
	CLEANUP(layer_chain_release) struct layer_chain chain = {0};
	CLEANUP(layer_chain_release) struct layer_chain copy = {0};
	CLEANUP(layer_chain_release) struct layer_chain again = {0};
	cleanup_json cJSON *json = NULL;
	cleanup_strv char **diff_ids = NULL;
	struct layer_ref layers[] = {layer_of('a'), layer_of('b')};

	for (size_t i = 0; i < ARRAY_SIZE(layers); i++)
		assert_int_equal(layer_chain_push(&chain, &layers[i], &error),
				 0);
	layer_chain_copy(&chain, &copy);
	json = layer_chain_json(&copy);
	assert_int_equal(layer_chain_from_json(json, "chain", &again, &error),
			 0);
	assert_int_equal(again.count, 2);
	assert_memory_equal(&again.layers[1], &layers[1], sizeof(layers[1]));
	diff_ids = layer_chain_diff_ids(&again);
	assert_string_equal(diff_ids[0], layers[0].diff_id);
	assert_null(diff_ids[2]);
}

static void test_empty(void **state)
{
	CLEANUP(layer_chain_release) struct layer_chain chain = {0};

	assert_int_equal(layer_chain_from_json(NULL, "chain", &chain, &error),
			 0);
	assert_int_equal(chain.count, 0);
	assert_null(layer_chain_diff_ids(&chain));
}

static void test_limit(void **state)
{
	CLEANUP(layer_chain_release) struct layer_chain chain = {0};
	struct layer_ref layer = layer_of('c');

	for (size_t i = 0; i < MANIFEST_LAYERS_MAX; i++)
		assert_int_equal(layer_chain_push(&chain, &layer, &error), 0);
	assert_true(layer_chain_push(&chain, &layer, &error) < 0);
	assert_int_equal(error.kind, ERROR_INVALID);
}

static void test_bad_json(void **state)
{
	static const char *const texts[] = {
		"{}",
		"[{}]",
		"[{\"diffId\":\"../x\",\"mediaType\":\"t\",\"digest\":\"sha256:"
		"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
		"aa\",\"size\":1}]",
	};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct layer_chain chain = {0};
		cleanup_json cJSON *json = NULL;

		assert_int_equal(json_parse(texts[i], strlen(texts[i]), "text",
					    &json, &error),
				 0);
		assert_true(layer_chain_from_json(json, "chain", &chain,
						  &error) < 0);
		assert_null(chain.layers);
	}
}

static void test_lease_for(void **state)
{
	static const char *const bad[] = {
		"",
		"..",
		"work-",
		"work-../../../../../..",
		"work-0123",
		"work-0123456789abcdef/lease",
		"work-0123456789ABCDEF",
	};
	char directory[PATH_MAX];
	cleanup_free char *path = NULL;
	CLEANUP(store_close) struct store store = {0};
	CLEANUP(store_work_release) struct store_work work = {0};
	cleanup_strv char **leases = NULL;
	char gone[STORE_WORK_NAME_MAX];
	struct layer_ref layer = layer_of('d');
	const char *hex = digest_hex(layer.diff_id);
	const char *tmp = getenv("TMPDIR");

	snprintf(directory, sizeof(directory), "%s/moss-chain-XXXXXX",
		 tmp ? tmp : "/var/tmp");
	assert_non_null(mkdtemp(directory));
	path = xasprintf("%s/store", directory);
	assert_int_equal(store_open(path, &store, &error), 0);
	assert_int_equal(store_work_new(&store, &work, &error), 0);
	for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
		assert_true(store_work_lease_for(&store, bad[i], hex, &error) <
			    0);
	assert_true(store_work_lease_for(&store, work.name, "../x", &error) <
		    0);
	assert_int_equal(store_work_lease_for(&store, work.name, hex, &error),
			 0);
	assert_int_equal(store_leases(&store, &leases, &error), 0);
	assert_int_equal(strv_length(leases), 1);
	assert_string_equal(leases[0], hex);
	strcpy(gone, work.name);
	store_work_release(&work);
	assert_int_equal(store_work_lease_for(&store, gone, hex, &error),
			 -ENOENT);
	work = (struct store_work){.fd = -1, .lock_fd = -1};
	assert_int_equal(tree_remove_at(AT_FDCWD, directory, &error), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_empty),
		cmocka_unit_test(test_limit),
		cmocka_unit_test(test_bad_json),
		cmocka_unit_test(test_lease_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
