#include "net/netns.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/path.h"
#include "base/str.h"
#include "net/nl.h"

#define LOOPBACK_INDEX 1

int netns_address_check(const char *text, struct error *err)
{
	struct in_addr address;
	struct in_addr network;
	uint32_t host;

	if (inet_pton(AF_INET, text, &address) != 1)
		return err_set(err, ERROR_INVALID,
			       "invalid IPv4 address for --ip: %s", text);
	inet_pton(AF_INET, NET_GATEWAY, &network);
	host = ntohl(address.s_addr) & 0xff;
	if ((ntohl(address.s_addr) ^ ntohl(network.s_addr)) >> 8 != 0) {
		err_set(err, ERROR_INVALID,
			"address %s is not in the container's network "
			"10.0.2.0/24",
			text);
		return err_hint(err, "use one from 10.0.2.4 to 10.0.2.254");
	}
	/* network, forwarder, host, resolver, broadcast */
	if (host <= 3 || host == 255) {
		err_set(err, ERROR_INVALID,
			"address %s is taken in the container's network", text);
		return err_hint(err, "use one from 10.0.2.4 to 10.0.2.254");
	}
	return 0;
}

static int hex_value(char digit)
{
	if (digit >= '0' && digit <= '9')
		return digit - '0';
	if (digit >= 'a' && digit <= 'f')
		return digit - 'a' + 10;
	if (digit >= 'A' && digit <= 'F')
		return digit - 'A' + 10;
	return -1;
}

int netns_mac_parse(const char *text, uint8_t ret_mac[6], struct error *err)
{
	static const uint8_t zero[6];
	/* "02:42:…", "02-42-…" or "0242.ac11.0002": separator each … bytes */
	size_t group = strchr(text, '.') ? 2 : 1;
	char separator = group == 2 ? '.' : strchr(text, '-') ? '-' : ':';
	const char *next = text;
	uint8_t mac[6];

	for (size_t i = 0; i < sizeof(mac); i++) {
		int high;
		int low;

		if (i > 0 && i % group == 0 && *next++ != separator)
			return err_set(err, ERROR_INVALID,
				       "%s is not a valid mac address", text);
		high = hex_value(next[0]);
		low = high < 0 ? -1 : hex_value(next[1]);
		if (low < 0)
			return err_set(err, ERROR_INVALID,
				       "%s is not a valid mac address", text);
		mac[i] = (uint8_t)(high << 4 | low);
		next += 2;
	}
	if (*next != '\0')
		return err_set(err, ERROR_INVALID,
			       "%s is not a valid mac address", text);
	if ((mac[0] & 1) || memcmp(mac, zero, sizeof(mac)) == 0)
		return err_set(
			err, ERROR_INVALID,
			"mac address %s is not one of a single interface",
			text);
	memcpy(ret_mac, mac, sizeof(mac));
	return 0;
}

static int open_tun(int tun_fd, struct error *err)
{
	char path[PATH_FD_MAX] = "/dev/net/tun";
	int fd;

	if (tun_fd >= 0)
		path_of_fd(path, tun_fd);
	fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (fd >= 0)
		return fd;

	switch (errno) {
	case ENOENT:
	case ENODEV:
	case ENXIO:
		err_errno(err, "cannot open /dev/net/tun");
		return err_hint(err, "load the driver as root: modprobe tun; "
				     "or use --network none or host");
	case EACCES:
	case EPERM:
		err_errno(err, "cannot open /dev/net/tun");
		return err_hint(err, "open it as root: chmod 0666 "
				     "/dev/net/tun; or use --network none or "
				     "host");
	default:
		return err_errno(err, "cannot open /dev/net/tun");
	}
}

/* Makes the tap; the interface lives as long as its namespace. */
static int make_tap(const struct netns_config *config, unsigned int *ret_index,
		    struct error *err)
{
	struct ifreq interface = {.ifr_flags = IFF_TAP | IFF_NO_PI};
	cleanup_fd int socket_fd = -1;
	cleanup_fd int fd = -1;

	if (str_empty(config->interface) ||
	    strlen(config->interface) >= IFNAMSIZ)
		return err_set(err, ERROR_INVALID, "invalid interface name %s",
			       config->interface ? config->interface : "");
	strcpy(interface.ifr_name, config->interface);

	fd = open_tun(config->tun_fd, err);
	if (fd < 0)
		return fd;
	if (ioctl(fd, TUNSETIFF, &interface) < 0)
		return err_errno(err, "cannot create network interface %s",
				 config->interface);
	/*
	 * It goes with its namespace, in the kernel's own time: otherwise
	 * closing it waits for that, some 20 ms of a container's end.
	 */
	if (ioctl(fd, TUNSETPERSIST, 1) < 0)
		return err_errno(err, "cannot keep network interface %s",
				 config->interface);

	socket_fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (socket_fd < 0 || ioctl(socket_fd, SIOCGIFINDEX, &interface) < 0)
		return err_errno(err, "cannot find network interface %s",
				 config->interface);
	*ret_index = (unsigned int)interface.ifr_ifindex;
	return steal_fd(&fd);
}

/*
 * MAC, MTU, up. The kernel brings a link up before it looks at the address
 * mode of the same message, so that comes first: no link-local IPv6 address,
 * and so nothing to probe for duplicates or to solicit routers from.
 */
static int configure_link(int nl_fd, unsigned int index, const uint8_t mac[6])
{
	const struct ifinfomsg link = {
		.ifi_family = AF_UNSPEC,
		.ifi_index = (int)index,
	};
	struct nl_request request;
	int r = nl_link_without_local(nl_fd, index);

	if (r < 0)
		return r;

	nl_begin(&request, RTM_NEWLINK, 0, &link, sizeof(link));
	nl_add(&request, IFLA_ADDRESS, mac, 6);
	nl_add_u32(&request, IFLA_MTU, NET_MTU);
	r = nl_call(nl_fd, &request);
	if (r < 0)
		return r;
	return nl_link_up(nl_fd, index);
}

static int add_address4(int nl_fd, unsigned int index, struct in_addr address)
{
	struct ifaddrmsg message = {
		.ifa_family = AF_INET,
		.ifa_prefixlen = NET_PREFIX,
		.ifa_scope = RT_SCOPE_UNIVERSE,
		.ifa_index = index,
	};
	const uint32_t broadcast =
		address.s_addr | htonl((1u << (32 - NET_PREFIX)) - 1);
	struct nl_request request;

	nl_begin(&request, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &message,
		 sizeof(message));
	nl_add(&request, IFA_LOCAL, &address, sizeof(address));
	nl_add(&request, IFA_ADDRESS, &address, sizeof(address));
	nl_add(&request, IFA_BROADCAST, &broadcast, sizeof(broadcast));
	return nl_call(nl_fd, &request);
}

static int add_address6(int nl_fd, unsigned int index)
{
	struct ifaddrmsg message = {
		.ifa_family = AF_INET6,
		.ifa_prefixlen = NET_PREFIX6,
		.ifa_flags = IFA_F_NODAD,
		.ifa_scope = RT_SCOPE_UNIVERSE,
		.ifa_index = index,
	};
	struct nl_request request;
	struct in6_addr address;

	inet_pton(AF_INET6, NET_ADDRESS6, &address);
	nl_begin(&request, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &message,
		 sizeof(message));
	nl_add(&request, IFA_ADDRESS, &address, sizeof(address));
	return nl_call(nl_fd, &request);
}

static int add_default_route(int nl_fd, unsigned int index, int family,
			     const char *gateway)
{
	struct rtmsg route = {
		.rtm_family = (unsigned char)family,
		.rtm_table = RT_TABLE_MAIN,
		.rtm_protocol = RTPROT_BOOT,
		.rtm_scope = RT_SCOPE_UNIVERSE,
		.rtm_type = RTN_UNICAST,
	};
	unsigned char address[sizeof(struct in6_addr)];
	struct nl_request request;

	inet_pton(family, gateway, address);
	nl_begin(&request, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_EXCL, &route,
		 sizeof(route));
	nl_add(&request, RTA_GATEWAY, address,
	       family == AF_INET ? sizeof(struct in_addr)
				 : sizeof(struct in6_addr));
	nl_add_u32(&request, RTA_OIF, index);
	return nl_call(nl_fd, &request);
}

/* IPv6 switched off (by boot option, sysctl or build) is not an error. */
static bool is_without_ipv6(int r)
{
	return r == -EAFNOSUPPORT || r == -EOPNOTSUPP || r == -EACCES ||
	       r == -EADDRNOTAVAIL || r == -EPFNOSUPPORT;
}

static int configure_addresses(int nl_fd, unsigned int index,
			       struct in_addr address,
			       const struct netns_config *config,
			       struct error *err)
{
	int r = add_address4(nl_fd, index, address);

	if (r < 0)
		return err_number(err, r, "cannot give address %s to %s",
				  config->address ? config->address
						  : NET_ADDRESS,
				  config->interface);
	r = add_default_route(nl_fd, index, AF_INET, NET_GATEWAY);
	if (r < 0)
		return err_number(err, r,
				  "cannot route the container's network "
				  "through %s",
				  NET_GATEWAY);

	r = add_address6(nl_fd, index);
	if (r < 0 && is_without_ipv6(r))
		return 0;
	if (r < 0)
		return err_number(err, r, "cannot give address %s to %s",
				  NET_ADDRESS6, config->interface);
	r = add_default_route(nl_fd, index, AF_INET6, NET_GATEWAY6);
	if (r < 0)
		return err_number(err, r,
				  "cannot route the container's network "
				  "through %s",
				  NET_GATEWAY6);
	return 0;
}

int netns_loopback_up(struct error *err)
{
	cleanup_fd int nl_fd = nl_open(err);
	int r;

	if (nl_fd < 0)
		return nl_fd;
	r = nl_link_up(nl_fd, LOOPBACK_INDEX);
	if (r < 0)
		return err_number(err, r,
				  "cannot bring up the container's loopback "
				  "interface");
	return 0;
}

int netns_attach_tap(const struct netns_config *config, struct error *err)
{
	const char *text = config->address ? config->address : NET_ADDRESS;
	uint8_t mac[6] = {0x02, 0x42};
	cleanup_fd int nl_fd = -1;
	cleanup_fd int tap_fd = -1;
	struct in_addr address;
	unsigned int index = 0;
	int r;

	r = netns_address_check(text, err);
	if (r < 0)
		return r;
	inet_pton(AF_INET, text, &address);
	memcpy(mac + 2, &address, sizeof(address));
	if (config->mac) {
		r = netns_mac_parse(config->mac, mac, err);
		if (r < 0)
			return r;
	}

	nl_fd = nl_open(err);
	if (nl_fd < 0)
		return nl_fd;
	r = nl_link_up(nl_fd, LOOPBACK_INDEX);
	if (r < 0)
		return err_number(err, r,
				  "cannot bring up the container's loopback "
				  "interface");
	tap_fd = make_tap(config, &index, err);
	if (tap_fd < 0)
		return tap_fd;
	r = configure_link(nl_fd, index, mac);
	if (r < 0)
		return err_number(err, r, "cannot bring up %s",
				  config->interface);
	r = configure_addresses(nl_fd, index, address, config, err);
	if (r < 0)
		return r;
	return steal_fd(&tap_fd);
}
