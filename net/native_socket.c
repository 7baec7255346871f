/* The sockets that are handed out. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "net/native_filter.h"
#include "net/native_internal.h"

#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK 72 /* Linux 5.14 */
#endif

#define V4 0 /* in native_target's arrays */
#define V6 1

#define LOCKED_SEND    1
#define LOCKED_RECEIVE 2

/* Numbers that make a difference when they are not as in a new socket. */
static const struct {
	int level, name;
} options[] = {
	{SOL_SOCKET, SO_KEEPALIVE},
	{SOL_SOCKET, SO_OOBINLINE},
	{SOL_SOCKET, SO_RCVLOWAT},
	{SOL_SOCKET, SO_PRIORITY},
	{SOL_SOCKET, SO_TIMESTAMP},
	{SOL_SOCKET, SO_ZEROCOPY},
	{SOL_SOCKET, SO_INCOMING_CPU},
	{IPPROTO_TCP, TCP_NODELAY},
	{IPPROTO_TCP, TCP_CORK},
	{IPPROTO_TCP, TCP_MAXSEG},
	{IPPROTO_TCP, TCP_KEEPIDLE},
	{IPPROTO_TCP, TCP_KEEPINTVL},
	{IPPROTO_TCP, TCP_KEEPCNT},
	{IPPROTO_TCP, TCP_SYNCNT},
	{IPPROTO_TCP, TCP_LINGER2},
	{IPPROTO_TCP, TCP_DEFER_ACCEPT},
	{IPPROTO_TCP, TCP_WINDOW_CLAMP},
	{IPPROTO_TCP, TCP_USER_TIMEOUT},
	{IPPROTO_TCP, TCP_NOTSENT_LOWAT},
	{IPPROTO_IP, IP_TOS},
	{IPPROTO_IP, IP_TTL},
	{IPPROTO_IPV6, IPV6_UNICAST_HOPS},
	{IPPROTO_IPV6, IPV6_TCLASS},
};

static int get_option(int fd, int level, int name)
{
	int value = 0;
	socklen_t length = sizeof(value);

	return getsockopt(fd, level, name, &value, &length) < 0 ? 0 : value;
}

static int set_option(int fd, int level, int name, int value)
{
	return setsockopt(fd, level, name, &value, sizeof(value)) < 0 ? -errno
								      : 0;
}

static void copy_bytes(int from, int to, int level, int name)
{
	char value[64];
	socklen_t length = sizeof(value);

	if (getsockopt(from, level, name, value, &length) == 0)
		setsockopt(to, level, name, value, length);
}

/* What the kernel tells is twice what was asked for. */
static void copy_buffer(int from, int to, int name)
{
	set_option(to, SOL_SOCKET, name,
		   get_option(from, SOL_SOCKET, name) / 2);
}

/*
 * A program's wishes, not its rights: what the host does not allow it stays at
 * the host's default.
 */
static void copy_options(int from, int to)
{
	int locked = get_option(from, SOL_SOCKET, SO_BUF_LOCK);
	int flags = fcntl(from, F_GETFL);

	for (size_t i = 0; i < ARRAY_SIZE(options); i++) {
		int level = options[i].level, name = options[i].name;
		int value = get_option(from, level, name);

		if (value != get_option(to, level, name))
			set_option(to, level, name, value);
	}
	copy_bytes(from, to, SOL_SOCKET, SO_LINGER);
	copy_bytes(from, to, SOL_SOCKET, SO_RCVTIMEO);
	copy_bytes(from, to, SOL_SOCKET, SO_SNDTIMEO);
	copy_bytes(from, to, IPPROTO_TCP, TCP_CONGESTION);
	if (locked & LOCKED_SEND)
		copy_buffer(from, to, SO_SNDBUF);
	if (locked & LOCKED_RECEIVE)
		copy_buffer(from, to, SO_RCVBUF);
	if (flags >= 0)
		fcntl(to, F_SETFL, flags & O_NONBLOCK);
}

static void set_port(union native_address *address, uint16_t port)
{
	if (address->any.sa_family == AF_INET6)
		address->v6.sin6_port = htons(port);
	else
		address->v4.sin_port = htons(port);
}

/* "::ffff:192.0.2.1" */
static union native_address map(const union native_address *v4)
{
	union native_address address = {
		.v6 = {.sin6_family = AF_INET6, .sin6_port = v4->v4.sin_port},
	};
	uint8_t *bytes = address.v6.sin6_addr.s6_addr;

	bytes[10] = bytes[11] = 0xff;
	memcpy(bytes + 12, &v4->v4.sin_addr, sizeof(v4->v4.sin_addr));
	return address;
}

/* Where on the host one of IPv6 belongs; *v6only as it is to be there. */
static int choose_v6(const struct native_target *target,
		     const struct in6_addr *wanted, int *v6only,
		     union native_address *ret_address)
{
	bool any = IN6_IS_ADDR_UNSPECIFIED(wanted);
	bool own = !any && !IN6_IS_ADDR_V4MAPPED(wanted);

	if (any && !*v6only && target->fds[V6] < 0 && target->fds[V4] >= 0) {
		*ret_address = map(&target->addresses[V4]);
		return 0;
	}
	if (any || own) {
		if (target->fds[V6] < 0)
			return -EOPNOTSUPP;
		if (own)
			*v6only = 1;
		*ret_address = target->addresses[V6];
		return 0;
	}
	if (*v6only || target->fds[V4] < 0)
		return -EOPNOTSUPP;
	*ret_address = map(&target->addresses[V4]);
	return 0;
}

static int choose(const struct native_target *target, int own_fd,
		  const union native_address *wanted, int *v6only,
		  union native_address *ret_address)
{
	int r = 0;

	if (wanted->any.sa_family == AF_INET6) {
		*v6only = get_option(own_fd, IPPROTO_IPV6, IPV6_V6ONLY);
		r = choose_v6(target, &wanted->v6.sin6_addr, v6only,
			      ret_address);
	} else if (target->fds[V4] < 0) {
		r = -EOPNOTSUPP;
	} else {
		*ret_address = target->addresses[V4];
	}
	if (r == 0)
		set_port(ret_address, target->host_port);
	return r;
}

static void set_reservations(const struct native_target *target, int reuse)
{
	for (size_t i = 0; i < ARRAY_SIZE(target->fds); i++) {
		if (target->fds[i] >= 0)
			set_option(target->fds[i], SOL_SOCKET, SO_REUSEADDR,
				   reuse);
	}
}

static socklen_t address_length(const union native_address *address)
{
	return address->any.sa_family == AF_INET6 ? sizeof(address->v6)
						  : sizeof(address->v4);
}

static int bind_to(int fd, const union native_address *address)
{
	return bind(fd, &address->any, address_length(address)) < 0 ? -errno
								    : 0;
}

/*
 * SO_REUSEPORT lets it be beside the reservation, SO_REUSEADDR beside
 * connections of an earlier one, whoever accepted them. To see whether another
 * one listens, it is bound with the second alone, for which the reservation has
 * to have it for the moment.
 */
static int bind_alone(const struct native_target *target, int fd,
		      const union native_address *address)
{
	int r;

	set_reservations(target, 1);
	r = bind_to(fd, address);
	set_reservations(target, 0);
	return r < 0 ? r : set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);
}

static int bind_shared(int fd, const union native_address *address)
{
	int r = set_option(fd, SOL_SOCKET, SO_REUSEPORT, 1);

	return r < 0 ? r : bind_to(fd, address);
}

int native_socket_make(const struct supervisor *supervisor,
		       const struct native_target *target, int own_fd,
		       const union native_address *wanted)
{
	bool shares = get_option(own_fd, SOL_SOCKET, SO_REUSEPORT);
	union native_address address = {0};
	cleanup_fd int fd = -1;
	int v6only = 0;
	int r = choose(target, own_fd, wanted, &v6only, &address);

	if (r < 0)
		return r;
	fd = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC,
		    IPPROTO_TCP);
	if (fd < 0)
		return -errno;
	r = native_filter_lock(fd, target->host_port);
	if (r >= 0 || supervisor->boundary == NATIVE_LANDLOCK)
		r = set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1);
	if (r >= 0 && address.any.sa_family == AF_INET6)
		r = set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, v6only);
	if (r < 0)
		return r;
	copy_options(own_fd, fd);
	if (shares)
		r = bind_shared(fd, &address);
	else
		r = bind_alone(target, fd, &address);
	return r < 0 ? r : steal_fd(&fd);
}

/* Any address is the host's own for who connects to it. */
static void make_reachable(union native_address *address)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	const in_addr_t loopback = htonl(INADDR_LOOPBACK);
	struct in6_addr *v6 = &address->v6.sin6_addr;

	if (address->any.sa_family == AF_INET) {
		if (address->v4.sin_addr.s_addr == htonl(INADDR_ANY))
			address->v4.sin_addr.s_addr = loopback;
	} else if (IN6_IS_ADDR_UNSPECIFIED(v6)) {
		*v6 = in6addr_loopback;
	} else if (IN6_IS_ADDR_V4MAPPED(v6) && v6->s6_addr32[3] == 0) {
		memcpy(v6->s6_addr, mapped, sizeof(mapped));
		memcpy(v6->s6_addr + sizeof(mapped), &loopback,
		       sizeof(loopback));
	}
}

/* Not before it is connected: then an answer to its SYN would not come in. */
static int filter_connected(int fd)
{
	union native_address address = {0};
	socklen_t length = sizeof(address);

	if (getsockname(fd, &address.any, &length) < 0)
		return -errno;
	return native_filter_lock(fd, ntohs(address.any.sa_family == AF_INET6
						    ? address.v6.sin6_port
						    : address.v4.sin_port));
}

int native_socket_connect(const struct supervisor *supervisor,
			  const struct native_target *target, int own_fd,
			  const union native_address *wanted,
			  bool *ret_under_way)
{
	int family = get_option(own_fd, SOL_SOCKET, SO_DOMAIN);
	bool is_v4 = wanted->any.sa_family == AF_INET ||
		     IN6_IS_ADDR_V4MAPPED(&wanted->v6.sin6_addr);
	size_t which = is_v4 ? V4 : V6;
	union native_address address = target->addresses[which];
	cleanup_fd int fd = -1;

	if (target->fds[which] < 0 ||
	    (family == AF_INET && wanted->any.sa_family != AF_INET))
		return -ECONNREFUSED;
	if (family == AF_INET6 && is_v4)
		address = map(&address);
	set_port(&address, target->host_port);
	make_reachable(&address);
	fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
		    IPPROTO_TCP);
	if (fd < 0)
		return -errno;
	*ret_under_way =
		connect(fd, &address.any, address_length(&address)) < 0;
	if (*ret_under_way && errno != EINPROGRESS)
		return -errno;
	/* One under way has the full queue of a server to wait for. */
	if (supervisor->boundary == NATIVE_FILTER &&
	    (*ret_under_way || filter_connected(fd) < 0))
		return -ECONNREFUSED;
	copy_options(own_fd, fd);
	return steal_fd(&fd);
}
