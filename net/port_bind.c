#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/str.h"
#include "net/port.h"

/* How often to look for a port that is free in both families. */
#define RANDOM_ATTEMPTS 64

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static socklen_t address_length(const union address *address)
{
	return address->any.sa_family == AF_INET6 ? sizeof(address->v6)
						  : sizeof(address->v4);
}

static void address_set_port(union address *address, uint16_t port)
{
	if (address->any.sa_family == AF_INET6)
		address->v6.sin6_port = htons(port);
	else
		address->v4.sin_port = htons(port);
}

static uint16_t bound_port(int fd)
{
	union address address = {0};
	socklen_t length = sizeof(address);

	if (getsockname(fd, &address.any, &length) < 0)
		return 0;
	return ntohs(address.any.sa_family == AF_INET6 ? address.v6.sin6_port
						       : address.v4.sin_port);
}

static int bind_socket(const union address *address,
		       enum port_protocol protocol)
{
	const int type = protocol == PORT_UDP ? SOCK_DGRAM : SOCK_STREAM;
	const int on = 1;
	cleanup_fd int fd = -1;

	fd = socket(address->any.sa_family, type | SOCK_CLOEXEC | SOCK_NONBLOCK,
		    0);
	if (fd < 0)
		return -errno;
	if (address->any.sa_family == AF_INET6 &&
	    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) < 0)
		return -errno;
	/* Not for UDP, where it would let two share a port. */
	if (protocol == PORT_TCP &&
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0)
		return -errno;
	if (bind(fd, &address->any, address_length(address)) < 0)
		return -errno;
	if (protocol == PORT_TCP && listen(fd, SOMAXCONN) < 0)
		return -errno;
	return steal_fd(&fd);
}

/*
 * One port on one address or, for "", on both families; IPv6 may be missing.
 * *ret_failed is the address that could not be bound.
 */
static int bind_port(const struct port_mapping *mapping, uint16_t port,
		     int ret_fds[2], union address *ret_failed)
{
	union address address = {.v4 = {.sin_family = AF_INET}};
	cleanup_fd int first = -1;
	cleanup_fd int second = -1;
	int r;

	if (strchr(mapping->host_ip, ':')) {
		address.v6 = (struct sockaddr_in6){.sin6_family = AF_INET6};
		r = inet_pton(AF_INET6, mapping->host_ip,
			      &address.v6.sin6_addr);
	} else {
		r = *mapping->host_ip == '\0'
			    ? 1
			    : inet_pton(AF_INET, mapping->host_ip,
					&address.v4.sin_addr);
	}
	if (r != 1)
		return -EINVAL;

	address_set_port(&address, port);
	*ret_failed = address;
	first = bind_socket(&address, mapping->protocol);
	if (first < 0)
		return first;

	if (*mapping->host_ip == '\0') {
		address.v6 = (struct sockaddr_in6){
			.sin6_family = AF_INET6,
			.sin6_port = htons(bound_port(first)),
		};
		*ret_failed = address;
		second = bind_socket(&address, mapping->protocol);
		if (second < 0 && second != -EAFNOSUPPORT &&
		    second != -EADDRNOTAVAIL)
			return second;
	}
	ret_fds[0] = steal_fd(&first);
	ret_fds[1] = second < 0 ? -1 : steal_fd(&second);
	return 0;
}

static unsigned int first_unprivileged_port(void)
{
	cleanup_free char *text = NULL;
	uint64_t port = 0;
	char *end;

	if (file_read_at(AT_FDCWD,
			 "/proc/sys/net/ipv4/ip_unprivileged_port_start", 64,
			 &text, NULL, NULL) < 0)
		return 1024;
	end = strchr(text, '\n');
	if (end)
		*end = '\0';
	return parse_u64(text, &port) < 0 ? 1024 : (unsigned int)port;
}

/* "0.0.0.0:8080/tcp", "[::1]:8000-8010/udp" */
static char *describe(const struct port_mapping *mapping,
		      const union address *address)
{
	cleanup_free char *ports =
		mapping->host_port_end > mapping->host_port
			? xasprintf("%u-%u", mapping->host_port,
				    mapping->host_port_end)
			: xasprintf("%u", mapping->host_port);
	const char *ip = mapping->host_ip;
	const char *name = port_protocol_name(mapping->protocol);

	if (*ip == '\0')
		ip = address->any.sa_family == AF_INET6 ? "::" : "0.0.0.0";
	return xasprintf(strchr(ip, ':') ? "[%s]:%s/%s" : "%s:%s/%s", ip, ports,
			 name);
}

/* Adds what the user can do about it. */
static void explain(const struct port_mapping *mapping,
		    const union address *failed, int r, struct error *err)
{
	cleanup_free char *where = describe(mapping, failed);
	bool udp = mapping->protocol == PORT_UDP;
	unsigned int start;

	if (!err)
		return;
	err_number(err, r, "cannot publish %s", where);
	switch (-r) {
	case EADDRINUSE:
		err->kind = ERROR_CONFLICT;
		if (mapping->host_port_end > mapping->host_port)
			err_hint(err, "no port of the range is free");
		else
			err_hint(err,
				 "see who has it: ss -ln%cp 'sport = :%u'; or "
				 "publish another port",
				 udp ? 'u' : 't', mapping->host_port);
		break;
	case EACCES:
		start = first_unprivileged_port();
		if (mapping->host_port != 0 && mapping->host_port < start)
			err_hint(err,
				 "use a port of %u or above, or allow it as "
				 "root: sysctl "
				 "net.ipv4.ip_unprivileged_port_start=%u",
				 start, mapping->host_port);
		break;
	case EADDRNOTAVAIL:
		err_hint(err, "%s is no address of this machine",
			 mapping->host_ip);
		break;
	case EMFILE:
		err_hint(err, "raise the limit of open files (ulimit -n) or "
			      "publish fewer ports");
		break;
	}
}

int port_bind(struct port_mapping *mapping, int ret_fds[2], struct error *err)
{
	unsigned int last = mapping->host_port;
	unsigned int attempts = 1;
	union address failed = {0};
	int fds[2] = {-1, -1};
	int r = 0;

	if (mapping->host_port_end > mapping->host_port)
		last = mapping->host_port_end;
	/* The kernel's choice for IPv4 may be taken for IPv6. */
	if (last == 0)
		attempts = RANDOM_ATTEMPTS;

	for (unsigned int port = mapping->host_port; port <= last; port++) {
		for (unsigned int i = 0; i < attempts; i++) {
			r = bind_port(mapping, (uint16_t)port, fds, &failed);
			if (r != -EADDRINUSE)
				break;
		}
		if (r != -EADDRINUSE)
			break;
	}
	if (r < 0) {
		explain(mapping, &failed, r, err);
		return r;
	}

	mapping->host_port = bound_port(fds[0]);
	mapping->host_port_end = mapping->host_port;
	ret_fds[0] = fds[0];
	ret_fds[1] = fds[1];
	return 0;
}
