/*
 * net/dns_server.h: a server in a process of its own, in a network namespace
 * where all of 10.0.0.0/8 is local, so that the test can be any container and
 * any resolver.
 */
#include "net/dns_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"
#include "namespace.h"
#include "net/dns_message.h"
#include "net/netns.h"
#include "net/nl.h"

#define SERVER	 "10.1.0.1"
#define WEB	 "10.1.0.2"
#define DB	 "10.1.0.3"
#define STRANGER "10.1.0.9"
#define RESOLVER "10.9.9.9"
#define PATIENCE 10000 /* ms, for what has to come */
#define QUIET	 100   /* ms, for what must not */
#define GRACE	 200

struct world {
	char path[32];
	int directory_fd;
	int wake[2];
	int web, db; /* held endpoints */
	int resolver;
	pid_t server;
};

static struct sockaddr_in address_of(const char *text, uint16_t port)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_port = htons(port)};

	assert_int_equal(inet_pton(AF_INET, text, &address.sin_addr), 1);
	return address;
}

static int open_at(const char *text, uint16_t port, int type)
{
	struct sockaddr_in address = address_of(text, port);
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
	const int on = 1;

	assert_true(fd >= 0);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)),
			 0);
	return fd;
}

static int join(const struct world *world, const char *id, const char *json)
{
	cleanup_free char *path = xasprintf("net/endpoints/%s", id);
	int fd = lock_open_at(world->directory_fd, path, LOCK_EXCLUSIVE, false,
			      NULL);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, json, strlen(json)), strlen(json));
	return fd;
}

_Noreturn static void serve(const struct world *world)
{
	const int sockets[] = {
		open_at(SERVER, 53, SOCK_DGRAM | SOCK_NONBLOCK),
		open_at(SERVER, 53, SOCK_STREAM | SOCK_NONBLOCK),
	};
	struct dns_config config = {
		.sockets = sockets,
		.socket_count = 2,
		.names = names_new(world->directory_fd, "net"),
		.wake_fd = world->wake[0],
		.grace_ms = GRACE,
	};

	/* Locks of an open file are held by whoever has it. */
	close(world->web);
	close(world->db);
	close(world->wake[1]);
	if (listen(sockets[1], 64) < 0 ||
	    !prefix_parse("10.1.0.0/16", &config.subnets[0]))
		_exit(2);
	dns_serve(&config);
	_exit(0);
}

static int set_up(void **state)
{
	struct world *world = xcalloc(1, sizeof(*world));
	struct sockaddr_in server = address_of(SERVER, 53);

	strcpy(world->path, "/tmp/moss-dns-XXXXXX");
	assert_non_null(mkdtemp(world->path));
	world->directory_fd =
		open(world->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(mkdirat(world->directory_fd, "net", 0755), 0);
	assert_int_equal(mkdirat(world->directory_fd, "net/endpoints", 0755),
			 0);
	world->web = join(world, "1111",
			  "{\"Names\": [\"web\"], \"Address\": \"" WEB "\","
			  " \"Address6\": \"fd01::2\", \"Forward\": true,"
			  " \"Dns\": [\"127.0.0.1\", \"" RESOLVER "\"]}");
	world->db = join(world, "2222",
			 "{\"Names\": [\"db\"], \"Address\": \"" DB "\"}");
	assert_int_equal(pipe2(world->wake, O_CLOEXEC | O_NONBLOCK), 0);
	world->resolver = open_at(RESOLVER, 53, SOCK_DGRAM);
	world->server = fork();
	if (world->server == 0) {
		close(world->resolver);
		serve(world);
	}
	/* It listens on TCP last. */
	for (int64_t end = clock_ms() + PATIENCE; clock_ms() < end;) {
		int fd = open_at(STRANGER, 0, SOCK_STREAM);
		int r = connect(fd, (struct sockaddr *)&server, sizeof(server));

		close(fd);
		if (r == 0)
			break;
		usleep(2000);
	}
	*state = world;
	return 0;
}

static int tear_down(void **state)
{
	struct world *world = *state;

	kill(world->server, SIGKILL);
	waitpid(world->server, NULL, 0);
	close(world->web);
	close(world->db);
	close(world->wake[0]);
	close(world->wake[1]);
	close(world->resolver);
	close(world->directory_fd);
	assert_int_equal(tree_remove_at(AT_FDCWD, world->path, NULL), 0);
	free(world);
	return 0;
}

/* A question of one label, as "web"; its length. */
static size_t question(uint8_t message[64], uint16_t id, const char *name,
		       enum dns_type type)
{
	size_t length = strlen(name);
	size_t at = DNS_HEADER_SIZE;

	memset(message, 0, 64);
	message[0] = (uint8_t)(id >> 8);
	message[1] = (uint8_t)id;
	message[2] = 1; /* recursion desired */
	message[5] = 1;
	message[at] = (uint8_t)length;
	memcpy(message + at + 1, name, length);
	at += length + 2;
	message[at + 1] = (uint8_t)type;
	message[at + 3] = 1;
	return at + 4;
}

static int asker(const char *from, int type)
{
	struct sockaddr_in server = address_of(SERVER, 53);
	int fd = open_at(from, 0, type);

	assert_int_equal(
		connect(fd, (struct sockaddr *)&server, sizeof(server)), 0);
	return fd;
}

static void ask(int fd, uint16_t id, const char *name, enum dns_type type)
{
	uint8_t message[64];
	size_t size = question(message, id, name, type);

	assert_int_equal(send(fd, message, size, 0), size);
}

/* Bytes of the next message at fd, within ms; -1: none. */
static ssize_t hear(int fd, uint8_t message[512], int ms)
{
	struct pollfd wait = {.fd = fd, .events = POLLIN};

	if (poll(&wait, 1, ms) <= 0)
		return -1;
	return recv(fd, message, 512, 0);
}

struct answer {
	uint16_t id;
	enum dns_code code;
	unsigned int count;
	uint8_t last[4]; /* its last bytes: those of an address */
};

static struct answer hear_answer(int fd)
{
	uint8_t message[512];
	ssize_t size = hear(fd, message, PATIENCE);
	struct answer answer;

	assert_true(size >= DNS_HEADER_SIZE);
	assert_true(message[2] & 0x80);
	answer.id = (uint16_t)(message[0] << 8 | message[1]);
	answer.code = message[3] & 15;
	answer.count = (unsigned int)(message[6] << 8 | message[7]);
	memcpy(answer.last, message + size - 4, 4);
	return answer;
}

static void assert_served(const char *from)
{
	int fd = asker(from, SOCK_DGRAM);
	struct answer answer;

	/* A full queue loses questions; it is asked again, as resolvers do. */
	for (int i = 0; i < 10; i++) {
		struct pollfd wait = {.fd = fd, .events = POLLIN};

		ask(fd, 77, "web", DNS_TYPE_A);
		if (poll(&wait, 1, PATIENCE / 10) == 1)
			break;
	}
	answer = hear_answer(fd);
	assert_int_equal(answer.id, 77);
	assert_int_equal(answer.code, DNS_NO_ERROR);
	assert_int_equal(answer.count, 1);
	assert_memory_equal(answer.last, "\x0a\x01\x00\x02", 4);
	close(fd);
}

static void test_names(void **state)
{
	int fd = asker(DB, SOCK_DGRAM);
	struct answer answer;

	assert_served(WEB);
	assert_served(DB);
	ask(fd, 1, "web", DNS_TYPE_AAAA);
	answer = hear_answer(fd);
	assert_int_equal(answer.count, 1);
	assert_memory_equal(answer.last, "\0\0\0\2", 4);
	/* It is there, though it has no address of that family. */
	ask(fd, 2, "db", DNS_TYPE_AAAA);
	answer = hear_answer(fd);
	assert_int_equal(answer.code, DNS_NO_ERROR);
	assert_int_equal(answer.count, 0);
	/* Without a way out the world has no names. */
	ask(fd, 3, "example", DNS_TYPE_A);
	answer = hear_answer(fd);
	assert_int_equal(answer.id, 3);
	assert_int_equal(answer.code, DNS_NO_SUCH_NAME);
	close(fd);
}

static void test_stranger(void **state)
{
	int fd = asker(STRANGER, SOCK_DGRAM);
	uint8_t message[512];

	ask(fd, 1, "web", DNS_TYPE_A);
	assert_served(DB);
	assert_int_equal(hear(fd, message, QUIET), -1);
	close(fd);
}

/* What the resolver is asked, and by whom. */
static size_t overhear(const struct world *world, uint8_t message[512],
		       struct sockaddr_in *ret_from)
{
	struct pollfd wait = {.fd = world->resolver, .events = POLLIN};
	socklen_t length = sizeof(*ret_from);
	ssize_t size;

	assert_int_equal(poll(&wait, 1, PATIENCE), 1);
	size = recvfrom(world->resolver, message, 512, 0,
			(struct sockaddr *)ret_from, &length);
	assert_true(size > DNS_HEADER_SIZE);
	return (size_t)size;
}

static void reply(int fd, const uint8_t *message, size_t size,
		  const struct sockaddr_in *to)
{
	assert_int_equal(sendto(fd, message, size, 0,
				(const struct sockaddr *)to, sizeof(*to)),
			 size);
}

static void test_forward(void **state)
{
	const struct world *world = *state;
	int fd = asker(WEB, SOCK_DGRAM);
	int liar = open_at(STRANGER, 53, SOCK_DGRAM);
	uint8_t message[512];
	struct sockaddr_in from;
	struct answer answer;
	size_t size;

	ask(fd, 0x4242, "example", DNS_TYPE_A);
	size = overhear(world, message, &from);
	assert_memory_equal(message + DNS_HEADER_SIZE, "\7example", 8);

	/* From elsewhere, with another ID, or a question: not the answer. */
	message[2] |= 0x80;
	message[3] |= DNS_SERVER_FAILURE;
	reply(liar, message, size, &from);
	message[1] ^= 1;
	reply(world->resolver, message, size, &from);
	message[1] ^= 1;
	message[2] &= 0x7f;
	reply(world->resolver, message, size, &from);
	reply(world->resolver, message, 3, &from);
	assert_served(DB);
	assert_int_equal(hear(fd, message, QUIET), -1);

	ask(fd, 0x4243, "second", DNS_TYPE_A);
	size = overhear(world, message, &from);
	message[2] |= 0x80;
	reply(world->resolver, message, size, &from);
	answer = hear_answer(fd);
	assert_int_equal(answer.id, 0x4243);
	assert_int_equal(answer.code, DNS_NO_ERROR);
	close(liar);
	close(fd);
}

/* A resolver where nobody listens is given up at once, not after a while. */
static void test_resolver_gone(void **state)
{
	struct world *world = *state;
	int fd = asker(WEB, SOCK_DGRAM);
	int64_t start = clock_ms();
	struct answer answer;

	close(world->resolver);
	ask(fd, 5, "example", DNS_TYPE_A);
	answer = hear_answer(fd);
	assert_int_equal(answer.id, 5);
	assert_int_equal(answer.code, DNS_SERVER_FAILURE);
	assert_true(clock_ms() - start < DNS_TRY_MS);
	world->resolver = open_at(RESOLVER, 53, SOCK_DGRAM);
	close(fd);
}

/* One container's questions that wait leave room for others'. */
static void test_client_limit(void **state)
{
	const struct world *world = *state;
	int fd = asker(WEB, SOCK_DGRAM);
	int other;
	struct answer answer;
	uint8_t message[512];
	struct sockaddr_in from;
	int third = join(world, "3333",
			 "{\"Names\": [\"third\"], \"Address\": \"10.1.0.4\","
			 " \"Forward\": true, \"Dns\": [\"" RESOLVER "\"]}");

	for (uint16_t i = 0; i < DNS_CLIENT_MAX; i++) {
		ask(fd, i, "example", DNS_TYPE_A);
		overhear(world, message, &from);
	}
	ask(fd, 999, "example", DNS_TYPE_A);
	answer = hear_answer(fd);
	assert_int_equal(answer.id, 999);
	assert_int_equal(answer.code, DNS_SERVER_FAILURE);
	assert_served(WEB);

	other = asker("10.1.0.4", SOCK_DGRAM);
	ask(other, 7, "example", DNS_TYPE_A);
	overhear(world, message, &from);
	close(other);
	close(third);
	close(fd);
}

/* On a connection a message has its length before it. */
static void ask_stream(int fd, uint16_t id, const char *name, size_t piece)
{
	uint8_t bytes[2 + 64];
	size_t size = question(bytes + 2, id, name, DNS_TYPE_A);

	bytes[0] = 0;
	bytes[1] = (uint8_t)size;
	for (size_t at = 0; at < size + 2; at += piece) {
		size_t left = size + 2 - at;

		assert_true(send(fd, bytes + at, left < piece ? left : piece,
				 MSG_NOSIGNAL) > 0);
		if (piece < size)
			usleep(500);
	}
}

static void assert_stream_answer(int fd, uint16_t id)
{
	uint8_t message[512];
	ssize_t size = hear(fd, message, PATIENCE);

	assert_true(size > 2 + DNS_HEADER_SIZE);
	assert_int_equal(message[0] << 8 | message[1], size - 2);
	assert_int_equal(message[2] << 8 | message[3], id);
	assert_memory_equal(message + size - 4, "\x0a\x01\x00\x02", 4);
}

static void test_stream(void **state)
{
	int fd = asker(DB, SOCK_STREAM);

	ask_stream(fd, 1, "web", 64);
	assert_stream_answer(fd, 1);
	ask_stream(fd, 2, "web", 1);
	assert_stream_answer(fd, 2);
	close(fd);
}

/* Lengths that lie, and connections that never ask. */
static void test_hostile_streams(void **state)
{
	uint8_t message[512];
	int fds[DNS_STREAMS_MAX];
	int fd = asker(DB, SOCK_STREAM);

	assert_int_equal(send(fd, "\0\1x", 3, 0), 3);
	assert_true(hear(fd, message, PATIENCE) <= 0);
	close(fd);
	fd = asker(DB, SOCK_STREAM);
	assert_int_equal(send(fd, "\xff\xff", 2, 0), 2);
	assert_true(hear(fd, message, PATIENCE) <= 0);
	close(fd);

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		fds[i] = asker(DB, SOCK_STREAM);
	/* The first are kept, more of one container's are not. */
	assert_true(hear(fds[DNS_STREAMS_MAX - 1], message, PATIENCE) <= 0);
	assert_int_equal(hear(fds[0], message, 0), -1);
	fd = asker(WEB, SOCK_STREAM);
	ask_stream(fd, 9, "web", 64);
	assert_stream_answer(fd, 9);
	close(fd);
	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		close(fds[i]);
}

static void test_garbage(void **state)
{
	int fd = asker(WEB, SOCK_DGRAM);
	uint8_t message[512];
	uint8_t answer[512];
	uint32_t random = 1;

	for (unsigned int round = 0; round < 5000; round++) {
		size_t size = question(message, 1, "example", DNS_TYPE_A);

		/* Half of them garbage, half a question with some of it. */
		for (unsigned int i = 0; i < (round % 2 ? 64 : 3); i++) {
			random = random * 1664525 + 1013904223;
			message[(random >> 8) % 64] = (uint8_t)(random >> 24);
		}
		random = random * 1664525 + 1013904223;
		(void)!send(fd, message, round % 3 ? size : random % 64, 0);
		while (hear(fd, answer, 0) > 0)
			;
	}
	assert_served(DB);
	assert_int_equal(
		waitpid(((struct world *)*state)->server, NULL, WNOHANG), 0);
	close(fd);
}

/* A container that asks as fast as it can does not keep others from asking. */
static void test_flood(void **state)
{
	pid_t flooder = fork();
	int fd;

	if (flooder == 0) {
		fd = asker(WEB, SOCK_DGRAM);
		for (;;)
			ask(fd, 1, "web", DNS_TYPE_A);
	}
	for (int i = 0; i < 50; i++)
		assert_served(DB);
	kill(flooder, SIGKILL);
	waitpid(flooder, NULL, 0);
}

/* It ends some time after the last container, told or not by a wake-up. */
static void test_end(void **state)
{
	struct world *world = *state;
	int status;
	int64_t start;

	close(world->web);
	assert_int_equal(write(world->wake[1], "x", 1), 1);
	usleep(2000 * GRACE);
	assert_int_equal(waitpid(world->server, NULL, WNOHANG), 0);
	close(world->db);
	start = clock_ms();
	assert_int_equal(write(world->wake[1], "x", 1), 1);
	assert_int_equal(waitpid(world->server, &status, 0), world->server);
	assert_int_equal(status, 0);
	assert_true(clock_ms() - start >= GRACE);
	world->web = world->db = open("/dev/null", O_RDONLY | O_CLOEXEC);
	world->db = dup(world->web);
	/* For tear_down(), something that may be killed. */
	world->server = fork();
	if (world->server == 0)
		for (;;)
			pause();
}

/* "local 10.0.0.0/8 dev lo" */
static void make_all_local(void)
{
	const struct in_addr ten = {htonl(10u << 24)};
	struct rtmsg route = {
		.rtm_family = AF_INET,
		.rtm_dst_len = 8,
		.rtm_table = RT_TABLE_LOCAL,
		.rtm_protocol = RTPROT_BOOT,
		.rtm_scope = RT_SCOPE_HOST,
		.rtm_type = RTN_LOCAL,
	};
	struct nl_request request;
	int fd;

	assert_int_equal(unshare(CLONE_NEWNET), 0);
	assert_int_equal(netns_loopback_up(NULL), 0);
	fd = nl_open(NULL);
	assert_true(fd >= 0);
	nl_begin(&request, RTM_NEWROUTE, NLM_F_CREATE, &route, sizeof(route));
	nl_add(&request, RTA_DST, &ten, sizeof(ten));
	nl_add_u32(&request, RTA_OIF, 1);
	assert_int_equal(nl_call(fd, &request), 0);
	close(fd);
}

static int run(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_names, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_stranger, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_forward, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_resolver_gone, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_client_limit, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_stream, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_hostile_streams, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_garbage, set_up,
						tear_down),
		cmocka_unit_test_setup_teardown(test_flood, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_end, set_up, tear_down),
	};

	make_all_local();
	return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
	return namespace_run(run);
}
