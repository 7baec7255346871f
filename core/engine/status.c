#include "core/engine/status.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "core/engine/endpoints.h"
#include "core/engine/members.h"
#include "core/engine/network.h"
#include "net/netns.h"

static bool is_time(const char *text)
{
	return !str_empty(text) && !str_equal(text, CONTAINER_TIME_NONE);
}

static char *since(const char *text, const struct timespec *now)
{
	struct timespec time;
	int64_t seconds = 0;

	if (parse_time(text, &time) == 0) {
		seconds = now->tv_sec - time.tv_sec;
		if (now->tv_nsec < time.tv_nsec)
			seconds--;
	}
	return format_ago(seconds);
}

/* docker's words: the other two are clear on their own. */
static const char *health_words(const char *health)
{
	return str_equal(health, HEALTH_STARTING) ? "health: starting" : health;
}

char *status_text(const struct container_state *state,
		  const struct timespec *now)
{
	cleanup_free char *started = since(state->started_at, now);
	cleanup_free char *finished = since(state->finished_at, now);

	switch (state->status) {
	case CONTAINER_RUNNING:
		if (!str_empty(state->health))
			return xasprintf("Up %s (%s)", started,
					 health_words(state->health));
		return xasprintf("Up %s", started);
	case CONTAINER_PAUSED:
		return xasprintf("Up %s (Paused)", started);
	case CONTAINER_RESTARTING:
		return xasprintf("Restarting (%d) %s ago", state->exit_code,
				 finished);
	case CONTAINER_REMOVING:
		return xstrdup("Removal In Progress");
	case CONTAINER_DEAD:
		return xstrdup("Dead");
	case CONTAINER_CREATED:
		return xstrdup("Created");
	case CONTAINER_EXITED:
		break;
	}
	if (!is_time(state->started_at))
		return xstrdup("Created");
	if (!is_time(state->finished_at))
		return xstrdup("");
	return xasprintf("Exited (%d) %s ago", state->exit_code, finished);
}

cJSON *status_json(const struct container_state *state, int directory_fd)
{
	bool running = state->status == CONTAINER_RUNNING ||
		       state->status == CONTAINER_PAUSED ||
		       state->status == CONTAINER_RESTARTING;
	cJSON *json = json_object();

	json_set_string(json, "Status", container_status_name(state->status));
	json_set_bool(json, "Running", running);
	json_set_bool(json, "Paused", state->status == CONTAINER_PAUSED);
	json_set_bool(json, "Restarting",
		      state->status == CONTAINER_RESTARTING);
	json_set_bool(json, "OOMKilled", state->oom_killed);
	json_set_bool(json, "Dead", state->status == CONTAINER_DEAD);
	json_set_i64(json, "Pid", running ? state->pid : 0);
	json_set_i64(json, "ExitCode", state->exit_code);
	json_set_string(json, "Error", state->error ? state->error : "");
	json_set_string(json, "StartedAt",
			is_time(state->started_at) ? state->started_at
						   : CONTAINER_TIME_NONE);
	json_set_string(json, "FinishedAt",
			is_time(state->finished_at) ? state->finished_at
						    : CONTAINER_TIME_NONE);
	if (!str_empty(state->health))
		json_set(json, "Health",
			 health_json(state->health, directory_fd));
	return json;
}

/*
 * Calls visit for the ports as bound: "" is both families, as docker shows it.
 */
struct port_visit {
	void (*visit)(cJSON *json, const struct port_mapping *port,
		      const char *address);
	cJSON *json;
};

static void visit_ports(const struct port_list *ports,
			const struct port_visit *visit)
{
	for (size_t i = 0; i < ports->count; i++) {
		const struct port_mapping *port = &ports->entries[i];

		if (*port->host_ip) {
			visit->visit(visit->json, port, port->host_ip);
			continue;
		}
		visit->visit(visit->json, port, "0.0.0.0");
		visit->visit(visit->json, port, "::");
	}
}

static void map_port(cJSON *map, const struct port_mapping *port,
		     const char *address)
{
	cleanup_free char *key = xasprintf("%u/%s", port->container_port,
					   port_protocol_name(port->protocol));
	cleanup_free char *number = xasprintf("%u", port->host_port);
	cJSON *list = cJSON_GetObjectItemCaseSensitive(map, key);
	cJSON *binding = json_object();

	if (!list) {
		list = json_array();
		json_set(map, key, list);
	}
	json_set_string(binding, "HostIp", address);
	json_set_string(binding, "HostPort", number);
	json_push(list, binding);
}

static void summarise_port(cJSON *array, const struct port_mapping *port,
			   const char *address)
{
	cJSON *json = json_object();

	json_set_string(json, "IP", address);
	json_set_i64(json, "PrivatePort", port->container_port);
	json_set_i64(json, "PublicPort", port->host_port);
	json_set_string(json, "Type", port_protocol_name(port->protocol));
	json_push(array, json);
}

/* Exposed ports, spelled out; what cannot be parsed is left out. */
static struct port_list exposed_ports(const cJSON *exposed)
{
	struct port_list list = {0};
	const cJSON *item;

	cJSON_ArrayForEach(item, exposed)
	{
		(void)port_parse_expose(item->string, &list, NULL);
	}
	return list;
}

cJSON *status_port_map(const struct port_list *ports, const cJSON *exposed)
{
	struct port_list list = exposed_ports(exposed);
	cJSON *map = json_object();
	const struct port_visit visit = {map_port, map};

	visit_ports(ports, &visit);
	for (size_t i = 0; i < list.count; i++) {
		const struct port_mapping *port = &list.entries[i];
		cleanup_free char *key = NULL;

		key = xasprintf("%u/%s", port->container_port,
				port_protocol_name(port->protocol));
		if (!cJSON_GetObjectItemCaseSensitive(map, key))
			json_set(map, key, NULL);
	}
	port_list_release(&list);
	return map;
}

static bool is_published(const struct port_list *ports,
			 const struct port_mapping *port)
{
	for (size_t i = 0; i < ports->count; i++) {
		if (ports->entries[i].container_port == port->container_port &&
		    ports->entries[i].protocol == port->protocol)
			return true;
	}
	return false;
}

cJSON *status_port_summary(const struct port_list *ports, const cJSON *exposed)
{
	struct port_list list = exposed_ports(exposed);
	cJSON *array = json_array();
	const struct port_visit visit = {summarise_port, array};

	visit_ports(ports, &visit);
	for (size_t i = 0; i < list.count; i++) {
		const struct port_mapping *port = &list.entries[i];
		cJSON *json;

		if (is_published(ports, port))
			continue;
		json = json_object();
		json_set_i64(json, "PrivatePort", port->container_port);
		json_set_string(json, "Type",
				port_protocol_name(port->protocol));
		json_push(array, json);
	}
	port_list_release(&list);
	return array;
}

/* The addresses of a running container's own network, else empty. */
struct addresses {
	const char *ip, *gateway, *mac, *ip6, *gateway6;
	int prefix, prefix6;
};

static struct addresses find_addresses(const cJSON *container,
				       const struct container_state *state)
{
	const cJSON *moss = member_get(container, "Moss");
	struct addresses none = {"", "", "", "", "", 0, 0};

	if (!str_equal(member_string(moss, "Network"), "slirp") ||
	    (state->status != CONTAINER_RUNNING &&
	     state->status != CONTAINER_PAUSED))
		return none;
	return (struct addresses){
		.ip = member_string(moss, "Address"),
		.gateway = NET_GATEWAY,
		.mac = member_string(moss, "Mac"),
		.ip6 = NET_ADDRESS6,
		.gateway6 = NET_GATEWAY6,
		.prefix = NET_PREFIX,
		.prefix6 = NET_PREFIX6,
	};
}

static void set_addresses(cJSON *json, const struct addresses *addresses)
{
	json_set_string(json, "EndpointID", "");
	json_set_string(json, "Gateway", addresses->gateway);
	json_set_string(json, "IPAddress", addresses->ip);
	json_set_i64(json, "IPPrefixLen", addresses->prefix);
	json_set_string(json, "IPv6Gateway", addresses->gateway6);
	json_set_string(json, "GlobalIPv6Address", addresses->ip6);
	json_set_i64(json, "GlobalIPv6PrefixLen", addresses->prefix6);
	json_set_string(json, "MacAddress", addresses->mac);
}

static void add_named(cJSON *networks, const cJSON *container,
		      const struct container_state *state)
{
	const cJSON *moss = member_get(container, "Moss");
	bool running = state->status == CONTAINER_RUNNING ||
		       state->status == CONTAINER_PAUSED;
	const cJSON *item;

	cJSON_ArrayForEach(item, member_get(moss, "Networks"))
	{
		json_set(networks, member_string(item, "Name"),
			 endpoint_json(container, item, running));
	}
}

cJSON *status_networks(const cJSON *container,
		       const struct container_state *state)
{
	const cJSON *host = member_get(container, "HostConfig");
	const char *mode = member_string(host, "NetworkMode");
	const char *name = network_name(mode);
	struct addresses addresses = find_addresses(container, state);
	cJSON *networks = json_object();
	cJSON *endpoint;

	add_named(networks, container, state);
	/* One that joined another's network has none of its own. */
	if (*name == '\0')
		return networks;
	endpoint = json_object();
	json_set(endpoint, "IPAMConfig", NULL);
	json_set(endpoint, "Links", NULL);
	json_set(endpoint, "Aliases", NULL);
	json_set(endpoint, "DriverOpts", NULL);
	json_set_i64(endpoint, "GwPriority", 0);
	json_set_string(endpoint, "NetworkID", name);
	set_addresses(endpoint, &addresses);
	json_set(endpoint, "DNSNames", NULL);
	json_set(networks, name, endpoint);
	return networks;
}

cJSON *status_network(const cJSON *container,
		      const struct container_state *state)
{
	const cJSON *config = member_get(container, "Config");
	struct addresses addresses = find_addresses(container, state);
	cleanup_free char *key = NULL;
	cJSON *json = json_object();
	bool running = state->status == CONTAINER_RUNNING ||
		       state->status == CONTAINER_PAUSED;

	if (running)
		key = xasprintf("/proc/%d/ns/net", (int)state->pid);
	json_set_string(json, "Bridge", "");
	json_set_string(json, "SandboxID",
			running ? member_string(container, "Id") : "");
	json_set_string(json, "SandboxKey", key ? key : "");
	json_set(json, "Ports",
		 running ? status_port_map(&state->ports,
					   member_get(config, "ExposedPorts"))
			 : json_object());
	json_set_bool(json, "HairpinMode", false);
	json_set_string(json, "LinkLocalIPv6Address", "");
	json_set_i64(json, "LinkLocalIPv6PrefixLen", 0);
	json_set(json, "SecondaryIPAddresses", NULL);
	json_set(json, "SecondaryIPv6Addresses", NULL);
	set_addresses(json, &addresses);
	json_set(json, "Networks", status_networks(container, state));
	return json;
}
