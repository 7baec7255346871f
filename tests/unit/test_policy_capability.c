/* policy/capability.h */
#include "policy/capability.h"

#include <errno.h>
#include <linux/capability.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/str.h"

#define BIT(number) (UINT64_C(1) << (number))

static void test_names(void **state)
{
	static const struct {
		const char *name;
		int number; /* -1: unknown */
	} rows[] = {
		{"CAP_CHOWN", CAP_CHOWN},
		{"chown", CAP_CHOWN},
		{"Cap_Net_Admin", CAP_NET_ADMIN},
		{"SYS_ADMIN", CAP_SYS_ADMIN},
		{"checkpoint_restore", 40},
		{"BPF", 39},
		{"", -1},
		{"CAP_", -1},
		{"CAP_CAP_CHOWN", -1},
		{"CHOWN ", -1},
		{"ALL", -1},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int number = -1;
		int r = capability_from_name(rows[i].name, &number);

		assert_int_equal(r, rows[i].number < 0 ? -EINVAL : 0);
		assert_int_equal(number, rows[i].number);
	}
	for (int i = 0; i <= 40; i++) {
		int number = -1;

		assert_int_equal(
			capability_from_name(capability_name(i), &number), 0);
		assert_int_equal(number, i);
	}
	assert_string_equal(capability_name(-1), "CAP_?");
	assert_string_equal(capability_name(41), "CAP_?");
}

static void test_sets(void **state)
{
	/* The fourteen of docker's documentation. */
	assert_int_equal(CAPABILITY_DEFAULT, UINT64_C(0xa80425fb));
	assert_int_equal(capability_default() & ~capability_all(), 0);
	/* 5.9 and later have all of the table's. */
	assert_int_equal(capability_all() & BIT(CAP_BPF), BIT(CAP_BPF));
}

static void test_resolve(void **state)
{
	uint64_t all = capability_all();
	uint64_t base = capability_default();
	const struct {
		const char *add;
		const char *drop;
		int privileged;
		uint64_t mask;
	} rows[] = {
		{"", "", 0, base},
		{"", "", 1, all},
		{"NET_ADMIN", "", 0, base | BIT(CAP_NET_ADMIN)},
		{"", "chown,CAP_KILL", 0,
		 base & ~(BIT(CAP_CHOWN) | BIT(CAP_KILL))},
		{"chown", "chown", 0, base},
		{"", "ALL", 0, 0},
		{"NET_BIND_SERVICE", "all", 0, BIT(CAP_NET_BIND_SERVICE)},
		{"ALL", "", 0, all},
		{"ALL", "SYS_ADMIN", 0, all & ~BIT(CAP_SYS_ADMIN)},
		{"ALL", "ALL", 0, all},
		{"", "SYS_ADMIN", 1, all & ~BIT(CAP_SYS_ADMIN)},
		{"CHOWN", "ALL", 1, BIT(CAP_CHOWN)},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_strv char **add = strv_split(rows[i].add, ',');
		cleanup_strv char **drop = strv_split(rows[i].drop, ',');
		struct error err = {0};
		uint64_t mask = 0;

		if (!*rows[i].add)
			add[0] = (free(add[0]), NULL);
		if (!*rows[i].drop)
			drop[0] = (free(drop[0]), NULL);
		assert_int_equal(capability_resolve(add, drop,
						    rows[i].privileged, &mask,
						    &err),
				 0);
		assert_int_equal(mask, rows[i].mask);
	}
}

static void test_resolve_errors(void **state)
{
	char *bad[] = {(char[]){"NET_ADMIN"}, (char[]){"CAP_FOO"}, NULL};
	struct error err = {0};
	uint64_t mask = 7;

	assert_int_equal(capability_resolve(bad, NULL, 0, &mask, &err),
			 -EINVAL);
	assert_string_equal(err.message,
			    "--cap-add: unknown capability: \"CAP_FOO\"");
	assert_true(err.hint[0] != '\0');
	assert_int_equal(capability_resolve(NULL, bad, 1, &mask, &err),
			 -EINVAL);
	assert_string_equal(err.message,
			    "--cap-drop: unknown capability: \"CAP_FOO\"");
	assert_int_equal(mask, 7);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_sets),
		cmocka_unit_test(test_resolve),
		cmocka_unit_test(test_resolve_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
