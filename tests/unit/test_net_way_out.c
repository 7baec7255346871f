/*
 * What leaves a container by its uplink, between namespaces of the test's own:
 * IPv6, pings, and whatever its root puts on the wire.
 */
#include <net/ethernet.h>
#include <net/if.h>
#include <netinet/ip_icmp.h>
#include <netpacket/packet.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/str.h"
#include "tests/unit/uplink_client.h"

#define FLOOD_FRAMES 20000
#define FLOOD_SIZE   1600
#define PING_RANGE   "/proc/sys/net/ipv4/ping_group_range"

/* A connection to the host's IPv6 address, carrying a byte there and back. */
static char reach_host6(void)
{
	struct sockaddr_in6 target = {.sin6_family = AF_INET6,
				      .sin6_port = htons(PORT_HOST)};
	cleanup_fd int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char answer = 'n';

	inet_pton(AF_INET6, HOST_ADDRESS6, &target.sin6_addr);
	if (connect(fd, (struct sockaddr *)&target, sizeof(target)) < 0 ||
	    recv(fd, &answer, 1, 0) != 1)
		return 'n';
	return answer;
}

static uint16_t icmp_checksum(const void *data, size_t length)
{
	const uint16_t *words = data;
	uint32_t sum = 0;

	for (size_t i = 0; i < length / 2; i++)
		sum += words[i];
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t) ~(sum + (sum >> 16));
}

/* 'y' when the host at HOST_ADDRESS answers an echo request. */
static char ping_host(void)
{
	struct sockaddr_in target = {.sin_family = AF_INET};
	struct icmphdr request = {.type = ICMP_ECHO,
				  .un.echo = {htons(7), htons(1)}};
	const struct timeval timeout = {.tv_sec = 1};
	cleanup_fd int fd =
		socket(AF_INET, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_ICMP);
	uint8_t packet[512];

	inet_pton(AF_INET, HOST_ADDRESS, &target.sin_addr);
	request.checksum = icmp_checksum(&request, sizeof(request));
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	if (sendto(fd, &request, sizeof(request), 0, (struct sockaddr *)&target,
		   sizeof(target)) < 0)
		return 'e';
	for (;;) {
		struct sockaddr_in from = {0};
		socklen_t size = sizeof(from);
		ssize_t length = recvfrom(fd, packet, sizeof(packet), 0,
					  (struct sockaddr *)&from, &size);

		if (length < 0)
			return 'n';
		if (length > 20 && packet[20] == ICMP_ECHOREPLY &&
		    from.sin_addr.s_addr == target.sin_addr.s_addr)
			return 'y';
	}
}

/* A small generator of its own: the same frames each time. */
static uint32_t next_random(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

/*
 * Frames that look like something until a few bytes of them are changed, or
 * like nothing at all; short ones and long ones.
 */
static size_t make_garbage(uint8_t frame[FLOOD_SIZE], uint32_t *state)
{
	static const uint8_t starts[][60] = {
		{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 6, /* ARP */
		 0, 1, 8, 0, 6, 4, 0, 1},
		{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0,
		 /* TCP to the gateway */
		 69, 0, 5, 0, 0, 1, 0, 0, 64, 6, 0, 0, 10, 0, 2, 100, 10, 0, 2,
		 2, 17, 12, 27, 188, 0, 0, 0, 1, 0, 0, 0, 0, 80, 2, 255, 255},
		{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0,
		 /* UDP to the resolver */
		 69, 0, 5, 0, 0, 1, 0, 0, 64, 17, 0, 0, 10, 0, 2, 100, 10, 0, 2,
		 3, 17, 12, 0, 53, 4, 0, 0, 0},
		{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0,
		 /* ICMP */
		 69, 0, 0, 84, 0, 1, 0, 0, 64, 1, 0, 0, 10, 0, 2, 100, 10, 0, 2,
		 2, 8, 0},
		{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x86, 0xdd,
		 /* IPv6 */
		 96, 0, 0, 0, 4, 0, 58, 255,
		 0xfd, [29] = 0, [38] = 0xfd, [53] = 2, [54] = 135},
	};
	uint32_t kind = next_random(state) % (ARRAY_SIZE(starts) + 1);
	size_t length = 1 + next_random(state) % FLOOD_SIZE;

	for (size_t i = 0; i < FLOOD_SIZE; i++)
		frame[i] = (uint8_t)next_random(state);
	if (kind < ARRAY_SIZE(starts))
		memcpy(frame, starts[kind], sizeof(starts[kind]));
	for (uint32_t i = next_random(state) % 4; i > 0; i--)
		frame[12 + next_random(state) % 48] =
			(uint8_t)next_random(state);
	return length < 14 ? 14 : length;
}

static char flood(void)
{
	struct sockaddr_ll wire = {
		.sll_family = AF_PACKET,
		.sll_ifindex = (int)if_nametoindex("eth0"),
		.sll_halen = ETH_ALEN,
	};
	cleanup_fd int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	uint32_t state = 0x6d6f7373;
	uint8_t frame[FLOOD_SIZE];
	int sent = 0;

	for (int i = 0; i < FLOOD_FRAMES; i++) {
		size_t length = make_garbage(frame, &state);

		sent += sendto(fd, frame, length, 0, (struct sockaddr *)&wire,
			       sizeof(wire)) == (ssize_t)length;
		/* The queue holds some hundreds. */
		if (i % 100 == 99)
			usleep(1000);
	}
	return sent > FLOOD_FRAMES / 2 ? 'y' : 'n';
}

static char carry_out(char command)
{
	switch (command) {
	case 't':
		return reach_host6();
	case 'p':
		return ping_host();
	case 'f':
		return flood();
	default:
		return '?';
	}
}

static char ask(char command)
{
	char answer = 0;

	assert_int_equal(write(world.command_fd, &command, 1), 1);
	assert_int_equal(read(world.command_fd, &answer, 1), 1);
	return answer;
}

/* Answers 'y' to whoever connects. */
static void *server_main(void *data)
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

static void test_ipv6(void **state)
{
	int listener = listen_tcp(AF_INET6, PORT_HOST);
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, server_main, &listener),
			 0);
	assert_int_equal(ask('t'), 'y');
	shutdown(listener, SHUT_RDWR);
	pthread_join(thread, NULL);
	close(listener);
}

/* Where the kernel lets the user's group: it does not to begin with. */
static void test_ping(void **state)
{
	assert_int_equal(ask('p'), 'n');
	assert_int_equal(file_write_once_at(AT_FDCWD, PING_RANGE, "0 0", NULL),
			 0);
	assert_int_equal(ask('p'), 'y');
}

/* Other connections go on, and moss-net is the same as before. */
static void test_garbage(void **state)
{
	cleanup_fd int fd = dial("127.0.0.1", PORT_ECHO, PORT_TCP);
	int listener = listen_tcp(AF_INET, PORT_HOST);
	pthread_t thread;
	char byte = 'x';

	assert_int_equal(pthread_create(&thread, NULL, server_main, &listener),
			 0);
	assert_int_equal(ask('h'), 'y');
	assert_int_equal(ask('f'), 'y');
	assert_int_equal(ask('h'), 'y');
	send_all(fd, &byte, 1);
	byte = 0;
	assert_int_equal(recv(fd, &byte, 1, 0), 1);
	assert_int_equal(byte, 'x');
	assert_int_equal(waitpid(world.uplink.pid, NULL, WNOHANG), 0);
	shutdown(listener, SHUT_RDWR);
	pthread_join(thread, NULL);
	close(listener);
}

static int run(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ipv6),
		cmocka_unit_test(test_ping),
		cmocka_unit_test(test_garbage),
	};

	world_command = carry_out;
	return cmocka_run_group_tests(tests, make_host, end_host);
}

int main(int argc, char **argv)
{
	/* Built in BUILD/tests, moss-net in BUILD. */
	cleanup_free char *build = xasprintf("%s/../..", argv[0]);

	setenv("MOSS_LIBEXEC", build, 0);
	return namespace_run(run);
}
