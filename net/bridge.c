#include "net/bridge.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/ip.h>
#include <linux/veth.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/proc.h"
#include "base/str.h"
#include "net/bridge_routed.h"
#include "net/nl.h"
#include "net/pool.h"

#define LOOPBACK_INDEX 1
#define TUN_DEVICE     "/dev/net/tun"
#define PORT_DNS       53
#define LISTEN_BACKLOG 64
#define INTERFACES_MAX 64  /* of one container */
#define BUSY_TRIES     100 /* for what a dying process still holds */
#define BUSY_PAUSE_MS  10

/* if_nametoindex(3) is in <net/if.h>, which <linux/if.h> does not go with. */
unsigned int if_nametoindex(const char *name);

/* ---- pieces ---- */

static int enter(int netns_fd, struct error *err)
{
	if (setns(netns_fd, CLONE_NEWNET) < 0)
		return err_errno(err, "cannot enter a network namespace");
	return 0;
}

/* The kernel hands on what comes in here for others. */
static int forward4(int nl_fd, unsigned int index)
{
	const struct nl_setting forwarding = {IPV4_DEVCONF_FORWARDING, 1};

	return nl_configure4(nl_fd, index, &forwarding, 1);
}

static int add_address(int nl_fd, unsigned int index,
		       const struct net_prefix *prefix)
{
	const bool v6 = prefix->address.family == AF_INET6;
	const size_t size = address_size(prefix->address.family);
	struct ifaddrmsg message = {
		.ifa_family = (unsigned char)prefix->address.family,
		.ifa_prefixlen = (unsigned char)prefix->length,
		.ifa_flags = v6 ? IFA_F_NODAD : 0,
		.ifa_scope = RT_SCOPE_UNIVERSE,
		.ifa_index = index,
	};
	struct net_address_value broadcast = prefix_last(prefix);
	struct nl_request request;

	nl_begin(&request, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &message,
		 sizeof(message));
	nl_add(&request, IFA_LOCAL, prefix->address.bytes, size);
	nl_add(&request, IFA_ADDRESS, prefix->address.bytes, size);
	if (!v6 && prefix->length < 31)
		nl_add(&request, IFA_BROADCAST, broadcast.bytes, size);
	return nl_call(nl_fd, &request);
}

/* To everywhere; gateway of family 0: straight into the device. */
static int set_default_route(int nl_fd, unsigned int index, int family,
			     const struct net_address_value *gateway)
{
	struct rtmsg route = {
		.rtm_family = (unsigned char)family,
		.rtm_table = RT_TABLE_MAIN,
		.rtm_protocol = RTPROT_BOOT,
		.rtm_scope =
			gateway->family ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK,
		.rtm_type = RTN_UNICAST,
	};
	struct nl_request request;

	nl_begin(&request, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, &route,
		 sizeof(route));
	if (gateway->family)
		nl_add(&request, RTA_GATEWAY, gateway->bytes,
		       address_size(family));
	nl_add_u32(&request, RTA_OIF, index);
	return nl_call(nl_fd, &request);
}

/* ---- the namespace ---- */

static int make_bridge(int nl_fd, const struct bridge_config *config,
		       struct error *err)
{
	const struct ifinfomsg link = {.ifi_family = AF_UNSPEC};
	struct nl_request request;
	uint8_t mac[6];
	unsigned int index;
	size_t info;
	int r;

	nl_begin(&request, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &link,
		 sizeof(link));
	nl_add(&request, IFLA_IFNAME, BRIDGE_INTERFACE,
	       sizeof(BRIDGE_INTERFACE));
	/* Without one of its own it has that of a port, and changes it as they
	   come and go: containers would send to who is no more. */
	pool_mac(&config->gateway.address, mac);
	nl_add(&request, IFLA_ADDRESS, mac, sizeof(mac));
	nl_add_u32(&request, IFLA_MTU, config->mtu);
	info = nl_nest_begin(&request, IFLA_LINKINFO);
	nl_add(&request, IFLA_INFO_KIND, "bridge", strlen("bridge"));
	nl_nest_end(&request, info);
	r = nl_call(nl_fd, &request);
	if (r == -EOPNOTSUPP) {
		err_number(err, r, "cannot make a bridge");
		return err_hint(err, "load the driver as root: modprobe "
				     "bridge; or use the default network");
	}
	if (r < 0)
		return err_number(err, r, "cannot make a bridge");
	index = if_nametoindex(BRIDGE_INTERFACE);
	(void)nl_link_without_local(nl_fd, index);
	r = add_address(nl_fd, index, &config->gateway);
	if (r >= 0 && config->gateway6.address.family)
		r = add_address(nl_fd, index, &config->gateway6);
	r = r < 0 ? r : bridge_rules(nl_fd, index, &config->gateway);
	if (r >= 0 && config->gateway6.address.family)
		r = bridge_rules(nl_fd, index, &config->gateway6);
	r = r < 0 ? r : forward4(nl_fd, index);
	r = r < 0 ? r : nl_link_up(nl_fd, index);
	return r < 0 ? err_number(err, r, "cannot set up a bridge") : 0;
}

/* One that is there already, without a process, is taken over. */
static int open_tun(struct error *err)
{
	struct ifreq interface = {.ifr_flags = IFF_TUN | IFF_NO_PI,
				  .ifr_name = BRIDGE_TUN};
	cleanup_fd int fd = open(TUN_DEVICE, O_RDWR | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0) {
		err_errno(err, "cannot open " TUN_DEVICE);
		return err_hint(err, "load the driver as root: modprobe tun; "
				     "or make the network with --internal");
	}
	for (int i = 0; ioctl(fd, TUNSETIFF, &interface) < 0; i++) {
		if (errno != EBUSY || i == BUSY_TRIES)
			return err_errno(
				err,
				"cannot use network interface " BRIDGE_TUN);
		poll(NULL, 0, BUSY_PAUSE_MS);
	}
	return steal_fd(&fd);
}

static int make_tun(int nl_fd, const struct bridge_config *config,
		    struct error *err)
{
	const struct net_address_value none = {0};
	cleanup_fd int fd = open_tun(err);
	struct ifinfomsg link = {.ifi_family = AF_UNSPEC};
	struct nl_request request;
	unsigned int index;
	int r;

	if (fd < 0)
		return fd;
	/* It is there between two gateway processes, too. */
	if (ioctl(fd, TUNSETPERSIST, 1) < 0)
		return err_errno(err,
				 "cannot keep network interface " BRIDGE_TUN);
	index = if_nametoindex(BRIDGE_TUN);
	(void)nl_link_without_local(nl_fd, index);
	link.ifi_index = (int)index;
	nl_begin(&request, RTM_NEWLINK, 0, &link, sizeof(link));
	nl_add_u32(&request, IFLA_MTU, config->mtu);
	r = nl_call(nl_fd, &request);
	r = r < 0 ? r : nl_link_up(nl_fd, index);
	r = r < 0 ? r : forward4(nl_fd, index);
	r = r < 0 ? r : set_default_route(nl_fd, index, AF_INET, &none);
	if (r >= 0 && config->gateway6.address.family) {
		r = set_default_route(nl_fd, index, AF_INET6, &none);
		/* Only /proc has a switch for IPv6, of the reader's namespace.
		 */
		if (r >= 0)
			r = file_write_once_at(AT_FDCWD,
					       "/proc/sys/net/ipv6/conf/all/"
					       "forwarding",
					       "1", NULL);
	}
	return r < 0 ? err_number(err, r, "cannot set up a way out") : 0;
}

struct making {
	const struct bridge_config *config;
	int netns_fd;
};

static int make_inside(void *data, struct error *err)
{
	struct making *making = data;
	cleanup_fd int nl_fd = -1;
	cleanup_fd int netns_fd = -1;
	int r;

	if (unshare(CLONE_NEWNET) < 0)
		return err_errno(err, "cannot make a network namespace");
	netns_fd = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
	if (netns_fd < 0)
		return err_errno(err, "cannot open a network namespace");
	nl_fd = nl_open(err);
	if (nl_fd < 0)
		return nl_fd;
	r = nl_link_up(nl_fd, LOOPBACK_INDEX);
	if (r < 0)
		return err_number(err, r, "cannot bring up a loopback");
	r = make_bridge(nl_fd, making->config, err);
	if (r >= 0 && making->config->uplink)
		r = make_tun(nl_fd, making->config, err);
	if (r < 0)
		return r;
	making->netns_fd = steal_fd(&netns_fd);
	return 0;
}

int bridge_make(const struct bridge_config *config, struct error *err)
{
	struct making making = {.config = config, .netns_fd = -1};
	int r = proc_call(make_inside, &making, err);

	return r < 0 ? r : making.netns_fd;
}

/* ---- what the gateway serves ---- */

void bridge_services_release(struct bridge_services *services)
{
	close_fd(&services->tun_fd);
	for (size_t i = 0; i < ARRAY_SIZE(services->sockets); i++)
		close_fd(&services->sockets[i]);
}

static int open_socket(const struct net_address_value *address, int type,
		       struct error *err)
{
	const bool v6 = address->family == AF_INET6;
	struct sockaddr_in v4_name = {.sin_family = AF_INET,
				      .sin_port = htons(PORT_DNS)};
	struct sockaddr_in6 v6_name = {.sin6_family = AF_INET6,
				       .sin6_port = htons(PORT_DNS)};
	const int on = 1;
	cleanup_fd int fd =
		socket(address->family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	memcpy(&v4_name.sin_addr, address->bytes, sizeof(v4_name.sin_addr));
	memcpy(&v6_name.sin6_addr, address->bytes, sizeof(v6_name.sin6_addr));
	if (fd < 0)
		return err_errno(err, "cannot make a name server's socket");
	/* Connections of the one before may linger. */
	if (type == SOCK_STREAM)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	for (int i = 0;; i++) {
		int r = v6 ? bind(fd, (struct sockaddr *)&v6_name,
				  sizeof(v6_name))
			   : bind(fd, (struct sockaddr *)&v4_name,
				  sizeof(v4_name));

		if (r == 0)
			break;
		if (errno != EADDRINUSE || i == BUSY_TRIES)
			return err_errno(err, "cannot bind a name server");
		poll(NULL, 0, BUSY_PAUSE_MS);
	}
	if (type == SOCK_STREAM && listen(fd, LISTEN_BACKLOG) < 0)
		return err_errno(err, "cannot listen as a name server");
	return steal_fd(&fd);
}

struct opening {
	int netns_fd;
	const struct bridge_config *config;
	struct bridge_services services;
};

static int open_inside(void *data, struct error *err)
{
	static const int types[] = {SOCK_DGRAM, SOCK_STREAM};
	struct opening *opening = data;
	const struct net_prefix *addresses[] = {&opening->config->gateway,
						&opening->config->gateway6};
	size_t count = 0;
	int r = enter(opening->netns_fd, err);

	if (r < 0)
		return r;
	if (opening->config->uplink) {
		r = open_tun(err);
		if (r < 0)
			return r;
		opening->services.tun_fd = r;
	}
	for (size_t i = 0; i < ARRAY_SIZE(addresses); i++) {
		if (addresses[i]->address.family == 0)
			continue;
		for (size_t j = 0; j < ARRAY_SIZE(types); j++) {
			r = open_socket(&addresses[i]->address, types[j], err);
			if (r < 0)
				return r;
			opening->services.sockets[count++] = r;
		}
	}
	return 0;
}

int bridge_open_services(int netns_fd, const struct bridge_config *config,
			 struct bridge_services *ret_services,
			 struct error *err)
{
	struct opening opening = {
		.netns_fd = netns_fd,
		.config = config,
		.services = BRIDGE_NO_SERVICES,
	};
	int r = proc_call(open_inside, &opening, err);

	if (r < 0) {
		bridge_services_release(&opening.services);
		return r;
	}
	*ret_services = opening.services;
	return 0;
}

/* ---- a container's wire ---- */

struct wiring {
	int netns_fd;
	int container_fd;
	struct bridge_port *port;
	char outer[BRIDGE_NAME_MAX]; /* its end at the bridge */
};

/* Both ends at once: ours on the bridge, up, or by itself and down; the other
   in the container. */
static int make_wire(int nl_fd, const struct wiring *wiring, const char *inner)
{
	const struct bridge_port *port = wiring->port;
	const struct ifinfomsg link = {
		.ifi_family = AF_UNSPEC,
		.ifi_flags = port->routed ? 0 : IFF_UP,
		.ifi_change = IFF_UP,
	};
	const struct ifinfomsg peer = {.ifi_family = AF_UNSPEC};
	struct nl_request request;
	size_t info, data, veth;

	nl_begin(&request, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &link,
		 sizeof(link));
	nl_add(&request, IFLA_IFNAME, wiring->outer, strlen(wiring->outer) + 1);
	nl_add_u32(&request, IFLA_MTU, port->mtu);
	if (!port->routed)
		nl_add_u32(&request, IFLA_MASTER,
			   if_nametoindex(BRIDGE_INTERFACE));
	info = nl_nest_begin(&request, IFLA_LINKINFO);
	nl_add(&request, IFLA_INFO_KIND, "veth", strlen("veth"));
	data = nl_nest_begin(&request, IFLA_INFO_DATA);
	veth = nl_nest_begin(&request, VETH_INFO_PEER);
	nl_add_raw(&request, &peer, sizeof(peer));
	nl_add(&request, IFLA_IFNAME, inner, strlen(inner) + 1);
	nl_add(&request, IFLA_ADDRESS, port->mac, sizeof(port->mac));
	nl_add_u32(&request, IFLA_MTU, port->mtu);
	nl_add_u32(&request, IFLA_NET_NS_FD, (uint32_t)wiring->container_fd);
	nl_nest_end(&request, veth);
	nl_nest_end(&request, data);
	nl_nest_end(&request, info);
	return nl_call(nl_fd, &request);
}

/* Hands nothing on between two ports that are so. */
static int isolate(int nl_fd, unsigned int index)
{
	const struct ifinfomsg link = {
		.ifi_family = AF_BRIDGE,
		.ifi_index = (int)index,
	};
	const uint8_t on = 1;
	struct nl_request request;
	size_t info;

	nl_begin(&request, RTM_SETLINK, 0, &link, sizeof(link));
	info = nl_nest_begin(&request, IFLA_PROTINFO);
	nl_add(&request, IFLA_BRPORT_ISOLATED, &on, sizeof(on));
	nl_nest_end(&request, info);
	return nl_call(nl_fd, &request);
}

static int wire_up(const struct wiring *wiring, struct error *err)
{
	struct bridge_port *port = wiring->port;
	cleanup_fd int nl_fd = nl_open(err);
	char name[BRIDGE_NAME_MAX];
	int r = -EEXIST;

	if (nl_fd < 0)
		return nl_fd;
	if (*port->name) {
		r = make_wire(nl_fd, wiring, port->name);
	} else {
		for (int i = 0; r == -EEXIST && i < INTERFACES_MAX; i++) {
			snprintf(name, sizeof(name), "eth%d", i);
			r = make_wire(nl_fd, wiring, name);
		}
		if (r >= 0)
			memcpy(port->name, name, sizeof(name));
	}
	if (r >= 0 && port->isolated && !port->routed)
		r = isolate(nl_fd, if_nametoindex(wiring->outer));
	if (r == -EOPNOTSUPP) {
		err_number(err, r, "cannot make a veth pair");
		return err_hint(err, "load the driver as root: modprobe veth; "
				     "or use the default network");
	}
	if (r >= 0 && port->routed)
		return bridge_routed_wire(nl_fd, if_nametoindex(wiring->outer),
					  wiring->outer, port, err);
	r = r < 0 ? r : bridge_bridged_wire(nl_fd, port);
	return r < 0 ? err_number(err, r,
				  "cannot wire the container to the bridge")
		     : 0;
}

static int set_routes(int nl_fd, unsigned int index,
		      const struct net_address_value *gateway,
		      const struct net_address_value *gateway6)
{
	int r = 0;

	if (gateway->family)
		r = set_default_route(nl_fd, index, AF_INET, gateway);
	if (r >= 0 && gateway6->family)
		r = set_default_route(nl_fd, index, AF_INET6, gateway6);
	return r;
}

static int set_up_end(const struct bridge_port *port, struct error *err)
{
	cleanup_fd int nl_fd = nl_open(err);
	unsigned int index = if_nametoindex(port->name);
	int r;

	if (nl_fd < 0)
		return nl_fd;
	(void)nl_link_without_local(nl_fd, index);
	r = nl_link_up(nl_fd, index);
	r = r < 0 ? r : add_address(nl_fd, index, &port->address);
	if (r >= 0 && port->address6.address.family)
		r = add_address(nl_fd, index, &port->address6);
	r = r < 0 ? r
		  : set_routes(nl_fd, index, &port->gateway, &port->gateway6);
	return r < 0 ? err_number(err, r, "cannot set up %s", port->name) : 0;
}

static int attach_inside(void *data, struct error *err)
{
	const struct wiring *wiring = data;
	int r = enter(wiring->netns_fd, err);

	r = r < 0 ? r : wire_up(wiring, err);
	r = r < 0 ? r : enter(wiring->container_fd, err);
	return r < 0 ? r : set_up_end(wiring->port, err);
}

int bridge_attach(int netns_fd, int container_fd, struct bridge_port *port,
		  struct error *err)
{
	struct wiring wiring = {
		.netns_fd = netns_fd,
		.container_fd = container_fd,
		.port = port,
	};
	/* As docker's; those of the dead may be there for a moment yet. */
	uint32_t number;
	int r;

	if (getrandom(&number, sizeof(number), 0) != sizeof(number))
		return err_errno(err, "cannot get random bytes");
	snprintf(wiring.outer, sizeof(wiring.outer), "veth%08x", number);
	r = proc_call(attach_inside, &wiring, err);
	/* One end goes with the other. */
	if (r < 0 && *port->name)
		(void)bridge_detach(container_fd, port->name, NULL);
	return r;
}

struct detaching {
	int container_fd;
	const char *name;
	const struct net_address_value *gateway, *gateway6;
};

static int detach_inside(void *data, struct error *err)
{
	const struct detaching *detaching = data;
	struct ifinfomsg link = {.ifi_family = AF_UNSPEC};
	struct nl_request request;
	cleanup_fd int nl_fd = -1;
	int r = enter(detaching->container_fd, err);

	if (r < 0)
		return r;
	nl_fd = nl_open(err);
	if (nl_fd < 0)
		return nl_fd;
	link.ifi_index = (int)if_nametoindex(detaching->name);
	if (link.ifi_index == 0)
		return 0;
	nl_begin(&request, RTM_DELLINK, 0, &link, sizeof(link));
	r = nl_call(nl_fd, &request);
	if (r < 0 && r != -ENODEV)
		return err_number(err, r, "cannot remove %s", detaching->name);
	return 0;
}

int bridge_detach(int container_fd, const char *name, struct error *err)
{
	struct detaching detaching = {container_fd, name, NULL, NULL};

	return proc_call(detach_inside, &detaching, err);
}

static int route_inside(void *data, struct error *err)
{
	const struct detaching *routing = data;
	cleanup_fd int nl_fd = -1;
	int r = enter(routing->container_fd, err);

	if (r < 0)
		return r;
	nl_fd = nl_open(err);
	if (nl_fd < 0)
		return nl_fd;
	r = set_routes(nl_fd, if_nametoindex(routing->name), routing->gateway,
		       routing->gateway6);
	return r < 0 ? err_number(err, r, "cannot route over %s", routing->name)
		     : 0;
}

int bridge_route(int container_fd, const char *name,
		 const struct net_address_value *gateway,
		 const struct net_address_value *gateway6, struct error *err)
{
	struct detaching routing = {container_fd, name, gateway, gateway6};

	return proc_call(route_inside, &routing, err);
}
