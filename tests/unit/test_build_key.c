/* Keys of steps: equal parts give equal keys, nothing else does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "core/build/key.h"

struct part {
	const char *name, *text;
};

static void make(const char *step, const struct part *parts, char hex[65])
{
	cleanup_key struct key key;

	assert_int_equal(key_begin(&key, step, NULL), 0);
	for (; parts->name; parts++)
		key_add(&key, parts->name, parts->text);
	key_finish(&key, hex);
	assert_true(digest_is_hex(hex, 64));
	assert_int_equal(strlen(hex), 64);
}

static void test_parts(void **state)
{
	static const struct {
		const char *step;
		struct part parts[3];
	} rows[] = {
		{"run", {{"a", "b"}}},		 {"copy", {{"a", "b"}}},
		{"run", {{"a", NULL}}},		 {"run", {{"a", ""}}},
		{"run", {{"ab", ""}}},		 {"run", {{"", "ab"}}},
		{"run", {{"a", "b"}, {"", ""}}}, {"run", {{"b", "a"}}},
		{"run", {{NULL, NULL}}},
	};
	char keys[ARRAY_SIZE(rows)][KEY_HEX_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char again[KEY_HEX_MAX];

		make(rows[i].step, rows[i].parts, keys[i]);
		make(rows[i].step, rows[i].parts, again);
		assert_string_equal(keys[i], again);
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(keys[i], keys[j]);
	}
}

static void list(char *const *texts, char hex[65])
{
	cleanup_key struct key key;

	assert_int_equal(key_begin(&key, "run", NULL), 0);
	key_add_strv(&key, "list", texts);
	key_finish(&key, hex);
}

static void test_lists(void **state)
{
	char one[] = "a", two[] = "b", both[] = "ab", empty[] = "";
	char *const lists[][3] = {
		{one, two}, {both}, {both, empty}, {two, one}, {NULL}};
	char keys[ARRAY_SIZE(lists)][KEY_HEX_MAX], none[KEY_HEX_MAX];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		list(lists[i], keys[i]);
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(keys[i], keys[j]);
	}
	list(NULL, none);
	assert_string_equal(none, keys[ARRAY_SIZE(lists) - 1]);
}

static void test_json(void **state)
{
	cleanup_key struct key key, other;
	cleanup_json cJSON *json = json_object();
	char hex[KEY_HEX_MAX], other_hex[KEY_HEX_MAX];

	(void)state;
	json_set_string(json, "a", "b");
	assert_int_equal(key_begin(&key, "run", NULL), 0);
	assert_int_equal(key_begin(&other, "run", NULL), 0);
	key_add_json(&key, "json", json);
	key_add_json(&other, "json", NULL);
	key_finish(&key, hex);
	key_finish(&other, other_hex);
	assert_string_not_equal(hex, other_hex);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parts),
		cmocka_unit_test(test_lists),
		cmocka_unit_test(test_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
