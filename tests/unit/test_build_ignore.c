/* storage/build/ignore.h */
#include "storage/build/ignore.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "storage/dockerfile/glob.h"

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
	assert_false(ignore_prunes(ignore, "a/b"));
	assert_true(ignore_prunes(ignore, "a/c"));
	assert_int_equal(ignore_add(ignore, "ab", NULL), 0);
	assert_true(ignore_prunes(ignore, "ab"));
	assert_int_equal(ignore_add(ignore, "!a/c*/d", NULL), 0);
	assert_false(ignore_prunes(ignore, "a/c"));
	assert_false(ignore_prunes(ignore, "a/cc"));
	assert_true(ignore_prunes(ignore, "a/d"));
	assert_int_equal(ignore_add(ignore, "!**/x", NULL), 0);
	assert_false(ignore_prunes(ignore, "a/d"));
}

#define RULES 4

/* What the header says, with no thought of time. */
static bool matches_plainly(char *const *rules, const char *path)
{
	bool ignored = false;

	for (size_t i = 0; i < RULES; i++) {
		const bool back_in = rules[i][0] == '!';
		cleanup_free char *copy = xstrdup(path);
		cleanup_glob struct glob *glob = NULL;

		if (glob_compile(rules[i] + back_in, GLOB_IGNORE, &glob, NULL) <
		    0)
			continue;
		for (char *end = copy + strlen(copy); end;
		     end = strrchr(copy, '/')) {
			*end = '\0';
			if (glob_matches(glob, copy))
				ignored = !back_in;
		}
	}
	return ignored;
}

static char *random_text(const char *const *parts, size_t count,
			 unsigned int names)
{
	struct str text = {0};

	for (unsigned int i = 0; i <= random() % names; i++) {
		if (i > 0)
			str_append_char(&text, '/');
		for (long j = random() % 3; j >= 0; j--)
			str_append(&text, parts[(size_t)random() % count]);
	}
	return str_steal(&text);
}

/* The short cuts lead where the long way does. */
static void test_short_cuts(void **state)
{
	static const char *const wild[] = {"a",	 "b",	 "ab",	 "*",  "?",
					   "**", "[ab]", "[^a]", "\\a"};
	static const char *const plain[] = {"a", "b", "ab"};
	unsigned int ignored = 0;

	srandom(1);
	for (int i = 0; i < 20000; i++) {
		cleanup_ignore struct ignore *ignore = ignore_new();
		cleanup_strv char **rules = NULL;
		cleanup_free char *path = random_text(plain, 3, 4);
		bool wanted;

		for (int j = 0; j < RULES; j++) {
			cleanup_free char *text =
				random_text(wild, ARRAY_SIZE(wild), 3);
			cleanup_free char *rule = xasprintf(
				"%s%s%s", random() % 3 == 0 ? "!" : "",
				random() % 4 == 0 ? "**/" : "", text);

			strv_push(&rules, rule);
			(void)ignore_add(ignore, rule, NULL);
		}
		wanted = matches_plainly(rules, path);
		if (ignore_matches(ignore, path) != wanted)
			fail_msg("%s of %s %s %s %s: wanted %d", path, rules[0],
				 rules[1], rules[2], rules[3], wanted);
		/* What is below a directory that was pruned is ignored. */
		if (ignore_prunes(ignore, path)) {
			cleanup_free char *more = random_text(plain, 3, 3);
			cleanup_free char *below =
				xasprintf("%s/%s", path, more);

			assert_true(ignore_matches(ignore, below));
			ignored++;
		}
	}
	assert_in_range(ignored, 1000, 19000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ignore),
		cmocka_unit_test(test_ignore_errors),
		cmocka_unit_test(test_prunes),
		cmocka_unit_test(test_short_cuts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
