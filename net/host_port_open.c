#include <arpa/inet.h>
#include <errno.h>
#include <linux/fib_rules.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "net/forward_internal.h"
#include "net/host_port.h"
#include "net/netns.h"
#include "net/nl.h"

#define LOOPBACK_INDEX 1
/* The table and the rules' priority; forward_route.c has others. */
#define HOST_PORT_TABLE 99

/* What the thread in the container's namespace is told and tells. */
struct opening {
	int netns_fd;
	const struct port_mapping *ports;
	size_t count;
	struct forward_listener *listeners;
	size_t listener_count;
	struct error *err;
	int result;
};

static const struct gateway {
	int family;
	const char *address;
	const char *source; /* of the connections; always there */
} gateways[] = {
	{AF_INET, NET_GATEWAY, "127.0.0.1"},
	{AF_INET6, NET_GATEWAY6, "::1"},
};

/* Added before, by an earlier moss-net of this namespace, is as good. */
static int add(int nl_fd, struct nl_request *request)
{
	int r = nl_call(nl_fd, request);

	return r == -EEXIST ? 0 : r;
}

static size_t parse_address(const struct gateway *gateway, const char *text,
			    unsigned char *ret_address)
{
	inet_pton(gateway->family, text, ret_address);
	return gateway->family == AF_INET ? sizeof(struct in_addr)
					  : sizeof(struct in6_addr);
}

/* "local GATEWAY dev lo" in the table that the rules below lead to. */
static int add_route(int nl_fd, const struct gateway *gateway)
{
	unsigned char address[sizeof(struct in6_addr)];
	unsigned char source[sizeof(struct in6_addr)];
	size_t size = parse_address(gateway, gateway->address, address);
	struct rtmsg route = {
		.rtm_family = (unsigned char)gateway->family,
		.rtm_dst_len = (unsigned char)(8 * size),
		.rtm_table = HOST_PORT_TABLE,
		.rtm_protocol = RTPROT_BOOT,
		.rtm_scope = RT_SCOPE_HOST,
		.rtm_type = RTN_LOCAL,
	};
	struct nl_request request;

	parse_address(gateway, gateway->source, source);
	nl_begin(&request, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &route,
		 sizeof(route));
	nl_add(&request, RTA_DST, address, size);
	nl_add(&request, RTA_PREFSRC, source, size);
	nl_add_u32(&request, RTA_OIF, LOOPBACK_INDEX);
	return add(nl_fd, &request);
}

/* "to GATEWAY ipproto tcp dport PORT lookup TABLE" */
static int add_rule(int nl_fd, const struct gateway *gateway, uint16_t port)
{
	const struct fib_rule_port_range range = {.start = port, .end = port};
	const uint8_t protocol = IPPROTO_TCP;
	unsigned char address[sizeof(struct in6_addr)];
	size_t size = parse_address(gateway, gateway->address, address);
	struct fib_rule_hdr rule = {
		.family = (unsigned char)gateway->family,
		.dst_len = (unsigned char)(8 * size),
		.table = HOST_PORT_TABLE,
		.action = FR_ACT_TO_TBL,
	};
	struct nl_request request;

	nl_begin(&request, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, &rule,
		 sizeof(rule));
	nl_add(&request, FRA_DST, address, size);
	nl_add_u32(&request, FRA_PRIORITY, HOST_PORT_TABLE);
	nl_add(&request, FRA_IP_PROTO, &protocol, sizeof(protocol));
	nl_add(&request, FRA_DPORT_RANGE, &range, sizeof(range));
	return add(nl_fd, &request);
}

/* Listens at the gateway's address, which no interface has. */
static int listen_at(const struct gateway *gateway, uint16_t port)
{
	const bool v6 = gateway->family == AF_INET6;
	union net_address address = {.any.sa_family =
					     (sa_family_t)gateway->family};
	const int on = 1;
	cleanup_fd int fd = socket(
		gateway->family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	if (fd < 0)
		return -errno;
	if (v6) {
		parse_address(gateway, gateway->address,
			      address.v6.sin6_addr.s6_addr);
		address.v6.sin6_port = htons(port);
	} else {
		parse_address(gateway, gateway->address,
			      (unsigned char *)&address.v4.sin_addr);
		address.v4.sin_port = htons(port);
	}
	/* Connections of an earlier moss-net may linger. */
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
	    setsockopt(fd, v6 ? IPPROTO_IPV6 : IPPROTO_IP,
		       v6 ? IPV6_TRANSPARENT : IP_TRANSPARENT, &on,
		       sizeof(on)) < 0 ||
	    bind(fd, &address.any, net_address_length(&address)) < 0 ||
	    listen(fd, SOMAXCONN) < 0)
		return -errno;
	return steal_fd(&fd);
}

static int open_port(struct opening *opening, int nl_fd,
		     const struct gateway *gateway,
		     const struct port_mapping *port)
{
	int fd;
	int r = add_rule(nl_fd, gateway, port->container_port);

	if (r < 0)
		return err_number(opening->err, r,
				  "cannot route host port %u to the host",
				  port->container_port);
	fd = listen_at(gateway, port->container_port);
	if (fd < 0)
		return err_number(opening->err, fd,
				  "cannot listen on %s:%u in the container",
				  gateway->address, port->container_port);
	opening->listeners[opening->listener_count++] =
		(struct forward_listener){
			.fd = fd,
			.container_port = port->host_port,
			.protocol = PORT_TCP,
		};
	return 0;
}

static int open_all(struct opening *opening)
{
	cleanup_fd int nl_fd = -1;
	int r = 0;

	if (setns(opening->netns_fd, CLONE_NEWNET) < 0)
		return err_errno(opening->err,
				 "cannot enter the container's network "
				 "namespace");
	nl_fd = nl_open(opening->err);
	if (nl_fd < 0)
		return nl_fd;
	for (size_t i = 0; i < ARRAY_SIZE(gateways); i++) {
		const struct gateway *gateway = &gateways[i];

		r = add_route(nl_fd, gateway);
		/* A kernel, or a container, without IPv6. */
		if (r < 0 && gateway->family == AF_INET6)
			return 0;
		if (r < 0)
			return err_number(opening->err, r,
					  "cannot route host ports to the "
					  "host");
		for (size_t j = 0; r >= 0 && j < opening->count; j++)
			r = open_port(opening, nl_fd, gateway,
				      &opening->ports[j]);
		if (r < 0)
			return r;
	}
	return 0;
}

static void *open_main(void *data)
{
	struct opening *opening = data;

	opening->result = open_all(opening);
	return NULL;
}

/*
 * A thread of its own, as there is no way back out of the namespace for one
 * without privileges outside.
 */
int host_ports_open(int netns_fd, const struct port_mapping *ports,
		    size_t count, struct forward_listener *ret_listeners,
		    struct error *err)
{
	struct opening opening = {
		.netns_fd = netns_fd,
		.ports = ports,
		.count = count,
		.listeners = ret_listeners,
		.err = err,
	};
	pthread_t id;
	int r = pthread_create(&id, NULL, open_main, &opening);

	if (r != 0)
		return err_number(err, r, "cannot start a thread");
	pthread_join(id, NULL);
	return opening.result < 0 ? opening.result
				  : (int)opening.listener_count;
}
