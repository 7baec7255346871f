/* core/engine/ocispec.h: from a body to an OCI configuration */
#include "core/engine/ocispec.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "core/engine/config.h"
#include "core/engine/hostconfig.h"
#include "core/engine/members.h"

static cJSON *parse(const char *text)
{
	struct error err = {0};
	cJSON *json = NULL;

	if (json_parse(text, strlen(text), "test", &json, &err) < 0)
		fail_msg("%s: %s", text, err.message);
	return json;
}

static const struct id_map whole = {
	.extents = {{0, 0, 65537}},
	.count = 1,
};

static const struct identity mapped = {
	.uid = 1000,
	.gid = 1000,
	.mapped = true,
	.uids = {.extents = {{0, 1000, 1}, {1, 100000, 65536}}, .count = 2},
	.gids = {.extents = {{0, 1000, 1}, {1, 100000, 65536}}, .count = 2},
};

static const struct identity single = {
	.uid = 1000,
	.gid = 1000,
	.uids = {.extents = {{0, 1000, 1}}, .count = 1},
	.gids = {.extents = {{0, 1000, 1}}, .count = 1},
};

/* container.json as creation makes it, as far as the spec is concerned. */
static cJSON *container_of(const char *body_text, const struct id_map *map,
			   bool single_id)
{
	cleanup_json cJSON *body = parse(body_text);
	CLEANUP(mount_list_release) struct mount_list mounts = {0};
	cJSON *container = json_object();
	cJSON *config = NULL, *host, *engine = json_object();
	cJSON *moss = json_object();
	const char *path;
	cJSON *args;
	struct error err = {0};

	if (config_check_body(body, &err) < 0 ||
	    host_config_check(member_get(body, "HostConfig"), false, &err) <
		    0 ||
	    config_merge(body, NULL, &config, &err) < 0)
		fail_msg("%s: %s", body_text, err.message);
	if (*member_string(config, "Hostname") == '\0')
		json_set_string(config, "Hostname", "0123456789ab");
	host = host_config_normalise(member_get(body, "HostConfig"));
	if (mounts_collect(host, member_get(config, "Volumes"), &mounts, &err) <
	    0)
		fail_msg("%s: %s", body_text, err.message);
	for (size_t i = 0; i < mounts.count; i++) {
		if (mounts.entries[i].kind == MOUNT_VOLUME)
			mounts.entries[i].source = xstrdup("/store/volume");
	}
	config_command(config, &path, &args);
	json_set_string(container, "Path", path);
	json_set(container, "Args", args);
	json_set(container, "Config", config);
	json_set(container, "HostConfig", host);
	json_set_string(moss, "Capabilities", "0x401");
	json_set_bool(moss, "SingleId", single_id);
	json_set(container, "Moss", moss);
	json_set(engine, "Mounts", mounts_json(&mounts));
	json_set(engine, "Uids", ocispec_map_json(map));
	json_set(engine, "Gids", ocispec_map_json(map));
	json_set_bool(engine, "NoNewPrivileges", true);
	json_set(container, "Engine", engine);
	return container;
}

static cJSON *build(const cJSON *container, struct spec_request request)
{
	struct error err = {0};
	cJSON *spec = NULL;

	request.container = container;
	request.directory = "/store/containers/ID";
	if (!request.identity)
		request.identity = &mapped;
	if (ocispec_build(&request, &spec, &err) < 0)
		fail_msg("%s", err.message);
	return spec;
}

static cJSON *spec_of(const char *body)
{
	cleanup_json cJSON *container = container_of(body, &whole, false);

	return build(container, (struct spec_request){.first = true});
}

/* "process.args": the member as text; "null" when it is not there. */
static char *text_at(const cJSON *json, const char *path)
{
	cleanup_strv char **parts = strv_split(path, '/');

	for (size_t i = 0; json && parts[i]; i++)
		json = cJSON_GetObjectItemCaseSensitive(json, parts[i]);
	return json ? json_print(json) : xstrdup("null");
}

static const cJSON *mount_at(const cJSON *spec, const char *destination)
{
	const cJSON *mount;

	cJSON_ArrayForEach(mount, member_get(spec, "mounts"))
	{
		if (str_equal(member_string(mount, "destination"), destination))
			return mount;
	}
	return NULL;
}

#define BODY(config, host) \
	"{\"Cmd\":[\"sh\",\"-c\",\"x\"]," config "\"HostConfig\":{" host "}}"

static const struct {
	const char *body;
	const char *path;
	const char *expected;
} members[] = {
	{BODY("", ""), "ociVersion", "\"1.1.0\""},
	{BODY("", ""), "process/args", "[\"sh\",\"-c\",\"x\"]"},
	{BODY("", ""), "process/cwd", "\"/\""},
	{BODY("\"WorkingDir\":\"/srv\",", ""), "process/cwd", "\"/srv\""},
	{BODY("", ""), "process/terminal", "false"},
	{BODY("\"Tty\":true,", ""), "process/terminal", "true"},
	{BODY("\"Tty\":true,", "\"ConsoleSize\":[24,80]"),
	 "process/consoleSize", "{\"height\":24,\"width\":80}"},
	{BODY("", "\"ConsoleSize\":[24,80]"), "process/consoleSize", "null"},
	{BODY("", ""), "process/user", "{\"uid\":0,\"gid\":0}"},
	{BODY("\"User\":\"5:6\",", ""), "process/user",
	 "{\"uid\":5,\"gid\":6}"},
	{BODY("", ""), "process/annotations", "{\"dev.moss.user\":\"0\"}"},
	{BODY("\"User\":\"web\",", "\"GroupAdd\":[\"a\",\"7\"]"),
	 "process/annotations",
	 "{\"dev.moss.user\":\"web\",\"dev.moss.group-add\":\"a,7\"}"},
	{BODY("", ""), "process/noNewPrivileges", "true"},
	{BODY("", ""), "process/oomScoreAdj", "null"},
	{BODY("", "\"OomScoreAdj\":500"), "process/oomScoreAdj", "500"},
	{BODY("", ""), "process/rlimits", "[]"},
	{BODY("", "\"Ulimits\":[{\"Name\":\"core\",\"Soft\":1,\"Hard\":2}]"),
	 "process/rlimits",
	 "[{\"type\":\"RLIMIT_CORE\",\"soft\":1,\"hard\":2}]"},
	{BODY("", ""), "process/capabilities/bounding",
	 "[\"CAP_CHOWN\",\"CAP_NET_BIND_SERVICE\"]"},
	{BODY("", ""), "process/capabilities/inheritable", "[]"},
	{BODY("", ""), "process/capabilities/ambient", "[]"},
	{BODY("", ""), "root/readonly", "false"},
	{BODY("", "\"ReadonlyRootfs\":true"), "root/readonly", "true"},
	{BODY("", ""), "hostname", "\"0123456789ab\""},
	{BODY("\"Hostname\":\"h\",\"Domainname\":\"d\",", ""), "domainname",
	 "\"d\""},
	{BODY("", "\"UTSMode\":\"host\""), "hostname", "null"},
	{BODY("", ""), "annotations", "{}"},
	{BODY("", "\"Init\":true,\"Annotations\":{\"a\":\"b\"}"), "annotations",
	 "{\"a\":\"b\",\"dev.moss.init\":\"true\"}"},
	{BODY("", "\"Init\":true,\"PidMode\":\"host\""), "annotations", "{}"},
	{BODY("", ""), "linux/namespaces",
	 "[{\"type\":\"user\"},{\"type\":\"mount\"},{\"type\":\"pid\"},"
	 "{\"type\":\"ipc\"},{\"type\":\"uts\"},{\"type\":\"network\"},"
	 "{\"type\":\"cgroup\"}]"},
	{BODY("", "\"NetworkMode\":\"host\",\"PidMode\":\"host\",\"IpcMode\":"
		  "\"host\",\"UTSMode\":\"host\",\"CgroupnsMode\":\"host\""),
	 "linux/namespaces", "[{\"type\":\"user\"},{\"type\":\"mount\"}]"},
	{BODY("", ""), "linux/uidMappings",
	 "[{\"containerID\":0,\"hostID\":0,\"size\":65537}]"},
	{BODY("", ""), "linux/sysctl",
	 "{\"net.ipv4.ip_unprivileged_port_start\":\"0\","
	 "\"net.ipv4.ping_group_range\":\"0 65536\","
	 "\"net.ipv4.tcp_congestion_control\":\"reno\"}"},
	{BODY("", "\"NetworkMode\":\"none\",\"Sysctls\":{\"net.ipv4."
		  "ip_unprivileged_port_start\":\"80\"}"),
	 "linux/sysctl",
	 "{\"net.ipv4.ip_unprivileged_port_start\":\"80\","
	 "\"net.ipv4.ping_group_range\":\"0 65536\","
	 "\"net.ipv4.tcp_congestion_control\":\"reno\"}"},
	{BODY("", "\"NetworkMode\":\"host\""), "linux/sysctl", "{}"},
	{BODY("", "\"MaskedPaths\":[]"), "linux/maskedPaths", "[]"},
	{BODY("", "\"Privileged\":true"), "linux/maskedPaths", "[]"},
	{BODY("", "\"Privileged\":true"), "linux/readonlyPaths", "[]"},
	{BODY("", ""), "linux/rootfsPropagation", "null"},
	{BODY("", "\"Binds\":[\"/etc:/x:rslave\"]"), "linux/rootfsPropagation",
	 "\"rslave\""},
	{BODY("", "\"Devices\":[{\"PathOnHost\":\"/dev/null\","
		  "\"PathInContainer\":\"/dev/nothing\"}]"),
	 "linux/devices",
	 "[{\"path\":\"/dev/nothing\",\"type\":\"c\",\"major\":1,\"minor\":3,"
	 "\"fileMode\":438,\"uid\":0,\"gid\":0,\"source\":\"/dev/null\"}]"},
};

static void test_members(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
		cleanup_json cJSON *spec = spec_of(members[i].body);
		cleanup_free char *text = text_at(spec, members[i].path);

		if (strcmp(text, members[i].expected) != 0)
			fail_msg("%s: %s is %s, not %s", members[i].body,
				 members[i].path, text, members[i].expected);
	}
}

static const struct {
	const char *body;
	const char *destination;
	const char *expected; /* NULL: no such mount */
} mounts[] = {
	{BODY("", ""), "/proc",
	 "{\"destination\":\"/proc\",\"type\":\"proc\",\"source\":\"proc\","
	 "\"options\":[\"nosuid\",\"noexec\",\"nodev\"]}"},
	{BODY("", "\"PidMode\":\"host\""), "/proc",
	 "{\"destination\":\"/proc\",\"type\":\"bind\",\"source\":\"/proc\","
	 "\"options\":[\"rbind\"]}"},
	{BODY("", "\"NetworkMode\":\"host\""), "/sys",
	 "{\"destination\":\"/sys\",\"type\":\"bind\",\"source\":\"/sys\","
	 "\"options\":[\"rbind\",\"ro\"]}"},
	{BODY("", ""), "/dev/pts",
	 "{\"destination\":\"/dev/pts\",\"type\":\"devpts\",\"source\":"
	 "\"devpts\",\"options\":[\"nosuid\",\"noexec\",\"newinstance\","
	 "\"ptmxmode=0666\",\"mode=0620\",\"gid=5\"]}"},
	{BODY("", "\"ShmSize\":4096"), "/dev/shm",
	 "{\"destination\":\"/dev/shm\",\"type\":\"tmpfs\",\"source\":\"shm\","
	 "\"options\":[\"nosuid\",\"noexec\",\"nodev\",\"mode=1777\","
	 "\"size=4096\"]}"},
	{BODY("", "\"IpcMode\":\"none\""), "/dev/shm", NULL},
	{BODY("", ""), "/sys",
	 "{\"destination\":\"/sys\",\"type\":\"sysfs\",\"source\":\"sysfs\","
	 "\"options\":[\"nosuid\",\"noexec\",\"nodev\",\"ro\"]}"},
	{BODY("", "\"Privileged\":true"), "/sys",
	 "{\"destination\":\"/sys\",\"type\":\"sysfs\",\"source\":\"sysfs\","
	 "\"options\":[\"nosuid\",\"noexec\",\"nodev\"]}"},
	{BODY("", ""), "/etc/hosts",
	 "{\"destination\":\"/etc/hosts\",\"type\":\"bind\",\"source\":"
	 "\"/store/containers/ID/hosts\",\"options\":[\"rbind\","
	 "\"rprivate\"]}"},
	{BODY("", "\"ReadonlyRootfs\":true"), "/etc/resolv.conf",
	 "{\"destination\":\"/etc/resolv.conf\",\"type\":\"bind\",\"source\":"
	 "\"/store/containers/ID/resolv.conf\",\"options\":[\"rbind\",\"ro\","
	 "\"rprivate\"]}"},
	{BODY("", "\"Binds\":[\"/etc/passwd:/etc/hosts:ro\"]"), "/etc/hosts",
	 "{\"destination\":\"/etc/hosts\",\"type\":\"bind\",\"source\":"
	 "\"/etc/passwd\",\"options\":[\"rbind\",\"ro\",\"rprivate\"]}"},
	{BODY("", "\"Binds\":[\"vol:/data\"]"), "/data",
	 "{\"destination\":\"/data\",\"type\":\"bind\",\"source\":"
	 "\"/store/volume\",\"options\":[\"rbind\",\"rprivate\",\"copyup\"]}"},
	{BODY("", "\"Binds\":[\"vol:/data:nocopy\"]"), "/data",
	 "{\"destination\":\"/data\",\"type\":\"bind\",\"source\":"
	 "\"/store/volume\",\"options\":[\"rbind\",\"rprivate\"]}"},
	{BODY("", "\"Tmpfs\":{\"/run\":\"size=1m\"}"), "/run",
	 "{\"destination\":\"/run\",\"type\":\"tmpfs\",\"source\":\"tmpfs\","
	 "\"options\":[\"noexec\",\"nosuid\",\"nodev\",\"rprivate\","
	 "\"size=1m\"]}"},
	{BODY("", "\"Mounts\":[{\"Type\":\"bind\",\"Source\":\"/etc\","
		  "\"Target\":\"/x\",\"BindOptions\":{\"NonRecursive\":"
		  "true}}]"),
	 "/x",
	 "{\"destination\":\"/x\",\"type\":\"bind\",\"source\":\"/etc\","
	 "\"options\":[\"bind\",\"rprivate\"]}"},
	/* the user's own /dev hides everything below the default one */
	{BODY("", "\"Binds\":[\"/etc:/dev\"]"), "/dev/pts", NULL},
};

static void test_mounts(void **state)
{
	for (size_t i = 0; i < ARRAY_SIZE(mounts); i++) {
		cleanup_json cJSON *spec = spec_of(mounts[i].body);
		const cJSON *mount = mount_at(spec, mounts[i].destination);
		cleanup_free char *text = mount ? json_print(mount) : NULL;

		if (!str_equal(text, mounts[i].expected))
			fail_msg("%s: %s is %s, not %s", mounts[i].body,
				 mounts[i].destination, text ? text : "none",
				 mounts[i].expected ? mounts[i].expected
						    : "none");
	}
}

/* Shallow mounts come before what lies in them. */
static void test_mount_order(void **state)
{
	static const char *const expected[] = {
		"/proc",	 "/dev",	   "/dev/pts",
		"/sys",		 "/sys/fs/cgroup", "/dev/mqueue",
		"/dev/shm",	 "/etc",	   "/etc/resolv.conf",
		"/etc/hostname", "/etc/hosts",	   "/etc/a/b"};
	cleanup_json cJSON *spec = spec_of(
		BODY("", "\"Binds\":[\"/etc:/etc/a/b\",\"/etc:/etc\"]"));
	const cJSON *mount;
	size_t i = 0;

	cJSON_ArrayForEach(mount, member_get(spec, "mounts"))
	{
		assert_true(i < ARRAY_SIZE(expected));
		assert_string_equal(member_string(mount, "destination"),
				    expected[i++]);
	}
	assert_int_equal(i, ARRAY_SIZE(expected));
}

static void test_only_the_first_start_copies(void **state)
{
	cleanup_json cJSON *container = container_of(
		BODY("", "\"Binds\":[\"vol:/data\"]"), &whole, false);
	cleanup_json cJSON *spec =
		build(container, (struct spec_request){.first = false});
	cleanup_strv char **options =
		member_strv(mount_at(spec, "/data"), "options");

	assert_false(strv_contains(options, "copyup"));
}

static void test_single_id(void **state)
{
	static const struct id_map one = {.extents = {{0, 0, 1}}, .count = 1};
	cleanup_json cJSON *container = container_of(BODY("", ""), &one, true);
	cleanup_json cJSON *spec =
		build(container, (struct spec_request){.identity = &single});
	cleanup_strv char **options =
		member_strv(mount_at(spec, "/dev/pts"), "options");
	cleanup_free char *annotations = text_at(spec, "process/annotations");
	cleanup_free char *range =
		text_at(spec, "linux/sysctl/net.ipv4.ping_group_range");

	/* Group 5 does not exist, nor do root's groups. */
	assert_false(strv_contains(options, "gid=5"));
	assert_string_equal(annotations, "{}");
	assert_string_equal(range, "\"0 0\"");
}

/* The kernel wants the range in order on the host's side, too. */
static void test_ping_range_of_a_high_user(void **state)
{
	static const struct identity high = {
		.uid = 200000,
		.gid = 200000,
		.mapped = true,
		.gids = {.extents = {{0, 200000, 1}, {1, 100000, 65536}},
			 .count = 2},
	};
	cleanup_json cJSON *container =
		container_of(BODY("", ""), &whole, false);
	cleanup_json cJSON *spec =
		build(container, (struct spec_request){.identity = &high});
	cleanup_free char *range =
		text_at(spec, "linux/sysctl/net.ipv4.ping_group_range");

	assert_string_equal(range, "\"1 65536\"");
}

static void test_join(void **state)
{
	cleanup_json cJSON *container = container_of(
		BODY("", "\"NetworkMode\":\"container:a\",\"IpcMode\":"
			 "\"container:a\",\"PidMode\":\"container:a\""),
		&whole, false);
	cleanup_json cJSON *spec = build(
		container, (struct spec_request){.network_directory =
							 "/store/containers/A",
						 .join = {[JOIN_NETWORK] = 7,
							  [JOIN_IPC] = 7,
							  [JOIN_PID] = 7}});
	cleanup_free char *namespaces = text_at(spec, "linux/namespaces");
	cleanup_free char *map = text_at(spec, "linux/uidMappings");
	cleanup_free char *sysctl = text_at(spec, "linux/sysctl");

	assert_string_equal(
		namespaces,
		"[{\"type\":\"user\",\"path\":\"/proc/7/ns/user\"},"
		"{\"type\":\"mount\"},"
		"{\"type\":\"pid\",\"path\":\"/proc/7/ns/pid\"},"
		"{\"type\":\"ipc\",\"path\":\"/proc/7/ns/ipc\"},"
		"{\"type\":\"uts\"},"
		"{\"type\":\"network\",\"path\":\"/proc/7/ns/net\"},"
		"{\"type\":\"cgroup\"}]");
	assert_string_equal(map, "null");
	assert_string_equal(sysctl, "{}");
	assert_string_equal(
		member_string(mount_at(spec, "/etc/hosts"), "source"),
		"/store/containers/A/hosts");
	assert_string_equal(member_string(mount_at(spec, "/dev/shm"), "source"),
			    "/proc/7/root/dev/shm");
}

static void test_map_round_trip(void **state)
{
	static const struct id_map map = {
		.extents = {{0, 1, 1000},
			    {1000, 0, 1},
			    {1001, 1001, 4294960000}},
		.count = 3,
	};
	cleanup_json cJSON *json = ocispec_map_json(&map);
	cleanup_json cJSON *damaged = parse("[[0,-1,5]]");
	struct id_map again;

	assert_int_equal(ocispec_map_parse(json, &again, NULL), 0);
	assert_int_equal(again.count, 3);
	assert_memory_equal(again.extents, map.extents,
			    3 * sizeof(map.extents[0]));
	assert_true(ocispec_map_parse(damaged, &again, NULL) < 0);
}

static void test_exec(void **state)
{
	cleanup_json cJSON *container =
		container_of(BODY("\"User\":\"web\",\"Env\":[\"A=1\"],"
				  "\"WorkingDir\":\"/srv\",",
				  ""),
			     &whole, false);
	cleanup_json cJSON *body =
		parse("{\"Cmd\":[\"id\"],\"Env\":[\"B=2\",\"A\"],\"Tty\":true,"
		      "\"ConsoleSize\":[1,2],\"AttachStdin\":true}");
	cleanup_json cJSON *process = NULL;
	cleanup_free char *env = NULL;
	cleanup_free char *user = NULL;

	assert_int_equal(ocispec_exec_process(container, body, &process, NULL),
			 0);
	env = text_at(process, "env");
	user = text_at(process, "annotations/dev.moss.user");
	assert_non_null(strstr(env, "\"B=2\""));
	assert_non_null(strstr(env, "\"TERM=xterm\""));
	assert_null(strstr(env, "\"A=1\""));
	assert_string_equal(user, "\"web\"");
	assert_string_equal(member_string(process, "cwd"), "/srv");
	assert_true(member_bool(process, "terminal"));
	assert_true(member_bool(process, "noNewPrivileges"));
}

static void test_wrong_exec(void **state)
{
	static const struct {
		const char *body;
		const char *message;
	} rows[] = {
		{"{}", "No exec command specified"},
		{"{\"Cmd\":[]}", "No exec command specified"},
		{"{\"Cmd\":[\"x\"],\"WorkingDir\":\"r\"}", "absolute path"},
		{"{\"Cmd\":[\"x\"],\"User\":\"a:b:c\"}", "invalid user"},
		{"{\"Cmd\":[\"x\"],\"Env\":[\"=\"]}", "invalid environment"},
		{"{\"Cmd\":[\"x\"],\"Odd\":1}", "unknown member Odd"},
	};
	cleanup_json cJSON *container =
		container_of(BODY("", ""), &whole, false);

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_json cJSON *body = parse(rows[i].body);
		struct error err = {0};
		cJSON *process = NULL;

		assert_true(ocispec_exec_process(container, body, &process,
						 &err) < 0);
		assert_non_null(strstr(err.message, rows[i].message));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_members),
		cmocka_unit_test(test_mounts),
		cmocka_unit_test(test_mount_order),
		cmocka_unit_test(test_only_the_first_start_copies),
		cmocka_unit_test(test_single_id),
		cmocka_unit_test(test_ping_range_of_a_high_user),
		cmocka_unit_test(test_join),
		cmocka_unit_test(test_map_round_trip),
		cmocka_unit_test(test_exec),
		cmocka_unit_test(test_wrong_exec),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
