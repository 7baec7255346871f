/*
 * The host's side of uplink_world.h: clients of the published ports, and the
 * namespace that they are in. Include it after <cmocka.h>.
 */
#pragma once

#include <sys/resource.h>

#include "base/file.h"
#include "base/str.h"
#include "net/nl.h"
#include "tests/unit/uplink_world.h"

#define NEIGHBOUR "10.0.2.55" /* nobody */

static struct world world;

static uint16_t host_port(uint16_t port, enum port_protocol protocol)
{
	for (size_t i = 0; i < PUBLISHED; i++) {
		if (published[i].port == port &&
		    published[i].protocol == protocol)
			return world.host_ports[i];
	}
	return 0;
}

/* A socket of the host's, connected to a published port; -errno. */
static inline int dial_from(const char *source, const char *ip, uint16_t port,
			    enum port_protocol protocol)
{
	const struct timeval patience = {.tv_sec = 20};
	struct sockaddr_in6 v6 = {
		.sin6_family = AF_INET6,
		.sin6_port = htons(host_port(port, protocol)),
	};
	struct sockaddr_in v4 = {
		.sin_family = AF_INET,
		.sin_port = htons(host_port(port, protocol)),
	};
	struct sockaddr_in from = {.sin_family = AF_INET};
	bool is6 = inet_pton(AF_INET6, ip, &v6.sin6_addr) == 1;
	cleanup_fd int fd =
		socket(is6 ? AF_INET6 : AF_INET,
		       (protocol == PORT_UDP ? SOCK_DGRAM : SOCK_STREAM) |
			       SOCK_CLOEXEC,
		       0);
	int r = 0;

	inet_pton(AF_INET, ip, &v4.sin_addr);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (source) {
		inet_pton(AF_INET, source, &from.sin_addr);
		r = bind(fd, (struct sockaddr *)&from, sizeof(from));
	}
	if (r == 0)
		r = is6 ? connect(fd, (struct sockaddr *)&v6, sizeof(v6))
			: connect(fd, (struct sockaddr *)&v4, sizeof(v4));
	return r < 0 ? -errno : steal_fd(&fd);
}

static inline int dial(const char *ip, uint16_t port,
		       enum port_protocol protocol)
{
	return dial_from(NULL, ip, port, protocol);
}

/* All until the end of file; -errno at a failure. */
static inline ssize_t read_to_end(int fd, char *bytes, size_t size)
{
	size_t length = 0;

	while (length < size) {
		ssize_t n = recv(fd, bytes + length, size - length, 0);

		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		length += (size_t)n;
	}
	return (ssize_t)length;
}

static inline size_t count_fds(pid_t pid)
{
	cleanup_free char *path = xasprintf("/proc/%d/fd", pid);
	cleanup_dir DIR *dir = opendir(path);
	size_t count = 0;

	assert_non_null(dir);
	while (readdir(dir))
		count++;
	return count;
}

/* Everything that moss-net opened for connections is closed again. */
static inline void assert_settled(size_t before)
{
	for (int i = 0; i < 500; i++) {
		/* Up to eight pipes are kept for the next. */
		if (count_fds(world.uplink.pid) <= before + 16)
			return;
		usleep(10000);
	}
	assert_in_range(count_fds(world.uplink.pid), 0, before + 16);
}

/* The answer to a request, with nothing before it. */
static inline void assert_answer(uint32_t request, int result)
{
	struct pollfd event = {.fd = world.uplink.socket_fd, .events = POLLIN};
	struct uplink_message message;

	assert_int_equal(poll(&event, 1, 20000), 1);
	assert_int_equal(uplink_receive(&world.uplink, &message), 1);
	assert_false(message.is_report);
	assert_int_equal(message.request, request);
	assert_int_equal(message.result, result);
	assert_int_equal(uplink_receive(&world.uplink, &message), -EAGAIN);
}

/* What PORT_WHO says to who dials from `from` (the address dialled, too). */
static inline void ask_who(const char *from, uint16_t port,
			   enum port_protocol protocol, char answer[128],
			   uint16_t *ret_port)
{
	cleanup_fd int fd = dial(from, port, protocol);
	struct sockaddr_storage own = {0};
	socklen_t length = sizeof(own);
	ssize_t n;

	assert_true(fd >= 0);
	getsockname(fd, (struct sockaddr *)&own, &length);
	*ret_port = ntohs(((struct sockaddr_in *)&own)->sin_port);
	if (protocol == PORT_UDP)
		assert_int_equal(send(fd, "", 1, 0), 1);
	n = protocol == PORT_UDP ? recv(fd, answer, 127, 0)
				 : read_to_end(fd, answer, 127);
	assert_true(n > 0);
	answer[n] = '\0';
}

static inline int add_address(int fd, const char *text)
{
	struct ifaddrmsg message = {.ifa_index = 1};
	unsigned char address[16];
	struct nl_request request;

	message.ifa_family = strchr(text, ':') ? AF_INET6 : AF_INET;
	message.ifa_prefixlen = message.ifa_family == AF_INET6 ? 128 : 32;
	inet_pton(message.ifa_family, text, address);
	nl_begin(&request, RTM_NEWADDR, NLM_F_CREATE, &message,
		 sizeof(message));
	nl_add(&request, IFA_LOCAL, address,
	       message.ifa_family == AF_INET6 ? 16 : 4);
	return nl_call(fd, &request);
}

/*
 * The host: a namespace with loopback and more addresses, among them some that
 * clients should not be able to pass off as theirs.
 */
static inline int make_host(void **state)
{
	static const char *const addresses[] = {
		HOST_ADDRESS, HOST_ADDRESS6, NET_ADDRESS,  NET_GATEWAY,
		NET_DNS,      NEIGHBOUR,     NET_ADDRESS6,
	};
	const struct rlimit files = {4096, 4096};
	struct error err = {0};
	int fd;

	setrlimit(RLIMIT_NOFILE, &files);
	if (unshare(CLONE_NEWNET) < 0 || netns_loopback_up(&err) < 0)
		return -1;
	fd = nl_open(&err);
	for (size_t i = 0; i < ARRAY_SIZE(addresses); i++) {
		if (add_address(fd, addresses[i]) < 0)
			return -1;
	}
	close(fd);
	if (world_make(&world, true, &err) < 0) {
		fprintf(stderr, "%s; %s\n", err.message, err.hint);
		return -1;
	}
	return 0;
}

static inline int end_host(void **state)
{
	world_end(&world);
	return 0;
}
