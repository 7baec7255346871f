/* core/engine/status.h and the names of core/engine/container.h */
#include "core/engine/status.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "core/engine/container.h"
#include "core/engine/members.h"

static char never[] = CONTAINER_TIME_NONE;
static char noon[] = "2026-01-02T12:00:00.500000000Z";
static char later[] = "2026-01-02T13:30:00.000000000Z";

static char starting[] = HEALTH_STARTING;
static char healthy[] = HEALTH_HEALTHY;

/* 2026-01-02T15:30:00.2Z */
static const struct timespec now = {1767367800, 200000000};

static const struct {
	enum container_status status;
	char *started, *finished;
	int exit_code;
	const char *expected;
	char *health;
} texts[] = {
	{CONTAINER_CREATED, never, never, 0, "Created", NULL},
	{CONTAINER_CREATED, NULL, NULL, 127, "Created", NULL},
	{CONTAINER_RUNNING, later, never, 0, "Up 2 hours", NULL},
	{CONTAINER_PAUSED, later, never, 0, "Up 2 hours (Paused)", NULL},
	{CONTAINER_EXITED, noon, later, 0, "Exited (0) 2 hours ago", NULL},
	{CONTAINER_EXITED, noon, noon, 137, "Exited (137) 3 hours ago", NULL},
	{CONTAINER_RESTARTING, noon, later, 1, "Restarting (1) 2 hours ago",
	 NULL},
	{CONTAINER_REMOVING, noon, later, 1, "Removal In Progress", NULL},
	{CONTAINER_DEAD, noon, later, 1, "Dead", NULL},
	{CONTAINER_RUNNING, later, never, 0, "Up 2 hours (health: starting)",
	 starting},
	{CONTAINER_RUNNING, later, never, 0, "Up 2 hours (healthy)", healthy},
	{CONTAINER_PAUSED, later, never, 0, "Up 2 hours (Paused)", healthy},
	{CONTAINER_EXITED, noon, noon, 1, "Exited (1) 3 hours ago", healthy},
};

static void test_text(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		const struct container_state container = {
			.status = texts[i].status,
			.started_at = texts[i].started,
			.finished_at = texts[i].finished,
			.exit_code = texts[i].exit_code,
			.health = texts[i].health,
		};
		cleanup_free char *text = status_text(&container, &now);

		assert_string_equal(text, texts[i].expected);
	}
}

/* A clock that was set back must not show a negative time. */
static void test_text_of_the_future(void **state)
{
	const struct timespec before = {0, 0};
	const struct container_state container = {.status = CONTAINER_RUNNING,
						  .started_at = noon};
	cleanup_free char *text = status_text(&container, &before);

	assert_string_equal(text, "Up Less than a second");
}

static void test_json(void **state)
{
	const struct container_state container = {
		.status = CONTAINER_RUNNING,
		.pid = 42,
		.started_at = noon,
		.finished_at = never,
	};
	cleanup_json cJSON *json = status_json(&container, -1);
	cleanup_free char *text = json_print(json);

	assert_string_equal(
		text,
		"{\"Status\":\"running\",\"Running\":true,\"Paused\":false,"
		"\"Restarting\":false,\"OOMKilled\":false,\"Dead\":false,"
		"\"Pid\":42,\"ExitCode\":0,\"Error\":\"\",\"StartedAt\":"
		"\"2026-01-02T12:00:00.500000000Z\",\"FinishedAt\":"
		"\"0001-01-01T00:00:00Z\"}");
}

static cJSON *parse(const char *text)
{
	cJSON *json = NULL;

	assert_int_equal(json_parse(text, strlen(text), "test", &json, NULL),
			 0);
	return json;
}

static struct port_mapping entries[] = {
	{.host_port = 8080, .container_port = 80},
	{.host_ip = "127.0.0.1",
	 .host_port = 5353,
	 .container_port = 53,
	 .protocol = PORT_UDP},
};
static const struct port_list ports = {entries, ARRAY_SIZE(entries)};

static void test_port_map(void **state)
{
	cleanup_json cJSON *exposed =
		parse("{\"80/tcp\":{},\"443\":{},\"x\":{}}");
	cleanup_json cJSON *map = status_port_map(&ports, exposed);
	cleanup_free char *text = json_print(map);

	assert_string_equal(
		text, "{\"80/tcp\":[{\"HostIp\":\"0.0.0.0\",\"HostPort\":"
		      "\"8080\"},{\"HostIp\":\"::\",\"HostPort\":\"8080\"}],"
		      "\"53/udp\":[{\"HostIp\":\"127.0.0.1\",\"HostPort\":"
		      "\"5353\"}],\"443/tcp\":null}");
}

static void test_port_summary(void **state)
{
	cleanup_json cJSON *exposed = parse("{\"80/tcp\":{},\"443/tcp\":{}}");
	cleanup_json cJSON *array = status_port_summary(&ports, exposed);
	cleanup_free char *text = json_print(array);

	assert_string_equal(
		text,
		"[{\"IP\":\"0.0.0.0\",\"PrivatePort\":80,\"PublicPort\":8080,"
		"\"Type\":\"tcp\"},{\"IP\":\"::\",\"PrivatePort\":80,"
		"\"PublicPort\":8080,\"Type\":\"tcp\"},{\"IP\":\"127.0.0.1\","
		"\"PrivatePort\":53,\"PublicPort\":5353,\"Type\":\"udp\"},"
		"{\"PrivatePort\":443,\"Type\":\"tcp\"}]");
}

static void test_network(void **state)
{
	cleanup_json cJSON *container = parse(
		"{\"Id\":\"ID\",\"Config\":{},\"HostConfig\":{\"NetworkMode\":"
		"\"\"},\"Moss\":{\"Network\":\"slirp\",\"Address\":"
		"\"10.0.2.100\",\"Mac\":\"02:42:0a:00:02:64\"}}");
	struct container_state running = {.status = CONTAINER_RUNNING,
					  .pid = 7};
	struct container_state ended = {.status = CONTAINER_EXITED};
	cleanup_json cJSON *up = status_network(container, &running);
	cleanup_json cJSON *down = status_network(container, &ended);
	const cJSON *bridge = member_get(member_get(up, "Networks"), "bridge");

	assert_string_equal(member_string(up, "IPAddress"), "10.0.2.100");
	assert_string_equal(member_string(up, "SandboxKey"), "/proc/7/ns/net");
	assert_string_equal(member_string(bridge, "Gateway"), "10.0.2.2");
	assert_string_equal(member_string(bridge, "MacAddress"),
			    "02:42:0a:00:02:64");
	assert_int_equal(member_i64(bridge, "IPPrefixLen"), 24);
	assert_string_equal(member_string(down, "IPAddress"), "");
	assert_string_equal(member_string(down, "SandboxKey"), "");
}

static const struct {
	const char *name;
	bool is_valid;
} names[] = {
	{"www", true},
	{"a1", true},
	{"web_1.x-y", true},
	{"a", false},
	{"", false},
	{"-x", false},
	{".x", false},
	{"a/b", false},
	{"a b", false},
	{"a\n", false},
	{"\xc3\xa9t\xc3\xa9", false},
};

static void test_name_check(void **state)
{
	char longest[258];

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		assert_int_equal(container_name_check(names[i].name, NULL) == 0,
				 names[i].is_valid);
	memset(longest, 'x', sizeof(longest));
	longest[255] = '\0';
	assert_int_equal(container_name_check(longest, NULL), 0);
	longest[255] = 'x';
	longest[256] = '\0';
	assert_true(container_name_check(longest, NULL) < 0);
}

static void test_random_names(void **state)
{
	cleanup_strv char **seen = NULL;

	for (unsigned int i = 0; i < 200; i++) {
		char *name = container_name_random(i % 4);

		assert_int_equal(container_name_check(name, NULL), 0);
		assert_non_null(strchr(name, '_'));
		strv_push_take(&seen, name);
	}
	/* Not all the same. */
	assert_false(str_equal(seen[0], seen[4]) &&
		     str_equal(seen[4], seen[8]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_text_of_the_future),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_port_map),
		cmocka_unit_test(test_port_summary),
		cmocka_unit_test(test_network),
		cmocka_unit_test(test_name_check),
		cmocka_unit_test(test_random_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
