/* storage/dockerfile/glob.h */
#include "storage/dockerfile/glob.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/str.h"

static void test_glob(void **state)
{
	static const struct {
		enum glob_dialect dialect;
		const char *pattern, *value;
		bool matches;
	} rows[] = {
		{GLOB_PATH, "a*c", "abbc", true},
		{GLOB_PATH, "a*c", "ab/c", false},
		{GLOB_PATH, "*.go", "a.go", true},
		{GLOB_PATH, "a?c",
		 "a\xc3\xa9"
		 "c",
		 true},
		{GLOB_PATH, "a?c", "a/c", false},
		{GLOB_PATH, "[a-c]x", "bx", true},
		{GLOB_PATH, "[a-c]x", "dx", false},
		{GLOB_PATH, "[^a-c]x", "dx", true},
		{GLOB_PATH, "[^a]x", "/x", false},
		{GLOB_PATH, "[]a]x", "]x", true},
		{GLOB_PATH, "[\\-a]", "-", true},
		{GLOB_PATH, "[\xc3\xa0-\xc3\xbf]", "\xc3\xa9", true},
		{GLOB_PATH, "\\*", "*", true},
		{GLOB_PATH, "\\*", "a", false},
		{GLOB_PATH, "**", "a/b", false},
		{GLOB_IGNORE, "**", "a/b", true},
		{GLOB_IGNORE, "**/b", "b", true},
		{GLOB_IGNORE, "**/b", "a/x/b", true},
		{GLOB_IGNORE, "**/b", "ab", false},
		{GLOB_IGNORE, "a/**/b", "a/b", true},
		{GLOB_IGNORE, "a/**/b", "a/x/y/b", true},
		{GLOB_IGNORE, "a/**", "a/x/y", true},
		{GLOB_IGNORE, "a/**", "a", false},
		{GLOB_IGNORE, "**/*.o", "a/b.o", true},
		{GLOB_IGNORE, "a.b", "axb", false},
		{GLOB_IGNORE, "(a)+{1}$|^", "(a)+{1}$|^", true},
		{GLOB_WORD, "a*", "a/b", true},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_glob struct glob *glob = NULL;

		assert_int_equal(glob_compile(rows[i].pattern, rows[i].dialect,
					      &glob, NULL),
				 0);
		if (glob_matches(glob, rows[i].value) != rows[i].matches)
			print_message("%s of %s\n", rows[i].pattern,
				      rows[i].value);
		assert_int_equal(glob_matches(glob, rows[i].value),
				 rows[i].matches);
	}
}

static void test_glob_errors(void **state)
{
	static const char *const patterns[] = {"[", "a[b", "[^", "[]", "[\\]"};
	cleanup_free char *longest = xcalloc(GLOB_MAX + 2, 1);
	struct glob *glob = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(patterns); i++)
		assert_true(glob_compile(patterns[i], GLOB_IGNORE, &glob,
					 NULL) < 0);
	memset(longest, '*', GLOB_MAX + 1);
	assert_true(glob_compile(longest, GLOB_IGNORE, &glob, NULL) < 0);
}

/* Patterns that take a backtracking matcher for ever. */
static void test_glob_hostile(void **state)
{
	cleanup_str struct str pattern = {0};
	cleanup_str struct str value = {0};
	cleanup_glob struct glob *glob = NULL;

	for (int i = 0; i < 800; i++) {
		str_append(&pattern, "**/a*");
		str_append(&value, "aaaa/");
	}
	str_append(&pattern, "b");
	assert_int_equal(
		glob_compile(str_text(&pattern), GLOB_IGNORE, &glob, NULL), 0);
	assert_false(glob_matches(glob, str_text(&value)));
}

static char *replace(const char *pattern, const char *value, const char *by)
{
	cleanup_glob struct glob *glob = NULL;

	assert_int_equal(glob_compile(pattern, GLOB_WORD, &glob, NULL), 0);
	return glob_replace(glob, value, by, true);
}

/* Replacing ends before the machine does: in size, and in time. */
static void test_replace_hostile(void **state)
{
	const size_t length = GLOB_RESULT_MAX;
	cleanup_free char *value = xcalloc(length + 1, 1);
	cleanup_free char *by = xcalloc(1000, 1);
	cleanup_free char *result = replace("a", "banana", "o");

	assert_string_equal(result, "bonono");
	memset(value, 'a', length);
	memset(by, 'b', 999);
	assert_null(replace("a", value, by));
	assert_null(replace("a*a*a*b", value, ""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_glob),
		cmocka_unit_test(test_glob_errors),
		cmocka_unit_test(test_glob_hostile),
		cmocka_unit_test(test_replace_hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
