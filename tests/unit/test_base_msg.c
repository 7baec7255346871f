/* base/msg.h */
#include "base/msg.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"

static size_t count_fds(void)
{
	cleanup_dir DIR *dir = opendir("/proc/self/fd");
	size_t count = 0;

	while (readdir(dir))
		count++;
	return count;
}

static int ends[2];

static int set_up(void **state)
{
	return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends);
}

static int tear_down(void **state)
{
	close_fd(&ends[0]);
	close_fd(&ends[1]);
	return 0;
}

static cJSON *text_message(const char *text)
{
	cJSON *json = json_object();

	json_set_string(json, "text", text);
	return json;
}

static void test_messages_keep_apart(void **state)
{
	cleanup_json cJSON *a = text_message("one");
	cleanup_json cJSON *b = text_message("two");
	cleanup_json cJSON *first = NULL;
	cleanup_json cJSON *second = NULL;
	cJSON *none = NULL;

	assert_int_equal(msg_send(ends[0], a, NULL, 0, NULL), 0);
	assert_int_equal(msg_send(ends[0], b, NULL, 0, NULL), 0);
	assert_int_equal(msg_receive(ends[1], &first, NULL, NULL, NULL), 1);
	assert_int_equal(msg_receive(ends[1], &second, NULL, NULL, NULL), 1);
	assert_true(cJSON_Compare(a, first, 1));
	assert_true(cJSON_Compare(b, second, 1));

	fcntl(ends[1], F_SETFL, O_NONBLOCK);
	assert_int_equal(msg_receive(ends[1], &none, NULL, NULL, NULL),
			 -EAGAIN);
	close_fd(&ends[0]);
	assert_int_equal(msg_receive(ends[1], &none, NULL, NULL, NULL), 0);
	assert_null(none);
	/* No SIGPIPE either. */
	assert_int_equal(msg_send(ends[1], a, NULL, 0, NULL), -EPIPE);
}

static void test_descriptors(void **state)
{
	static const struct {
		size_t sent;
		size_t room;
		size_t received;
	} rows[] = {
		{0, 4, 0}, {1, 4, 1}, {3, 2, 2},
		{3, 0, 0}, {8, 8, 8}, {8, 20, 8},
	};
	cleanup_json cJSON *json = text_message("x");

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		int pipes[2];
		int fds[MSG_FDS_MAX];
		int got[20];
		size_t count = rows[i].room;
		size_t before;
		cleanup_json cJSON *received = NULL;

		assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
		for (size_t j = 0; j < rows[i].sent; j++)
			fds[j] = pipes[1];
		before = count_fds();
		assert_int_equal(
			msg_send(ends[0], json, fds, rows[i].sent, NULL), 0);
		assert_int_equal(
			msg_receive(ends[1], &received, got, &count, NULL), 1);
		assert_int_equal(count, rows[i].received);
		assert_int_equal(count_fds(), before + count);
		for (size_t j = 0; j < count; j++) {
			struct stat a;
			struct stat b;

			assert_int_equal(fstat(got[j], &a), 0);
			assert_int_equal(fstat(pipes[1], &b), 0);
			assert_int_equal(a.st_ino, b.st_ino);
			assert_int_equal(fcntl(got[j], F_GETFD), FD_CLOEXEC);
			close(got[j]);
		}
		close(pipes[0]);
		close(pipes[1]);
	}
}

static void test_limits(void **state)
{
	cleanup_free char *text = xcalloc(MSG_MAX + 1, 1);
	cleanup_json cJSON *largest = NULL;
	cleanup_json cJSON *larger = NULL;
	cleanup_json cJSON *received = NULL;
	struct error err = {0};
	int fds[MSG_FDS_MAX + 1] = {0};

	/* {"text":""} is 11 bytes around it. */
	memset(text, 'x', MSG_MAX - 11);
	largest = text_message(text);
	assert_int_equal(msg_send(ends[0], largest, NULL, 0, &err), 0);
	assert_int_equal(msg_receive(ends[1], &received, NULL, NULL, &err), 1);
	assert_true(cJSON_Compare(largest, received, 1));

	text[MSG_MAX - 11] = 'x';
	larger = text_message(text);
	assert_int_equal(msg_send(ends[0], larger, NULL, 0, &err), -EINVAL);
	assert_int_equal(msg_send(ends[0], largest, fds, MSG_FDS_MAX + 1, &err),
			 -EINVAL);
}

/* Sends raw bytes with count descriptors of /dev/null. */
static void send_raw(const void *bytes, size_t length, size_t count)
{
	cleanup_fd int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	cleanup_free char *control =
		xcalloc(CMSG_SPACE(count * sizeof(int)), 1);
	cleanup_free void *copy = xcalloc(length, 1);
	struct iovec part = {.iov_base = copy, .iov_len = length};
	struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

	memcpy(copy, bytes, length);
	if (count > 0) {
		struct cmsghdr *header = (struct cmsghdr *)control;

		message.msg_control = control;
		message.msg_controllen = CMSG_SPACE(count * sizeof(int));
		header->cmsg_level = SOL_SOCKET;
		header->cmsg_type = SCM_RIGHTS;
		header->cmsg_len = CMSG_LEN(count * sizeof(int));
		for (size_t i = 0; i < count; i++)
			memcpy(CMSG_DATA(header) + i * sizeof(int), &null,
			       sizeof(int));
	}
	assert_int_equal(sendmsg(ends[0], &message, 0), (ssize_t)length);
}

static void test_hostile_messages(void **state)
{
	cleanup_free char *large = xcalloc(MSG_MAX + 1, 1);
	const struct {
		const char *bytes;
		size_t length;
		size_t fds;
	} rows[] = {
		{"{", 1, 2},
		{"\0", 1, 0},
		{"{}x", 3, 1},
		{"{}", 2, 9},
		{"{}", 2, 20},
		{large, MSG_MAX + 1, 0},
		{large, MSG_MAX + 1, 3},
	};
	size_t before = count_fds();

	memset(large, ' ', MSG_MAX + 1);
	large[0] = '1';
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cJSON *json = NULL;
		int fds[MSG_FDS_MAX];
		size_t count = MSG_FDS_MAX;
		struct error err = {0};

		send_raw(rows[i].bytes, rows[i].length, rows[i].fds);
		assert_int_equal(msg_receive(ends[1], &json, fds, &count, &err),
				 -EINVAL);
		assert_string_not_equal(err.message, "");
		assert_null(json);
		/* Descriptors that came along are closed. */
		assert_int_equal(count_fds(), before);
		assert_int_equal(count, MSG_FDS_MAX);
	}
}

static void test_peer(void **state)
{
	cleanup_fd int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	uid_t uid = (uid_t)-1;

	assert_int_equal(msg_peer_uid(ends[0], &uid), 0);
	assert_int_equal(uid, geteuid());
	assert_int_equal(msg_peer_uid(null, &uid), -ENOTSOCK);
}

static void test_socket_in_deep_directory(void **state)
{
	static const int types[] = {SOCK_SEQPACKET, SOCK_STREAM};
	char top[] = "/tmp/moss-test-XXXXXX";
	char name[101];
	cleanup_fd int dir = -1;
	struct error err = {0};
	struct stat st;
	mode_t mask;

	/* Far beyond the 108 bytes of an address. */
	memset(name, 'n', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	assert_non_null(mkdtemp(top));
	dir = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	for (int i = 0; i < 3; i++) {
		int next;

		assert_int_equal(mkdirat(dir, name, 0700), 0);
		next = openat(dir, name, O_PATH | O_CLOEXEC);
		close(dir);
		dir = next;
	}
	assert_int_equal(mkdirat(dir, "sub", 0700), 0);
	mask = umask(0);
	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		int listener =
			socket_listen_at(dir, "sub/control", types[i], &err);
		int client;
		int server;

		if (listener < 0)
			fail_msg("%s", err.message);
		assert_int_equal(fstatat(dir, "sub/control", &st, 0), 0);
		assert_int_equal(st.st_mode & 07777, 0600);
		assert_true(fcntl(listener, F_GETFD) & FD_CLOEXEC);
		client = socket_connect_at(dir, "sub/control", types[i], &err);
		assert_true(client >= 0);
		assert_true(fcntl(client, F_GETFD) & FD_CLOEXEC);
		server = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		assert_int_equal(write(client, "x", 1), 1);
		assert_int_equal(read(server, name, 1), 1);
		close(server);
		close(client);
		/* Next time its stale name is in the way. */
		close(listener);
	}
	umask(mask);
	assert_int_equal(
		socket_connect_at(dir, "sub/control", SOCK_STREAM, &err),
		-ECONNREFUSED);
	assert_string_equal(err.message, "cannot connect to sub/control: "
					 "Connection refused");
	assert_int_equal(socket_connect_at(dir, "none", SOCK_STREAM, &err),
			 -ENOENT);
	memset(name, 'n', sizeof(name) - 1);
	assert_int_equal(socket_listen_at(dir, name, SOCK_STREAM, &err),
			 -ENAMETOOLONG);
	assert_int_equal(socket_listen_at(dir, "sub/", SOCK_STREAM, &err),
			 -EISDIR);
	assert_int_equal(socket_listen_at(dir, "none/x", SOCK_STREAM, &err),
			 -ENOENT);
	/* Only sockets are taken out of the way. */
	assert_int_equal(
		file_write_atomic_at(dir, "file", "x", 1, 0600, 0, NULL), 0);
	assert_int_equal(socket_listen_at(dir, "file", SOCK_STREAM, &err),
			 -EADDRINUSE);
	assert_int_equal(tree_remove_at(AT_FDCWD, top, NULL), 0);
}

static void test_error_round_trip(void **state)
{
	for (unsigned int i = ERROR_NONE + 1; i < ERROR_KIND_COUNT; i++) {
		struct error err;
		struct error back;
		cleanup_json cJSON *json = NULL;

		err_set(&err, (enum error_kind)i, "what %u", i);
		if (i % 2) {
			err.number = EXDEV;
			err_hint(&err, "do %u", i);
		}
		json = error_to_json(&err);
		error_from_json(json, &back);
		assert_memory_equal(&err, &back, sizeof(err));
	}
}

static void test_error_from_nonsense(void **state)
{
	static const struct {
		const char *text;
		const char *message;
		int number;
	} rows[] = {
		{"[]", "unknown error", 0},
		{"{}", "unknown error", 0},
		{"{\"kind\":7,\"message\":[]}", "unknown error", 0},
		{"{\"kind\":\"no error\",\"message\":\"m\"}", "m", 0},
		{"{\"errno\":-3,\"message\":\"a\\u001bb\"}", "a?b", 0},
		{"{\"errno\":123456,\"message\":\"%s%n\"}", "%s%n", 0},
		{"{\"errno\":2,\"message\":\"m\"}", "m", 2},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_json cJSON *json = NULL;
		struct error err;

		assert_int_equal(json_parse(rows[i].text, strlen(rows[i].text),
					    "t", &json, NULL),
				 0);
		error_from_json(json, &err);
		assert_int_equal(err.kind, ERROR_GENERIC);
		assert_int_equal(err.number, rows[i].number);
		assert_string_equal(err.message, rows[i].message);
		assert_true(err_return(&err) < 0);
	}
}

#define TEST(function) \
	cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_messages_keep_apart),
		TEST(test_descriptors),
		TEST(test_limits),
		TEST(test_hostile_messages),
		TEST(test_peer),
		cmocka_unit_test(test_socket_in_deep_directory),
		cmocka_unit_test(test_error_round_trip),
		cmocka_unit_test(test_error_from_nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
