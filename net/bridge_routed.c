#include "net/bridge_routed.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fib_rules.h>
#include <linux/if.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/ip.h>
#include <linux/neighbour.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/str.h"
#include "net/nl.h"

#define DETOUR	 100 /* tables */
#define ROUTED	 101
#define PRIORITY 100 /* the first rule's */

unsigned int if_nametoindex(const char *name); /* see bridge.c */

/* ---- the namespace ---- */

static int add_rule(int nl_fd, int family, uint32_t priority, const char *from,
		    uint32_t table)
{
	const struct fib_rule_hdr rule = {
		.family = (unsigned char)family,
		.table = (unsigned char)table,
		.action = FR_ACT_TO_TBL,
	};
	struct nl_request request;

	nl_begin(&request, RTM_NEWRULE, NLM_F_CREATE | NLM_F_EXCL, &rule,
		 sizeof(rule));
	nl_add_u32(&request, FRA_PRIORITY, priority);
	if (from)
		nl_add(&request, FRA_IIFNAME, from, strlen(from) + 1);
	return nl_call(nl_fd, &request);
}

/* Answers at once for others: the kernel waits up to 0.8 s otherwise, lest it
   talk over the one that is meant, which cannot be here. */
static int answer_at_once(int nl_fd, unsigned int index)
{
	static const char arp[] = "arp_cache";
	const struct ndtmsg table = {.ndtm_family = AF_INET};
	const uint64_t none = 0; /* ms */
	struct nl_request request;
	size_t parameters;

	nl_begin(&request, RTM_SETNEIGHTBL, 0, &table, sizeof(table));
	nl_add(&request, NDTA_NAME, arp, sizeof(arp));
	parameters = nl_nest_begin(&request, NDTA_PARMS);
	nl_add_u32(&request, NDTPA_IFINDEX, index);
	nl_add(&request, NDTPA_PROXY_DELAY, &none, sizeof(none));
	nl_nest_end(&request, parameters);
	return nl_call(nl_fd, &request);
}

/* destination NULL: everything; device 0: none, it ends there. */
static int add_route(int nl_fd, int family, uint32_t table,
		     const struct net_prefix *destination, unsigned int device)
{
	const struct rtmsg route = {
		.rtm_family = (unsigned char)family,
		.rtm_dst_len =
			destination ? (unsigned char)destination->length : 0,
		.rtm_table = (unsigned char)table,
		.rtm_protocol = RTPROT_BOOT,
		.rtm_scope = device ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE,
		.rtm_type = device ? RTN_UNICAST : RTN_UNREACHABLE,
	};
	struct nl_request request;

	nl_begin(&request, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &route,
		 sizeof(route));
	if (destination)
		nl_add(&request, RTA_DST, destination->address.bytes,
		       address_size(family));
	if (device)
		nl_add_u32(&request, RTA_OIF, device);
	return nl_call(nl_fd, &request);
}

int bridge_rules(int nl_fd, unsigned int bridge,
		 const struct net_prefix *gateway)
{
	static const struct nl_setting proxy = {IPV4_DEVCONF_PROXY_ARP, 1};
	static const struct {
		const char *from;
		uint32_t table;
	} rules[] = {
		{BRIDGE_INTERFACE, DETOUR},
		{BRIDGE_INTERFACE, RT_TABLE_MAIN},
		{BRIDGE_TUN, RT_TABLE_MAIN},
		{"lo", RT_TABLE_MAIN},
		{NULL, ROUTED},
	};
	const struct net_prefix subnet = prefix_mask(gateway);
	const int family = subnet.address.family;
	int r = add_route(nl_fd, family, DETOUR, &subnet, 0);

	r = r < 0 ? r : add_route(nl_fd, family, ROUTED, NULL, 0);
	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(rules); i++)
		r = add_rule(nl_fd, family, PRIORITY + (uint32_t)i,
			     rules[i].from, rules[i].table);
	if (r < 0 || family != AF_INET)
		return r;
	r = nl_configure4(nl_fd, bridge, &proxy, 1);
	return r < 0 ? r : answer_at_once(nl_fd, bridge);
}

/* ---- who is where ---- */

/* An address that is, or once was, behind a wire of ours; it is noted in the
   kernel, which makes no use of it. */
static int note(int nl_fd, uint16_t type, unsigned int bridge,
		const struct net_address_value *address)
{
	const struct ndmsg entry = {
		.ndm_family = AF_INET,
		.ndm_ifindex = (int)bridge,
		.ndm_flags = NTF_PROXY,
	};
	struct nl_request request;

	nl_begin(&request, type, type == RTM_NEWNEIGH ? NLM_F_CREATE : 0,
		 &entry, sizeof(entry));
	nl_add(&request, NDA_DST, address->bytes, address_size(AF_INET));
	return nl_call(nl_fd, &request);
}

/* To all on the bridge, which may remember another place. mac NULL: the
   bridge's own. */
static int announce(unsigned int bridge,
		    const struct net_address_value *address,
		    const uint8_t mac[6])
{
	struct ifreq own = {.ifr_name = BRIDGE_INTERFACE};
	const struct sockaddr_ll to = {
		.sll_family = AF_PACKET,
		.sll_ifindex = (int)bridge,
		.sll_halen = ETH_ALEN,
	};
	struct {
		struct ethhdr link;
		struct arphdr head;
		uint8_t sender[ETH_ALEN], from[4], target[ETH_ALEN], of[4];
	} __attribute__((packed)) frame = {
		.link = {.h_proto = htons(ETH_P_ARP)},
		.head = {htons(ARPHRD_ETHER), htons(ETH_P_IP), ETH_ALEN, 4,
			 htons(ARPOP_REQUEST)},
	};
	cleanup_fd int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	if (fd < 0 || ioctl(fd, SIOCGIFHWADDR, &own) < 0)
		return -errno;
	memset(frame.link.h_dest, 0xff, ETH_ALEN);
	memcpy(frame.link.h_source, own.ifr_hwaddr.sa_data, ETH_ALEN);
	memcpy(frame.sender, mac ? mac : frame.link.h_source, ETH_ALEN);
	memcpy(frame.from, address->bytes, sizeof(frame.from));
	memcpy(frame.of, address->bytes, sizeof(frame.of));
	return sendto(fd, &frame, sizeof(frame), 0,
		      (const struct sockaddr *)&to, sizeof(to)) < 0
		       ? -errno
		       : 0;
}

int bridge_bridged_wire(int nl_fd, const struct bridge_port *port)
{
	unsigned int bridge = if_nametoindex(BRIDGE_INTERFACE);

	int r = note(nl_fd, RTM_DELNEIGH, bridge, &port->address.address);

	if (r < 0)
		return r == -ENOENT ? 0 : r;
	return announce(bridge, &port->address.address, port->mac);
}

/* ---- a wire ---- */

/* Only /proc has a switch for that; not there: the kernel has no IPv6. */
static int refuse_ipv6(const char *name)
{
	cleanup_free char *path =
		xasprintf("/proc/sys/net/ipv6/conf/%s/disable_ipv6", name);
	int r = file_write_once_at(AT_FDCWD, path, "1", NULL);

	return r == -ENOENT ? 0 : r;
}

static int add_routes(int nl_fd, unsigned int index,
		      const struct bridge_port *port)
{
	const struct net_prefix own = {port->address.address, 32};
	const struct net_prefix subnet = prefix_mask(&port->address);
	static const uint32_t tables[] = {DETOUR, ROUTED};
	int r = add_route(nl_fd, AF_INET, RT_TABLE_MAIN, &own, index);

	/* Containers that are kept apart do not meet on this way, either. */
	if (port->isolated)
		return r;
	if (r >= 0)
		r = add_route(nl_fd, AF_INET, ROUTED, &subnet,
			      if_nametoindex(BRIDGE_INTERFACE));
	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(tables); i++)
		r = add_route(nl_fd, AF_INET, tables[i], &own, index);
	return r;
}

int bridge_routed_wire(int nl_fd, unsigned int index, const char *name,
		       const struct bridge_port *port, struct error *err)
{
	unsigned int bridge = if_nametoindex(BRIDGE_INTERFACE);
	static const struct nl_setting settings[] = {
		{IPV4_DEVCONF_FORWARDING, 1},
		{IPV4_DEVCONF_PROXY_ARP, 1},
		{IPV4_DEVCONF_RP_FILTER, 1},
	};
	int r = refuse_ipv6(name);

	r = r < 0 ? r
		  : nl_configure4(nl_fd, index, settings, ARRAY_SIZE(settings));
	r = r < 0 ? r : answer_at_once(nl_fd, index);
	r = r < 0 ? r : nl_link_up(nl_fd, index);
	r = r < 0 ? r : add_routes(nl_fd, index, port);
	r = r < 0 ? r
		  : note(nl_fd, RTM_NEWNEIGH, bridge, &port->address.address);
	r = r < 0 ? r : announce(bridge, &port->address.address, NULL);
	return r < 0 ? err_number(err, r,
				  "cannot route between the container and "
				  "the bridge")
		     : 0;
}
