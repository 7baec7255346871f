/* core/runtime/spec.h and mountopt.h: what is taken and what is refused. */
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "core/runtime/kernel.h"
#include "core/runtime/mountopt.h"
#include "core/runtime/spec.h"

#define PROCESS "\"process\":{\"args\":[\"sh\"]}"
#define SPACES                                                           \
	"\"namespaces\":[{\"type\":\"user\"},{\"type\":\"mount\"}],"     \
	"\"uidMappings\":[{\"containerID\":0,\"hostID\":0,\"size\":1}]," \
	"\"gidMappings\":[{\"containerID\":0,\"hostID\":0,\"size\":1}]"
#define SPEC(process, top, linux_)                                            \
	"{\"ociVersion\":\"1.1.0\"," process top ",\"linux\":{" SPACES linux_ \
	"}}"

static cJSON *parse(const char *text)
{
	cJSON *json = NULL;
	struct error err = {0};

	if (json_parse(text, strlen(text), "test", &json, &err) < 0)
		fail_msg("%s", err.message);
	return json;
}

static void take(const char *text, struct runtime_spec *spec)
{
	cleanup_json cJSON *json = parse(text);
	struct error err = {0};

	if (spec_parse(json, spec, &err) < 0)
		fail_msg("%s", err.message);
}

static void test_smallest(void **state)
{
	struct runtime_spec spec;

	take(SPEC(PROCESS, "", ""), &spec);
	assert_string_equal(spec.process.args[0], "sh");
	assert_string_equal(spec.process.cwd, "/");
	assert_false(spec.process.has_umask);
	assert_int_equal(spec.namespace_count, 2);
	assert_true(spec_namespace_is_new(&spec, CLONE_NEWUSER));
	assert_null(spec_namespace(&spec, CLONE_NEWPID));
	assert_int_equal(spec.uid_map.count, 1);
	assert_int_equal(spec.root_propagation, MS_PRIVATE | MS_REC);
	spec_release(&spec);
	spec_release(&spec);
	spec_release(NULL);
}

static void test_process(void **state)
{
	struct runtime_spec spec;

	take(SPEC("\"process\":{\"args\":[\"a\",\"b\"],\"env\":[\"A=1\"],"
		  "\"cwd\":\"//x/../y/\",\"terminal\":true,\"consoleSize\":"
		  "{\"height\":24,\"width\":80},\"user\":{\"uid\":1,\"gid\":2,"
		  "\"umask\":18,\"additionalGids\":[3,4]},\"capabilities\":{"
		  "\"bounding\":[\"CAP_CHOWN\",\"CAP_KILL\"],\"permitted\":["
		  "\"CAP_CHOWN\"],\"effective\":[\"CAP_CHOWN\"]},"
		  "\"rlimits\":[{\"type\":\"RLIMIT_CORE\",\"soft\":0,\"hard\":"
		  "18446744073709551615}],\"oomScoreAdj\":-5,"
		  "\"noNewPrivileges\":true}",
		  ",\"annotations\":{\"dev.moss.user\":\"web:log\","
		  "\"dev.moss.joined\":\"7:12345678901,8:1\","
		  "\"dev.moss.group-add\":\"a,7\",\"dev.moss.init\":\"true\","
		  "\"org.else\":\"x\"},\"unknown\":{}",
		  ""),
	     &spec);
	assert_string_equal(spec.process.cwd, "/y");
	assert_true(spec.process.terminal);
	assert_int_equal(spec.process.rows, 24);
	assert_int_equal(spec.process.columns, 80);
	assert_int_equal(spec.process.uid, 1);
	assert_int_equal(spec.process.gid, 2);
	assert_true(spec.process.has_umask);
	assert_int_equal(spec.process.umask, 18);
	assert_int_equal(spec.process.group_count, 2);
	assert_int_equal(spec.process.groups[1], 4);
	assert_int_equal(spec.process.bounding, 1 | 1 << 5);
	assert_int_equal(spec.process.effective, 1);
	assert_int_equal(spec.process.rlimits[0].resource, RLIMIT_CORE);
	assert_true(spec.process.rlimits[0].hard == UINT64_MAX);
	assert_int_equal(spec.process.oom_score_adj, -5);
	assert_string_equal(spec.process.user, "web:log");
	assert_string_equal(spec.process.group_add[1], "7");
	assert_true(spec.init);
	assert_int_equal(spec.owner_count, 2);
	assert_int_equal(spec.owners[0].pid, 7);
	assert_true(spec.owners[0].start_time == 12345678901);
	assert_int_equal(spec.owners[1].pid, 8);
	spec_release(&spec);
}

static void test_linux(void **state)
{
	struct runtime_spec spec;

	take(SPEC(PROCESS,
		  ",\"root\":{\"path\":\"/r\",\"readonly\":true},"
		  "\"mounts\":[{\"destination\":\"/a/\",\"type\":\"bind\","
		  "\"source\":\"/s\",\"options\":[\"rbind\"]}]",
		  ",\"sysctl\":{\"net.core.somaxconn\":\"1\"},"
		  "\"maskedPaths\":[\"/proc/x\"],\"devices\":[{\"path\":"
		  "\"/dev/x\",\"type\":\"c\",\"major\":1,\"minor\":3,"
		  "\"source\":\"/dev/null\"}],\"rootfsPropagation\":"
		  "\"rslave\",\"seccomp\":{\"defaultAction\":\"x\"}"),
	     &spec);
	assert_string_equal(spec.root_path, "/r");
	assert_true(spec.root_readonly);
	assert_string_equal(spec.mounts[0].destination, "/a");
	assert_string_equal(spec.sysctl[0], "net.core.somaxconn=1");
	assert_string_equal(spec.masked_paths[0], "/proc/x");
	assert_string_equal(spec.devices[0].source, "/dev/null");
	assert_int_equal(spec.root_propagation, MS_SLAVE | MS_REC);
	assert_non_null(spec.seccomp);
	spec_release(&spec);
}

static void test_refused(void **state)
{
	static const struct {
		const char *text;
		const char *part;
		enum error_kind kind;
	} rows[] = {
		{"[]", "configuration: expected", ERROR_INVALID},
		{"{}", "ociVersion: \"\" is not 1.x", ERROR_UNSUPPORTED},
		{"{\"ociVersion\":\"2.0\"}", "ociVersion", ERROR_UNSUPPORTED},
		{"{\"ociVersion\":\"1.0\"}", "process: expected",
		 ERROR_INVALID},
		{SPEC("\"process\":{}", "", ""), "process.args: is empty",
		 ERROR_INVALID},
		{SPEC("\"process\":{\"args\":[1]}", "", ""),
		 "process.args[0]: expected a string", ERROR_INVALID},
		{SPEC("\"process\":{\"args\":[\"a\"],\"cwd\":\"x\"}", "", ""),
		 "process.cwd: \"x\" is not an absolute path", ERROR_INVALID},
		{SPEC("\"process\":{\"args\":[\"a\"],\"user\":{\"uid\":-1}}",
		      "", ""),
		 "process.user.uid: -1", ERROR_INVALID},
		{SPEC("\"process\":{\"args\":[\"a\"],\"user\":{\"uid\":"
		      "4294967295}}",
		      "", ""),
		 "process.user.uid: 4294967295", ERROR_INVALID},
		{SPEC("\"process\":{\"args\":[\"a\"],\"user\":{"
		      "\"additionalGids\":[1,1.5]}}",
		      "", ""),
		 "process.user.additionalGids[1]", ERROR_INVALID},
		{SPEC("\"process\":{\"args\":[\"a\"],\"capabilities\":{"
		      "\"bounding\":[\"CAP_FLY\"]}}",
		      "", ""),
		 "process.capabilities.bounding[0]: unknown capability "
		 "\"CAP_FLY\"",
		 ERROR_INVALID},
		{SPEC("\"process\":{\"args\":[\"a\"],\"capabilities\":{"
		      "\"effective\":[\"CAP_KILL\"]}}",
		      "", ""),
		 "process.capabilities.effective", ERROR_INVALID},
		{SPEC("\"process\":{\"args\":[\"a\"],\"capabilities\":{"
		      "\"permitted\":[\"CAP_KILL\"],\"ambient\":"
		      "[\"CAP_KILL\"]}}",
		      "", ""),
		 "process.capabilities.ambient", ERROR_INVALID},
		{SPEC("\"process\":{\"args\":[\"a\"],\"rlimits\":[{\"type\":"
		      "\"RLIMIT_JOY\"}]}",
		      "", ""),
		 "process.rlimits[0].type: unknown limit \"RLIMIT_JOY\"",
		 ERROR_INVALID},
		{SPEC("\"process\":{\"args\":[\"a\"],\"rlimits\":[{\"type\":"
		      "\"RLIMIT_CPU\",\"soft\":2,\"hard\":1}]}",
		      "", ""),
		 "process.rlimits[0]: soft limit 2", ERROR_INVALID},
		{SPEC("\"process\":{\"args\":[\"a\"],\"apparmorProfile\":"
		      "\"x\"}",
		      "", ""),
		 "process.apparmorProfile: ", ERROR_UNSUPPORTED},
		{SPEC(PROCESS, ",\"hooks\":{\"prestart\":[{\"path\":\"/x\"}]}",
		      ""),
		 "hooks: ", ERROR_UNSUPPORTED},
		{SPEC(PROCESS, ",\"mounts\":[{\"type\":\"proc\"}]", ""),
		 "mounts[0].destination: cannot be missing", ERROR_INVALID},
		{SPEC(PROCESS,
		      ",\"mounts\":[{\"destination\":\"/x/..\","
		      "\"type\":\"proc\"}]",
		      ""),
		 "mounts[0].destination: cannot be \"/\"", ERROR_INVALID},
		{SPEC(PROCESS,
		      ",\"mounts\":[{\"destination\":\"/x\",\"source\":\"y\","
		      "\"options\":[\"rbind\"]}]",
		      ""),
		 "mounts[0].source: must be an absolute path", ERROR_INVALID},
		{SPEC(PROCESS, ",\"mounts\":[{\"destination\":\"/x\"}]", ""),
		 "mounts[0].type: is missing", ERROR_INVALID},
		{SPEC(PROCESS,
		      ",\"mounts\":[{\"destination\":\"/x\",\"type\":\"proc\","
		      "\"uidMappings\":[{\"size\":1}]}]",
		      ""),
		 "mounts[0].uidMappings: ", ERROR_UNSUPPORTED},
		{SPEC(PROCESS, ",\"annotations\":{\"dev.moss.joined\":\"7\"}",
		      ""),
		 "annotations.dev.moss.joined", ERROR_INVALID},
		{SPEC(PROCESS,
		      ",\"annotations\":{\"dev.moss.joined\":\"7:1,-1:2\"}",
		      ""),
		 "annotations.dev.moss.joined", ERROR_INVALID},
		{SPEC(PROCESS, ",\"annotations\":{\"dev.moss.init\":\"maybe\"}",
		      ""),
		 "annotations.dev.moss.init", ERROR_INVALID},
		{SPEC(PROCESS, "", ",\"maskedPaths\":[\"x\"]"),
		 "linux.maskedPaths: \"x\" is not an absolute", ERROR_INVALID},
		{SPEC(PROCESS, "", ",\"rootfsPropagation\":\"x\""),
		 "linux.rootfsPropagation: unknown word", ERROR_INVALID},
		{SPEC(PROCESS, "",
		      ",\"devices\":[{\"path\":\"/dev/x\",\"type\":\"z\"}]"),
		 "linux.devices[0].type", ERROR_INVALID},
		{SPEC(PROCESS, "", ",\"personality\":{\"domain\":\"LINUX32\"}"),
		 "linux.personality: ", ERROR_UNSUPPORTED},
		{"{\"ociVersion\":\"1.0\"," PROCESS ",\"linux\":{"
		 "\"namespaces\":[{\"type\":\"user\"}]}}",
		 "a new mount namespace is needed", ERROR_INVALID},
		{"{\"ociVersion\":\"1.0\"," PROCESS ",\"linux\":{"
		 "\"namespaces\":[{\"type\":\"mount\"}]}}",
		 "a user namespace is needed", ERROR_INVALID},
		{"{\"ociVersion\":\"1.0\"," PROCESS ",\"linux\":{"
		 "\"namespaces\":[{\"type\":\"user\"},{\"type\":\"user\"}]}}",
		 "linux.namespaces[1]: a second user namespace", ERROR_INVALID},
		{"{\"ociVersion\":\"1.0\"," PROCESS ",\"linux\":{"
		 "\"namespaces\":[{\"type\":\"space\"}]}}",
		 "linux.namespaces[0].type: unknown namespace \"space\"",
		 ERROR_INVALID},
		{"{\"ociVersion\":\"1.0\"," PROCESS ",\"linux\":{"
		 "\"namespaces\":[{\"type\":\"user\"},{\"type\":\"mount\"}]}}",
		 "linux.uidMappings: a new user namespace needs a map",
		 ERROR_INVALID},
		{"{\"ociVersion\":\"1.0\"," PROCESS ",\"linux\":{"
		 "\"namespaces\":[{\"type\":\"user\"},{\"type\":\"mount\"}],"
		 "\"uidMappings\":[{\"containerID\":1,\"hostID\":1,\"size\":"
		 "4294967295}]}}",
		 "linux.uidMappings[0]: not a range of IDs", ERROR_INVALID},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_json cJSON *json = parse(rows[i].text);
		struct runtime_spec spec = {.hostname = (char *)1};
		struct error err = {0};
		int r = spec_parse(json, &spec, &err);

		if (r >= 0)
			fail_msg("accepted: %s", rows[i].text);
		/* Untouched. */
		assert_ptr_equal(spec.hostname, (char *)1);
		if (!strstr(err.message, rows[i].part))
			fail_msg("\"%s\" is not in \"%s\"", rows[i].part,
				 err.message);
		assert_int_equal(err.kind, rows[i].kind);
	}
}

static void test_limits(void **state)
{
	cJSON *json = parse(SPEC(PROCESS, "", ""));
	cJSON *mounts = json_array();
	struct runtime_spec spec;
	struct error err = {0};

	for (int i = 0; i <= SPEC_MOUNTS_MAX; i++)
		json_push(mounts, parse("{\"destination\":\"/x\",\"type\":"
					"\"tmpfs\"}"));
	json_set(json, "mounts", mounts);
	assert_true(spec_parse(json, &spec, &err) < 0);
	assert_string_equal(err.message, "mounts: more than 1024 entries");
	cJSON_Delete(json);
}

static void test_mount_options(void **state)
{
	static const struct {
		const char *type;
		const char *options;
		uint64_t set, clear;
		unsigned long propagation;
		bool bind, recursive;
		size_t data;
	} rows[] = {
		{"bind", "", 0, 0, 0, true, true, 0},
		{"bind", "bind", 0, 0, 0, true, false, 0},
		{"none", "rbind,ro", MOUNT_ATTR_RDONLY, 0, 0, true, true, 0},
		{"bind", "ro,rw", 0, MOUNT_ATTR_RDONLY, 0, true, true, 0},
		{"bind", "rw,ro", MOUNT_ATTR_RDONLY, 0, 0, true, true, 0},
		{"bind", "rslave", 0, 0, MS_SLAVE | MS_REC, true, true, 0},
		{"bind", "noatime,relatime", MOUNT_ATTR_RELATIME,
		 MOUNT_ATTR__ATIME, 0, true, true, 0},
		{"tmpfs", "nosuid,noexec,nodev,size=1,mode=7",
		 MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC | MOUNT_ATTR_NODEV, 0, 0,
		 false, true, 2},
		{"tmpfs", "defaults,rw", 0, MOUNT_ATTR_RDONLY, 0, false, true,
		 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *type = xstrdup(rows[i].type);
		cleanup_strv char **words = strv_split(rows[i].options, ',');
		struct spec_mount mount = {.type = type, .options = words};
		struct mount_options options;

		assert_int_equal(mount_options_parse(&mount, &options, NULL),
				 0);
		assert_int_equal(options.set, rows[i].set);
		assert_int_equal(options.clear, rows[i].clear);
		assert_int_equal(options.propagation, rows[i].propagation);
		assert_int_equal(options.bind, rows[i].bind);
		if (options.bind)
			assert_int_equal(options.recursive, rows[i].recursive);
		assert_int_equal(options.data_count, rows[i].data);
		mount_options_release(&options);
	}
}

/* Variables that are in no configuration; read by whoever starts it. */
static void test_environment_file(void **state)
{
	static const struct {
		const char *text;
		size_t length;
		const char *message; /* NULL: it is taken */
	} rows[] = {
		{"", 0, NULL},
		{"A=secret\0B=\0C=x=y\n\0", 19, NULL},
		{"=x\0", 3, "without a name"},
		{"A\0", 2, "without a name"},
	};
	char path[] = "/tmp/moss-spec-XXXXXX";
	int fd = mkstemp(path);
	cleanup_free char *text =
		xasprintf(SPEC("\"process\":{\"args\":[\"sh\"],\"env\":["
			       "\"A=1\",\"Z=2\"]}",
			       ",\"annotations\":{\"dev.moss.environment\":"
			       "\"%s\"}",
			       ""),
			  path);

	assert_true(fd >= 0);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct runtime_spec spec;
		struct error err = {0};
		int r;

		assert_int_equal(ftruncate(fd, 0), 0);
		assert_int_equal(pwrite(fd, rows[i].text, rows[i].length, 0),
				 rows[i].length);
		take(text, &spec);
		r = spec_add_environment(&spec, &err);
		if (rows[i].message)
			assert_non_null(strstr(err.message, rows[i].message));
		else
			assert_int_equal(r, 0);
		if (i == 1) {
			char *const *env = spec.process.env;

			assert_int_equal(strv_length(env), 4);
			assert_string_equal(env_get(env, "A"), "secret");
			assert_string_equal(env_get(env, "B"), "");
			assert_string_equal(env_get(env, "C"), "x=y\n");
			assert_string_equal(env_get(env, "Z"), "2");
		}
		spec_release(&spec);
	}
	unlink(path);
	close(fd);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_smallest),
		cmocka_unit_test(test_process),
		cmocka_unit_test(test_linux),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_mount_options),
		cmocka_unit_test(test_environment_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
