/* core/engine/config.h and members.h */
#include "core/engine/config.h"

#include <errno.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "core/engine/members.h"

static cJSON *parse(const char *text)
{
	struct error err = {0};
	cJSON *json = NULL;

	if (json_parse(text, strlen(text), "test", &json, &err) < 0)
		fail_msg("%s: %s", text, err.message);
	return json;
}

struct merge_case {
	const char *body;
	const char *image;
	const char *member;
	const char *expected;
};

static const struct merge_case merges[] = {
	/* entrypoint and command */
	{"{}", "{\"Cmd\":[\"a\"]}", "Cmd", "[\"a\"]"},
	{"{}", "{\"Cmd\":[\"a\"]}", "Entrypoint", "null"},
	{"{\"Cmd\":[\"b\"]}", "{\"Cmd\":[\"a\"]}", "Cmd", "[\"b\"]"},
	{"{}", "{\"Cmd\":[\"a\"],\"Entrypoint\":[\"e\"]}", "Entrypoint",
	 "[\"e\"]"},
	{"{\"Cmd\":[\"b\"]}", "{\"Cmd\":[\"a\"],\"Entrypoint\":[\"e\"]}",
	 "Entrypoint", "[\"e\"]"},
	/* an entrypoint of the user's drops the image's command */
	{"{\"Entrypoint\":[\"u\"]}", "{\"Cmd\":[\"a\"],\"Entrypoint\":[\"e\"]}",
	 "Cmd", "null"},
	{"{\"Entrypoint\":[\"\"],\"Cmd\":[\"b\"]}", "{\"Entrypoint\":[\"e\"]}",
	 "Entrypoint", "null"},
	{"{\"Entrypoint\":[],\"Cmd\":[\"b\"]}", "{\"Entrypoint\":[\"e\"]}",
	 "Entrypoint", "[]"},
	{"{\"Entrypoint\":\"one string\"}", "{}", "Entrypoint",
	 "[\"one string\"]"},
	/* environment: the user's first, then what he did not set */
	{"{\"Cmd\":[\"b\"],\"Env\":[\"A=1\"]}", "{\"Env\":[\"A=0\",\"B=2\"]}",
	 "Env", "[\"A=1\",\"B=2\"]"},
	{"{\"Cmd\":[\"b\"],\"Env\":[\"A\"]}", "{\"Env\":[\"A=0\",\"AB=2\"]}",
	 "Env", "[\"A\",\"AB=2\"]"},
	{"{\"Cmd\":[\"b\"]}", "{\"Env\":[\"A=0\"]}", "Env", "[\"A=0\"]"},
	/* sets and maps are united */
	{"{\"Cmd\":[\"b\"],\"ExposedPorts\":{\"80/tcp\":{}}}",
	 "{\"ExposedPorts\":{\"443/tcp\":{},\"80/tcp\":{}}}", "ExposedPorts",
	 "{\"80/tcp\":{},\"443/tcp\":{}}"},
	{"{\"Cmd\":[\"b\"],\"Labels\":{\"a\":\"1\"}}",
	 "{\"Labels\":{\"a\":\"0\",\"b\":\"2\"}}", "Labels",
	 "{\"a\":\"1\",\"b\":\"2\"}"},
	{"{\"Cmd\":[\"b\"]}", "{\"Volumes\":{\"/d\":{}}}", "Volumes",
	 "{\"/d\":{}}"},
	{"{\"Cmd\":[\"b\"]}", "{}", "Volumes", "null"},
	{"{\"Cmd\":[\"b\"]}", "{}", "Labels", "{}"},
	/* single values */
	{"{\"Cmd\":[\"b\"]}", "{\"User\":\"web\"}", "User", "\"web\""},
	{"{\"Cmd\":[\"b\"],\"User\":\"0\"}", "{\"User\":\"web\"}", "User",
	 "\"0\""},
	{"{\"Cmd\":[\"b\"]}", "{\"WorkingDir\":\"/a//b/../c\"}", "WorkingDir",
	 "\"/a/c\""},
	{"{\"Cmd\":[\"b\"]}", "{\"WorkingDir\":\"rel\"}", "WorkingDir",
	 "\"/rel\""},
	{"{\"Cmd\":[\"b\"]}", "{\"StopSignal\":\"SIGQUIT\"}", "StopSignal",
	 "\"SIGQUIT\""},
	{"{\"Cmd\":[\"b\"],\"StopSignal\":\"USR1\"}",
	 "{\"StopSignal\":\"SIGQUIT\"}", "StopSignal", "\"USR1\""},
	{"{\"Cmd\":[\"b\"]}", "{\"Healthcheck\":{\"Test\":[\"CMD\",\"x\"]}}",
	 "Healthcheck", "{\"Test\":[\"CMD\",\"x\"]}"},
	{"{\"Cmd\":[\"b\"],\"Healthcheck\":{\"Test\":[\"NONE\"]}}",
	 "{\"Healthcheck\":{\"Test\":[\"CMD\",\"x\"]}}", "Healthcheck",
	 "{\"Test\":[\"NONE\"]}"},
	{"{\"Cmd\":[\"b\"],\"Healthcheck\":{\"Interval\":2000000,"
	 "\"Retries\":7}}",
	 "{\"Healthcheck\":{\"Test\":[\"CMD\",\"x\"],\"Retries\":2,"
	 "\"Timeout\":3000000}}",
	 "Healthcheck",
	 "{\"Interval\":2000000,\"Retries\":7,\"Test\":[\"CMD\",\"x\"],"
	 "\"Timeout\":3000000}"},
	/* what an image has and a body may not */
	{"{\"Cmd\":[\"b\"]}",
	 "{\"OnBuild\":[\"RUN x\"],\"ArgsEscaped\":true,\"Odd\":5}", "Cmd",
	 "[\"b\"]"},
};

static void test_merge(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(merges); i++) {
		const struct merge_case *row = &merges[i];
		cleanup_json cJSON *body = parse(row->body);
		cleanup_json cJSON *image = parse(row->image);
		cleanup_json cJSON *config = NULL;
		cleanup_free char *text = NULL;
		struct error err = {0};

		if (config_check_body(body, &err) < 0 ||
		    config_merge(body, image, &config, &err) < 0)
			fail_msg("%s + %s: %s", row->body, row->image,
				 err.message);
		text = json_print(
			cJSON_GetObjectItemCaseSensitive(config, row->member));
		assert_string_equal(text, row->expected);
	}
}

static void test_no_command(void **state)
{
	static const char *const bodies[] = {"{}", "{\"Cmd\":[]}",
					     "{\"Entrypoint\":[\"\"]}"};

	for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
		cleanup_json cJSON *body = parse(bodies[i]);
		cleanup_json cJSON *image = parse("{\"Env\":[\"A=1\"]}");
		struct error err = {0};
		cJSON *config = NULL;

		assert_true(config_merge(body, image, &config, &err) < 0);
		assert_null(config);
		assert_string_equal(err.message, "no command specified");
	}
}

static void test_no_image_config(void **state)
{
	cleanup_json cJSON *body = parse("{\"Cmd\":[\"x\"]}");
	cleanup_json cJSON *config = NULL;

	assert_int_equal(config_merge(body, NULL, &config, NULL), 0);
	assert_string_equal(member_string(config, "User"), "");
}

static const struct {
	const char *body;
	const char *message; /* a part of it */
} wrong_bodies[] = {
	{"[]", "config cannot be empty"},
	{"{\"Env\":\"A=1\"}", "Env: expected an array of strings"},
	{"{\"Env\":[1]}", "Env: expected an array of strings"},
	{"{\"Env\":[\"=x\"]}", "invalid environment variable: =x"},
	{"{\"Env\":[\"\"]}", "invalid environment variable: \"\""},
	{"{\"Tty\":\"yes\"}", "Tty: expected true or false"},
	{"{\"StopTimeout\":1.5}", "StopTimeout: expected an integer"},
	{"{\"Labels\":{\"a\":1}}", "Labels: expected an object of strings"},
	{"{\"WorkingDir\":\"rel\"}", "the working directory 'rel' is invalid"},
	{"{\"StopSignal\":\"NOPE\"}", "invalid signal: NOPE"},
	{"{\"StopSignal\":\"0\"}", "invalid signal: 0"},
	{"{\"Hostname\":\"0123456789012345678901234567890123456789"
	 "0123456789012345678901234\"}",
	 "is too long (maximum 64 bytes)"},
	{"{\"Hostname\":\"a b\"}", "invalid hostname"},
	{"{\"Domainname\":\"a\\nb\"}", "invalid domain name"},
	{"{\"User\":\"a:b:c\"}", "invalid user"},
	{"{\"User\":\"a:\"}", "invalid user"},
	{"{\"User\":\"4294967295\"}", "invalid user"},
	{"{\"User\":\"2147483648\"}", "invalid user"},
	{"{\"User\":\"../x\"}", "invalid user"},
	{"{\"OnBuild\":[\"RUN x\"]}", "OnBuild is not supported yet"},
	{"{\"Healthcheck\":{\"Test\":\"x\"}}", "an array of strings"},
	{"{\"Healthcheck\":{\"Interval\":999999}}",
	 "Interval in Healthcheck cannot be less than 1ms"},
	{"{\"Healthcheck\":{\"StartPeriod\":-1}}",
	 "StartPeriod in Healthcheck cannot be less than 1ms"},
	{"{\"Healthcheck\":{\"Retries\":-1}}",
	 "Retries in Healthcheck cannot be negative"},
	{"{\"Healthcheck\":{\"Odd\":1}}", "unknown member Healthcheck.Odd"},
	{"{\"NoSuchThing\":1}", "unknown member NoSuchThing"},
};

static void test_wrong_bodies(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(wrong_bodies); i++) {
		cleanup_json cJSON *body = parse(wrong_bodies[i].body);
		struct error err = {0};

		assert_true(config_check_body(body, &err) < 0);
		if (!strstr(err.message, wrong_bodies[i].message))
			fail_msg("%s: '%s' lacks '%s'", wrong_bodies[i].body,
				 err.message, wrong_bodies[i].message);
	}
}

static void test_good_bodies(void **state)
{
	static const char *const bodies[] = {
		"{}",
		/* What docker's client sends for members it does not use. */
		("{\"OnBuild\":null,\"NoSuchThing\":null,\"Other\":[],"
		 "\"More\":{},\"Zero\":0,\"Text\":\"\",\"Flag\":false}"),
		"{\"User\":\":5\"}",
		"{\"User\":\"web:staff\"}",
		"{\"User\":\"2147483647:0\"}",
		"{\"StopSignal\":\"RTMIN+3\",\"StopTimeout\":-1}",
	};

	for (size_t i = 0; i < ARRAY_SIZE(bodies); i++) {
		cleanup_json cJSON *body = parse(bodies[i]);
		struct error err = {0};

		if (config_check_body(body, &err) < 0)
			fail_msg("%s: %s", bodies[i], err.message);
	}
}

static void test_hostile_images(void **state)
{
	static const char *const images[] = {
		"{\"Env\":{}}",		"{\"Cmd\":[{}]}",
		"{\"Labels\":[]}",	"{\"ExposedPorts\":[]}",
		"{\"User\":[]}",	"{\"Volumes\":\"x\"}",
		"{\"User\":\"a\\nb\"}", "[]",
	};

	for (size_t i = 0; i < ARRAY_SIZE(images); i++) {
		cleanup_json cJSON *body = parse("{\"Cmd\":[\"x\"]}");
		cleanup_json cJSON *image = parse(images[i]);
		struct error err = {0};
		cJSON *config = NULL;

		assert_true(config_merge(body, image, &config, &err) < 0);
		assert_non_null(strstr(err.message, "the image's config"));
	}
}

static void test_too_many(void **state)
{
	cleanup_json cJSON *body = json_object();
	cJSON *env = json_array();
	struct error err = {0};

	for (int i = 0; i <= CONFIG_ENV_MAX; i++)
		json_push_string(env, "A=1");
	json_set(body, "Env", env);
	assert_true(config_check_body(body, &err) < 0);
	assert_non_null(strstr(err.message, "Env: more than"));
}

static void check_environment(const char *text, const char *expected)
{
	cleanup_json cJSON *config = parse(text);
	cleanup_strv char **env = config_environment(config);
	cleanup_free char *joined = strv_join(env, "|");

	assert_string_equal(joined, expected);
}

#define DEFAULT_PATH \
	"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static void test_environment(void **state)
{
	check_environment("{\"Hostname\":\"h\",\"Env\":[]}",
			  DEFAULT_PATH "|HOSTNAME=h");
	check_environment("{\"Hostname\":\"h\",\"Tty\":true,\"Env\":[\"A=\"]}",
			  DEFAULT_PATH "|HOSTNAME=h|TERM=xterm|A=");
	check_environment(
		"{\"Hostname\":\"h\",\"Env\":[\"PATH=/x\",\"A=1\",\"A=2\"]}",
		"PATH=/x|HOSTNAME=h|A=2");
	/* A name alone removes it. */
	check_environment("{\"Hostname\":\"h\",\"Env\":[\"PATH\",\"B=1\","
			  "\"B\"]}",
			  "HOSTNAME=h");
}

static void test_command(void **state)
{
	cleanup_json cJSON *config =
		parse("{\"Entrypoint\":[\"e\",\"1\"],\"Cmd\":[\"2\"]}");
	cleanup_json cJSON *args = NULL;
	cleanup_free char *text = NULL;
	const char *path = NULL;

	config_command(config, &path, &args);
	text = json_print(args);
	assert_string_equal(path, "e");
	assert_string_equal(text, "[\"1\",\"2\"]");
}

static void test_member_getters(void **state)
{
	cleanup_json cJSON *json = parse("{\"n\":7,\"s\":\"x\",\"z\":null,"
					 "\"l\":[\"a\",\"b\"]}");
	cleanup_strv char **list = member_strv(json, "l");

	assert_int_equal(member_i64(json, "n"), 7);
	assert_int_equal(member_i64(json, "none"), 0);
	assert_string_equal(member_string(json, "s"), "x");
	assert_string_equal(member_string(json, "n"), "");
	assert_string_equal(member_string(NULL, "n"), "");
	assert_null(member_get(json, "z"));
	assert_int_equal(strv_length(list), 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_merge),
		cmocka_unit_test(test_no_command),
		cmocka_unit_test(test_no_image_config),
		cmocka_unit_test(test_wrong_bodies),
		cmocka_unit_test(test_good_bodies),
		cmocka_unit_test(test_hostile_images),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_environment),
		cmocka_unit_test(test_command),
		cmocka_unit_test(test_member_getters),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
