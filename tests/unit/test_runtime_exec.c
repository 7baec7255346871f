/* core/runtime: terminals, further processes, joined namespaces, attacks. */
#include "runtime_harness.h"

#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <termios.h>

/* A container that waits to be ended. */
static void start_sleeper(struct harness *harness, cJSON *spec)
{
	static const char *const words[] = {"sleep", "1000", NULL};

	harness_set_args(harness_process(spec), words);
	harness_start(harness, spec, NULL);
	if (harness->result < 0)
		fail_msg("%s", harness->err.message);
}

static void end_sleeper(struct harness *harness)
{
	proc_pidfd_signal(harness->process.pid_fd, SIGKILL);
	assert_int_equal(proc_wait(harness->process.pid), 137);
	harness_end(harness);
}

/* What `exec` runs in it; json: an OCI process. */
struct executed {
	struct runtime_process process;
	struct error err;
	int result;
	char output[16384];
	int exit_code;
};

static void execute(const struct harness *harness, cJSON *json,
		    struct executed *executed)
{
	struct spec_process process = {0};
	struct runtime_exec_request request = {
		.process = &process,
		.init_pid = harness->process.pid,
		.init_pid_fd = harness->process.pid_fd,
		.filter = &harness_filter,
	};
	size_t length = 0;
	ssize_t n;
	int fds[2];

	*executed = (struct executed){0};
	assert_int_equal(spec_process_parse(json, &process, &executed->err), 0);
	cJSON_Delete(json);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	request.stdio[0] = -1;
	request.stdio[1] = request.stdio[2] = fds[1];
	executed->result =
		runtime_exec(&request, &executed->process, &executed->err);
	close(fds[1]);
	spec_process_release(&process);
	while (executed->result == 0 &&
	       (n = read(fds[0], executed->output + length,
			 sizeof(executed->output) - 1 - length)) > 0)
		length += (size_t)n;
	close(fds[0]);
	if (executed->result == 0) {
		executed->exit_code = proc_wait(executed->process.pid);
		runtime_process_release(&executed->process);
	}
}

static cJSON *process_of(const char *script)
{
	cJSON *spec = harness_spec(script);
	cJSON *process = cJSON_DetachItemFromObject(spec, "process");

	cJSON_Delete(spec);
	return process;
}

static void expect_exec(const struct harness *harness, const char *script,
			const char *output)
{
	static struct executed executed;

	execute(harness, process_of(script), &executed);
	if (executed.result < 0)
		fail_msg("%s", executed.err.message);
	assert_string_equal(executed.output, output);
	assert_int_equal(executed.exit_code, 0);
}

static void expect_exec_error(const struct harness *harness, cJSON *process,
			      enum error_kind kind, const char *part)
{
	static struct executed executed;
	pid_t init = harness->process.pid;

	execute(harness, process, &executed);
	assert_true(executed.result < 0);
	if (!strstr(executed.err.message, part))
		fail_msg("\"%s\" is not in \"%s\"", part, executed.err.message);
	assert_int_equal(executed.err.kind, kind);
	/* Nothing but the container is left. */
	if (init > 0)
		assert_int_equal(waitpid(-1, NULL, WNOHANG), 0);
}

static void test_exec(void **state)
{
	static struct harness harness;

	start_sleeper(&harness, harness_spec(""));
	expect_exec(&harness,
		    "hostname; cat /proc/1/comm; ls /proc/self/fd; pwd; "
		    "echo $HOME; grep -E '^(CapEff|CapBnd|NoNewPrivs|Seccomp:|"
		    "SigBlk)' /proc/self/status | tr -d ' \\t'; "
		    "for n in user mnt pid ipc uts net cgroup; do "
		    "test $(readlink /proc/self/ns/$n) = "
		    "$(readlink /proc/1/ns/$n) || echo $n; done",
		    "box\nsleep\n0\n1\n2\n3\n/\n/root\n"
		    "SigBlk:0000000000000000\n"
		    "CapEff:00000000a80425fb\nCapBnd:00000000a80425fb\n"
		    "NoNewPrivs:1\nSeccomp:2\n");
	end_sleeper(&harness);
}

static void test_exec_errors(void **state)
{
	static struct harness harness;
	static const char *const missing[] = {"foo", NULL};
	cJSON *process = process_of("");

	start_sleeper(&harness, harness_spec(""));
	harness_set_args(process, missing);
	expect_exec_error(&harness, process, ERROR_NO_SUCH_COMMAND,
			  "exec: \"foo\": executable file not found in $PATH");
	process = process_of("");
	json_set_string(process, "cwd", "/nowhere");
	expect_exec_error(&harness, process, ERROR_NO_SUCH_COMMAND,
			  "working directory \"/nowhere\": no such file");
	process = process_of("");
	json_set(process, "annotations",
		 harness_json("{\"dev.moss.user\":\"70000\"}"));
	expect_exec_error(&harness, process, ERROR_INVALID,
			  "user ID 70000 does not exist in the container: "
			  "mapped are 0-0");
	proc_pidfd_signal(harness.process.pid_fd, SIGKILL);
	assert_int_equal(proc_wait(harness.process.pid), 137);
	harness.process.pid = 0;
	expect_exec_error(&harness, process_of("true"), ERROR_CONFLICT,
			  "the container is not running");
	harness_end(&harness);
}

/* Also a zombie, whose namespaces are gone, is refused. */
static void test_exec_zombie(void **state)
{
	static struct harness harness;
	static struct executed executed;
	pid_t pid;
	struct pollfd poll_fd = {.events = POLLIN};

	start_sleeper(&harness, harness_spec(""));
	proc_pidfd_signal(harness.process.pid_fd, SIGKILL);
	poll_fd.fd = harness.process.pid_fd;
	assert_int_equal(poll(&poll_fd, 1, 5000), 1);
	pid = harness.process.pid;
	execute(&harness, process_of("true"), &executed);
	assert_int_equal(executed.result, -EBUSY);
	assert_string_equal(executed.err.message,
			    "the container is not running");
	assert_int_equal(waitpid(-1, NULL, WNOHANG), pid);
	harness_end(&harness);
}

static void test_exec_user(void **state)
{
	static struct harness harness;
	static struct executed executed;
	cJSON *process =
		process_of("exec 2>/dev/null; id -u; id -G; echo $HOME");

	if (namespace_ids < 65536)
		skip(); /* no sub-IDs */
	start_sleeper(&harness, harness_spec(""));
	json_set(process, "annotations",
		 harness_json("{\"dev.moss.user\":\"33:log\"}"));
	execute(&harness, process, &executed);
	assert_int_equal(executed.result, 0);
	assert_string_equal(executed.output, "33\n45\n/srv/web\n");
	end_sleeper(&harness);
}

static void read_until(int fd, char *buffer, size_t size, const char *text)
{
	size_t length = strlen(buffer);
	struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

	while (!strstr(buffer, text)) {
		ssize_t n;

		if (poll(&poll_fd, 1, 5000) != 1)
			fail_msg("no \"%s\" in \"%s\"", text, buffer);
		n = read(fd, buffer + length, size - 1 - length);
		if (n <= 0)
			fail_msg("no \"%s\" in \"%s\"", text, buffer);
		length += (size_t)n;
		buffer[length] = '\0';
	}
}

static void set_terminal(cJSON *process)
{
	json_set_bool(process, "terminal", true);
	json_set(process, "consoleSize",
		 harness_json("{\"height\":21,\"width\":43}"));
}

static void check_terminal(struct runtime_process *process, const char *name)
{
	char buffer[8192] = "";

	read_until(process->console_fd, buffer, sizeof(buffer), "end");
	assert_non_null(strstr(buffer, name));
	assert_non_null(strstr(buffer, "21 43"));
	/* Job control: the shell's child is ended by ^C, not the shell. */
	assert_int_equal(write(process->console_fd, "sleep 9\n", 8), 8);
	read_until(process->console_fd, buffer, sizeof(buffer), "sleep 9\r\n");
	usleep(100000);
	assert_int_equal(write(process->console_fd, "\003", 1), 1);
	buffer[0] = '\0';
	assert_int_equal(write(process->console_fd, "echo al''ive\n", 13), 13);
	read_until(process->console_fd, buffer, sizeof(buffer), "alive\r\n");
	assert_null(strstr(buffer, "can't access tty"));
	assert_int_equal(write(process->console_fd, "exit 5\n", 7), 7);
	assert_int_equal(proc_wait(process->pid), 5);
}

static cJSON *terminal_spec(bool init)
{
	static const char *const words[] = {
		"sh", "-c",
		"tty; stty size; stat -c %a,%u:%g /dev/console; "
		"ls -l /dev/console; echo e''nd; exec sh -i",
		NULL};
	cJSON *spec = harness_spec("");

	harness_set_args(harness_process(spec), words);
	set_terminal(harness_process(spec));
	if (init)
		json_set(spec, "annotations",
			 harness_json("{\"dev.moss.init\":\"true\"}"));
	return spec;
}

static void test_terminal(void **state)
{
	static struct harness harness;

	for (int init = 0; init < 2; init++) {
		harness_start(&harness, terminal_spec(init), NULL);
		if (harness.result < 0)
			fail_msg("%s", harness.err.message);
		check_terminal(&harness.process, "/dev/pts/0");
		harness_end(&harness);
	}
}

static void check_exec_terminal(const struct harness *harness)
{
	struct spec_process process = {0};
	struct runtime_process executed;
	struct runtime_exec_request request = {
		.process = &process,
		.init_pid = harness->process.pid,
		.init_pid_fd = harness->process.pid_fd,
	};
	struct error err = {0};
	cJSON *json = process_of("tty; stty size; echo e''nd; exec sh -i");

	set_terminal(json);
	assert_int_equal(spec_process_parse(json, &process, &err), 0);
	cJSON_Delete(json);
	if (runtime_exec(&request, &executed, &err) < 0)
		fail_msg("%s", err.message);
	check_terminal(&executed, "/dev/pts/0");
	runtime_process_release(&executed);
	spec_process_release(&process);
}

static void test_exec_terminal(void **state)
{
	static struct harness harness;

	start_sleeper(&harness, harness_spec(""));
	check_exec_terminal(&harness);
	end_sleeper(&harness);
}

static cJSON *joining_spec(const char *script, pid_t pid, bool pids)
{
	cJSON *spec = harness_spec(script);

	harness_join_namespace(spec, "user", pid, "user");
	harness_join_namespace(spec, "network", pid, "net");
	harness_join_namespace(spec, "ipc", pid, "ipc");
	if (pids)
		harness_join_namespace(spec, "pid", pid, "pid");
	cJSON_DeleteItemFromObject(harness_linux(spec), "uidMappings");
	cJSON_DeleteItemFromObject(harness_linux(spec), "gidMappings");
	return spec;
}

static void test_join(void **state)
{
	static struct harness other, harness;
	char network[64], path[64];
	ssize_t length;

	start_sleeper(&other, harness_spec(""));
	snprintf(path, sizeof(path), "/proc/%d/ns/net", other.process.pid);
	length = readlink(path, network, sizeof(network) - 1);
	network[length] = '\0';

	harness_run(&harness,
		    joining_spec("echo $$; readlink /proc/self/ns/net; "
				 "mount | grep -c mqueue",
				 other.process.pid, false));
	assert_int_equal(harness.result, 0);
	assert_true(str_starts(harness.output, "1\n"));
	assert_non_null(strstr(harness.output, network));

	harness_run(&harness, joining_spec("cat /proc/1/comm; "
					   "test $$ != 1 && echo joined; "
					   "ls /proc/self/fd",
					   other.process.pid, true));
	assert_int_equal(harness.result, 0);
	assert_string_equal(harness.output, "sleep\njoined\n0\n1\n2\n3\n");

	/* --ipc container: its /dev/shm is shared as well. */
	{
		cJSON *spec = joining_spec("cat /dev/shm/theirs",
					   other.process.pid, false);
		cleanup_free char *mount_text = xasprintf(
			"{\"destination\":\"/dev/shm\",\"type\":\"bind\","
			"\"source\":\"/proc/%d/root/dev/shm\",\"options\":"
			"[\"rbind\"]}",
			other.process.pid);

		expect_exec(&other, "echo shared > /dev/shm/theirs", "");
		cJSON_DeleteItemFromArray(cJSON_GetObjectItem(spec, "mounts"),
					  6);
		harness_add_mount(spec, mount_text);
		harness_expect(spec, "shared\n");
	}
	end_sleeper(&other);

	harness_expect_error(joining_spec("true", 999999999, false),
			     ERROR_NOT_FOUND, "/proc/999999999/ns/");
}

/* The program finds moss-init at best, sealed; it cannot be written to. */
static void test_self_exe(void **state)
{
	static const char *const words[] = {"/proc/self/exe", NULL};
	static struct harness harness;
	cJSON *spec = harness_spec("");

	harness_set_args(harness_process(spec), words);
	harness_run(&harness, spec);
	assert_int_equal(harness.result, 0);
	assert_int_equal(harness.exit_code, 126);
	assert_string_equal(harness.output,
			    "moss-init: only moss can start this program\n");

	spec = harness_spec("(echo x > /proc/1/exe) 2>/dev/null || echo no; "
			    "(echo x >> /proc/1/exe) 2>/dev/null || echo no");
	json_set(spec, "annotations",
		 harness_json("{\"dev.moss.init\":\"true\"}"));
	harness_set_capabilities(harness_process(spec), capability_all());
	harness_run(&harness, spec);
	assert_int_equal(harness.result, 0);
	assert_string_equal(harness.output, "no\nno\n");
}

static void test_sealed(void **state)
{
	static struct harness harness;
	cJSON *spec = harness_spec("");
	char path[64];
	int fd;

	json_set(spec, "annotations",
		 harness_json("{\"dev.moss.init\":\"true\"}"));
	start_sleeper(&harness, spec);
	snprintf(path, sizeof(path), "/proc/%d/exe", harness.process.pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GET_SEALS) & 15,
			 F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW |
				 F_SEAL_WRITE);
	close(fd);
	end_sleeper(&harness);
}

/* A working directory by a leaked descriptor: there is none to leak. */
static void test_leaked_directory(void **state)
{
	int leak = open("/", O_RDONLY | O_DIRECTORY);

	assert_true(leak >= 0);
	for (int fd = 3; fd < 24; fd++) {
		cleanup_free char *cwd = xasprintf("/proc/self/fd/%d", fd);
		cJSON *spec = harness_spec("ls");
		static struct harness harness;

		json_set_string(harness_process(spec), "cwd", cwd);
		harness_start(&harness, spec, NULL);
		assert_true(harness.result < 0);
		harness_end(&harness);
	}
	close(leak);
}

/* Into a container whose root is not the user who runs moss. */
static void test_exec_shifted(void **state)
{
	static const char *const keys[] = {"uidMappings", "gidMappings"};
	static struct harness harness;
	cJSON *spec = harness_spec("");

	if (namespace_ids < 65536)
		skip(); /* no sub-IDs */
	for (size_t i = 0; i < ARRAY_SIZE(keys); i++)
		json_set(harness_linux(spec), keys[i],
			 harness_json("[{\"containerID\":0,\"hostID\":1000,"
				      "\"size\":500}]"));
	start_sleeper(&harness, spec);
	expect_exec(&harness,
		    "id -u; echo x > /dev/stdout; stat -c %u /proc/self/fd/1; "
		    "grep CapEff /proc/self/status | tr -d '\t'",
		    "0\nx\n0\nCapEff:00000000a80425fb\n");
	check_exec_terminal(&harness);
	end_sleeper(&harness);
}

/* The container goes with its monitor. */
static void test_parent_death(void **state)
{
	int fds[2];
	pid_t monitor, container = 0;
	struct pollfd poll_fd = {.events = POLLIN};

	for (int init = 0; init < 2; init++) {
		assert_int_equal(pipe(fds), 0);
		monitor = fork();
		if (monitor == 0) {
			static struct harness harness;
			cJSON *spec = harness_spec("");
			ssize_t n;

			if (init)
				json_set(spec, "annotations",
					 harness_json("{\"dev.moss.init\":"
						      "\"true\"}"));
			json_set(harness_process(spec), "user",
				 harness_json(namespace_ids > 1
						      ? "{\"uid\":7,\"gid\":7}"
						      : "{}"));
			start_sleeper(&harness, spec);
			n = write(fds[1], &harness.process.pid, sizeof(pid_t));
			_exit(n == sizeof(pid_t) && pause() ? 0 : 1);
		}
		assert_int_equal(read(fds[0], &container, sizeof(container)),
				 sizeof(container));
		poll_fd.fd = proc_pidfd_open(container, 0);
		assert_true(poll_fd.fd >= 0);
		assert_int_equal(kill(monitor, SIGKILL), 0);
		assert_int_equal(proc_wait(monitor), 137);
		assert_int_equal(poll(&poll_fd, 1, 5000), 1);
		close(poll_fd.fd);
		close(fds[0]);
		close(fds[1]);
	}
}

static int all_tests(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_exec),
		cmocka_unit_test(test_exec_errors),
		cmocka_unit_test(test_exec_zombie),
		cmocka_unit_test(test_exec_user),
		cmocka_unit_test(test_terminal),
		cmocka_unit_test(test_exec_terminal),
		cmocka_unit_test(test_exec_shifted),
		cmocka_unit_test(test_join),
		cmocka_unit_test(test_self_exe),
		cmocka_unit_test(test_sealed),
		cmocka_unit_test(test_leaked_directory),
		cmocka_unit_test(test_parent_death),
	};

	return cmocka_run_group_tests(tests, harness_set_up, harness_tear_down);
}

int main(void)
{
	return harness_main(all_tests);
}
