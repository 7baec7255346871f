#include <errno.h>
#include <netinet/tcp.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "net/forward_internal.h"

/* Whose address an inner socket carries; tried in this order. */
static const struct attempt {
	bool client; /* the client's own, otherwise the forwarder's */
	bool port;   /* with the client's port, otherwise with any */
} attempts[] = {
	{true, true},
	{true, false},
	{false, true},
	{false, false},
};

static void set_port(union net_address *address, uint16_t port)
{
	if (address->any.sa_family == AF_INET6)
		address->v6.sin6_port = htons(port);
	else
		address->v4.sin_port = htons(port);
}

static uint16_t get_port(const union net_address *address)
{
	return ntohs(address->any.sa_family == AF_INET6 ? address->v6.sin6_port
							: address->v4.sin_port);
}

/*
 * May the container see this address? The host's loopback would pass for the
 * container's own, and its own for itself; a link-local address needs an
 * interface.
 */
static bool is_presentable(const struct forwarder *forwarder,
			   const union net_address *client)
{
	if (client->any.sa_family == AF_INET6)
		return !IN6_ARE_ADDR_EQUAL(&client->v6.sin6_addr,
					   &forwarder->address6) &&
		       !IN6_IS_ADDR_LOOPBACK(&client->v6.sin6_addr) &&
		       !IN6_IS_ADDR_LINKLOCAL(&client->v6.sin6_addr) &&
		       !IN6_IS_ADDR_V4MAPPED(&client->v6.sin6_addr);
	return client->v4.sin_addr.s_addr != forwarder->address.s_addr &&
	       ntohl(client->v4.sin_addr.s_addr) >> 24 != 127;
}

/* A socket that will speak from source, which may be foreign if marked. */
static int open_bound(const union net_address *source, int type,
		      bool transparent)
{
	const bool v6 = source->any.sa_family == AF_INET6;
	const uint32_t mark = FORWARD_MARK;
	const int on = 1;
	cleanup_fd int fd = socket(source->any.sa_family,
				   type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	if (transparent &&
	    (setsockopt(fd, SOL_SOCKET, SO_MARK, &mark, sizeof(mark)) < 0 ||
	     setsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP,
			v6 ? IPV6_TRANSPARENT : IP_TRANSPARENT, &on,
			sizeof(on)) < 0))
		return -errno;
	/* fd00::1 is a route, not an address, which IPv6 wants to be told. */
	if (!transparent && v6 &&
	    setsockopt(fd, IPPROTO_IPV6, IPV6_FREEBIND, &on, sizeof(on)) < 0)
		return -errno;
	/*
	 * One port of a client's may be on its way to several of ours; with UDP
	 * nothing would tell the two apart.
	 */
	if (get_port(source) != 0 && type == SOCK_STREAM)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	else
		setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on,
			   sizeof(on));
	if (type == SOCK_STREAM)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (bind(fd, &source->any, net_address_length(source)) < 0)
		return -errno;
	return steal_fd(&fd);
}

/*
 * On the namespace's loopback the handshake is over when connect() returns;
 * only asking again tells.
 */
static int start_connect(int fd, const union net_address *target,
			 bool *ret_connecting)
{
	for (int i = 0; i < 2; i++) {
		if (connect(fd, &target->any, net_address_length(target)) ==
			    0 ||
		    errno == EISCONN) {
			*ret_connecting = false;
			return 0;
		}
		if (errno != EINPROGRESS && errno != EALREADY)
			return -errno;
	}
	*ret_connecting = true;
	return 0;
}

/*
 * To one of the container's addresses, with the client's own if `keep`.
 * -ECONNREFUSED: nobody listens there.
 */
static int connect_family(const struct forwarder *forwarder,
			  const union net_address *client, int type, int family,
			  uint16_t port, bool keep, bool *ret_connecting)
{
	const bool v6 = family == AF_INET6;
	union net_address target = {0};
	union net_address self = {0};
	int r = -EADDRNOTAVAIL;

	/* :: would be the container's loopback. */
	if (v6 && IN6_IS_ADDR_UNSPECIFIED(&forwarder->address6))
		return -EADDRNOTAVAIL;
	target.any.sa_family = (sa_family_t)family;
	self.any.sa_family = (sa_family_t)family;
	if (v6) {
		target.v6.sin6_addr = forwarder->address6;
		self.v6.sin6_addr = forwarder->forwarder6;
	} else {
		target.v4.sin_addr = forwarder->address;
		self.v4.sin_addr = forwarder->forwarder;
	}
	set_port(&target, port);

	for (size_t i = 0; i < ARRAY_SIZE(attempts); i++) {
		union net_address source = attempts[i].client ? *client : self;
		cleanup_fd int fd = -1;

		if (attempts[i].client && !keep)
			continue;
		set_port(&source, attempts[i].port ? get_port(client) : 0);
		fd = open_bound(&source, type, attempts[i].client);
		r = fd < 0 ? fd : start_connect(fd, &target, ret_connecting);
		if (r == 0)
			return steal_fd(&fd);
		if (r == -ECONNREFUSED || r == -EMFILE || r == -ENFILE)
			return r;
	}
	return r;
}

/* A port of the host's loopback. */
static int connect_host(int family, uint16_t port, bool *ret_connecting)
{
	union net_address target = {.any.sa_family = (sa_family_t)family};
	union net_address any = target;
	cleanup_fd int fd = -1;
	int r;

	if (family == AF_INET6)
		target.v6.sin6_addr = in6addr_loopback;
	else
		target.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	set_port(&target, port);
	fd = open_bound(&any, SOCK_STREAM, false);
	r = fd < 0 ? fd : start_connect(fd, &target, ret_connecting);
	return r < 0 ? r : steal_fd(&fd);
}

bool forward_keeps_address(const struct forwarder *forwarder,
			   const union net_address *client, int family)
{
	return client->any.sa_family == family &&
	       is_presentable(forwarder, client) &&
	       (family == AF_INET6 ? forwarder->transparent6
				   : forwarder->transparent4);
}

static int connect_stream(const struct forwarder *forwarder,
			  const union net_address *client, int family,
			  uint16_t port, bool *ret_connecting)
{
	return connect_family(forwarder, client, SOCK_STREAM, family, port,
			      forward_keeps_address(forwarder, client, family),
			      ret_connecting);
}

int tcp_connect_inside(const struct forwarder *forwarder,
		       const union net_address *client, uint16_t port,
		       bool *ret_connecting)
{
	const int first = client->any.sa_family;
	int r;

	if (forwarder->to_host) {
		r = connect_host(AF_INET, port, ret_connecting);
		return r == -ECONNREFUSED
			       ? connect_host(AF_INET6, port, ret_connecting)
			       : r;
	}
	r = connect_stream(forwarder, client, first, port, ret_connecting);

	/* Many a server listens on IPv4 only, some on IPv6 only. */
	if (r >= 0 || r == -EMFILE || r == -ENFILE)
		return r;
	return connect_stream(forwarder, client,
			      first == AF_INET ? AF_INET6 : AF_INET, port,
			      ret_connecting);
}

int udp_connect_inside(const struct forwarder *forwarder,
		       const union net_address *client, int family,
		       uint16_t port, bool keep)
{
	bool connecting;

	return connect_family(forwarder, client, SOCK_DGRAM, family, port, keep,
			      &connecting);
}
