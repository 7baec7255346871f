#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fib_rules.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "net/forward_internal.h"
#include "net/netns.h"
#include "net/nl.h"

#define LOOPBACK_INDEX 1
#define FORWARD_TABLE  100 /* the table and the rule's priority */

#define CLIENT_PRIORITY	  101
#define CLIENT_TABLE_BASE 0x6d000000u
#define CLIENT_TABLE_MASK 0x00ffffffu

/* Added before, by an earlier moss-net of this namespace, is as good. */
static int add(int nl_fd, struct nl_request *request)
{
	int r = nl_call(nl_fd, request);

	return r == -EEXIST ? 0 : r;
}

struct local_route {
	int family;
	const void *address;
	unsigned char prefix;
	uint32_t table;
	const void *source; /* what answers carry that are not bound to an
			       address; NULL: the address itself */
};

/*
 * "local ADDRESS dev lo table TABLE src SOURCE": packets to it stay here.
 * Unlike an address it does not show up among the interfaces' own.
 */
static void begin_local_route(struct nl_request *request, uint16_t type,
			      uint16_t flags, const struct local_route *local)
{
	size_t size = local->family == AF_INET ? sizeof(struct in_addr)
					       : sizeof(struct in6_addr);
	const struct rtmsg route = {
		.rtm_family = (unsigned char)local->family,
		.rtm_dst_len = local->prefix,
		.rtm_table = RT_TABLE_UNSPEC,
		.rtm_protocol = RTPROT_BOOT,
		.rtm_scope = RT_SCOPE_HOST,
		.rtm_type = RTN_LOCAL,
	};

	nl_begin(request, type, flags, &route, sizeof(route));
	nl_add_u32(request, RTA_TABLE, local->table);
	if (local->prefix > 0)
		nl_add(request, RTA_DST, local->address, size);
	nl_add_u32(request, RTA_OIF, LOOPBACK_INDEX);
	if (local->source)
		nl_add(request, RTA_PREFSRC, local->source, size);
}

static int add_local_route(int nl_fd, const struct local_route *local)
{
	struct nl_request request;

	begin_local_route(&request, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL,
			  local);
	return add(nl_fd, &request);
}

/* "fwmark MARK lookup TABLE", where everything is local. */
static int add_mark_rule(int nl_fd, int family)
{
	struct fib_rule_hdr rule = {
		.family = (unsigned char)family,
		.table = FORWARD_TABLE,
		.action = FR_ACT_TO_TBL,
	};
	struct nl_request request;
	int r = add_local_route(nl_fd, &(struct local_route){
					       .family = family,
					       .table = FORWARD_TABLE,
				       });

	if (r < 0)
		return r;
	nl_begin(&request, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, &rule,
		 sizeof(rule));
	nl_add_u32(&request, FRA_PRIORITY, FORWARD_TABLE);
	nl_add_u32(&request, FRA_FWMARK, FORWARD_MARK);
	nl_add_u32(&request, FRA_FWMASK, UINT32_MAX);
	return add(nl_fd, &request);
}

/* A switch below /proc, of the thread's network namespace. */
static bool set(int proc_fd, const char *path)
{
	return file_write_once_at(proc_fd, path, "1", NULL) == 0;
}

/* ---- UDP clients ---- */

/*
 * "ipproto udp sport PORT lookup TABLE": what the container's server answers.
 * The table has nobody but clients with living flows, so that what the server
 * sends to anybody else goes its usual way.
 */
static int change_port_rule(const struct forwarder *forwarder, int family,
			    uint16_t port, bool add_it)
{
	const struct fib_rule_hdr rule = {
		.family = (unsigned char)family,
		.action = FR_ACT_TO_TBL,
	};
	const struct fib_rule_port_range range = {.start = port, .end = port};
	const uint8_t protocol = IPPROTO_UDP;
	struct nl_request request;

	nl_begin(&request, add_it ? RTM_NEWRULE : RTM_DELRULE,
		 add_it ? NLM_F_CREATE | NLM_F_EXCL : 0, &rule, sizeof(rule));
	nl_add_u32(&request, FRA_PRIORITY, CLIENT_PRIORITY);
	nl_add_u32(&request, FRA_TABLE, forwarder->client_table);
	nl_add(&request, FRA_IP_PROTO, &protocol, sizeof(protocol));
	nl_add(&request, FRA_SPORT_RANGE, &range, sizeof(range));
	return add(forwarder->route_fd, &request);
}

int forward_route_port(const struct forwarder *forwarder, uint16_t port,
		       bool add_it)
{
	int r = 0;

	if (forwarder->transparent4)
		r = change_port_rule(forwarder, AF_INET, port, add_it);
	if (forwarder->transparent6 && r >= 0)
		r = change_port_rule(forwarder, AF_INET6, port, add_it);
	return r;
}

/* What an earlier moss-net of this namespace has left: its table is inert. */
static void remove_port_rules(const struct forwarder *forwarder, int family)
{
	const struct fib_rule_hdr rule = {.family = (unsigned char)family};

	for (int i = 0; i < PORT_MAPPINGS_MAX; i++) {
		struct nl_request request;

		nl_begin(&request, RTM_DELRULE, 0, &rule, sizeof(rule));
		nl_add_u32(&request, FRA_PRIORITY, CLIENT_PRIORITY);
		if (nl_call(forwarder->route_fd, &request) < 0)
			return;
	}
}

static const void *host_part(const union net_address *address)
{
	return address->any.sa_family == AF_INET6
		       ? (const void *)&address->v6.sin6_addr
		       : (const void *)&address->v4.sin_addr;
}

static unsigned char host_bits(int family)
{
	return family == AF_INET6 ? 128 : 32;
}

int forward_route_client(const struct forwarder *forwarder,
			 const union net_address *client, bool add_it)
{
	const int family = client->any.sa_family;
	const struct local_route local = {
		.family = family,
		.address = host_part(client),
		.prefix = host_bits(family),
		.table = forwarder->client_table,
		.source = family == AF_INET6
				  ? (const void *)&forwarder->address6
				  : (const void *)&forwarder->address,
	};
	struct nl_request request;

	begin_local_route(&request, add_it ? RTM_NEWROUTE : RTM_DELROUTE,
			  add_it ? NLM_F_CREATE | NLM_F_EXCL : 0, &local);
	return add(forwarder->route_fd, &request);
}

/* Does a route lead to a gateway, or nowhere? */
static bool is_route_far(const struct nlmsghdr *answer, size_t length)
{
	const struct rtmsg *route = NLMSG_DATA(answer);
	const struct rtattr *attribute = RTM_RTA(route);
	size_t left = length < answer->nlmsg_len ? length : answer->nlmsg_len;

	if (left < NLMSG_SPACE(sizeof(*route)))
		return false;
	if (route->rtm_type == RTN_UNREACHABLE)
		return true;
	if (route->rtm_type != RTN_UNICAST)
		return false;
	left -= NLMSG_SPACE(sizeof(*route));
	for (; RTA_OK(attribute, left); attribute = RTA_NEXT(attribute, left)) {
		if (attribute->rta_type == RTA_GATEWAY)
			return true;
	}
	return false;
}

bool forward_route_is_far(const struct forwarder *forwarder,
			  const union net_address *client)
{
	const int family = client->any.sa_family;
	const struct rtmsg route = {
		.rtm_family = (unsigned char)family,
		.rtm_dst_len = host_bits(family),
	};
	union {
		struct nlmsghdr header;
		char bytes[1024];
	} answer = {0};
	struct nl_request request;
	ssize_t length;

	nl_begin(&request, RTM_GETROUTE, 0, &route, sizeof(route));
	nl_add(&request, RTA_DST, host_part(client),
	       family == AF_INET6 ? sizeof(struct in6_addr)
				  : sizeof(struct in_addr));
	length = nl_ask(forwarder->route_fd, &request, &answer, sizeof(answer));
	if (length == -ENETUNREACH || length == -EHOSTUNREACH)
		return true;
	return length > 0 && is_route_far(&answer.header, (size_t)length);
}

/* ---- the start ---- */

/* Of a name of its own, so that routes left by an earlier one mean nothing. */
static uint32_t choose_table(void)
{
	uint32_t number = (uint32_t)clock_ms();

	(void)!getrandom(&number, sizeof(number), GRND_NONBLOCK);
	return CLIENT_TABLE_BASE | (number & CLIENT_TABLE_MASK);
}

/*
 * The mark is what leads answers back: accepted connections take it over, and
 * so does what the kernel answers where there is no socket (a refusal).
 */
void forward_route_prepare(struct forwarder *forwarder, int proc_fd)
{
	const int nl_fd = forwarder->route_fd = nl_open(NULL);

	if (nl_fd < 0)
		return;
	forwarder->client_table = choose_table();
	add_local_route(nl_fd, &(struct local_route){
				       .family = AF_INET,
				       .address = &forwarder->forwarder,
				       .prefix = 32,
				       .table = RT_TABLE_LOCAL,
				       .source = &forwarder->address,
			       });
	add_local_route(nl_fd, &(struct local_route){
				       .family = AF_INET6,
				       .address = &forwarder->forwarder6,
				       .prefix = 128,
				       .table = RT_TABLE_LOCAL,
			       });
	remove_port_rules(forwarder, AF_INET);
	remove_port_rules(forwarder, AF_INET6);

	if (!set(proc_fd, "sys/net/ipv4/tcp_fwmark_accept"))
		return;
	forwarder->transparent4 = set(proc_fd, "sys/net/ipv4/fwmark_reflect") &&
				  add_mark_rule(nl_fd, AF_INET) == 0;
	forwarder->transparent6 = set(proc_fd, "sys/net/ipv6/fwmark_reflect") &&
				  add_mark_rule(nl_fd, AF_INET6) == 0;
}
