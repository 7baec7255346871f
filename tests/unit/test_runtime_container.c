/* core/runtime: what a container looks like from inside, and how it fails. */
#include "runtime_harness.h"

static void test_first_process(void **state)
{
	harness_expect(harness_spec("echo $$; hostname; pwd; echo $HOME"),
		       "1\nbox\n/\n/root\n");
}

static void test_exit_code(void **state)
{
	static struct harness harness;

	harness_run(&harness, harness_spec("exit 7"));
	assert_int_equal(harness.result, 0);
	assert_int_equal(harness.exit_code, 7);
}

/* Every namespace differs from ours. */
static void test_namespaces(void **state)
{
	static const char *const names[] = {"user", "mnt", "pid",   "ipc",
					    "uts",  "net", "cgroup"};
	static struct harness harness;

	harness_run(&harness,
		    harness_spec("for n in user mnt pid ipc uts net cgroup; do "
				 "readlink /proc/self/ns/$n; done"));
	assert_int_equal(harness.result, 0);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		cleanup_free char *path =
			xasprintf("/proc/self/ns/%s", names[i]);
		char own[64];
		ssize_t length = readlink(path, own, sizeof(own) - 1);

		assert_true(length > 0);
		own[length] = '\0';
		assert_null(strstr(harness.output, own));
		own[strcspn(own, "[") + 1] = '\0';
		assert_non_null(strstr(harness.output, own));
	}
}

static void test_status(void **state)
{
	harness_expect(harness_spec("grep -E '^(Cap|NoNewPrivs|Seccomp:|SigBlk|"
				    "SigIgn)' /proc/self/status | "
				    "tr -d ' \\t'"),
		       "SigBlk:0000000000000000\n"
		       "SigIgn:0000000000000000\n"
		       "CapInh:0000000000000000\n"
		       "CapPrm:00000000a80425fb\n"
		       "CapEff:00000000a80425fb\n"
		       "CapBnd:00000000a80425fb\n"
		       "CapAmb:0000000000000000\n"
		       "NoNewPrivs:1\n"
		       "Seccomp:2\n");
}

/* Without no_new_privs the filter is loaded with a right that must be gone. */
static void test_status_new_privileges(void **state)
{
	cJSON *spec = harness_spec(
		"grep -E '^(Cap(Inh|Prm|Eff|Bnd)|NoNewPrivs|Seccomp:)' "
		"/proc/self/status | tr -d ' \\t'");

	json_set_bool(harness_process(spec), "noNewPrivileges", false);
	harness_set_capabilities(harness_process(spec), 1);
	harness_expect(spec, "CapInh:0000000000000000\n"
			     "CapPrm:0000000000000001\n"
			     "CapEff:0000000000000001\n"
			     "CapBnd:0000000000000001\n"
			     "NoNewPrivs:0\n"
			     "Seccomp:2\n");
}

static void test_user(void **state)
{
	cJSON *spec = harness_spec("exec 2>/dev/null; id -u; id -g; id -G; "
				   "echo $HOME; grep -E '^(Cap(Prm|Eff|Bnd))'"
				   " /proc/self/status | tr -d ' \\t'; "
				   "echo x > /dev/stdout; touch /new 2>&1");
	static struct harness harness;

	if (namespace_ids < 65536)
		skip(); /* no sub-IDs */
	json_set(spec, "annotations",
		 harness_json("{\"dev.moss.user\":\"web\","
			      "\"dev.moss.group-add\":\"disk,99\"}"));
	harness_run(&harness, spec);
	assert_int_equal(harness.result, 0);
	assert_string_equal(harness.output, "33\n44\n44 6 45 46 99\n/srv/web\n"
					    "CapPrm:0000000000000000\n"
					    "CapEff:0000000000000000\n"
					    "CapBnd:00000000a80425fb\n"
					    "x\n"
					    "touch: /new: Permission denied\n");
}

static void test_user_errors(void **state)
{
	static const struct {
		const char *user;
		const char *part;
	} rows[] = {
		{"nobody-here", "unable to find user nobody-here: no matching "
				"entries in passwd file"},
		{"root:nogroup-here", "unable to find group nogroup-here: no "
				      "matching entries in group file"},
		{"70000", "user ID 70000 does not exist in the container"},
		{"far", "user ID 70000 does not exist in the container"},
		{"0:70000", "group ID 70000 does not exist in the container"},
		{"3000000000", "user and group IDs go from 0 to 2147483647"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cJSON *spec = harness_spec("true");
		cJSON *annotations = json_object();

		json_set_string(annotations, "dev.moss.user", rows[i].user);
		json_set(spec, "annotations", annotations);
		harness_expect_error(spec, ERROR_INVALID, rows[i].part);
	}
}

/* Nothing of ours is open in the program, whatever its flags were. */
static void test_descriptors(void **state)
{
	int leak = open("/", O_RDONLY); /* without O_CLOEXEC */

	assert_true(leak >= 0);
	harness_expect(harness_spec("ls /proc/self/fd"), "0\n1\n2\n3\n");
	harness_expect(harness_spec("exec ls /proc/1/fd/"), "0\n1\n2\n3\n");
	close(leak);
}

static void test_mounts(void **state)
{
	static struct harness harness;

	harness_run(&harness, harness_spec("cat /proc/self/mountinfo"));
	assert_int_equal(harness.result, 0);
	assert_non_null(strstr(harness.output, " / /proc rw,nosuid,nodev,"
					       "noexec,relatime - proc"));
	assert_non_null(strstr(harness.output, " / /dev rw,nosuid - tmpfs"));
	assert_non_null(strstr(harness.output, " - devpts "));
	assert_non_null(strstr(harness.output, " - mqueue "));
	assert_non_null(strstr(harness.output, "/sys ro,nosuid,nodev,noexec"));
	assert_non_null(strstr(harness.output, "/sys/fs/cgroup ro,nosuid"));
	assert_null(strstr(harness.output, "shared:"));
	assert_null(strstr(harness.output, "master:"));
}

static void test_dev(void **state)
{
	harness_expect(
		harness_spec("ls /dev; echo x > /dev/null; "
			     "head -c 3 /dev/zero | wc -c; "
			     "head -c 3 /dev/urandom | wc -c; "
			     "readlink /dev/fd; readlink /dev/ptmx; stat -c %a "
			     "/dev/shm; "
			     "echo x > /dev/full"
			     " 2>/dev/null || echo full"),
		"core\nfd\nfull\nmqueue\nnull\nptmx\npts\nrandom\nshm\nstderr\n"
		"stdin\nstdout\ntty\nurandom\nzero\n3\n3\n/proc/self/fd\n"
		"pts/ptmx\n1777\nfull\n");
}

static void test_masks(void **state)
{
	harness_expect(
		harness_spec(
			"wc -c < /proc/interrupts; wc -c < /proc/keys; "
			"ls /sys/firmware | wc -l; "
			"touch /sys/firmware/x 2>/dev/null || echo ro; "
			"(echo 0 > /proc/sys/kernel/domainname) 2>/dev/null || "
			"echo ro; "
			"(echo b > /proc/sysrq-trigger) 2>/dev/null || "
			"echo ro; "
			"(echo 1 > /sys/kernel/uevent_seqnum) 2>/dev/null || "
			"echo ro"),
		"0\n0\n0\nro\nro\nro\nro\n");
}

static void test_readonly_paths(void **state)
{
	harness_expect(harness_spec("grep -oE ' /proc/(fs|sys) ro' "
				    "/proc/self/mountinfo | sort"),
		       " /proc/fs ro\n /proc/sys ro\n");
}

static void test_readonly_root(void **state)
{
	cJSON *spec = harness_spec("touch /x 2>/dev/null || echo ro; "
				   "touch /dev/shm/x && echo rw; pwd");

	json_set_bool(cJSON_GetObjectItem(spec, "root"), "readonly", true);
	json_set_string(harness_process(spec), "cwd", "/made/here");
	harness_expect(spec, "ro\nrw\n/made/here\n");
}

static void test_sysctl(void **state)
{
	cJSON *spec = harness_spec("cat /proc/sys/net/core/somaxconn "
				   "/proc/sys/net/ipv4/ip_forward");

	json_set(harness_linux(spec), "sysctl",
		 harness_json("{\"net.core.somaxconn\":\"99\","
			      "\"net/ipv4/ip_forward\":\"1\"}"));
	harness_expect(spec, "99\n1\n");

	spec = harness_spec("true");
	json_set(harness_linux(spec), "sysctl",
		 harness_json("{\"kernel.panic\":\"1\"}"));
	harness_expect_error(spec, ERROR_INVALID,
			     "sysctl kernel.panic does not belong");
	spec = harness_spec("true");
	json_set(harness_linux(spec), "sysctl",
		 harness_json("{\"net.no.such\":\"1\"}"));
	harness_expect_error(spec, ERROR_NOT_FOUND, "sysctl net.no.such");
}

static void test_limits(void **state)
{
	cJSON *spec = harness_spec("ulimit -n; ulimit -Hn; umask; "
				   "cat /proc/self/oom_score_adj");
	cJSON *process = harness_process(spec);

	json_set(process, "rlimits",
		 harness_json("[{\"type\":\"RLIMIT_NOFILE\",\"soft\":17,"
			      "\"hard\":18}]"));
	json_set(process, "user",
		 harness_json("{\"uid\":0,\"gid\":0,\"umask\":63}"));
	json_set_i64(process, "oomScoreAdj", 500);
	harness_expect(spec, "17\n18\n0077\n500\n");

	spec = harness_spec("true");
	json_set(harness_process(spec), "rlimits",
		 harness_json("[{\"type\":\"RLIMIT_NOFILE\",\"soft\":17,"
			      "\"hard\":999999999}]"));
	harness_expect_error(spec, ERROR_PERMISSION,
			     "cannot set RLIMIT_NOFILE to 999999999: your own "
			     "hard limit is ");
	spec = harness_spec("true");
	json_set_i64(harness_process(spec), "oomScoreAdj", -1000);
	if (geteuid() == 0 && namespace_ids == 65536 &&
	    access("/proc/1/environ", R_OK) == 0)
		cJSON_Delete(spec); /* host's root may */
	else
		harness_expect_error(spec, ERROR_PERMISSION, "oom_score_adj");
}

static void test_commands(void **state)
{
	static const struct {
		const char *args[3];
		const char *cwd;
		enum error_kind kind;
		const char *part;
	} rows[] = {
		{{"foo"},
		 "/",
		 ERROR_NO_SUCH_COMMAND,
		 "exec: \"foo\": executable file not found in $PATH"},
		{{"/bin/foo"},
		 "/",
		 ERROR_NO_SUCH_COMMAND,
		 "exec: \"/bin/foo\": no such file or directory"},
		{{""}, "/", ERROR_NO_SUCH_COMMAND, "exec: \"\": executable"},
		{{"/etc/passwd"},
		 "/",
		 ERROR_NOT_EXECUTABLE,
		 "exec: \"/etc/passwd\": permission denied"},
		{{"/etc"},
		 "/",
		 ERROR_NOT_EXECUTABLE,
		 "exec: \"/etc\": is a directory"},
		{{"/text"},
		 "/",
		 ERROR_NOT_EXECUTABLE,
		 "exec /text: exec format error"},
		{{"/orphan"},
		 "/",
		 ERROR_NO_SUCH_COMMAND,
		 "exec /orphan: no such file or directory"},
		{{"true"},
		 "/etc/passwd",
		 ERROR_NOT_EXECUTABLE,
		 "working directory \"/etc/passwd\": not a directory"},
	};
	cleanup_free char *text = xasprintf("%s/text", harness_root);
	cleanup_free char *orphan = xasprintf("%s/orphan", harness_root);

	harness_write(text, "just text\n");
	harness_write(orphan, "#!/no/such/interpreter\n");
	assert_int_equal(chmod(text, 0755), 0);
	assert_int_equal(chmod(orphan, 0755), 0);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cJSON *spec = harness_spec("");

		harness_set_args(harness_process(spec), rows[i].args);
		json_set_string(harness_process(spec), "cwd", rows[i].cwd);
		harness_expect_error(spec, rows[i].kind, rows[i].part);
	}
}

static void test_init(void **state)
{
	cJSON *spec = harness_spec(
		"echo $$; cat /proc/1/comm; "
		"ls /proc/1/fd; cat /proc/1/exe 2>/dev/null || echo sealed; "
		"grep -E '^(Cap(Prm|Eff|Bnd)|NoNewPrivs|Seccomp:)' "
		"/proc/1/status | tr -d ' \\t'; "
		"(sleep 0.05 &) ; sleep 0.2; ps | grep -c 'sleep 0.05$'; exit "
		"9");
	static struct harness harness;

	json_set(spec, "annotations",
		 harness_json("{\"dev.moss.init\":\"true\"}"));
	harness_run(&harness, spec);
	assert_int_equal(harness.result, 0);
	assert_string_equal(harness.output, "2\nmoss-init\nsealed\n"
					    "CapPrm:0000000000000000\n"
					    "CapEff:0000000000000000\n"
					    "CapBnd:0000000000000000\n"
					    "NoNewPrivs:1\nSeccomp:2\n0\n");
	assert_int_equal(harness.exit_code, 9);
}

static void test_init_signals(void **state)
{
	cJSON *spec = harness_spec("trap 'echo got; exit 3' TERM; echo up; "
				   "while true; do sleep 0.01; done");
	static struct harness harness;
	char byte[3];

	json_set(spec, "annotations",
		 harness_json("{\"dev.moss.init\":\"true\"}"));
	harness_start(&harness, spec, NULL);
	assert_int_equal(harness.result, 0);
	assert_int_equal(read(harness.output_fd, byte, 3), 3);
	assert_int_equal(proc_pidfd_signal(harness.process.pid_fd, SIGTERM), 0);
	harness_wait(&harness);
	assert_string_equal(harness.output, "got\n");
	assert_int_equal(harness.exit_code, 3);
	harness_end(&harness);

	/* A program that a signal ends. */
	spec = harness_spec("kill -9 $$");
	json_set(spec, "annotations",
		 harness_json("{\"dev.moss.init\":\"true\"}"));
	harness_run(&harness, spec);
	assert_int_equal(harness.exit_code, 137);
}

static void test_network(void **state)
{
	harness_expect(harness_spec("ip -o addr | grep -c 127.0.0.1; "
				    "ip -o link | wc -l"),
		       "1\n1\n");
}

/* The host's network: no new sysfs can be had, ours is shown. */
static void test_host_namespaces(void **state)
{
	cJSON *spec = harness_spec("for n in net pid ipc; do readlink "
				   "/proc/self/ns/$n; done; "
				   "grep -q ' /sys ro,' /proc/self/mountinfo "
				   "&& echo ro");
	static struct harness harness;
	char own[64];
	ssize_t length;

	harness_drop_namespace(spec, "network");
	harness_drop_namespace(spec, "pid");
	harness_drop_namespace(spec, "ipc");
	harness_drop_namespace(spec, "cgroup");
	harness_run(&harness, spec);
	assert_int_equal(harness.result, 0);
	length = readlink("/proc/self/ns/net", own, sizeof(own) - 1);
	own[length] = '\0';
	assert_non_null(strstr(harness.output, own));
	length = readlink("/proc/self/ns/pid", own, sizeof(own) - 1);
	own[length] = '\0';
	assert_non_null(strstr(harness.output, own));
	assert_non_null(strstr(harness.output, "ro\n"));
	assert_int_equal(harness.exit_code, 0);
}

static void test_devices(void **state)
{
	cJSON *spec = harness_spec("stat -c %t:%T /dev/zero2 /dev/fuse");

	json_set(harness_linux(spec), "devices",
		 harness_json("[{\"path\":\"/dev/zero2\",\"type\":\"c\","
			      "\"source\":\"/dev/zero\"},"
			      "{\"path\":\"/dev/fuse\",\"type\":\"c\","
			      "\"major\":10,\"minor\":229},"
			      "{\"path\":\"/dev/null\",\"type\":\"c\","
			      "\"major\":1,\"minor\":3}]"));
	harness_expect(spec, "1:5\na:e5\n");

	spec = harness_spec("true");
	json_set(harness_linux(spec), "devices",
		 harness_json("[{\"path\":\"/dev/fuse\",\"type\":\"c\","
			      "\"major\":10,\"minor\":1}]"));
	harness_expect_error(spec, ERROR_INVALID, "device /dev/fuse is 10:229");
	spec = harness_spec("true");
	json_set(harness_linux(spec), "devices",
		 harness_json("[{\"path\":\"/dev/x\",\"type\":\"c\","
			      "\"source\":\"/etc/passwd\"}]"));
	harness_expect_error(spec, ERROR_INVALID,
			     "/etc/passwd is not a character device");
}

static void set_map(cJSON *spec, const char *extents)
{
	json_set(harness_linux(spec), "uidMappings", harness_json(extents));
	json_set(harness_linux(spec), "gidMappings", harness_json(extents));
}

/* --userns=auto: the user who runs moss does not exist in the container. */
static void test_shifted_map(void **state)
{
	cJSON *spec = harness_spec("id -u; cat /proc/self/uid_map | tr -s ' ';"
				   "stat -c %u:%g / /proc/self/fd/1; "
				   "echo x > /dev/stdout");

	if (namespace_ids < 65536)
		skip(); /* no sub-IDs */
	set_map(spec, "[{\"containerID\":0,\"hostID\":1000,\"size\":500}]");
	harness_expect(spec, "0\n 0 1000 500\n65534:65534\n0:0\nx\n");
}

/* --userns=keep-id: the user is 7 there, and root is somebody else. */
static void test_kept_id(void **state)
{
	cJSON *spec =
		harness_spec("exec 2>/dev/null; id -u; stat -c %u  /; "
			     "echo x > /tmp/kept && stat -c %u /tmp/kept");

	if (namespace_ids < 65536)
		skip(); /* no sub-IDs */
	set_map(spec, "[{\"containerID\":0,\"hostID\":1,\"size\":7},"
		      "{\"containerID\":7,\"hostID\":0,\"size\":1},"
		      "{\"containerID\":8,\"hostID\":8,\"size\":100}]");
	json_set(harness_process(spec), "user",
		 harness_json("{\"uid\":7,\"gid\":7}"));
	harness_expect(spec, "7\n7\n7\n");
}

/* The same with one ID: there is no root at all. */
static void test_no_root(void **state)
{
	cJSON *spec = harness_spec(
		"exec 2>/dev/null; id -u; grep -E 'Cap(Inh|Eff|Amb)' "
		"/proc/self/status | tr -d '\\t'; "
		"echo x > /data/one && stat -c %u /data/one");

	set_map(spec, "[{\"containerID\":7,\"hostID\":0,\"size\":1}]");
	json_set(harness_process(spec), "user",
		 harness_json("{\"uid\":7,\"gid\":7}"));
	json_set(cJSON_GetObjectItem(harness_process(spec), "capabilities"),
		 "inheritable", harness_json("[\"CAP_CHOWN\",\"CAP_KILL\"]"));
	json_set(cJSON_GetObjectItem(harness_process(spec), "capabilities"),
		 "ambient", harness_json("[\"CAP_KILL\"]"));
	harness_expect(spec, "7\nCapInh:0000000000000021\n"
			     "CapEff:0000000000000020\n"
			     "CapAmb:0000000000000020\n7\n");
}

/* As in a container within a container: /proc has parts that are hidden. */
static void test_covered_proc(void **state)
{
	cJSON *spec = harness_spec("true");

	assert_int_equal(mount("tmpfs", "/proc/fs", "tmpfs", 0, NULL), 0);
	harness_expect_error(spec, ERROR_PERMISSION,
			     "cannot mount proc on /proc: the /proc here is "
			     "partly covered (/proc/fs)");
	assert_int_equal(umount2("/proc/fs", MNT_DETACH), 0);
}

static int all_tests(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_process),
		cmocka_unit_test(test_exit_code),
		cmocka_unit_test(test_namespaces),
		cmocka_unit_test(test_status),
		cmocka_unit_test(test_status_new_privileges),
		cmocka_unit_test(test_user),
		cmocka_unit_test(test_user_errors),
		cmocka_unit_test(test_descriptors),
		cmocka_unit_test(test_mounts),
		cmocka_unit_test(test_dev),
		cmocka_unit_test(test_masks),
		cmocka_unit_test(test_readonly_paths),
		cmocka_unit_test(test_readonly_root),
		cmocka_unit_test(test_sysctl),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_commands),
		cmocka_unit_test(test_init),
		cmocka_unit_test(test_init_signals),
		cmocka_unit_test(test_network),
		cmocka_unit_test(test_host_namespaces),
		cmocka_unit_test(test_devices),
		cmocka_unit_test(test_shifted_map),
		cmocka_unit_test(test_kept_id),
		cmocka_unit_test(test_no_root),
		cmocka_unit_test(test_covered_proc),
	};

	return cmocka_run_group_tests(tests, harness_set_up, harness_tear_down);
}

int main(void)
{
	return harness_main(all_tests);
}
