/*
 * Published ports: parsing of docker's -p and --expose, binding on the host,
 * and the engines that can carry them:
 *
 *   splice   moss-net accepts and connects inside (net/forward.h)
 *   slirp    libslirp forwards them through the tap
 *   native   the container's own bind gets the host's socket
 *   auto     moss chooses: splice
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/conf.h"
#include "base/error.h"

#define PORT_MAPPINGS_MAX 4096 /* after ranges are spelled out */

enum port_protocol { PORT_TCP, PORT_UDP };
const char *port_protocol_name(enum port_protocol protocol);

enum publish_mode {
	PUBLISH_AUTO,
	PUBLISH_SPLICE,
	PUBLISH_SLIRP,
	PUBLISH_NATIVE,
};
const char *publish_mode_name(enum publish_mode mode);
/* "" is auto. */
int publish_mode_parse(const char *text, enum publish_mode *ret_mode,
		       struct error *err);

/*
 * moss.conf: [network] publish-mode, the default of --publish-mode, and
 * allow-host-loopback, that of the option of --network slirp.
 */
#define PORT_CONF_SECTION	"network"
#define PORT_CONF_PUBLISH_MODE	"publish-mode"
#define PORT_CONF_HOST_LOOPBACK "allow-host-loopback"
extern const struct conf_key port_conf_keys[];

struct port_mapping {
	char host_ip[46];	/* "" means all addresses, v4 and v6 */
	uint16_t host_port;	/* 0: any free one */
	uint16_t host_port_end; /* > host_port: any free one of the range */
	uint16_t container_port;
	enum port_protocol protocol;
};

struct port_list {
	struct port_mapping *entries;
	size_t count;
};

void port_list_release(struct port_list *list);
/* "[ip:][host[-end]]:container[-end][/proto]"; appends. IPv6 in brackets. */
int port_parse_publish(const char *text, struct port_list *list,
		       struct error *err);
/* "80", "80/udp", "8000-8010": entries with host_port 0. */
int port_parse_expose(const char *text, struct port_list *list,
		      struct error *err);
/*
 * Binds (and for TCP listens on) a mapping's host side in the caller's network
 * namespace; fills host_port with what the kernel chose. "" binds 0.0.0.0 and
 * [::] (one fd each, v6only); ret_fds[2], unused -1. Errors name the address:
 * "cannot publish 0.0.0.0:80/tcp: …", with the sysctl as hint for low ports.
 */
int port_bind(struct port_mapping *mapping, int ret_fds[2], struct error *err);
