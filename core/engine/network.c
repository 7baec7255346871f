#include "core/engine/network.h"

#include <arpa/inet.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "core/engine/hostconfig.h"
#include "core/engine/members.h"
#include "core/engine/network_store.h"
#include "net/host_port.h"
#include "net/netns.h"

static const struct {
	const char *mode;
	const char *name;
	enum launch_network kind;
} modes[] = {
	{"", "bridge", LAUNCH_NETWORK_SLIRP},
	{"default", "bridge", LAUNCH_NETWORK_SLIRP},
	{"bridge", "bridge", LAUNCH_NETWORK_SLIRP},
	{"slirp", "slirp", LAUNCH_NETWORK_SLIRP},
	{"none", "none", LAUNCH_NETWORK_NONE},
	{"host", "host", LAUNCH_NETWORK_HOST},
};

/* clang-format off */
static const struct member networking_members[] = {
	{"EndpointsConfig", MEMBER_OBJECT, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
};

static const struct member endpoint_members[] = {
	{"IPAMConfig", MEMBER_OBJECT, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"MacAddress", MEMBER_STRING, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"Links", MEMBER_STRINGS, MEMBER_REFUSED, MEMBER_OMIT, "--link", NULL},
	{"Aliases", MEMBER_STRINGS, MEMBER_REFUSED, MEMBER_OMIT, "--network-alias", NULL},
	{"DriverOpts", MEMBER_MAP, MEMBER_REFUSED, MEMBER_OMIT, NULL, NULL},
	{"GwPriority", MEMBER_INTEGER, MEMBER_REFUSED, MEMBER_OMIT, NULL, NULL},
};

static const struct member ipam_members[] = {
	{"IPv4Address", MEMBER_STRING, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"IPv6Address", MEMBER_STRING, MEMBER_REFUSED, MEMBER_OMIT, "--ip6", NULL},
	{"LinkLocalIPs", MEMBER_STRINGS, MEMBER_REFUSED, MEMBER_OMIT, "--link-local-ip", NULL},
};
/* clang-format on */

void network_release(struct network *network)
{
	if (!network)
		return;
	free(network->address);
	free(network->mac);
	cJSON_Delete(network->endpoints);
	port_list_release(&network->ports);
	strv_free(network->host_ports);
	*network = (struct network){0};
}

const char *network_name(const char *mode)
{
	size_t length = strcspn(mode, ":");

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		if (strlen(modes[i].mode) == length &&
		    strncmp(modes[i].mode, mode, length) == 0)
			return modes[i].name;
	}
	return "";
}

/* The value of the only option there is, in its two spellings. */
static const char *slirp_option(const char *text)
{
	static const char *const names[] = {"allow-host-loopback=",
					    "allow_host_loopback="};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (str_starts(text, names[i]))
			return text + strlen(names[i]);
	}
	return NULL;
}

static int parse_slirp_options(const char *options, struct network *network,
			       struct error *err)
{
	cleanup_strv char **list = strv_split(options, ',');

	for (size_t i = 0; list[i]; i++) {
		const char *value = slirp_option(list[i]);

		network->host_loopback_given = true;
		if (value && parse_bool(value, &network->host_loopback) == 0)
			continue;
		err_set(err, ERROR_INVALID,
			"invalid option of network slirp: \"%s\"", list[i]);
		return err_hint(err, "known is allow-host-loopback=true|false");
	}
	return 0;
}

static int parse_mode(const char *mode, struct network *network,
		      struct error *err)
{
	if (mode_container(mode)) {
		network->kind = LAUNCH_NETWORK_CONTAINER;
		return 0;
	}
	if (str_starts(mode, "slirp:")) {
		network->kind = LAUNCH_NETWORK_SLIRP;
		return parse_slirp_options(mode + strlen("slirp:"), network,
					   err);
	}
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		if (str_equal(modes[i].mode, mode)) {
			network->kind = modes[i].kind;
			return 0;
		}
	}
	if (network_name_check(mode, NULL) == 0) {
		network->kind = LAUNCH_NETWORK_NAMED;
		return 0;
	}
	err_set(err, ERROR_NOT_FOUND, "network %s not found", mode);
	return err_hint(err, "use slirp, none, host, container:NAME or a "
			     "network (moss network ls)");
}

/* The settings of the only built-in network. */
static int find_endpoint(const cJSON *body, const char *mode,
			 const cJSON **ret_endpoint, struct error *err)
{
	const cJSON *networking = member_get(body, "NetworkingConfig");
	const cJSON *endpoints;
	const cJSON *endpoint;
	int r;

	r = members_check(networking, "NetworkingConfig", networking_members,
			  ARRAY_SIZE(networking_members), true, err);
	if (r < 0)
		return r;
	endpoints = member_get(networking, "EndpointsConfig");
	*ret_endpoint = NULL;
	cJSON_ArrayForEach(endpoint, endpoints)
	{
		const char *name = endpoint->string;

		/* A named network's: endpoints.c. */
		if (*network_name(name) == '\0' || member_is_empty(endpoint))
			continue;
		if (*ret_endpoint)
			return err_set(err, ERROR_INVALID,
				       "conflicting options: cannot attach "
				       "both network %s and another of the "
				       "built-in ones",
				       name);
		*ret_endpoint = endpoint;
		r = members_check(endpoint, "NetworkingConfig.EndpointsConfig",
				  endpoint_members,
				  ARRAY_SIZE(endpoint_members), true, err);
		if (r < 0)
			return r;
		r = members_check(member_get(endpoint, "IPAMConfig"),
				  "NetworkingConfig.EndpointsConfig.IPAMConfig",
				  ipam_members, ARRAY_SIZE(ipam_members), true,
				  err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int needs_slirp(const struct network *network, const char *option,
		       struct error *err)
{
	if (network->kind == LAUNCH_NETWORK_SLIRP)
		return 0;
	return err_set(err, ERROR_INVALID,
		       "conflicting options: %s and the network mode", option);
}

static int parse_mac(const cJSON *body, const cJSON *endpoint,
		     struct network *network, struct error *err)
{
	const char *given = member_string(body, "MacAddress");
	uint8_t mac[6] = {0x02, 0x42};
	struct in_addr address;
	int r;

	if (*given == '\0')
		given = member_string(endpoint, "MacAddress");
	if (*given && network->kind != LAUNCH_NETWORK_NAMED) {
		r = needs_slirp(network, "mac-address", err);
		if (r < 0)
			return r;
		r = netns_mac_parse(given, mac, err);
		if (r < 0)
			return r;
	}
	if (network->kind != LAUNCH_NETWORK_SLIRP)
		return 0;
	if (*given == '\0') {
		/* As docker derives it. */
		if (inet_pton(AF_INET, network->address, &address) != 1)
			return err_set(err, ERROR_INVALID,
				       "invalid IP address: %s",
				       network->address);
		memcpy(mac + 2, &address, sizeof(address));
	}
	network->mac = xasprintf("%02x:%02x:%02x:%02x:%02x:%02x", mac[0],
				 mac[1], mac[2], mac[3], mac[4], mac[5]);
	return 0;
}

static int parse_address(const cJSON *endpoint, struct network *network,
			 struct error *err)
{
	const char *given = member_string(member_get(endpoint, "IPAMConfig"),
					  "IPv4Address");
	int r;

	if (*given) {
		r = needs_slirp(network, "ip", err);
		if (r < 0)
			return r;
		r = netns_address_check(given, err);
		if (r < 0)
			return r;
	}
	if (network->kind == LAUNCH_NETWORK_SLIRP)
		network->address = xstrdup(*given ? given : NET_ADDRESS);
	return 0;
}

int network_add_uplink(struct network *network, struct error *err)
{
	network->kind = LAUNCH_NETWORK_SLIRP;
	network->address = xstrdup(NET_ADDRESS);
	return parse_mac(NULL, NULL, network, err);
}

static int invalid_port(const char *text, struct error *err)
{
	return err_set(err, ERROR_INVALID, "invalid port specification: \"%s\"",
		       text);
}

static bool only_of(const char *text, const char *characters)
{
	return text[strspn(text, characters)] == '\0';
}

/* One {"HostIp":…,"HostPort":…} of "80/tcp". */
static int add_binding(const char *port, const cJSON *binding,
		       struct port_list *ports, struct error *err)
{
	const char *ip = member_string(binding, "HostIp");
	const char *number = member_string(binding, "HostPort");
	cleanup_free char *text = NULL;
	bool v6 = strchr(ip, ':') != NULL;

	/* The text below is parsed again, so no part may hold another. */
	if (!only_of(number, "0123456789-"))
		return invalid_port(number, err);
	if (!only_of(ip, "0123456789abcdefABCDEF.:"))
		return err_set(err, ERROR_INVALID, "invalid IP address: %s",
			       ip);
	text = xasprintf("%s%s%s:%s:%s", v6 ? "[" : "", ip, v6 ? "]" : "",
			 number, port);
	return port_parse_publish(text, ports, err);
}

static int add_bindings(const cJSON *host, struct port_list *ports,
			struct error *err)
{
	const cJSON *bindings = member_get(host, "PortBindings");
	const cJSON *list;

	cJSON_ArrayForEach(list, bindings)
	{
		const char *port = list->string;
		size_t digits = strspn(port, "0123456789");
		const cJSON *binding;

		if (digits == 0 || (port[digits] && port[digits] != '/') ||
		    strpbrk(port, ":=,") ||
		    (!cJSON_IsArray(list) && !cJSON_IsNull(list)))
			return invalid_port(port, err);
		/* null or []: a random port, as docker takes it. */
		if (member_is_empty(list)) {
			int r = add_binding(port, NULL, ports, err);

			if (r < 0)
				return r;
			continue;
		}
		cJSON_ArrayForEach(binding, list)
		{
			int r;

			if (!cJSON_IsObject(binding))
				return invalid_port(port, err);
			r = add_binding(port, binding, ports, err);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

static bool is_bound(const struct port_list *ports, size_t count,
		     const struct port_mapping *port)
{
	for (size_t i = 0; i < count; i++) {
		if (ports->entries[i].container_port == port->container_port &&
		    ports->entries[i].protocol == port->protocol)
			return true;
	}
	return false;
}

/* Exposed ports that have no binding of their own, on random host ports. */
static int publish_all(const cJSON *exposed, struct port_list *ports,
		       char ***warnings, struct error *err)
{
	const size_t bound = ports->count;
	size_t kept = bound;
	const cJSON *item;

	cJSON_ArrayForEach(item, exposed)
	{
		struct error problem = {0};
		int r = port_parse_expose(item->string, ports, &problem);

		if (r >= 0)
			continue;
		if (problem.kind != ERROR_UNSUPPORTED)
			return err_copy(err, &problem);
		strv_push_take(warnings,
			       xasprintf("Port %s is not published: %s",
					 item->string, problem.message));
	}
	for (size_t i = bound; i < ports->count; i++) {
		if (!is_bound(ports, kept, &ports->entries[i]))
			ports->entries[kept++] = ports->entries[i];
	}
	ports->count = kept;
	return 0;
}

static int check_exposed(const cJSON *exposed, struct error *err)
{
	struct port_list ports = {0};
	const cJSON *item;
	int r = 0;

	cJSON_ArrayForEach(item, exposed)
	{
		struct error problem = {0};

		r = port_parse_expose(item->string, &ports, &problem);
		if (r < 0 && problem.kind != ERROR_UNSUPPORTED) {
			err_copy(err, &problem);
			break;
		}
		r = 0;
	}
	port_list_release(&ports);
	return r;
}

static int parse_host_ports(const cJSON *host, struct network *network,
			    struct error *err)
{
	CLEANUP(port_list_release) struct port_list ports = {0};
	int r = 0;

	network->host_ports =
		member_strv(member_get(host, "Moss"), "HostPorts");
	for (size_t i = 0; r >= 0 && i < strv_length(network->host_ports); i++)
		r = host_port_parse(network->host_ports[i], &ports, err);
	if (r < 0 || ports.count == 0 ||
	    network->kind == LAUNCH_NETWORK_SLIRP ||
	    network->kind == LAUNCH_NETWORK_NAMED)
		return r;
	err_set(err, ERROR_INVALID,
		"conflicting options: host-port and the network mode");
	return err_hint(err, "a host port needs the network slirp or a named "
			     "one; network host has all of them");
}

int network_parse(const cJSON *body, const cJSON *host, const cJSON *exposed,
		  struct network *ret_network, char ***warnings,
		  struct error *err)
{
	CLEANUP(network_release) struct network network = {0};
	const char *mode = member_string(host, "NetworkMode");
	const cJSON *endpoint;
	int r;

	if (member_bool(body, "NetworkDisabled"))
		mode = "none";
	r = parse_mode(mode, &network, err);
	if (r < 0)
		return r;
	r = find_endpoint(body, mode, &endpoint, err);
	if (r < 0)
		return r;
	r = parse_address(endpoint, &network, err);
	if (r < 0)
		return r;
	r = parse_mac(body, endpoint, &network, err);
	if (r < 0)
		return r;
	r = parse_host_ports(host, &network, err);
	if (r < 0)
		return r;
	r = check_exposed(exposed, err);
	if (r < 0)
		return r;
	r = add_bindings(host, &network.ports, err);
	if (r < 0)
		return r;
	if (member_bool(host, "PublishAllPorts")) {
		r = publish_all(exposed, &network.ports, warnings, err);
		if (r < 0)
			return r;
	}
	/* Discarded with a warning, after they were checked. */
	if (network.kind != LAUNCH_NETWORK_SLIRP &&
	    network.kind != LAUNCH_NETWORK_NAMED)
		port_list_release(&network.ports);
	*ret_network = network;
	network = (struct network){0};
	return 0;
}
