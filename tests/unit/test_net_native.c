/*
 * net/native.h and net/native_filter.h, in a network namespace of our own, over
 * which we have all rights: the filter's lock holds even so.
 */
#include "net/native.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "net/native_filter.h"
#include "net/netns.h"

#define MOMENT_MS 200

static struct sockaddr_in loopback(uint16_t port)
{
	return (struct sockaddr_in){
		.sin_family = AF_INET,
		.sin_port = htons(port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	};
}

static int set(int fd, int name, int value)
{
	return setsockopt(fd, SOL_SOCKET, name, &value, sizeof(value));
}

static int bind_to(int fd, uint16_t port)
{
	struct sockaddr_in address = loopback(port);

	return bind(fd, (struct sockaddr *)&address, sizeof(address));
}

static int connect_to(int fd, uint16_t port)
{
	struct sockaddr_in address = loopback(port);

	return connect(fd, (struct sockaddr *)&address, sizeof(address));
}

static int disconnect(int fd)
{
	const struct sockaddr address = {.sa_family = AF_UNSPEC};

	return connect(fd, &address, sizeof(address));
}

static uint16_t port_of(int fd)
{
	struct sockaddr_in address = {0};
	socklen_t length = sizeof(address);

	assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &length),
			 0);
	return ntohs(address.sin_port);
}

static int make(int flags)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);

	assert_true(fd >= 0);
	assert_int_equal(set(fd, SO_REUSEADDR, 1), 0);
	return fd;
}

static int listen_at(uint16_t port)
{
	int fd = make(0);

	assert_int_equal(bind_to(fd, port), 0);
	assert_int_equal(listen(fd, 8), 0);
	return fd;
}

/* One that is handed out: listens at port behind its filter. */
static int hand_out(uint16_t port)
{
	int fd = make(0);

	assert_int_equal(native_filter_lock(fd, port), 0);
	assert_int_equal(bind_to(fd, port), 0);
	assert_int_equal(listen(fd, 8), 0);
	return fd;
}

static bool is_ready(int fd, short events)
{
	struct pollfd event = {.fd = fd, .events = events};

	return poll(&event, 1, MOMENT_MS) == 1;
}

/* A connection through it: the client's end and the accepted one. */
static void connect_pair(int listener, uint16_t port, int *ret_client,
			 int *ret_accepted)
{
	*ret_client = make(0);
	assert_int_equal(connect_to(*ret_client, port), 0);
	*ret_accepted = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	assert_true(*ret_accepted >= 0);
}

static void test_filter_lets_the_port_through(void **state)
{
	const struct linger at_once = {.l_onoff = 1};
	cleanup_fd int listener = hand_out(1000);
	cleanup_fd int accepted = -1;
	cleanup_fd int client = -1;
	char text[8];

	connect_pair(listener, 1000, &client, &accepted);
	assert_int_equal(write(client, "there", 5), 5);
	assert_int_equal(read(accepted, text, sizeof(text)), 5);
	assert_int_equal(write(accepted, "back", 4), 4);
	assert_int_equal(read(client, text, sizeof(text)), 4);
	/* A reset that is one. */
	setsockopt(client, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close_fd(&client);
	assert_true(is_ready(accepted, POLLIN));
	assert_int_equal(read(accepted, text, sizeof(text)), -1);
	assert_int_equal(errno, ECONNRESET);
}

/* Neither an open port nor a closed one is told, nor one's own. */
static void test_filter_keeps_from_connecting(void **state)
{
	cleanup_fd int service = listen_at(1001);
	const uint16_t targets[] = {1001, 1002, 1003};

	for (size_t i = 0; i < ARRAY_SIZE(targets); i++) {
		cleanup_fd int fd = make(SOCK_NONBLOCK);

		assert_int_equal(native_filter_lock(fd, 1003), 0);
		assert_int_equal(bind_to(fd, 1003), 0);
		assert_int_equal(connect_to(fd, targets[i]), -1);
		assert_int_equal(errno, EINPROGRESS);
		assert_false(is_ready(fd, POLLOUT));
	}
	assert_false(is_ready(service, POLLIN));
}

static void test_filter_follows_what_is_accepted(void **state)
{
	cleanup_fd int listener = hand_out(1004);
	cleanup_fd int service = listen_at(1005);
	cleanup_fd int accepted = -1;
	cleanup_fd int client = -1;
	cleanup_fd int other = make(SOCK_NONBLOCK);

	connect_pair(listener, 1004, &client, &accepted);
	assert_int_equal(disconnect(accepted), 0);
	fcntl(accepted, F_SETFL, O_NONBLOCK);
	assert_int_equal(connect_to(accepted, 1005), -1);
	assert_false(is_ready(service, POLLIN));
	assert_int_equal(disconnect(accepted), 0);
	/* Bound anew, it hears nobody. */
	assert_int_equal(bind_to(accepted, 1006), 0);
	assert_int_equal(listen(accepted, 8), 0);
	assert_int_equal(connect_to(other, 1006), -1);
	assert_false(is_ready(accepted, POLLIN));
	assert_false(is_ready(other, POLLOUT));
}

static void test_filter_stays(void **state)
{
	struct sock_filter all = BPF_STMT(BPF_RET | BPF_K, 0xffffffff);
	const struct sock_fprog program = {.len = 1, .filter = &all};
	cleanup_fd int listener = hand_out(1007);
	cleanup_fd int accepted = -1;
	cleanup_fd int client = -1;

	connect_pair(listener, 1007, &client, &accepted);
	for (int i = 0; i < 2; i++) {
		int fd = i == 0 ? listener : accepted;

		assert_int_equal(set(fd, SO_LOCK_FILTER, 0), -1);
		assert_int_equal(errno, EPERM);
		assert_int_equal(set(fd, SO_DETACH_FILTER, 0), -1);
		assert_int_equal(errno, EPERM);
		assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER,
					    &program, sizeof(program)),
				 -1);
		assert_int_equal(errno, EPERM);
	}
}

static void test_reservation(void **state)
{
	/* A number of the kernel's choice must stay as well. */
	for (uint16_t wanted = 0; wanted <= 1008; wanted += 1008) {
		int fds[2] = {listen_at(wanted), -1};
		uint16_t port = port_of(fds[0]);
		cleanup_fd int client = make(0);
		cleanup_fd int plain = make(0);
		cleanup_fd int shared = make(0);

		assert_int_equal(native_reserve(fds, NULL), 0);
		assert_int_equal(port_of(fds[0]), port);
		assert_true(fcntl(fds[0], F_GETFD) & FD_CLOEXEC);
		assert_int_equal(connect_to(client, port), -1);
		assert_int_equal(errno, ECONNREFUSED);
		assert_true(bind_to(plain, port) < 0 || listen(plain, 1) < 0);
		assert_int_equal(errno, EADDRINUSE);
		assert_int_equal(set(shared, SO_REUSEPORT, 1), 0);
		assert_int_equal(bind_to(shared, port), 0);
		assert_int_equal(listen(shared, 1), 0);
		close(fds[0]);
	}
}

static void test_what_is_possible(void **state)
{
	struct port_mapping entries[] = {
		{.host_ip = "", .container_port = 80},
		{.host_ip = "192.0.2.1", .container_port = 81},
		{.host_ip = "::1", .container_port = 82},
		{.host_ip = "", .container_port = 83, .protocol = PORT_UDP},
		{.host_ip = "", .container_port = 84},
		{.host_ip = "", .host_port = 8080, .container_port = 84},
		{.host_ip = "", .container_port = 80, .protocol = PORT_UDP},
	};
	const bool possible[] = {true, true, false, false, false, false, false};
	const struct port_list list = {entries, ARRAY_SIZE(entries)};

	for (size_t i = 0; i < ARRAY_SIZE(entries); i++)
		assert_int_equal(native_is_possible(&entries[i], &list),
				 possible[i]);
}

static int enter_namespace(void **state)
{
	if (unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
		return -1;
	return netns_loopback_up(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_filter_lets_the_port_through),
		cmocka_unit_test(test_filter_keeps_from_connecting),
		cmocka_unit_test(test_filter_follows_what_is_accepted),
		cmocka_unit_test(test_filter_stays),
		cmocka_unit_test(test_reservation),
		cmocka_unit_test(test_what_is_possible),
	};

	return cmocka_run_group_tests(tests, enter_namespace, NULL);
}
