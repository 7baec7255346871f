/* storage/store/image_make.h */
#include "storage/store/image_make.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"

static char layer_a[] = "sha256:a";
static char layer_b[] = "sha256:b";
static const struct timespec times[] = {{1000000000, 0}, {1000000060, 5}};

static cJSON *json_of(const char *text)
{
	cJSON *json = NULL;

	assert_int_equal(json_parse(text, strlen(text), "test", &json, NULL),
			 0);
	return json;
}

/* The config as text, or the error's; caller frees. */
static char *make(const char *image, size_t layers, int64_t epoch)
{
	cleanup_json cJSON *json = json_of(image);
	cleanup_json cJSON *config = NULL;
	char *diff_ids[] = {layer_a, layer_b, NULL};
	const struct image_make request = {
		.image = json,
		.diff_ids = diff_ids,
		.times = times,
		.epoch = epoch,
	};
	struct error err = {0};

	diff_ids[layers] = NULL;
	if (image_make_config(&request, &config, &err) < 0)
		return xstrdup(err.message);
	return json_print(config);
}

static void assert_config(const char *image, size_t layers, int64_t epoch,
			  const char *expected)
{
	cleanup_free char *text = make(image, layers, epoch);

	assert_string_equal(text, expected);
}

/* "1 2 -": the last digits of the entries' times, of "created" behind them. */
static char *times_of(const char *history, size_t layers, int64_t epoch)
{
	cleanup_free char *image = xasprintf("{\"history\":[%s]}", history);
	cleanup_free char *text = make(image, layers, epoch);
	cleanup_json cJSON *config = json_of(text);
	cleanup_str struct str told = {0};
	const char *created = "-";
	const cJSON *step;

	cJSON_ArrayForEach(step, json_member(config, "history"))
	{
		const char *own = "-";

		json_get_string(step, "", "created", &own, NULL);
		str_appendf(&told, "%s ", own);
	}
	json_get_string(config, "", "created", &created, NULL);
	str_appendf(&told, "= %s", created);
	return str_steal(&told);
}

#define T_A "2001-09-09T01:46:40Z"
#define T_B "2001-09-09T01:47:40.000000005Z"
#define T_0 "1970-01-01T00:00:09Z"
#define OLD "{\"created\":\"old\"}"

static void test_order(void **state)
{
	assert_config("{\"os\":\"linux\",\"config\":{\"b\":{\"z\":1,\"y\":2},"
		      "\"A\":[{\"d\":1,\"c\":2}]},\"architecture\":\"arm\"}",
		      0, -1,
		      "{\"architecture\":\"arm\",\"config\":{\"A\":[{\"c\":2,"
		      "\"d\":1}],\"b\":{\"y\":2,\"z\":1}},\"history\":[],"
		      "\"os\":\"linux\",\"rootfs\":{\"diff_ids\":[],\"type\":"
		      "\"layers\"}}");
}

static void test_times(void **state)
{
	static const struct {
		const char *history;
		size_t layers;
		int64_t epoch;
		const char *expected;
	} cases[] = {
		{"", 0, -1, "= -"},
		{"{\"empty_layer\":true}", 0, -1, "- = -"},
		/* Before the first new layer, behind it, its own. */
		{"{\"empty_layer\":true},{},{\"empty_layer\":true},{},"
		 "{\"empty_layer\":true}",
		 2, -1, T_A " " T_A " " T_A " " T_B " " T_B " = " T_B},
		/* What is told stays; the base's counts where nothing is new.
		 */
		{OLD ",{\"empty_layer\":true}", 1, -1, "old old = old"},
		{OLD ",{\"empty_layer\":true},{}", 2, -1,
		 "old " T_B " " T_B " = " T_B},
		{"{\"created\":null}", 1, -1, T_A " = " T_A},
		{OLD ",{\"empty_layer\":true},{}", 2, 9,
		 "old " T_0 " " T_0 " = " T_0},
		{"", 0, 9, "= " T_0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_free char *told = times_of(
			cases[i].history, cases[i].layers, cases[i].epoch);

		assert_string_equal(told, cases[i].expected);
	}
}

static void test_history_of_other_layers(void **state)
{
	assert_config("{\"history\":[{},{}]}", 1, -1,
		      "the image's history tells of more than its 1 layers");
	assert_config("{\"history\":[{}]}", 2, -1,
		      "the image's history tells of 1 layers, it has 2");
	assert_config("{}", 1, 5,
		      "the image's history tells of 0 layers, it has 1");
}

static void test_manifest(void **state)
{
	const struct manifest manifest = {
		.config = {"sha256:c", "config", 3},
	};
	char *const annotations[] = {(char[]){"z=1=2"}, (char[]){"a"}, NULL};
	cleanup_json cJSON *plain = image_make_manifest(&manifest, NULL);
	cleanup_json cJSON *json = image_make_manifest(&manifest, annotations);
	cleanup_free char *text = json_print(json_member(json, "annotations"));

	assert_null(json_member(plain, "annotations"));
	assert_string_equal(text, "{\"a\":\"\",\"z\":\"1=2\"}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_times),
		cmocka_unit_test(test_history_of_other_layers),
		cmocka_unit_test(test_manifest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
