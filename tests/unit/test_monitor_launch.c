/* record_launch_parse() and record_launch_json() of core/monitor/record.h */
#include "core/monitor/record.h"

#include <setjmp.h>
#include <signal.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"

#define MOSS                                                        \
	"\"StorageDriver\":\"overlay\",\"DiffIds\":[\"sha256:1\"]," \
	"\"Network\":\"slirp\",\"Seccomp\":\"file\","               \
	"\"SeccompName\":\"my.json\",\"Capabilities\":\"0xa80425fb\""
#define CONTAINER(config, host, moss)                                      \
	"{\"Name\":\"/web\",\"Config\":{" config "},\"HostConfig\":{" host \
	"},\"Moss\":{" moss "}}"

static cJSON *parse(const char *text)
{
	cJSON *json = NULL;

	assert_int_equal(json_parse(text, strlen(text), "test", &json, NULL),
			 0);
	return json;
}

static int parse_launch(const char *text, struct record_launch *ret_launch,
			struct error *err)
{
	cleanup_json cJSON *json = parse(text);

	return record_launch_parse(json, ret_launch, err);
}

static void test_launch(void **state)
{
	struct record_launch launch;
	struct record_launch again;
	struct error err = {0};
	cleanup_json cJSON *json = NULL;
	cJSON *moss;

	assert_int_equal(
		parse_launch(
			CONTAINER("\"Tty\":true,\"OpenStdin\":true,"
				  "\"StdinOnce\":false,"
				  "\"StopSignal\":\"SIGQUIT\","
				  "\"StopTimeout\":-1",
				  "\"AutoRemove\":true,\"LogConfig\":{"
				  "\"Type\":\"json-file\",\"Config\":{"
				  "\"max-size\":\"1k\",\"max-file\":\"2\"}}",
				  MOSS ",\"Ports\":[{\"HostIp\":\"127.0.0.1\","
				       "\"HostPort\":0,\"HostPortEnd\":0,"
				       "\"ContainerPort\":53,"
				       "\"Protocol\":\"udp\"}],"
				       "\"AnonymousVolumes\":[\"v\"],"
				       "\"HostLoopback\":true,"
				       "\"HostPorts\":[\"5432\"],"
				       "\"Volatile\":true,"
				       "\"Address\":\"10.0.2.7\",\"Mac\":null"),
			&launch, &err),
		0);
	assert_string_equal(launch.name, "web");
	assert_true(launch.terminal && launch.open_stdin);
	assert_false(launch.stdin_once);
	assert_int_equal(launch.stop_signal, SIGQUIT);
	assert_int_equal(launch.stop_timeout, -1);
	assert_true(launch.auto_remove);
	assert_int_equal(launch.log.max_size, 1000);
	assert_int_equal(launch.log.max_file, 2);
	assert_int_equal(launch.network, LAUNCH_NETWORK_SLIRP);
	assert_int_equal(launch.seccomp, LAUNCH_SECCOMP_FILE);
	assert_true(launch.capabilities == 0xa80425fb);
	assert_int_equal(launch.ports.count, 1);
	assert_int_equal(launch.ports.entries[0].protocol, PORT_UDP);
	assert_null(launch.mac);

	/* What is written is what was read. */
	moss = record_launch_json(&launch);
	json = parse(CONTAINER("", "", ""));
	cJSON_ReplaceItemInObjectCaseSensitive(json, "Moss", moss);
	assert_int_equal(record_launch_parse(json, &again, &err), 0);
	assert_int_equal(again.storage_driver, SNAPSHOT_OVERLAY);
	assert_string_equal(again.diff_ids[0], "sha256:1");
	assert_int_equal(again.network, LAUNCH_NETWORK_SLIRP);
	assert_int_equal(again.seccomp, LAUNCH_SECCOMP_FILE);
	assert_string_equal(again.seccomp_name, "my.json");
	assert_true(again.capabilities == 0xa80425fb);
	assert_true(again.host_loopback && again.is_volatile);
	assert_false(again.single_id);
	assert_string_equal(again.address, "10.0.2.7");
	assert_string_equal(again.anonymous_volumes[0], "v");
	assert_string_equal(again.host_ports[0], "5432");
	assert_memory_equal(again.ports.entries, launch.ports.entries,
			    sizeof(*launch.ports.entries));
	/* Defaults. */
	assert_int_equal(again.stop_signal, SIGTERM);
	assert_int_equal(again.stop_timeout, 10);
	assert_int_equal(again.log.max_size, -1);
	record_launch_release(&launch);
	record_launch_release(&again);
}

static const struct {
	const char *json;
	const char *message; /* its beginning */
} bad_launches[] = {
	{"{}", "container.Name: '' is no name"},
	{"{\"Name\":\"/a/b\"}", "container.Name: 'a/b' is no name"},
	{"{\"Name\":\"/web\"}", "container.Config: missing"},
	{"{\"Name\":\"/web\",\"Config\":[]}", "container.Config: expected"},
	{"{\"Name\":\"/web\",\"Config\":{},\"HostConfig\":{}}",
	 "container.Moss: missing"},
	{CONTAINER("\"Tty\":1", "", MOSS), "Config.Tty: expected"},
	{CONTAINER("\"StopSignal\":\"SIGNOPE\"", "", MOSS),
	 "Config.StopSignal: invalid signal 'SIGNOPE'"},
	{CONTAINER("\"StopTimeout\":-2", "", MOSS),
	 "Config.StopTimeout: -2 is out of range"},
	{CONTAINER("", "\"LogConfig\":{\"Type\":\"gelf\"}", MOSS),
	 "unknown log driver \"gelf\""},
	{CONTAINER("", "", ""), "Moss.StorageDriver: missing"},
	{CONTAINER("", "", "\"StorageDriver\":\"overlay\""),
	 "Moss.Network: unknown value ''"},
	{CONTAINER("", "",
		   "\"StorageDriver\":\"overlay\",\"Network\":\"bridge\""),
	 "Moss.Network: unknown value 'bridge'"},
	{CONTAINER("", "",
		   "\"StorageDriver\":\"overlay\",\"Network\":\"host\","
		   "\"Seccomp\":\"maybe\""),
	 "Moss.Seccomp: unknown value 'maybe'"},
	{CONTAINER("", "",
		   "\"StorageDriver\":\"overlay\",\"Network\":\"host\","
		   "\"Seccomp\":\"default\",\"Capabilities\":\"0x-1\""),
	 "Moss.Capabilities: '0x-1' is no mask"},
	{CONTAINER("", "",
		   "\"StorageDriver\":\"overlay\",\"Network\":\"host\","
		   "\"Seccomp\":\"default\","
		   "\"Capabilities\":\"0x1ffffffffffffffff\""),
	 "Moss.Capabilities: "},
	{CONTAINER("", "", MOSS ",\"AnonymousVolumes\":[1]"),
	 "Moss.AnonymousVolumes"},
	{CONTAINER("", "", MOSS ",\"Ports\":[{\"HostPort\":-1}]"),
	 "Moss.Ports[0].HostPort: not a port"},
	{CONTAINER("", "", MOSS ",\"Ports\":[7]"), "Moss.Ports[0]"},
};

static void test_launch_bad(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(bad_launches); i++) {
		struct record_launch launch;
		struct error err = {0};
		int r = parse_launch(bad_launches[i].json, &launch, &err);

		if (r == 0 || !str_starts(err.message, bad_launches[i].message))
			print_error("%s: %s\n", bad_launches[i].json,
				    err.message);
		assert_true(r < 0);
		assert_true(str_starts(err.message, bad_launches[i].message));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_launch),
		cmocka_unit_test(test_launch_bad),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
