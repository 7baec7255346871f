/*
 * A container's network as asked for: HostConfig.NetworkMode, PortBindings,
 * PublishAllPorts, NetworkingConfig, MacAddress and Moss.HostPorts.
 *
 *   "", "default", "bridge"   what docker calls bridge is slirp here
 *   "slirp[:allow-host-loopback=BOOL]"
 *   "none", "host", "container:NAME"
 *
 * Any other word is the name of a network (endpoints.h).
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "base/error.h"
#include "core/monitor/record.h"
#include "net/port.h"

struct network {
	enum launch_network kind;
	bool host_loopback;
	bool host_loopback_given; /* by the mode, else it is moss.conf's */
	cJSON *endpoints; /* on named networks: endpoints.h; filled by others */
	char *address;	  /* with slirp, else NULL */
	char *mac;	  /* likewise */
	struct port_list ports;
	char **host_ports; /* as given, checked */
};

/*
 * body: ContainerCreate's. host: its HostConfig. exposed: the merged
 * ExposedPorts, for PublishAllPorts.
 */
int network_parse(const cJSON *body, const cJSON *host, const cJSON *exposed,
		  struct network *ret_network, char ***warnings,
		  struct error *err);
void network_release(struct network *network);

/* A way out of its own, as with slirp, beside the named networks. */
int network_add_uplink(struct network *network, struct error *err);

/* The name under NetworkSettings.Networks: "bridge", "slirp", "none", "host";
   "" for another container's and for a named network. */
const char *network_name(const char *mode);
