/*
 * A host and a container for tests of the network, each a network namespace of
 * its own, with moss-net between them and servers in the container.
 */
#pragma once

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "base/cleanup.h"
#include "base/proc.h"
#include "net/netns.h"
#include "net/uplink.h"
#include "tests/unit/namespace.h"

#define HOST_ADDRESS  "198.51.100.7" /* on the host's lo */
#define HOST_ADDRESS6 "2001:db8::7"
#define ANSWER_SIZE   400000
#define OF_ITS_OWN    'o'

enum {
	PORT_ECHO = 7001,
	PORT_WHO = 7002,    /* tells the client's address */
	PORT_ANSWER = 7003, /* answers without reading, and closes */
	PORT_RESET = 7004,
	PORT_WHO6 = 7006, /* IPv6 only */
	PORT_NOBODY = 7007,
	PORT_HOST = 7100, /* on the host's 127.0.0.1 */

};

static const struct {
	uint16_t port;
	enum port_protocol protocol;
} published[] = {
	{PORT_ECHO, PORT_TCP},	{PORT_WHO, PORT_TCP},  {PORT_ANSWER, PORT_TCP},
	{PORT_RESET, PORT_TCP}, {PORT_WHO6, PORT_TCP}, {PORT_NOBODY, PORT_TCP},
	{PORT_ECHO, PORT_UDP},	{PORT_WHO, PORT_UDP},  {PORT_WHO6, PORT_UDP},
};

#define PUBLISHED ARRAY_SIZE(published)

/* One container: its servers, its moss-net, its ports on the host. */
struct world {
	pid_t container;
	int command_fd; /* a byte asks for something, a byte answers: 'h'
			   reach_host(), '4' and '6' ask_resolver(), what
			   else there is world_command() */
	int tap_fd;
	int netns_fd;
	struct uplink uplink;
	const char *resolv_directory;
	struct uplink_forward forwards[PUBLISHED];
	uint16_t host_ports[PUBLISHED];
};

static int listen_tcp(int family, uint16_t port)
{
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6,
				  .sin6_port = htons(port)};
	struct sockaddr_in v4 = {.sin_family = AF_INET,
				 .sin_port = htons(port)};
	const int on = 1;
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int r;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (family == AF_INET6) {
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
		r = bind(fd, (struct sockaddr *)&v6, sizeof(v6));
	} else {
		r = bind(fd, (struct sockaddr *)&v4, sizeof(v4));
	}
	if (r < 0 || listen(fd, SOMAXCONN) < 0) {
		perror("listen");
		_exit(1);
	}
	return fd;
}

static int bind_udp(int family, uint16_t port)
{
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6,
				  .sin6_port = htons(port)};
	struct sockaddr_in v4 = {.sin_family = AF_INET,
				 .sin_port = htons(port)};
	const int on = 1;
	int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int r;

	if (family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on));
	r = family == AF_INET6 ? bind(fd, (struct sockaddr *)&v6, sizeof(v6))
			       : bind(fd, (struct sockaddr *)&v4, sizeof(v4));

	if (r < 0) {
		perror("bind");
		_exit(1);
	}
	return fd;
}

static void send_all(int fd, const char *bytes, size_t length)
{
	while (length > 0) {
		ssize_t n = send(fd, bytes, length, MSG_NOSIGNAL);

		if (n < 0)
			return;
		bytes += n;
		length -= (size_t)n;
	}
}

static size_t format_address(char *text, size_t size,
			     const struct sockaddr_storage *from)
{
	const struct sockaddr_in6 *v6 = (const void *)from;
	const struct sockaddr_in *v4 = (const void *)from;
	char address[INET6_ADDRSTRLEN];
	bool is6 = from->ss_family == AF_INET6;

	inet_ntop(from->ss_family,
		  is6 ? (const void *)&v6->sin6_addr : &v4->sin_addr, address,
		  sizeof(address));
	return (size_t)snprintf(text, size, "%s %u", address,
				ntohs(is6 ? v6->sin6_port : v4->sin_port));
}

/* Answers one connection at once, or returns it to be echoed. */
static int serve_accepted(int listener, uint16_t port)
{
	static char answer[ANSWER_SIZE];
	const struct linger linger = {.l_onoff = 1};
	struct sockaddr_storage from = {0};
	socklen_t length = sizeof(from);
	char text[128];
	int unsent;
	int fd = accept4(listener, (struct sockaddr *)&from, &length,
			 SOCK_CLOEXEC);

	switch (port) {
	case PORT_ECHO:
		return fd;
	case PORT_ANSWER:
		memset(answer, 'a', sizeof(answer));
		send_all(fd, answer, sizeof(answer));
		/* To close while bytes are on their way would drop them. */
		while (ioctl(fd, SIOCOUTQ, &unsent) == 0 && unsent > 0)
			usleep(1000);
		break;
	case PORT_RESET:
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
		break;
	default:
		send_all(fd, text, format_address(text, sizeof(text), &from));
	}
	close(fd);
	return -1;
}

/* who: tells the client, of its own accord (from another port) if it says so.
 */
static void serve_datagram(int fd, bool who)
{
	static char bytes[65536];
	struct sockaddr_storage from = {0};
	socklen_t from_length = sizeof(from);
	cleanup_fd int other = -1;
	ssize_t length = recvfrom(fd, bytes, sizeof(bytes), 0,
				  (struct sockaddr *)&from, &from_length);

	if (length < 0)
		return;
	if (who && bytes[0] == OF_ITS_OWN)
		fd = other =
			socket(from.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (who)
		length = (ssize_t)format_address(bytes, sizeof(bytes), &from);
	sendto(fd, bytes, (size_t)length, 0, (struct sockaddr *)&from,
	       from_length);
}

/* "host": may the container reach a server on the host's loopback? */
static char reach_host(void)
{
	struct sockaddr_in target = {.sin_family = AF_INET,
				     .sin_port = htons(PORT_HOST)};
	cleanup_fd int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char answer = 'n';

	inet_pton(AF_INET, NET_GATEWAY, &target.sin_addr);
	if (connect(fd, (struct sockaddr *)&target, sizeof(target)) < 0)
		return errno == ECONNREFUSED ? 'r' : 'e';
	if (recv(fd, &answer, 1, 0) != 1)
		return 'n';
	return answer;
}

/*
 * A question to the uplink's resolver, of the one or the other family: the
 * first byte of the answer, '-' when there is none for a while.
 */
static char ask_resolver(int family)
{
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6,
				  .sin6_port = htons(53)};
	struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(53)};
	const struct timeval timeout = {.tv_usec = 300000};
	cleanup_fd int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char answer;

	inet_pton(AF_INET, NET_DNS, &v4.sin_addr);
	inet_pton(AF_INET6, NET_DNS6, &v6.sin6_addr);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
	if (connect(fd,
		    family == AF_INET ? (struct sockaddr *)&v4
				      : (struct sockaddr *)&v6,
		    family == AF_INET ? sizeof(v4) : sizeof(v6)) < 0 ||
	    send(fd, "?", 1, 0) != 1 || recv(fd, &answer, 1, 0) != 1)
		return '-';
	return answer;
}

/* One server of the container; what it accepts and keeps is echoed. */
static void serve_tcp(int listener, uint16_t port)
{
	static struct pollfd fds[4096];
	static char bytes[65536];
	nfds_t count = 0;

	fds[count++] = (struct pollfd){.fd = listener, .events = POLLIN};
	for (;;) {
		poll(fds, count, -1);
		for (nfds_t i = count; i-- > 1;) {
			ssize_t length;

			if (!fds[i].revents)
				continue;
			length = recv(fds[i].fd, bytes, sizeof(bytes), 0);
			if (length > 0) {
				send_all(fds[i].fd, bytes, (size_t)length);
				continue;
			}
			close(fds[i].fd);
			fds[i] = fds[--count];
		}
		if (fds[0].revents) {
			int fd = serve_accepted(listener, port);

			if (fd >= 0)
				fds[count++] = (struct pollfd){
					.fd = fd, .events = POLLIN};
		}
	}
}

/* A test's own commands, carried out in the container; set before it is made.
 */
static char (*world_command)(char command);

/* A process for each server, this one for commands. */
static void serve(int command_fd)
{
	const pid_t container = getpid();
	char answer;

	for (size_t i = 0; i < PUBLISHED; i++) {
		bool udp = published[i].protocol == PORT_UDP;
		uint16_t port = published[i].port;
		int family;
		int fd;

		if (port == PORT_NOBODY)
			continue;
		family = port == PORT_WHO6 ? AF_INET6 : AF_INET;
		fd = udp ? bind_udp(family, port) : listen_tcp(family, port);
		if (fork() == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			if (getppid() != container)
				_exit(0);
			if (!udp)
				serve_tcp(fd, port);
			for (;;)
				serve_datagram(fd, port != PORT_ECHO);
		}
		close(fd);
	}
	if (write(command_fd, "s", 1) != 1)
		_exit(1);
	while (read(command_fd, &answer, 1) == 1) {
		if (answer == '4' || answer == '6')
			answer = ask_resolver(answer == '4' ? AF_INET
							    : AF_INET6);
		else if (answer == 'h')
			answer = reach_host();
		else
			answer = world_command(answer);
		if (write(command_fd, &answer, 1) != 1)
			break;
	}
	_exit(0);
}

/* The container's first process. */
static void container_main(int command_fd, pid_t parent)
{
	const struct netns_config config = {.interface = "eth0", .tun_fd = -1};
	struct error err = {0};
	int tap_fd;
	char go;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent || unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0 ||
	    write(command_fd, "u", 1) != 1 || read(command_fd, &go, 1) != 1)
		_exit(1);
	tap_fd = netns_attach_tap(&config, &err);
	if (write(command_fd, &tap_fd, sizeof(tap_fd)) != sizeof(tap_fd) ||
	    write(command_fd, &err, sizeof(err)) != sizeof(err) ||
	    read(command_fd, &go, 1) != 1)
		_exit(1);
	close(tap_fd);
	serve(command_fd);
}

static void close_ports(struct world *made)
{
	for (size_t i = 0; i < PUBLISHED; i++) {
		close_fd(&made->forwards[i].fds[0]);
		close_fd(&made->forwards[i].fds[1]);
	}
}

static bool make_container(struct world *made)
{
	const pid_t parent = getpid();
	struct error err = {0};
	char path[64];
	int pair[2];
	int pid_fd;
	int remote;
	char ready;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return false;
	made->container = fork();
	if (made->container == 0) {
		close(pair[0]);
		close_ports(made);
		container_main(pair[1], parent);
	}
	close(pair[1]);
	made->command_fd = pair[0];
	if (read(pair[0], &ready, 1) != 1 ||
	    !namespace_write(made->container, "setgroups", "deny") ||
	    !namespace_write(made->container, "uid_map", "0 0 1\n") ||
	    !namespace_write(made->container, "gid_map", "0 0 1\n") ||
	    write(pair[0], "g", 1) != 1 ||
	    read(pair[0], &remote, sizeof(remote)) != sizeof(remote) ||
	    read(pair[0], &err, sizeof(err)) != sizeof(err))
		return false;
	if (remote < 0) {
		fprintf(stderr, "%s; %s\n", err.message, err.hint);
		return false;
	}
	pid_fd = proc_pidfd_open(made->container, 0);
	made->tap_fd = (int)syscall(SYS_pidfd_getfd, pid_fd, remote, 0);
	close(pid_fd);
	snprintf(path, sizeof(path), "/proc/%d/ns/net", made->container);
	made->netns_fd = open(path, O_RDONLY | O_CLOEXEC);
	return made->tap_fd >= 0 && made->netns_fd >= 0 &&
	       write(pair[0], "g", 1) == 1 && read(pair[0], &ready, 1) == 1;
}

/* 0 and the world serves. */
static int world_make(struct world *made, bool host_loopback, struct error *err)
{
	struct uplink_request request = {
		.name = "test",
		.host_loopback = host_loopback,
		.forwards = made->forwards,
		.forward_count = PUBLISHED,
	};
	int r;

	*made = (struct world){.uplink = {.socket_fd = -1},
			       .resolv_directory = made->resolv_directory};
	for (size_t i = 0; i < PUBLISHED; i++) {
		struct port_mapping mapping = {
			.container_port = published[i].port,
			.protocol = published[i].protocol,
		};

		made->forwards[i].container_port = mapping.container_port;
		made->forwards[i].protocol = mapping.protocol;
		r = port_bind(&mapping, made->forwards[i].fds, err);
		if (r < 0)
			return r;
		made->host_ports[i] = mapping.host_port;
	}
	r = uplink_spawn(made->resolv_directory, &made->uplink, err);
	if (r < 0)
		return r;
	if (!make_container(made))
		return err_set(err, ERROR_GENERIC, "no container");
	request.tap_fd = made->tap_fd;
	request.netns_fd = made->netns_fd;
	r = uplink_configure(&made->uplink, &request, err);
	close_ports(made);
	close_fd(&made->tap_fd);
	close_fd(&made->netns_fd);
	return r;
}

static void world_end(struct world *ended)
{
	uplink_stop(&ended->uplink);
	if (ended->container > 0) {
		kill(ended->container, SIGKILL);
		proc_wait(ended->container);
	}
	close_fd(&ended->command_fd);
}
