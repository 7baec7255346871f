/*
 * net/uplink.h and net/netns.h: moss-net between a host and a container, each
 * a network namespace of its own here, with real sockets on both sides.
 */
#include "net/uplink.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/str.h"
#include "tests/unit/uplink_client.h"

struct upload {
	int fd;
	const char *bytes;
	size_t length;
};

static void *upload_main(void *data)
{
	const struct upload *upload = data;

	send_all(upload->fd, upload->bytes, upload->length);
	shutdown(upload->fd, SHUT_WR);
	return NULL;
}

/* Bytes come back unchanged, and the end of file after them. */
static void test_echo(void **state)
{
	const size_t sizes[] = {0, 1, 1000, 16384, 16385, 1 << 20, 48 << 20};
	size_t before = count_fds(world.uplink.pid);

	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		cleanup_free char *sent = xcalloc(1, sizes[i] + 1);
		cleanup_free char *received = xcalloc(1, sizes[i] + 1);
		struct upload upload = {.bytes = sent, .length = sizes[i]};
		pthread_t thread;

		for (size_t j = 0; j < sizes[i]; j++)
			sent[j] = (char)(j * 2654435761u >> 24);
		upload.fd = dial("127.0.0.1", PORT_ECHO, PORT_TCP);
		assert_true(upload.fd >= 0);
		assert_int_equal(
			pthread_create(&thread, NULL, upload_main, &upload), 0);
		assert_int_equal(read_to_end(upload.fd, received, sizes[i] + 1),
				 sizes[i]);
		pthread_join(thread, NULL);
		assert_memory_equal(sent, received, sizes[i]);
		close(upload.fd);
	}
	assert_settled(before);
}

/* Who reads nothing for a while gets everything later, and costs no memory. */
static void test_slow_reader(void **state)
{
	static char bytes[1 << 20];
	int fd = dial("127.0.0.1", PORT_ECHO, PORT_TCP);
	struct timeval soon = {.tv_usec = 200000};
	size_t sent = 0;
	size_t received = 0;
	ssize_t n;

	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &soon, sizeof(soon));
	while ((n = send(fd, bytes, sizeof(bytes), MSG_NOSIGNAL)) > 0) {
		sent += (size_t)n;
		assert_in_range(sent, 1, 100u << 20);
	}
	/* Another one is served meanwhile. */
	{
		cleanup_fd int other = dial("127.0.0.1", PORT_WHO, PORT_TCP);
		char text[64];

		assert_true(read_to_end(other, text, sizeof(text)) > 0);
	}
	shutdown(fd, SHUT_WR);
	while ((n = recv(fd, bytes, sizeof(bytes), 0)) > 0)
		received += (size_t)n;
	assert_int_equal(n, 0);
	assert_int_equal(received, sent);
	close(fd);
}

static void test_thousand_at_once(void **state)
{
	static int fds[1000];
	size_t before = count_fds(world.uplink.pid);

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		fds[i] = dial("127.0.0.1", PORT_ECHO, PORT_TCP);
		assert_true(fds[i] >= 0);
	}
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		send_all(fds[i], (const char *)&i, sizeof(i));
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		size_t answer = SIZE_MAX;

		assert_int_equal(recv(fds[i], &answer, sizeof(answer), 0),
				 sizeof(answer));
		assert_int_equal(answer, i);
	}
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
	assert_settled(before);
}

static void test_many_in_sequence(void **state)
{
	size_t before = count_fds(world.uplink.pid);

	for (size_t i = 0; i < 12000; i++) {
		cleanup_fd int fd = dial("127.0.0.1", PORT_ECHO, PORT_TCP);
		size_t answer = SIZE_MAX;

		assert_true(fd >= 0);
		send_all(fd, (const char *)&i, sizeof(i));
		assert_int_equal(recv(fd, &answer, sizeof(answer), 0),
				 sizeof(answer));
		assert_int_equal(answer, i);
	}
	assert_settled(before);
}

static void test_refused(void **state)
{
	static const char *const from[] = {"127.0.0.1", HOST_ADDRESS, "::1"};

	for (size_t i = 0; i < ARRAY_SIZE(from); i++) {
		cleanup_fd int fd = dial(from[i], PORT_NOBODY, PORT_TCP);
		char byte;

		assert_true(fd >= 0 || fd == -ECONNRESET);
		if (fd >= 0)
			assert_int_equal(read_to_end(fd, &byte, 1),
					 -ECONNRESET);
	}
}

static void test_reset(void **state)
{
	cleanup_fd int fd = dial("127.0.0.1", PORT_RESET, PORT_TCP);
	char byte;

	assert_true(fd >= 0 || fd == -ECONNRESET);
	if (fd >= 0)
		assert_int_equal(read_to_end(fd, &byte, 1), -ECONNRESET);
}

/*
 * A server that answers and closes without reading the request resets the
 * connection: what it said before still arrives, at a client that takes its
 * time, too.
 */
static void test_early_answer(void **state)
{
	static char bytes[1 << 20];
	const int small = 32768;

	for (int i = 0; i < 10; i++) {
		static char answer[ANSWER_SIZE];
		cleanup_fd int fd = dial("127.0.0.1", PORT_ANSWER, PORT_TCP);
		struct upload upload = {fd, bytes, sizeof(bytes)};
		size_t length = 0;
		pthread_t thread;
		ssize_t n;

		assert_true(fd >= 0);
		if (i % 2)
			setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small,
				   sizeof(small));
		assert_int_equal(
			pthread_create(&thread, NULL, upload_main, &upload), 0);
		usleep(i % 2 ? 50000 : 0);
		while (length < sizeof(answer) &&
		       (n = recv(fd, answer + length, sizeof(answer) - length,
				 0)) > 0)
			length += (size_t)n;
		pthread_join(thread, NULL);
		assert_int_equal(length, sizeof(answer));
	}
}

/* The container sees its clients, except those of the host's loopback. */
static void test_client_address(void **state)
{
	static const struct {
		const char *dialled;
		uint16_t port;
		const char *seen;
	} rows[] = {
		{HOST_ADDRESS, PORT_WHO, HOST_ADDRESS},
		{"127.0.0.1", PORT_WHO, NET_FORWARDER},
		{"::1", PORT_WHO, NET_FORWARDER},
		{"::1", PORT_WHO6, NET_FORWARDER6},
		{HOST_ADDRESS, PORT_WHO6, NET_FORWARDER6},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *expected = NULL;
		char answer[128];
		uint16_t port;

		ask_who(rows[i].dialled, rows[i].port, PORT_TCP, answer, &port);
		expected = xasprintf("%s %u", rows[i].seen, port);
		assert_string_equal(answer, expected);
	}
}

/* Answers 'y' to whoever connects to the host's 127.0.0.1. */
static void *host_server_main(void *data)
{
	int listener = *(int *)data;

	for (;;) {
		int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

		if (fd < 0)
			return NULL;
		send_all(fd, "y", 1);
		close(fd);
	}
}

static char ask_container(struct world *asked)
{
	char answer = 0;

	assert_int_equal(write(asked->command_fd, "h", 1), 1);
	assert_int_equal(read(asked->command_fd, &answer, 1), 1);
	return answer;
}

/* The gateway's address is the host's loopback when that is allowed. */
static void test_host_loopback(void **state)
{
	struct world other = {0};
	struct error err = {0};
	pthread_t thread;
	int listener = listen_tcp(AF_INET, PORT_HOST);

	assert_int_equal(
		pthread_create(&thread, NULL, host_server_main, &listener), 0);
	assert_int_equal(ask_container(&world), 'y');

	if (world_make(&other, false, &err) < 0)
		fail_msg("%s", err.message);
	assert_int_equal(ask_container(&other), 'r');
	world_end(&other);

	shutdown(listener, SHUT_RDWR);
	pthread_join(thread, NULL);
	close(listener);
}

static void assert_status(pid_t pid, pid_t tid, const char *line)
{
	cleanup_free char *path =
		xasprintf("/proc/%d/task/%d/status", pid, tid);
	cleanup_free char *text = NULL;

	assert_int_equal(file_read_at(AT_FDCWD, path, 65536, &text, NULL, NULL),
			 0);
	if (!strstr(text, line))
		fail_msg("no '%s' in %s", line, path);
}

/* Both threads are confined, the forwarder has one capability left. */
static void test_confined(void **state)
{
	pid_t pid = world.uplink.pid;
	cleanup_free char *path = xasprintf("/proc/%d/root", pid);
	cleanup_free char *tasks = xasprintf("/proc/%d/task", pid);
	cleanup_dir DIR *root = opendir(path);
	cleanup_dir DIR *dir = opendir(tasks);
	const struct dirent *entry;
	int threads = 0;

	assert_non_null(root);
	while ((entry = readdir(root))) {
		if (entry->d_name[0] != '.')
			assert_true(str_equal(entry->d_name, "etc") ||
				    str_equal(entry->d_name, "host"));
	}
	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		pid_t tid = (pid_t)strtol(entry->d_name, NULL, 10);

		if (tid <= 0)
			continue;
		threads++;
		assert_status(pid, tid, "\nSeccomp:\t2\n");
		assert_status(pid, tid, "\nNoNewPrivs:\t1\n");
		assert_status(pid, tid, "\nCapBnd:\t0000000000000000\n");
		assert_status(pid, tid,
			      tid == pid ? "\nCapEff:\t0000000000000000\n"
					 : "\nCapEff:\t0000000000001000\n");
	}
	assert_int_equal(threads, 2);
}

/* Killing whoever started it ends it, and frees its ports. */
static void test_parent_killed(void **state)
{
	struct world other = {0};
	uint64_t start_time;
	int tries = 0;
	int pair[2];
	pid_t parent;

	assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
	parent = fork();
	if (parent == 0) {
		struct error err = {0};

		if (world_make(&other, false, &err) < 0)
			fprintf(stderr, "%s\n", err.message);
		if (write(pair[1], &other, sizeof(other)) < 0)
			_exit(1);
		pause();
	}
	assert_int_equal(read(pair[0], &other, sizeof(other)), sizeof(other));
	assert_true(other.uplink.pid > 0);
	assert_int_equal(proc_start_time(other.uplink.pid, &start_time), 0);
	assert_true(proc_is_alive(other.uplink.pid, start_time));
	kill(parent, SIGKILL);
	proc_wait(parent);
	for (int i = 0; i < 500 && proc_is_alive(other.uplink.pid, start_time);
	     i++)
		usleep(10000);
	assert_false(proc_is_alive(other.uplink.pid, start_time));
	for (size_t i = 0; i < PUBLISHED; i++) {
		struct port_mapping mapping = {
			.host_port = other.host_ports[i],
			.container_port = 1,
			.protocol = published[i].protocol,
		};
		struct error err = {0};
		int fds[2] = {-1, -1};

		/* Its last thread may still be on the way out. */
		while (port_bind(&mapping, fds, &err) < 0) {
			if (tries++ == 500)
				fail_msg("%s", err.message);
			usleep(10000);
		}
		close_fd(&fds[0]);
		close_fd(&fds[1]);
	}
	close(pair[0]);
	close(pair[1]);
}

/* One that is never configured goes with its socket. */
static void test_stop(void **state)
{
	struct uplink uplink = {.socket_fd = -1};
	struct error err = {0};

	uplink_stop(&uplink);
	assert_int_equal(uplink_spawn(NULL, &uplink, &err), 0);
	uplink_stop(&uplink);
	assert_int_equal(uplink.pid, 0);

	assert_int_equal(uplink_spawn(NULL, &uplink, &err), 0);
	close_fd(&uplink.socket_fd);
	assert_int_equal(proc_wait(uplink.pid), 0);
}

/* Errors come from where they happened. */
static void test_configure_failure(void **state)
{
	cleanup_fd int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	cleanup_fd int listener = listen_tcp(AF_INET, 0);
	const struct uplink_forward forward = {.fds = {listener, -1},
					       .container_port = 80};
	const struct uplink_request request = {
		.tap_fd = null_fd,
		.netns_fd = null_fd,
		.forwards = &forward,
		.forward_count = 1,
	};
	struct uplink uplink = {.socket_fd = -1};
	struct error err = {0};

	assert_int_equal(uplink_spawn(NULL, &uplink, &err), 0);
	assert_int_equal(uplink_configure(&uplink, &request, &err), -EINVAL);
	assert_non_null(strstr(err.message, "network namespace"));
	assert_int_equal(uplink.pid, 0);
	assert_int_equal(uplink.socket_fd, -1);
}

/* The container's end: connections to it end, too. Comes last. */
static void test_container_killed(void **state)
{
	cleanup_fd int fd = dial("127.0.0.1", PORT_ECHO, PORT_TCP);
	size_t before = count_fds(world.uplink.pid);
	char byte = 'x';

	assert_true(fd >= 0);
	send_all(fd, &byte, 1);
	assert_int_equal(recv(fd, &byte, 1, 0), 1);
	kill(world.container, SIGKILL);
	assert_true(read_to_end(fd, &byte, 1) <= 0);
	assert_settled(before - 2);
}

static int run(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_echo),
		cmocka_unit_test(test_slow_reader),
		cmocka_unit_test(test_thousand_at_once),
		cmocka_unit_test(test_many_in_sequence),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_reset),
		cmocka_unit_test(test_early_answer),
		cmocka_unit_test(test_client_address),
		cmocka_unit_test(test_host_loopback),
		cmocka_unit_test(test_confined),
		cmocka_unit_test(test_parent_killed),
		cmocka_unit_test(test_stop),
		cmocka_unit_test(test_configure_failure),
		cmocka_unit_test(test_container_killed),
	};

	return cmocka_run_group_tests(tests, make_host, end_host);
}

int main(int argc, char **argv)
{
	/* Built in BUILD/tests, moss-net in BUILD. */
	cleanup_free char *build = xasprintf("%s/../..", argv[0]);

	setenv("MOSS_LIBEXEC", build, 0);
	return namespace_run(run);
}
