/* base/memory.h */
#include "base/memory.h"

#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/str.h"

#define KEPT 100000

static char written[KEPT] = "initialised";
static const char constant[] = "read only";

/* kB of this process that files have a copy of. */
static long file_pages(void)
{
	cleanup_free char *text = NULL;
	const char *line;

	assert_int_equal(
		file_read_at(-1, "/proc/self/status", 65536, &text, NULL, NULL),
		0);
	line = strstr(text, "RssFile:");
	assert_non_null(line);
	return strtol(line + strlen("RssFile:"), NULL, 10);
}

/* Everything is as it was, and much of it is not in memory any more. */
static void test_settle(void **state)
{
	cleanup_free char *heap = xrealloc(NULL, KEPT, 1);
	char stack[KEPT];
	long before, after;

	memset(heap, 'h', KEPT);
	memset(stack, 's', KEPT);
	memset(written, 'w', KEPT);
	before = file_pages();
	memory_settle();
	after = file_pages();
	if (after >= before)
		fail_msg("%ld kB before, %ld after", before, after);
	for (size_t i = 0; i < KEPT; i++) {
		assert_int_equal(heap[i], 'h');
		assert_int_equal(stack[i], 's');
		assert_int_equal(written[i], 'w');
	}
	assert_string_equal(constant, "read only");
	/* And again, from code that was dropped. */
	memory_settle();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_settle),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
