/* core/monitor/control.h: the client's side, against a monitor of our own. */
#include "core/monitor/control.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/msg.h"
#include "base/str.h"

#define ID	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define EXEC_ID ID

static char top_path[] = "/tmp/moss-test-XXXXXX";
static struct store store;
static struct record record;
static pid_t server;

static int set_up(void **state)
{
	struct error err = {0};

	strcpy(top_path, "/tmp/moss-test-XXXXXX");
	if (!mkdtemp(top_path) || store_open(top_path, &store, &err) < 0 ||
	    record_create(&store, ID, true, &record, &err) < 0)
		return -1;
	server = 0;
	return 0;
}

static int tear_down(void **state)
{
	if (server > 0) {
		kill(server, SIGKILL);
		waitpid(server, NULL, 0);
	}
	record_close(&record);
	store_close(&store);
	return tree_remove_at(AT_FDCWD, top_path, NULL);
}

/* What the false monitor does with a request; its own process. */
typedef void (*answer_function)(int fd, const cJSON *request, const int *fds,
				size_t fd_count);

static void serve(int listen_fd, answer_function answer)
{
	for (;;) {
		cleanup_fd int fd = accept(listen_fd, NULL, NULL);
		cleanup_json cJSON *request = NULL;
		int fds[MSG_FDS_MAX];
		size_t count = MSG_FDS_MAX;

		if (msg_receive(fd, &request, fds, &count, NULL) <= 0)
			_exit(1);
		answer(fd, request, fds, count);
		while (count > 0)
			close(fds[--count]);
	}
}

static void start_server(answer_function answer)
{
	struct error err = {0};
	int fd = socket_listen_at(record.directory_fd, "control",
				  SOCK_SEQPACKET, &err);

	assert_true(fd >= 0);
	server = fork();
	if (server == 0)
		serve(fd, answer);
	assert_true(server > 0);
	close(fd);
}

static void say(int fd, const char *text)
{
	if (send(fd, text, strlen(text), 0) < 0)
		_exit(1);
}

/* Tells the caller what it asked for, as an error's text. */
static void answer_echo(int fd, const cJSON *request, const int *fds,
			size_t fd_count)
{
	cleanup_free char *text = json_print(request);
	cJSON *json = json_object();
	struct error err = {0};

	err_set(&err, ERROR_CONFLICT, "%zu %s", fd_count, text);
	json_set(json, "error", error_to_json(&err));
	msg_send(fd, json, NULL, 0, NULL);
	cJSON_Delete(json);
}

static void answer_done(int fd, const cJSON *request, const int *fds,
			size_t fd_count)
{
	say(fd, "{}");
}

static void answer_garbage(int fd, const cJSON *request, const int *fds,
			   size_t fd_count)
{
	say(fd, "{\"exit_code\":\"seven\",\"pid\":[],\"ids\":7}");
}

static void answer_pid(int fd, const cJSON *request, const int *fds,
		       size_t fd_count)
{
	say(fd, "{\"pid\":42,\"id\":\"" EXEC_ID "\"}");
}

static void answer_nothing(int fd, const cJSON *request, const int *fds,
			   size_t fd_count)
{
}

static void answer_exit(int fd, const cJSON *request, const int *fds,
			size_t fd_count)
{
	say(fd, "{\"exit_code\":7}");
}

static void test_requests(void **state)
{
	const struct attach_options attach = {.stdout_ = true, .logs = true};
	const int stdio[] = {0, 1, 2};
	cleanup_json cJSON *process = json_object();
	cleanup_json cJSON *terminal = json_object();
	struct error err = {0};
	int fd = -1;
	struct exec_handle handle = EXEC_HANDLE_INIT;
	char **ids = NULL;

	start_server(answer_echo);
	assert_int_equal(monitor_kill(&record, 9, &err), -EBUSY);
	assert_int_equal(err.kind, ERROR_CONFLICT);
	assert_string_equal(err.message, "0 {\"op\":\"kill\",\"signal\":9}");
	assert_true(monitor_stop(&record, 0, MONITOR_STOP_OWN, false, &err) <
		    0);
	assert_string_equal(err.message,
			    "0 {\"op\":\"stop\",\"signal\":0,\"timeout\":-2}");
	assert_true(monitor_stop(&record, 15, 3, true, &err) < 0);
	assert_string_equal(err.message,
			    "0 {\"op\":\"stop\",\"signal\":15,\"timeout\":3,"
			    "\"keep\":true}");
	assert_true(monitor_pause(&record, &err) < 0);
	assert_string_equal(err.message, "0 {\"op\":\"pause\"}");
	assert_true(monitor_unpause(&record, &err) < 0);
	assert_string_equal(err.message, "0 {\"op\":\"unpause\"}");
	assert_true(monitor_resize(&record, 24, 80, &err) < 0);
	assert_string_equal(err.message,
			    "0 {\"op\":\"resize\",\"rows\":24,\"columns\":80}");
	assert_true(monitor_attach(&record, &attach, &fd, &err) < 0);
	assert_string_equal(err.message,
			    "1 {\"op\":\"attach\",\"stdin\":false,"
			    "\"stdout\":true,\"stderr\":false,\"logs\":true}");
	json_set_string(process, "cwd", "/");
	assert_true(monitor_exec(&record, process, true, stdio, &handle, &err) <
		    0);
	assert_string_equal(err.message,
			    "3 {\"op\":\"exec\",\"process\":{\"cwd\":\"/\"},"
			    "\"privileged\":true}");
	/* With a terminal nothing is passed. */
	json_set_bool(terminal, "terminal", true);
	assert_true(monitor_exec(&record, terminal, false, stdio, &handle,
				 &err) < 0);
	assert_true(str_starts(err.message, "0 "));
	assert_int_equal(fd, -1);
	assert_int_equal(handle.wait_fd, -1);
	assert_int_equal(handle.console_fd, -1);
	assert_true(monitor_execs(&record, &ids, &err) < 0);
	assert_string_equal(err.message, "0 {\"op\":\"execs\"}");
}

static void test_done(void **state)
{
	struct error err = {0};

	start_server(answer_done);
	assert_int_equal(monitor_kill(&record, 15, &err), 0);
	assert_int_equal(monitor_stop(&record, 15, -1, false, &err), 0);
	assert_int_equal(monitor_resize(&record, 1, 2, &err), 0);
}

static void test_wait(void **state)
{
	struct error err = {0};
	cleanup_fd int fd = -1;
	int code = 0;

	start_server(answer_exit);
	fd = monitor_wait_open(&record, &err);
	assert_true(fd >= 0);
	assert_int_equal(monitor_wait(fd, &code, &err), 0);
	assert_int_equal(code, 7);
}

static void test_monitor_dies(void **state)
{
	struct error err = {0};
	cleanup_fd int fd = -1;
	int code = 3;

	start_server(answer_nothing);
	assert_int_equal(monitor_kill(&record, 9, &err), -ECONNRESET);
	fd = monitor_wait_open(&record, &err);
	assert_int_equal(monitor_wait(fd, &code, &err), -ECONNRESET);
	assert_int_equal(code, 3);
}

static void test_garbage(void **state)
{
	const int stdio[] = {0, 1, 2};
	cleanup_json cJSON *process = json_object();
	struct error err = {0};
	cleanup_fd int fd = -1;
	struct exec_handle handle = EXEC_HANDLE_INIT;
	char **ids = NULL;
	int code = 3;

	start_server(answer_garbage);
	fd = monitor_wait_open(&record, &err);
	assert_true(monitor_wait(fd, &code, &err) < 0);
	assert_true(monitor_exec(&record, process, false, stdio, &handle,
				 &err) < 0);
	json_set_bool(process, "terminal", true);
	assert_true(monitor_exec(&record, process, false, stdio, &handle,
				 &err) < 0);
	assert_int_equal(handle.wait_fd, -1);
	assert_true(monitor_execs(&record, &ids, &err) < 0);
	assert_null(ids);
}

static void test_no_terminal(void **state)
{
	const int stdio[] = {-1, -1, -1};
	cleanup_json cJSON *process = json_object();
	struct error err = {0};
	struct exec_handle handle = EXEC_HANDLE_INIT;

	start_server(answer_pid);
	json_set_bool(process, "terminal", true);
	assert_true(monitor_exec(&record, process, false, stdio, &handle,
				 &err) < 0);
	assert_int_equal(err.kind, ERROR_CORRUPT);
	assert_int_equal(handle.wait_fd, -1);
}

static void answer_wrong_id(int fd, const cJSON *request, const int *fds,
			    size_t fd_count)
{
	say(fd, "{\"pid\":42,\"id\":\"../x\"}");
}

static void test_wrong_id(void **state)
{
	const int stdio[] = {0, 1, 2};
	cleanup_json cJSON *process = json_object();
	struct error err = {0};
	struct exec_handle handle = EXEC_HANDLE_INIT;

	start_server(answer_wrong_id);
	assert_true(monitor_exec(&record, process, false, stdio, &handle,
				 &err) < 0);
	assert_int_equal(err.kind, ERROR_CORRUPT);
	assert_int_equal(handle.wait_fd, -1);
}

static void answer_ids(int fd, const cJSON *request, const int *fds,
		       size_t fd_count)
{
	say(fd, "{\"ids\":[\"a\",\"b\"]}");
}

static void test_execs(void **state)
{
	cleanup_strv char **ids = NULL;
	struct error err = {0};

	start_server(answer_ids);
	assert_true(monitor_execs(&record, &ids, &err) >= 0);
	assert_int_equal(strv_length(ids), 2);
	assert_string_equal(ids[1], "b");
}

static void test_not_running(void **state)
{
	struct error err = {0};
	int fd;

	assert_int_equal(monitor_kill(&record, 9, &err), -EBUSY);
	assert_string_equal(err.message,
			    "container aaaaaaaaaaaa is not running");
	/* A socket that nobody listens at any more. */
	fd = socket_listen_at(record.directory_fd, "control", SOCK_SEQPACKET,
			      &err);
	close(fd);
	assert_int_equal(monitor_wait_open(&record, &err), -EBUSY);
	assert_int_equal(err.kind, ERROR_CONFLICT);
}

/* The stream is the two ends of one socket. */
static void answer_stream(int fd, const cJSON *request, const int *fds,
			  size_t fd_count)
{
	char text[16];
	ssize_t length;

	if (fd_count != 1)
		_exit(1);
	say(fd, "{}");
	length = read(fds[0], text, sizeof(text));
	if (length < 0 || write(fds[0], text, (size_t)length) < 0)
		_exit(1);
}

static void test_attach_stream(void **state)
{
	const struct attach_options attach = {.stdin_ = true, .stdout_ = true};
	struct error err = {0};
	cleanup_fd int fd = -1;
	char text[16] = "";

	start_server(answer_stream);
	assert_int_equal(monitor_attach(&record, &attach, &fd, &err), 0);
	assert_int_equal(write(fd, "hello", 5), 5);
	assert_int_equal(shutdown(fd, SHUT_WR), 0);
	assert_int_equal(read(fd, text, sizeof(text)), 5);
	assert_string_equal(text, "hello");
	/* Nobody else holds an end. */
	assert_int_equal(read(fd, text, sizeof(text)), 0);
}

static void answer_exec(int fd, const cJSON *request, const int *fds,
			size_t fd_count)
{
	cleanup_json cJSON *json = json_object();
	cleanup_fd int null = open("/dev/null", O_RDWR | O_CLOEXEC);

	json_set_string(json, "id", EXEC_ID);
	json_set_i64(json, "pid", 42);
	msg_send(fd, json, &null, 1, NULL);
	say(fd, "{\"exit_code\":126}");
}

static void test_exec(void **state)
{
	const int stdio[] = {-1, -1, -1};
	cleanup_json cJSON *process = json_object();
	struct error err = {0};
	CLEANUP(exec_handle_release)
	struct exec_handle handle = EXEC_HANDLE_INIT;
	int code = 0;

	start_server(answer_exec);
	json_set_bool(process, "terminal", true);
	assert_int_equal(
		monitor_exec(&record, process, false, stdio, &handle, &err), 0);
	assert_int_equal(handle.pid, 42);
	assert_string_equal(handle.id, EXEC_ID);
	assert_int_equal(write(handle.console_fd, "x", 1), 1);
	assert_true(fcntl(handle.console_fd, F_GETFD) & FD_CLOEXEC);
	assert_int_equal(monitor_wait(handle.wait_fd, &code, &err), 0);
	assert_int_equal(code, 126);
}

/* ---- monitor_start(), with a script in the program's place ---- */

static void install(const char *script)
{
	cleanup_free char *path = xasprintf("%s/moss-monitor", top_path);
	cleanup_free char *text = xasprintf("#!/bin/sh\n%s\n", script);

	assert_int_equal(file_write_atomic_at(AT_FDCWD, path, text,
					      strlen(text), 0755, FILE_VOLATILE,
					      NULL),
			 0);
	assert_int_equal(setenv("MOSS_LIBEXEC", top_path, 1), 0);
}

static char *read_result(void)
{
	char *text = NULL;

	assert_int_equal(
		file_read_at(store.root_fd, "result", 65536, &text, NULL, NULL),
		0);
	return text;
}

static void test_start(void **state)
{
	struct error err = {0};
	cleanup_free char *result = NULL;
	cleanup_fd int inherited = dup(STDERR_FILENO);

	assert_true(inherited >= 0);
	assert_int_equal(setenv("SECRET", "hunter2", 1), 0);
	install("cd \"$1\"; ls -l /proc/self/fd | sed 's/.* \\([0-9]* -> "
		"[^0-9]*\\).*/\\1/' >result; echo $# \"$2\" \"$3\" $SECRET "
		">>result; "
		"printf R >&3");
	assert_int_equal(monitor_start(&store, &record, NULL, NULL, NULL, &err),
			 0);
	result = read_result();
	/* 0-2, the start socket, what ls has open: nothing of ours. */
	assert_string_equal(result, "total 0\n"
				    "0 -> /dev/null\n"
				    "1 -> pipe:[\n"
				    "2 -> /dev/null\n"
				    "3 -> socket:[\n"
				    "4 -> /proc/\n"
				    "3 containers " ID "\n");
	assert_int_equal(unsetenv("SECRET"), 0);
}

static void test_start_is_orphan(void **state)
{
	struct error err = {0};
	int status;

	install("read -r pid name state parent group session rest "
		"</proc/$$/stat; [ $session = $$ ] || exit 1; "
		"printf R >&3; sleep 0.2");
	assert_int_equal(monitor_start(&store, &record, NULL, NULL, NULL, &err),
			 0);
	/* We have no child: not now, and no zombie later. */
	assert_int_equal(waitpid(-1, &status, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

static void test_start_attached(void **state)
{
	const struct attach_options attach = {
		.stdin_ = true, .stderr_ = true, .dies_with_client = true};
	struct error err = {0};
	cleanup_fd int stream = -1;
	cleanup_fd int wait = -1;
	char text[16] = "";
	int code = 0;

	install("printf R >&3; printf \"$4\" >&4; "
		"printf '{\"exit_code\":5}' >&5");
	assert_int_equal(
		monitor_start(&store, &record, &attach, &stream, &wait, &err),
		0);
	assert_int_equal(read(stream, text, sizeof(text)), 3);
	assert_string_equal(text, "iek");
	assert_int_equal(monitor_wait(wait, &code, &err), 0);
	assert_int_equal(code, 5);
}

static void test_start_fails(void **state)
{
	struct error sent = {0};
	struct error err = {0};
	cleanup_fd int fd = -1;

	err_set(&sent, ERROR_NO_SUCH_COMMAND, "exec: no such thing");
	err_hint(&sent, "look for it");
	fd = openat(store.root_fd, "error", O_WRONLY | O_CREAT | O_CLOEXEC,
		    0600);
	assert_int_equal(error_write(fd, &sent), 0);
	install("cd \"$1\"; dd if=error bs=4096 >&3 2>/dev/null");
	assert_true(monitor_start(&store, &record, NULL, NULL, NULL, &err) < 0);
	assert_int_equal(err.kind, ERROR_NO_SUCH_COMMAND);
	assert_string_equal(err.message, "exec: no such thing");
	assert_string_equal(err.hint, "look for it");
}

static void test_start_dies(void **state)
{
	struct error err = {0};

	install("kill -9 $$");
	assert_true(monitor_start(&store, &record, NULL, NULL, NULL, &err) < 0);
	assert_string_equal(err.message,
			    "the monitor of container aaaaaaaaaaaa died before "
			    "the container ran");
	/* Half an error is none. */
	install("printf 1234 >&3");
	assert_true(monitor_start(&store, &record, NULL, NULL, NULL, &err) < 0);
	assert_true(strstr(err.message, "died before"));
}

static void test_start_without_program(void **state)
{
	struct error err = {0};

	assert_int_equal(setenv("MOSS_LIBEXEC", top_path, 1), 0);
	assert_int_equal(monitor_start(&store, &record, NULL, NULL, NULL, &err),
			 -ENOENT);
	assert_true(strstr(err.message, "moss-monitor"));
	install("exit 0");
	assert_int_equal(fchmodat(store.root_fd, "moss-monitor", 0644, 0), 0);
	assert_true(monitor_start(&store, &record, NULL, NULL, NULL, &err) < 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_requests),
		TEST(test_done),
		TEST(test_wait),
		TEST(test_monitor_dies),
		TEST(test_garbage),
		TEST(test_no_terminal),
		TEST(test_wrong_id),
		TEST(test_execs),
		TEST(test_not_running),
		TEST(test_attach_stream),
		TEST(test_exec),
		TEST(test_start),
		TEST(test_start_is_orphan),
		TEST(test_start_attached),
		TEST(test_start_fails),
		TEST(test_start_dies),
		TEST(test_start_without_program),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
