/* storage/build/ignore.h */
#include "storage/build/ignore.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/str.h"

static void test_ignore(void **state)
{
	static const struct {
		const char *file;
		const char *path;
		bool ignored;
	} rows[] = {
		{"", "a", false},
		{"a", "a", true},
		{"a", "a/b/c", true},
		{"a", "b/a", false},
		{"/a", "a", true},
		{"./a/", "a/b", true},
		{"x/../a", "a", true},
		{"# a\n a \r\n", "a", true},
		{" # a", "# a", true},
		{"\xef\xbb\xbf"
		 "a",
		 "a", true},
		{"*", "a/b", true},
		{"*\n!a", "a", false},
		{"*\n!a", "a/b", false},
		{"*\n!a\na/b", "a/b", true},
		{"*\n!a\na/b", "a/c", false},
		{"!a\n*", "a", true},
		{"*.md\n!README*.md\nREADME-secret.md", "README-x.md", false},
		{"*.md\n!README*.md\nREADME-secret.md", "README-secret.md",
		 true},
		{"**/node_modules", "a/b/node_modules/c", true},
		{"**/*.o\n! keep.o", "keep.o", false},
		{"a\n!a/b", "a/b", false},
		{".", "a", false},
		{"..", "a", false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_ignore struct ignore *ignore = ignore_new();

		assert_int_equal(ignore_add_file(ignore, rows[i].file,
						 strlen(rows[i].file), NULL),
				 0);
		if (ignore_matches(ignore, rows[i].path) != rows[i].ignored)
			print_message("%s: %s\n", rows[i].file, rows[i].path);
		assert_int_equal(ignore_matches(ignore, rows[i].path),
				 rows[i].ignored);
	}
}

static void test_ignore_errors(void **state)
{
	cleanup_ignore struct ignore *ignore = ignore_new();
	struct error err = {0};

	assert_true(ignore_add_file(ignore, "a\n[b\n", 5, &err) < 0);
	assert_string_equal(err.message, "line 2: syntax error in pattern "
					 "\"[b\": [ without ]");
	assert_true(ignore_add_file(ignore, "!\n", 2, &err) < 0);
	assert_true(ignore_add_file(ignore, "a\0b", 3, &err) < 0);
}

static void test_prunes(void **state)
{
	cleanup_ignore struct ignore *ignore = ignore_new();

	assert_int_equal(ignore_add(ignore, "a", NULL), 0);
	assert_true(ignore_prunes(ignore, "a"));
	assert_false(ignore_prunes(ignore, "b"));
	assert_int_equal(ignore_add(ignore, "!a/b", NULL), 0);
	assert_false(ignore_prunes(ignore, "a"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ignore),
		cmocka_unit_test(test_ignore_errors),
		cmocka_unit_test(test_prunes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
