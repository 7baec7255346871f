/* output_check() of core/build/output.h; the rest is tested end to end. */
#include "core/build/output.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/str.h"

static void test_check(void **state)
{
	static const struct {
		const char *outputs;
		const char *message; /* part of it; NULL: good */
	} cases[] = {
		{"[]", NULL},
		{"[{\"type\":\"image\"}]", NULL},
		{"[{\"type\":\"docker\"}]", NULL},
		{"[{\"type\":\"docker\",\"dest\":\"-\"}]", NULL},
		{"[{\"type\":\"tar\",\"dest\":\"/tmp/x.tar\"}]", NULL},
		{"[{\"type\":\"local\",\"dest\":\"/tmp\"},"
		 "{\"type\":\"local\",\"dest\":\"/tmp/not/there\"}]",
		 NULL},
		{"[{\"type\":\"oci\",\"dest\":\"/tmp/not-there\","
		 "\"tar\":false}]",
		 NULL},
		{"[{\"type\":\"oci\"}]", "needs a destination"},
		{"[{\"type\":\"oci\",\"dest\":\"x\"}]", "needs a destination"},
		{"[{\"type\":\"squashfs\"}]", "unknown type \"squashfs\""},
		{"[{}]", "unknown type \"\""},
		{"[{\"type\":1}]", "expected a string"},
		{"[{\"type\":\"local\",\"dest\":\"-\"}]", "standard output"},
		{"[{\"type\":\"oci\",\"dest\":\"-\",\"tar\":false}]",
		 "standard output"},
		{"[{\"type\":\"tar\",\"dest\":\"/tmp\"}]", "is a directory"},
		{"[{\"type\":\"tar\",\"dest\":\"/not/there\"}]",
		 "there is no directory /not"},
		{"[{\"type\":\"local\",\"dest\":\"/etc/passwd\"}]",
		 "is no directory"},
		{"[{\"type\":\"tar\",\"dest\":\"-\"},"
		 "{\"type\":\"oci\",\"dest\":\"-\"}]",
		 "only one"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_json cJSON *json = NULL;
		struct error err = {0};
		int r;

		assert_int_equal(json_parse(cases[i].outputs,
					    strlen(cases[i].outputs), "test",
					    &json, NULL),
				 0);
		r = output_check(json, &err);
		if (!cases[i].message)
			assert_int_equal(r, 0);
		else if (r >= 0 || !strstr(err.message, cases[i].message))
			fail_msg("%s: %s", cases[i].outputs, err.message);
	}
	assert_int_equal(output_check(NULL, NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_check),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
