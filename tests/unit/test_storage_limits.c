/* storage/store/limits.h: from moss.conf to the helper, and what is not set. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "storage/store/limits.h"

static const struct conf_key *const schema[] = {limits_conf_keys, NULL};

static void read_conf(const char *text, struct limits *limits)
{
	CLEANUP(conf_release) struct conf conf = {.schema = schema};
	struct error error = {0};

	assert_int_equal(
		conf_parse(&conf, text, strlen(text), "moss.conf", &error), 0);
	limits_from_conf(&conf, limits);
}

static void test_nothing_is_set(void **state)
{
	struct limits limits;

	read_conf("", &limits);
	assert_int_equal(limits.layer_size, LAYER_BYTES_MAX);
	assert_int_equal(limits.layer_entries, TAR_ENTRIES_MAX);
	assert_int_equal(limits.archive_size, LOAD_BYTES_MAX);
	assert_int_equal(limits.unpack_floor, PACKED_FLOOR);
	assert_int_equal(limits.unpack_ratio, PACKED_RATIO);
}

static void test_all_are_set(void **state)
{
	cleanup_json cJSON *json = NULL;
	struct error error = {0};
	struct limits limits;
	struct limits sent;

	read_conf("[limits]\nlayer-size = 5g\nlayer-entries = 7\n"
		  "archive-size = 6t\nunpack-floor = 8m\nunpack-ratio = 9\n",
		  &limits);
	json = limits_json(&limits);
	assert_int_equal(limits_from_json(json, &sent, &error), 0);
	assert_int_equal(sent.layer_size, 5ull << 30);
	assert_int_equal(sent.layer_entries, 7);
	assert_int_equal(sent.archive_size, 6ull << 40);
	assert_int_equal(sent.unpack_floor, 8 << 20);
	assert_int_equal(sent.unpack_ratio, 9);
}

static void test_nonsense(void **state)
{
	static const char *const texts[] = {
		"[limits]\nlayer-size = 5\n",	"[limits]\nlayer-entries = 0\n",
		"[limits]\nunpack-ratio = 1\n", "[limits]\nunpack-floor = -1\n",
		"[limits]\nlayer-sise = 5g\n",
	};
	struct error error = {0};

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		CLEANUP(conf_release) struct conf conf = {.schema = schema};

		assert_true(conf_parse(&conf, texts[i], strlen(texts[i]),
				       "moss.conf", &error) < 0);
		assert_non_null(strstr(error.message, "moss.conf"));
	}
}

static void test_hint(void **state)
{
	struct error error = {0};

	err_set(&error, ERROR_INVALID, "too much");
	assert_true(limits_hint(LIMIT_LAYER_SIZE, &error) < 0);
	assert_string_equal(error.message, "too much");
	assert_non_null(strstr(error.hint, "layer-size in the section "
					   "[limits]"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_is_set),
		cmocka_unit_test(test_all_are_set),
		cmocka_unit_test(test_nonsense),
		cmocka_unit_test(test_hint),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
