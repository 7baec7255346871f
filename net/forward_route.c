#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fib_rules.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "net/forward_internal.h"
#include "net/netns.h"
#include "net/nl.h"

#define LOOPBACK_INDEX 1
#define FORWARD_TABLE  100 /* the table and the rule's priority */

/* Added before, by an earlier moss-net of this namespace, is as good. */
static int add(int nl_fd, struct nl_request *request)
{
	int r = nl_call(nl_fd, request);

	return r == -EEXIST ? 0 : r;
}

/*
 * "local ADDRESS dev lo": packets to it stay here. Unlike an address it does
 * not show up among the interfaces' own. source, for IPv4: what answers carry
 * that are not bound to an address.
 */
static int add_local_route(int nl_fd, int family, const void *address,
			   unsigned char prefix, unsigned char table,
			   const struct in_addr *source)
{
	size_t size = family == AF_INET ? sizeof(struct in_addr)
					: sizeof(struct in6_addr);
	struct rtmsg route = {
		.rtm_family = (unsigned char)family,
		.rtm_dst_len = prefix,
		.rtm_table = table,
		.rtm_protocol = RTPROT_BOOT,
		.rtm_scope = RT_SCOPE_HOST,
		.rtm_type = RTN_LOCAL,
	};
	struct nl_request request;

	nl_begin(&request, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &route,
		 sizeof(route));
	if (prefix > 0)
		nl_add(&request, RTA_DST, address, size);
	nl_add_u32(&request, RTA_OIF, LOOPBACK_INDEX);
	if (source)
		nl_add(&request, RTA_PREFSRC, source, sizeof(*source));
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
	int r = add_local_route(nl_fd, family, NULL, 0, FORWARD_TABLE, NULL);

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

/*
 * The mark is what leads answers back: accepted connections take it over, and
 * so does what the kernel answers where there is no socket (a refusal).
 */
void forward_route_prepare(struct forwarder *forwarder, int proc_fd)
{
	cleanup_fd int nl_fd = nl_open(NULL);

	if (nl_fd < 0)
		return;
	add_local_route(nl_fd, AF_INET, &forwarder->forwarder, 32,
			RT_TABLE_LOCAL, &forwarder->address);
	add_local_route(nl_fd, AF_INET6, &forwarder->forwarder6, 128,
			RT_TABLE_LOCAL, NULL);

	if (!set(proc_fd, "sys/net/ipv4/tcp_fwmark_accept"))
		return;
	forwarder->transparent4 = set(proc_fd, "sys/net/ipv4/fwmark_reflect") &&
				  add_mark_rule(nl_fd, AF_INET) == 0;
	forwarder->transparent6 = set(proc_fd, "sys/net/ipv6/fwmark_reflect") &&
				  add_mark_rule(nl_fd, AF_INET6) == 0;
}
