/* core/monitor/restart.h */
#include "core/monitor/restart.h"

#include <errno.h>
#include <setjmp.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/str.h"

static int parse(const char *text, struct restart_policy *ret_policy)
{
	cleanup_json cJSON *json = NULL;

	assert_int_equal(json_parse(text, strlen(text), "test", &json, NULL),
			 0);
	return restart_policy_parse(json, ret_policy, NULL);
}

static void test_policies(void **state)
{
	static const struct {
		const char *host;
		enum restart_when when;
		int64_t max;
	} rows[] = {
		{"{}", RESTART_NO, 0},
		{"{\"RestartPolicy\":null}", RESTART_NO, 0},
		{"{\"RestartPolicy\":{\"Name\":\"\"}}", RESTART_NO, 0},
		{"{\"RestartPolicy\":{\"Name\":\"no\"}}", RESTART_NO, 0},
		{"{\"RestartPolicy\":{\"Name\":\"always\"}}", RESTART_ALWAYS,
		 0},
		{"{\"RestartPolicy\":{\"Name\":\"unless-stopped\"}}",
		 RESTART_UNLESS_STOPPED, 0},
		{"{\"RestartPolicy\":{\"Name\":\"on-failure\","
		 "\"MaximumRetryCount\":4}}",
		 RESTART_ON_FAILURE, 4},
	};
	struct restart_policy policy;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(parse(rows[i].host, &policy), 0);
		assert_int_equal(policy.when, rows[i].when);
		assert_int_equal(policy.max_retries, rows[i].max);
	}
	assert_int_equal(parse("{\"RestartPolicy\":[]}", &policy), -EINVAL);
	assert_int_equal(
		parse("{\"RestartPolicy\":{\"Name\":\"never\"}}", &policy),
		-EINVAL);
	assert_int_equal(
		parse("{\"RestartPolicy\":{\"MaximumRetryCount\":\"1\"}}",
		      &policy),
		-EINVAL);
}

static void test_when(void **state)
{
	static const struct {
		struct restart_policy policy;
		int exit_code;
		uint64_t count;
		bool expected;
	} rows[] = {
		{{RESTART_NO, 0}, 1, 0, false},
		{{RESTART_ALWAYS, 0}, 0, 1000, true},
		{{RESTART_UNLESS_STOPPED, 0}, 1, 1000, true},
		{{RESTART_ON_FAILURE, 0}, 0, 0, false},
		{{RESTART_ON_FAILURE, 0}, 1, 1000, true},
		{{RESTART_ON_FAILURE, 2}, 1, 0, true},
		{{RESTART_ON_FAILURE, 2}, 137, 1, true},
		{{RESTART_ON_FAILURE, 2}, 1, 2, false},
		{{RESTART_ON_FAILURE, 2}, 0, 1, false},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
		assert_int_equal(restart_is_due(&rows[i].policy,
						rows[i].exit_code,
						rows[i].count),
				 rows[i].expected);
}

static void test_delays(void **state)
{
	static const int64_t expected[] = {100,	  200,	 400,	800,   1600,
					   3200,  6400,	 12800, 25600, 51200,
					   60000, 60000, 60000};
	int64_t delay = 0;

	for (size_t i = 0; i < ARRAY_SIZE(expected); i++) {
		delay = restart_delay_ms(delay, 9999);
		assert_int_equal(delay, expected[i]);
	}
	assert_int_equal(restart_delay_ms(delay, 10000), 100);
	assert_int_equal(restart_delay_ms(0, 10000), 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_policies),
		cmocka_unit_test(test_when),
		cmocka_unit_test(test_delays),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
