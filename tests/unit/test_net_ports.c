/*
 * net/uplink.h and net/forward.h: UDP clients of published ports, and ports
 * that come and go while moss-net serves.
 */
#include "net/uplink.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "net/uplink_wire.h"
#include "tests/unit/uplink_client.h"

static void test_udp(void **state)
{
	static const size_t sizes[] = {1, 0, 1400, 9000, 65507, 1};
	static const struct {
		const char *source;
		const char *address;
	} rows[] = {
		{NULL, "127.0.0.1"},
		{NULL, HOST_ADDRESS},
		{NULL, "::1"},
		/* which route alone would not make the answer's source */
		{"127.0.0.1", HOST_ADDRESS},
		{HOST_ADDRESS, "127.0.0.1"},
	};
	static char sent[65536];
	static char received[65536];

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		/* Connected: an answer from another address is not seen. */
		cleanup_fd int fd = dial_from(rows[i].source, rows[i].address,
					      PORT_ECHO, PORT_UDP);

		assert_true(fd >= 0);
		for (size_t j = 0; j < ARRAY_SIZE(sizes); j++) {
			memset(sent, (int)('a' + j), sizes[j]);
			assert_int_equal(send(fd, sent, sizes[j], 0), sizes[j]);
			assert_int_equal(
				recv(fd, received, sizeof(received), 0),
				sizes[j]);
			assert_memory_equal(sent, received, sizes[j]);
		}
	}
}

/*
 * Who may be somebody else is not shown. What the server sends to a client of
 * its own accord leaves by the tap.
 */
static void test_udp_addresses(void **state)
{
	static const struct {
		const char *dialled;
		uint16_t port;
		const char *seen;
	} rows[] = {
		{HOST_ADDRESS, PORT_WHO, HOST_ADDRESS},
		{HOST_ADDRESS6, PORT_WHO6, HOST_ADDRESS6},
		{HOST_ADDRESS6, PORT_WHO, NET_FORWARDER},
		{HOST_ADDRESS, PORT_WHO6, NET_FORWARDER6},
		{"127.0.0.1", PORT_WHO, NET_FORWARDER},
		{"127.0.0.1", PORT_WHO6, NET_FORWARDER6},
		{"::1", PORT_WHO6, NET_FORWARDER6},
		{NET_ADDRESS, PORT_WHO, NET_FORWARDER},
		{NET_GATEWAY, PORT_WHO, NET_FORWARDER},
		{NET_DNS, PORT_WHO, NET_FORWARDER},
		{NEIGHBOUR, PORT_WHO, NET_FORWARDER},
		{NET_ADDRESS6, PORT_WHO6, NET_FORWARDER6},
		/* Once more, with other flows about. */
		{HOST_ADDRESS, PORT_WHO, HOST_ADDRESS},
	};
	const char of_its_own = OF_ITS_OWN;
	struct sockaddr_in own = {.sin_family = AF_INET};
	struct sockaddr_in target = {.sin_family = AF_INET};
	const struct timeval patience = {.tv_sec = 20};
	cleanup_fd int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char answer[128];
	uint16_t port;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *expected = NULL;

		ask_who(rows[i].dialled, rows[i].port, PORT_UDP, answer, &port);
		expected = xasprintf("%s %u", rows[i].seen, port);
		assert_string_equal(answer, expected);
	}
	inet_pton(AF_INET, HOST_ADDRESS, &own.sin_addr);
	target.sin_addr = own.sin_addr;
	target.sin_port = htons(host_port(PORT_WHO, PORT_UDP));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	assert_int_equal(bind(fd, (struct sockaddr *)&own, sizeof(own)), 0);
	assert_int_equal(sendto(fd, &of_its_own, 1, 0,
				(struct sockaddr *)&target, sizeof(target)),
			 1);
	assert_true(recv(fd, answer, sizeof(answer), 0) > 0);
	assert_true(str_starts(answer, HOST_ADDRESS " "));
}

/* One client port to two host ports of one server: who asked is answered. */
static void test_udp_same_client(void **state)
{
	struct port_mapping mapping = {.container_port = PORT_ECHO,
				       .protocol = PORT_UDP};
	struct uplink_forward forward = {.id = 2001,
					 .fds = {-1, -1},
					 .container_port = PORT_ECHO,
					 .protocol = PORT_UDP};
	struct sockaddr_in own = {.sin_family = AF_INET};
	struct sockaddr_in target = {.sin_family = AF_INET};
	const struct timeval patience = {.tv_sec = 20};
	cleanup_fd int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct error err = {0};

	assert_int_equal(port_bind(&mapping, forward.fds, &err), 0);
	assert_int_equal(uplink_add_ports(&world.uplink, 17, &forward, 1, &err),
			 0);
	assert_answer(17, 0);
	inet_pton(AF_INET, HOST_ADDRESS, &own.sin_addr);
	target.sin_addr = own.sin_addr;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	assert_int_equal(bind(fd, (struct sockaddr *)&own, sizeof(own)), 0);
	for (int i = 0; i < 6; i++) {
		struct sockaddr_in from = {0};
		socklen_t length = sizeof(from);
		char byte = (char)i;

		target.sin_port = htons(i % 2 ? mapping.host_port
					      : host_port(PORT_ECHO, PORT_UDP));
		assert_int_equal(sendto(fd, &byte, 1, 0,
					(struct sockaddr *)&target,
					sizeof(target)),
				 1);
		assert_int_equal(recvfrom(fd, &byte, 1, 0,
					  (struct sockaddr *)&from, &length),
				 1);
		assert_int_equal(byte, i);
		assert_int_equal(from.sin_port, target.sin_port);
	}
	assert_int_equal(
		uplink_remove_ports(&world.uplink, 18, &forward.id, 1, &err),
		0);
	assert_answer(18, 0);
	close_fd(&forward.fds[0]);
	close_fd(&forward.fds[1]);
}

static void test_udp_clients(void **state)
{
	static int fds[500];

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
		fds[i] = dial("127.0.0.1", PORT_ECHO, PORT_UDP);
		assert_true(fds[i] >= 0);
	}
	for (int round = 0; round < 3; round++) {
		for (size_t i = 0; i < ARRAY_SIZE(fds); i++) {
			size_t answer = SIZE_MAX;

			assert_int_equal(send(fds[i], &i, sizeof(i), 0),
					 sizeof(i));
			assert_int_equal(
				recv(fds[i], &answer, sizeof(answer), 0),
				sizeof(answer));
			assert_int_equal(answer, i);
		}
	}
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
}

static int dial_host_port(uint16_t port, int type)
{
	const struct timeval patience = {.tv_sec = 1};
	const struct sockaddr_in address = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK),
		.sin_port = htons(port),
	};
	cleanup_fd int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	return connect(fd, (const struct sockaddr *)&address, sizeof(address)) <
			       0
		       ? -errno
		       : steal_fd(&fd);
}

static bool echoes(int fd)
{
	char byte = 'x';

	return send(fd, &byte, 1, MSG_NOSIGNAL) == 1 &&
	       recv(fd, &byte, 1, 0) == 1;
}

/* While it serves; what is connected goes on. */
static void test_ports_come_and_go(void **state)
{
	struct port_mapping mappings[] = {
		{.container_port = PORT_ECHO, .protocol = PORT_TCP},
		{.container_port = PORT_ECHO, .protocol = PORT_UDP},
	};
	struct uplink_forward forwards[2];
	const uint32_t ids[] = {1001, 1002};
	size_t before = count_fds(world.uplink.pid);
	struct error err = {0};
	int fds[2];

	for (size_t i = 0; i < 2; i++) {
		forwards[i] = (struct uplink_forward){
			.id = ids[i],
			.fds = {-1, -1},
			.container_port = PORT_ECHO,
			.protocol = mappings[i].protocol,
		};
		assert_int_equal(port_bind(&mappings[i], forwards[i].fds, &err),
				 0);
	}
	assert_int_equal(uplink_add_ports(&world.uplink, 7, forwards, 2, &err),
			 0);
	assert_answer(7, 0);
	fds[0] = dial_host_port(mappings[0].host_port, SOCK_STREAM);
	fds[1] = dial_host_port(mappings[1].host_port, SOCK_DGRAM);
	assert_true(echoes(fds[0]));
	assert_true(echoes(fds[1]));

	assert_int_equal(uplink_remove_ports(&world.uplink, 8, ids, 2, &err),
			 0);
	assert_answer(8, 0);
	for (size_t i = 0; i < 2; i++) {
		close_fd(&forwards[i].fds[0]);
		close_fd(&forwards[i].fds[1]);
	}
	assert_int_equal(dial_host_port(mappings[0].host_port, SOCK_STREAM),
			 -ECONNREFUSED);
	assert_true(echoes(fds[0]));
	assert_false(echoes(fds[1]));
	close(fds[0]);
	close(fds[1]);
	assert_settled(before);
}

/* Nothing that it says is believed, and silence is no reason to wait. */
static void test_messages(void **state)
{
	static const struct {
		uint32_t words[5];
		size_t length;
		int result;
	} rows[] = {
		{{UPLINK_ANSWER, 5, 0}, 12, 1},
		{{UPLINK_ANSWER, 5, (uint32_t)-ENOMEM}, 12, 1},
		{{UPLINK_ANSWER, 5, 1}, 12, -EBADMSG},
		{{UPLINK_ANSWER, 5, (uint32_t)-5000}, 12, -EBADMSG},
		{{UPLINK_ANSWER, 5}, 8, -EBADMSG},
		{{UPLINK_ANSWER, 5, 0}, 16, -EBADMSG},
		{{UPLINK_REPORT, UPLINK_REPORT_EGRESS, 3, 4}, 20, 1},
		{{UPLINK_REPORT, UPLINK_REPORT_EGRESS, 3, 0}, 16, 1},
		{{UPLINK_REPORT, UPLINK_REPORT_EGRESS, 3, 5}, 20, -EBADMSG},
		{{UPLINK_REPORT, UPLINK_REPORT_EGRESS, 3, ~0u}, 20, -EBADMSG},
		{{UPLINK_REPORT, UPLINK_REPORT_KINDS, 3, 4}, 20, -EBADMSG},
		{{UPLINK_REPORT}, 4, -EBADMSG},
		{{UPLINK_ADD_PORTS, 5, 1}, 12, -EBADMSG},
		{{0}, 1, -EBADMSG},
	};
	static const char flood[sizeof(struct uplink_wire_report) + 1] = {
		UPLINK_REPORT};
	struct uplink_message message;
	struct uplink uplink;
	int pair[2];

	assert_int_equal(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	uplink = (struct uplink){.socket_fd = pair[0]};
	assert_int_equal(uplink_receive(&uplink, &message), -EAGAIN);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(
			send(pair[1], rows[i].words, rows[i].length, 0),
			rows[i].length);
		assert_int_equal(uplink_receive(&uplink, &message),
				 rows[i].result);
	}
	assert_int_equal(send(pair[1], flood, sizeof(flood), 0), sizeof(flood));
	assert_int_equal(uplink_receive(&uplink, &message), -EBADMSG);
	close(pair[1]);
	assert_int_equal(uplink_receive(&uplink, &message), 0);
	close(pair[0]);
}

static int run(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_udp),
		cmocka_unit_test(test_udp_addresses),
		cmocka_unit_test(test_udp_same_client),
		cmocka_unit_test(test_udp_clients),
		cmocka_unit_test(test_ports_come_and_go),
		cmocka_unit_test(test_messages),
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
