/* core/monitor/health.h */
#include "core/monitor/health.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"

static cJSON *parse(const char *text)
{
	cJSON *json = NULL;

	assert_int_equal(json_parse(text, strlen(text), "test", &json, NULL),
			 0);
	return json;
}

static const struct {
	const char *config;
	const char *command; /* joined by "|"; NULL: none */
} tests[] = {
	{"{}", NULL},
	{"{\"Healthcheck\":null}", NULL},
	{"{\"Healthcheck\":{}}", NULL},
	{"{\"Healthcheck\":{\"Test\":[\"NONE\"]}}", NULL},
	{"{\"Healthcheck\":{\"Test\":[\"CMD\"]}}", NULL},
	{"{\"Healthcheck\":{\"Test\":[\"FLY\",\"x\"]}}", NULL},
	{"{\"Healthcheck\":{\"Test\":[\"CMD\",\"a\",\"b c\"]}}", "a|b c"},
	{"{\"Healthcheck\":{\"Test\":[\"CMD-SHELL\",\"a b\"]}}",
	 "/bin/sh|-c|a b"},
	{"{\"Shell\":[\"bash\",\"-ec\"],"
	 "\"Healthcheck\":{\"Test\":[\"CMD-SHELL\",\"a b\"]}}",
	 "bash|-ec|a b"},
	{"{\"Shell\":[\"bash\"],\"Healthcheck\":{\"Test\":[\"CMD\",\"a\"]}}",
	 "a"},
};

static void test_commands(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(tests); i++) {
		cleanup_json cJSON *config = parse(tests[i].config);
		cleanup_free char *text = NULL;
		struct health_check check;

		assert_int_equal(health_check_parse(config, &check, NULL), 0);
		if (check.command)
			text = strv_join(check.command, "|");
		assert_true(str_equal(text, tests[i].command));
		health_check_release(&check);
	}
}

static void test_numbers(void **state)
{
	cleanup_json cJSON *defaults =
		parse("{\"Healthcheck\":{\"Test\":[\"CMD\",\"a\"]}}");
	cleanup_json cJSON *given =
		parse("{\"Healthcheck\":{\"Interval\":1500000,\"Timeout\":1,"
		      "\"StartPeriod\":60000000000,\"StartInterval\":2000000,"
		      "\"Retries\":7}}");
	struct health_check check;

	assert_int_equal(health_check_parse(defaults, &check, NULL), 0);
	assert_int_equal(check.interval_ms, 30000);
	assert_int_equal(check.timeout_ms, 30000);
	assert_int_equal(check.start_period_ms, 0);
	assert_int_equal(check.start_interval_ms, 5000);
	assert_int_equal(check.retries, 3);
	health_check_release(&check);
	assert_int_equal(health_check_parse(given, &check, NULL), 0);
	assert_int_equal(check.interval_ms, 2);
	assert_int_equal(check.timeout_ms, 1);
	assert_int_equal(check.start_period_ms, 60000);
	assert_int_equal(check.start_interval_ms, 2);
	assert_int_equal(check.retries, 7);
	health_check_release(&check);
}

static void test_bad_checks(void **state)
{
	static const char *const bad[] = {
		"{\"Healthcheck\":[]}",
		"{\"Healthcheck\":{\"Test\":\"a\"}}",
		"{\"Healthcheck\":{\"Test\":[\"CMD\",1]}}",
		"{\"Healthcheck\":{\"Interval\":-1}}",
		"{\"Healthcheck\":{\"Timeout\":\"1s\"}}",
		"{\"Healthcheck\":{\"Retries\":1.5}}",
		("{\"Shell\":1,"
		 "\"Healthcheck\":{\"Test\":[\"CMD-SHELL\",\"a\"]}}"),
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		cleanup_json cJSON *config = parse(bad[i]);
		struct health_check check;
		struct error err = {0};

		assert_int_equal(health_check_parse(config, &check, &err),
				 -EINVAL);
		assert_int_equal(err.kind, ERROR_INVALID);
	}
}

static const struct health_check check = {
	.interval_ms = 1000,
	.start_period_ms = 500,
	.start_interval_ms = 100,
	.retries = 2,
};

/* A probe at an age with an exit code, and what holds after it. */
struct step {
	int64_t age_ms;
	int exit_code;
	const char *status;
	int64_t streak;
	bool changed;
	int64_t delay_ms;
};

static void walk(const struct step *steps, size_t count)
{
	struct health health = {0};

	health_begin(&health, -1);
	assert_string_equal(health.status, "starting");
	assert_int_equal(health_delay_ms(&health, &check, 0), 100);
	for (size_t i = 0; i < count; i++) {
		const struct health_result result = {
			.age_ms = steps[i].age_ms,
			.exit_code = steps[i].exit_code,
			.output = "",
		};

		assert_int_equal(health_take(&health, &check, &result),
				 steps[i].changed);
		assert_string_equal(health.status, steps[i].status);
		assert_int_equal(health.streak, steps[i].streak);
		assert_int_equal(
			health_delay_ms(&health, &check, steps[i].age_ms),
			steps[i].delay_ms);
	}
	health_release(&health);
}

static void test_start_period(void **state)
{
	static const struct step steps[] = {
		{100, 1, "starting", 0, false, 100},
		{200, -1, "starting", 0, false, 100},
		{499, 1, "starting", 0, false, 100},
		{500, 1, "starting", 1, false, 1000},
		{1500, 1, "unhealthy", 2, true, 1000},
		{2500, 1, "unhealthy", 3, false, 1000},
		{3500, 0, "healthy", 0, true, 1000},
	};

	walk(steps, ARRAY_SIZE(steps));
}

/* One success ends the leniency of the start period. */
static void test_success_ends_the_start(void **state)
{
	static const struct step steps[] = {
		{100, 0, "healthy", 0, true, 1000},
		{200, 127, "healthy", 1, false, 1000},
		{300, 0, "healthy", 0, false, 1000},
		{350, 1, "healthy", 1, false, 1000},
		{400, 1, "unhealthy", 2, true, 1000},
	};

	walk(steps, ARRAY_SIZE(steps));
}

static void test_log_on_disk(void **state)
{
	char path[] = "/tmp/moss-test-XXXXXX";
	struct health health = {0};
	cleanup_fd int fd = -1;
	cleanup_json cJSON *json = NULL;
	cleanup_json cJSON *none = NULL;
	const cJSON *log;

	assert_non_null(mkdtemp(path));
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	none = health_json("starting", fd);
	health_begin(&health, fd);
	for (int i = 1; i <= 7; i++) {
		const struct health_result result = {
			.exit_code = i,
			.age_ms = 1000,
			.output = "caf\xc3\xa9 \xff\0.",
			.length = 9,
		};

		health_take(&health, &check, &result);
	}
	assert_int_equal(health_write(&health, fd, NULL), 0);
	json = health_json("unhealthy", fd);
	assert_string_equal(cJSON_GetObjectItem(json, "Status")->valuestring,
			    "unhealthy");
	assert_int_equal(cJSON_GetObjectItem(json, "FailingStreak")->valueint,
			 7);
	log = cJSON_GetObjectItem(json, "Log");
	assert_int_equal(cJSON_GetArraySize(log), 5);
	assert_int_equal(cJSON_GetObjectItem(log->child, "ExitCode")->valueint,
			 3);
	assert_string_equal(
		cJSON_GetObjectItem(log->child, "Output")->valuestring,
		"caf\xc3\xa9 \xef\xbf\xbd\xef\xbf\xbd.");
	assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(none, "Log")),
			 0);

	/* The next start: the log stays, nothing else does. */
	health_begin(&health, fd);
	assert_string_equal(health.status, "starting");
	assert_int_equal(health.streak, 0);
	assert_int_equal(cJSON_GetArraySize(health.log), 5);
	health_release(&health);
	assert_int_equal(tree_remove_at(AT_FDCWD, path, NULL), 0);
}

static void test_timeout_text(void **state)
{
	static const struct {
		int64_t ms;
		const char *output, *expected;
	} rows[] = {
		{1, "", "Health check exceeded timeout (1ms)"},
		{1000, "", "Health check exceeded timeout (1s)"},
		{1500, "hm", "Health check exceeded timeout (1.5s): hm"},
		{10000, "", "Health check exceeded timeout (10s)"},
		{60000, "", "Health check exceeded timeout (1m0s)"},
		{90050, "", "Health check exceeded timeout (1m30.05s)"},
		{3600000, "", "Health check exceeded timeout (1h0m0s)"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *text =
			health_timeout_text(rows[i].ms, rows[i].output);

		assert_string_equal(text, rows[i].expected);
	}
}

int main(void)
{
	const struct CMUnitTest tests_of_health[] = {
		cmocka_unit_test(test_commands),
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_bad_checks),
		cmocka_unit_test(test_start_period),
		cmocka_unit_test(test_success_ends_the_start),
		cmocka_unit_test(test_log_on_disk),
		cmocka_unit_test(test_timeout_text),
	};

	return cmocka_run_group_tests(tests_of_health, NULL, NULL);
}
