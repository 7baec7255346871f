/* base/base64.h */
#include "base/base64.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"

/* RFC 4648, section 10, and bytes that are no text. */
static void test_both_ways(void **state)
{
	static const struct {
		const char *bytes;
		size_t length;
		const char *text;
	} rows[] = {
		{"", 0, ""},
		{"f", 1, "Zg=="},
		{"fo", 2, "Zm8="},
		{"foo", 3, "Zm9v"},
		{"foob", 4, "Zm9vYg=="},
		{"fooba", 5, "Zm9vYmE="},
		{"foobar", 6, "Zm9vYmFy"},
		{"user:p\xc3\xa4ss", 10, "dXNlcjpww6Rzcw=="},
		{"\0\xff\xfe", 3, "AP/+"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *text =
			base64_encode(rows[i].bytes, rows[i].length);
		cleanup_free char *bytes = NULL;
		size_t length = 99;

		assert_string_equal(text, rows[i].text);
		assert_int_equal(base64_decode(text, &bytes, &length), 0);
		assert_int_equal(length, rows[i].length);
		assert_memory_equal(bytes, rows[i].bytes, length);
		assert_int_equal(bytes[length], 0);
	}
}

static void test_refused(void **state)
{
	static const char *const rows[] = {
		"Z",	"Zg",	"Zg=",	    "Zg==Zg==", "=Zg=",
		"====", "Z===", "Zm9v\nZg", "Zm9-",	"Zm9v====",
		"Zh==", "Zm9=", "Z=9v",	    "Zm=v",	" Zg=",
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char *bytes = NULL;
		size_t length;

		if (base64_decode(rows[i], &bytes, &length) != -EINVAL)
			fail_msg("accepted: %s", rows[i]);
		assert_null(bytes);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_both_ways),
		cmocka_unit_test(test_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
