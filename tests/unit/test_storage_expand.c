/* storage/dockerfile/expand.h */
#include "storage/dockerfile/expand.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/str.h"

static const char *lookup(const char *name, void *data)
{
	char *const env[] = {
		(char[]){"A=a b"},
		(char[]){"PATH=/usr/bin:/bin"},
		(char[]){"E="},
		(char[]){"F=foo.tar.gz"},
		(char[]){"U=h\xc3\xa9llo"},
		(char[]){"N=xx"},
		NULL,
	};
	static char value[32];
	const char *found = env_get(env, name);

	if (!found)
		return NULL;
	strcpy(value, found);
	return value;
}

static const struct expand expand = {.escape = '\\', .lookup = lookup};

static void test_word(void **state)
{
	static const struct {
		const char *word;
		const char *wanted; /* NULL: an error */
	} rows[] = {
		{"", ""},
		{"plain", "plain"},
		{"$A", "a b"},
		{"${A}x", "a bx"},
		{"$Ax", ""},
		{"$A.x", "a b.x"},
		{"$", "$"},
		{"a$", "a$"},
		{"$.", "$."},
		{"$1x", "x"},
		{"\\$A", "$A"},
		{"\\\\$A", "\\a b"},
		{"\\a", "a"},
		{"a\\", "a"},
		{"'$A'", "$A"},
		{"'\\'", "\\"},
		{"\"$A\"", "a b"},
		{"\"\\$A\"", "$A"},
		{"\"\\a\\\"\"", "\\a\""},
		{"a'b'\"c\"", "abc"},
		{"'", NULL},
		{"\"a", NULL},
		{"${A", NULL},
		{"${", NULL},
		{"${}", NULL},
		{"${:x}", NULL},
		{"${A!x}", NULL},
		{"${A:#x}", NULL},
		/* unset and empty */
		{"${X-w}", "w"},
		{"${E-w}", ""},
		{"${E:-w}", "w"},
		{"${A:-w}", "a b"},
		{"${X:-${A}}", "a b"},
		{"${X:-${Y:-z}}", "z"},
		{"${X:-'}'}", "}"},
		{"${X:-\\}}", "}"},
		{"${X+w}", ""},
		{"${E+w}", "w"},
		{"${E:+w}", ""},
		{"${A:+$PATH}", "/usr/bin:/bin"},
		{"${X?}", NULL},
		{"${X:?gone}", NULL},
		{"${E?}", ""},
		{"${E:?}", NULL},
		/* patterns */
		{"${F%.*}", "foo.tar"},
		{"${F%%.*}", "foo"},
		{"${F#*.}", "tar.gz"},
		{"${F##*.}", "gz"},
		{"${F#x}", "foo.tar.gz"},
		{"${F%\\*}", "foo.tar.gz"},
		{"${F#f?o}", ".tar.gz"},
		{"${U#h?}", "llo"},
		{"${U%?llo}", "h"},
		{"${X#a}", ""},
		{"${F/o/0}", "f0o.tar.gz"},
		{"${F//o/0}", "f00.tar.gz"},
		{"${F//.*/}", "foo"},
		{"${F/\\//x}", "foo.tar.gz"},
		{"${PATH//\\//-}", "-usr-bin:-bin"},
		{"${N//x/$A}", "a ba b"},
		{"${F/o}", NULL},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *word = NULL;
		struct error err = {0};
		int r = expand_word(&expand, rows[i].word, &word, &err);

		if ((r < 0) == !!rows[i].wanted ||
		    (r == 0 && !str_equal(word, rows[i].wanted)))
			print_message("of: %s: %s\n", rows[i].word,
				      err.message);
		if (!rows[i].wanted) {
			assert_true(r < 0);
			assert_int_equal(err.kind, ERROR_INVALID);
			continue;
		}
		assert_int_equal(r, 0);
		assert_string_equal(word, rows[i].wanted);
	}
}

static void test_messages(void **state)
{
	struct error err = {0};
	char *word = NULL;

	assert_true(expand_word(&expand, "${X:?set it}", &word, &err) < 0);
	assert_string_equal(err.message,
			    "cannot expand \"${X:?set it}\": X: set it");
	assert_true(expand_word(&expand, "${E:?}", &word, &err) < 0);
	assert_string_equal(err.message, "cannot expand \"${E:?}\": E: is not "
					 "allowed to be empty");
}

static void test_words(void **state)
{
	static const struct {
		const char *word;
		const char *wanted;
	} rows[] = {
		{"", ""},
		{"a", "a"},
		{"$A", "a|b"},
		{"\"$A\"", "a b"},
		{"x$A", "xa|b"},
		{" a  b ", "a|b"},
		{"'a b' c", "a b|c"},
		{"a\\ b", "a b"},
		{"$X", ""},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_strv char **words = NULL;
		cleanup_free char *joined = NULL;

		assert_int_equal(
			expand_words(&expand, rows[i].word, &words, NULL), 0);
		joined = strv_join(words, "|");
		assert_string_equal(joined, rows[i].wanted);
	}
}

static void test_escape(void **state)
{
	const struct expand windows = {.escape = '`', .lookup = lookup};
	const struct expand file = {
		.escape = '\\', .lookup = lookup, .text = true};
	cleanup_free char *word = NULL;
	cleanup_free char *text = NULL;

	assert_int_equal(expand_word(&windows, "C:\\`$A\\$A", &word, NULL), 0);
	assert_string_equal(word, "C:\\$A\\a b");
	assert_int_equal(expand_word(&file, "it's '$A'\"$A\"\\$ ${X:-'q'} \\\n",
				     &text, NULL),
			 0);
	assert_string_equal(text, "it's 'a b'\"a b\"$ 'q' \n");
}

/* Depth and size end before the machine does. */
static void test_hostile(void **state)
{
	cleanup_str struct str text = {0};
	cleanup_free char *word = NULL;

	for (int i = 0; i < 100000; i++)
		str_append(&text, "${X:-");
	assert_true(expand_word(&expand, str_text(&text), &word, NULL) < 0);
	str_clear(&text);
	for (int i = 0; i < 1000000; i++)
		str_append(&text, "$PATH");
	assert_true(expand_word(&expand, str_text(&text), &word, NULL) < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_word),	cmocka_unit_test(test_messages),
		cmocka_unit_test(test_words),	cmocka_unit_test(test_escape),
		cmocka_unit_test(test_hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
