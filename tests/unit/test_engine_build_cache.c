/* How much the build cache may take by default. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include "base/cleanup.h"
#include "core/engine/build_cache_list.h"

#define GB 1000000000ull

static const struct {
	const char *what;
	uint64_t total, available, size, limit;
} cases[] = {
	{"a large disk", 1000 * GB, 900 * GB, 5 * GB, 100 * GB},
	{"a small one", 50 * GB, 40 * GB, 5 * GB, 40 * GB},
	{"a fifth is free", 50 * GB, 10 * GB, 30 * GB, 40 * GB},
	{"5 GB more have to be", 50 * GB, 5 * GB, 30 * GB, 25 * GB},
	{"the tenth stays", 50 * GB, 1 * GB, 12 * GB, 5 * GB},
	{"10 GB stay", 1000 * GB, 1 * GB, 150 * GB, 10 * GB},
	{"full, and not by the cache", 50 * GB, 0, 0, 5 * GB},
};

static void test_default_limit(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct cached_disk disk = {cases[i].total,
						 cases[i].available};
		uint64_t limit = cached_default_limit(&disk, cases[i].size);

		if (limit != cases[i].limit)
			fprintf(stderr, "%s: %llu\n", cases[i].what,
				(unsigned long long)limit);
		assert_true(limit == cases[i].limit);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_default_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
