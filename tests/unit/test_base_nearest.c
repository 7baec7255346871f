/* base/nearest.h */
#include "base/nearest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/str.h"

static void test_names(void **state)
{
	static const struct {
		const char *text, *wanted;
	} rows[] = {
		{"build", " (did you mean build?)"},
		{"bulid", " (did you mean build?)"},
		{"BUIL", " (did you mean build?)"},
		{"builddd", " (did you mean build?)"},
		{"buildddd", ""},
		{"bux", ""},
		{"run", " (did you mean RUN?)"},
		{"rum", " (did you mean RUN?)"},
		{"cup", " (did you mean copy?)"},
		{"cop", " (did you mean copy?)"},
		{"x", ""},
		{"", ""},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct nearest nearest = {.text = rows[i].text};
		cleanup_free char *question = NULL;

		nearest_try(&nearest, "build");
		nearest_try(&nearest, "copy");
		nearest_try(&nearest, "RUN");
		nearest_try(&nearest, "as");
		question = nearest_question(&nearest);
		assert_string_equal(question, rows[i].wanted);
	}
}

static void test_long(void **state)
{
	char name[NEAREST_MAX + 2];
	struct nearest nearest = {.text = name};

	memset(name, 'a', sizeof(name));
	name[NEAREST_MAX + 1] = '\0';
	nearest_try(&nearest, "aa");
	nearest_try(&nearest, name);
	assert_null(nearest.found);
	name[NEAREST_MAX] = '\0';
	nearest_try(&nearest, name);
	assert_string_equal(nearest.found, name);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
