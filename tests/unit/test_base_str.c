/* base/str.h */
#include "base/str.h"

#include <ctype.h>
#include <errno.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"

static void test_buffer(void **state)
{
	cleanup_str struct str str = {0};
	cleanup_free char *stolen = NULL;
	char long_text[300];

	assert_string_equal(str_text(&str), "");
	str_append(&str, NULL);
	str_append(&str, "ab");
	str_append_char(&str, 'c');
	str_append_bytes(&str, "de", 1);
	str_appendf(&str, "%d-%s", 42, "x");
	assert_string_equal(str_text(&str), "abcd42-x");
	assert_int_equal(str.length, 8);

	memset(long_text, 'y', sizeof(long_text) - 1);
	long_text[sizeof(long_text) - 1] = '\0';
	str_appendf(&str, "%s", long_text);
	assert_int_equal(str.length, 8 + 299);
	assert_int_equal(strlen(str.data), str.length);

	stolen = str_steal(&str);
	assert_int_equal(strlen(stolen), 307);
	assert_null(str.data);
	str_append(&str, "z");
	str_clear(&str);
	assert_string_equal(str_text(&str), "");
	free(stolen);
	str_release(&str);
	stolen = str_steal(&str);
	assert_string_equal(stolen, "");
}

static void test_buffer_grows(void **state)
{
	cleanup_str struct str str = {0};

	for (int i = 0; i < 10000; i++)
		str_append_char(&str, (char)('a' + i % 26));
	assert_int_equal(str.length, 10000);
	for (int i = 0; i < 10000; i++)
		assert_int_equal(str.data[i], 'a' + i % 26);
}

static void test_comparisons(void **state)
{
	static const struct {
		const char *text;
		const char *part;
		bool equal;
		bool starts;
		bool ends;
	} rows[] = {
		{"", "", true, true, true},
		{"abc", "", false, true, true},
		{"abc", "abc", true, true, true},
		{"abc", "ab", false, true, false},
		{"abc", "bc", false, false, true},
		{"bc", "abc", false, false, false},
		{NULL, "", false, false, false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(str_equal(rows[i].text, rows[i].part),
				 rows[i].equal);
		assert_int_equal(str_starts(rows[i].text, rows[i].part),
				 rows[i].starts);
		assert_int_equal(str_ends(rows[i].text, rows[i].part),
				 rows[i].ends);
	}
	assert_true(str_equal(NULL, NULL));
	assert_true(str_empty(NULL));
	assert_true(str_empty(""));
	assert_false(str_empty(" "));
}

static void test_split_and_join(void **state)
{
	static const struct {
		const char *text;
		char separator;
		size_t count;
		const char *joined;
	} rows[] = {
		{"", ':', 1, ""},	{"a", ':', 1, "a"},
		{"a:b", ':', 2, "a|b"}, {":a::b:", ':', 5, "|a||b|"},
		{"a:b", ',', 1, "a:b"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_strv char **strv =
			strv_split(rows[i].text, rows[i].separator);
		cleanup_free char *joined = strv_join(strv, "|");

		assert_int_equal(strv_length(strv), rows[i].count);
		assert_string_equal(joined, rows[i].joined);
	}
}

static void test_vectors(void **state)
{
	cleanup_strv char **strv = NULL;
	cleanup_strv char **copy = NULL;
	cleanup_free char *joined = NULL;

	assert_int_equal(strv_length(NULL), 0);
	assert_null(strv_copy(NULL));
	assert_false(strv_contains(NULL, "a"));
	for (int i = 0; i < 20; i++)
		strv_push_take(&strv, xasprintf("%d", i));
	strv_push(&strv, NULL);
	assert_int_equal(strv_length(strv), 20);
	assert_string_equal(strv[19], "19");
	assert_true(strv_contains(strv, "7"));
	assert_false(strv_contains(strv, "70"));
	assert_false(strv_contains(strv, NULL));
	copy = strv_copy(strv);
	assert_int_equal(strv_length(copy), 20);
	assert_ptr_not_equal(copy[3], strv[3]);
	assert_string_equal(copy[3], "3");
	joined = strv_join(NULL, ",");
	assert_string_equal(joined, "");
}

static void test_environment(void **state)
{
	cleanup_strv char **env = NULL;

	assert_null(env_get(NULL, "A"));
	env_set(&env, "PATH", "/bin");
	env_set(&env, "PATHS", "x");
	env_set(&env, "EMPTY", "");
	env_set(&env, "PATH", "/usr/bin=1");
	assert_int_equal(strv_length(env), 3);
	assert_string_equal(env[0], "PATH=/usr/bin=1");
	assert_string_equal(env_get(env, "PATH"), "/usr/bin=1");
	assert_string_equal(env_get(env, "EMPTY"), "");
	assert_null(env_get(env, "PAT"));
}

static void test_copies(void **state)
{
	cleanup_free char *all = xstrdup("abc");
	cleanup_free char *part = xstrndup("abc", 2);
	cleanup_free char *longer = xstrndup("abc", 9);

	assert_string_equal(all, "abc");
	assert_string_equal(part, "ab");
	assert_string_equal(longer, "abc");
	assert_null(xstrdup(NULL));
	assert_null(xstrndup(NULL, 3));
}

static void test_hex_and_ids(void **state)
{
	char text[7];
	char a[ID_TEXT_MAX];
	char b[ID_TEXT_MAX];

	hex_encode(text, "\x00\x9f\xff", 3);
	assert_string_equal(text, "009fff");
	for (int i = 0; i < 200; i++) {
		random_id(a);
		assert_int_equal(strlen(a), 64);
		assert_int_equal(strspn(a, "0123456789abcdef"), 64);
		assert_true(strspn(a, "0123456789") < 12);
	}
	random_id(b);
	assert_string_not_equal(a, b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_buffer),
		cmocka_unit_test(test_buffer_grows),
		cmocka_unit_test(test_comparisons),
		cmocka_unit_test(test_split_and_join),
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_environment),
		cmocka_unit_test(test_copies),
		cmocka_unit_test(test_hex_and_ids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
