#include "core/engine/endpoints.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "core/engine/members.h"
#include "core/engine/network.h"
#include "core/engine/network_store.h"
#include "net/netns.h"

#define SHORT_ID 12

/* clang-format off */
static const struct member endpoint_members[] = {
	{"IPAMConfig", MEMBER_OBJECT, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"MacAddress", MEMBER_STRING, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"Links", MEMBER_STRINGS, MEMBER_REFUSED, MEMBER_OMIT, "--link", NULL},
	{"Aliases", MEMBER_STRINGS, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"DriverOpts", MEMBER_MAP, MEMBER_REFUSED, MEMBER_OMIT, "--driver-opt", NULL},
	{"GwPriority", MEMBER_INTEGER, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
};

static const struct member ipam_members[] = {
	{"IPv4Address", MEMBER_STRING, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"IPv6Address", MEMBER_STRING, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"LinkLocalIPs", MEMBER_STRINGS, MEMBER_REFUSED, MEMBER_OMIT, "--link-local-ip", NULL},
};
/* clang-format on */

/* ---- what is asked for ---- */

/* A name that DNS can have, in one label or several. */
static int check_alias(const char *alias, struct error *err)
{
	size_t length = strlen(alias);

	if (length > 0 && length <= 253 && alias[0] != '.' &&
	    strspn(alias, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
			  "0123456789_.-") == length)
		return 0;
	return err_set(err, ERROR_INVALID, "invalid network alias: \"%s\"",
		       alias);
}

static int check_address(const struct network_record *record, int family,
			 const char *text, struct error *err)
{
	struct net_address_value address;
	struct net_pool pool;

	if (*text == '\0')
		return 0;
	if (!address_parse(text, &address) || address.family != family)
		return err_set(err, ERROR_INVALID, "invalid IPv%d address: %s",
			       family == AF_INET6 ? 6 : 4, text);
	if (!network_pool(record, family, &pool))
		return err_set(err, ERROR_INVALID,
			       "network %s has no IPv6: address %s cannot be "
			       "given",
			       record->name, text);
	return pool_check(&pool, &address, err);
}

static int check_settings(const struct network_record *record,
			  const cJSON *settings, struct error *err)
{
	const cJSON *ipam = member_get(settings, "IPAMConfig");
	const char *mac = member_string(settings, "MacAddress");
	const cJSON *alias;
	uint8_t bytes[6];
	int r;

	r = members_check(settings, "EndpointsConfig", endpoint_members,
			  ARRAY_SIZE(endpoint_members), true, err);
	r = r < 0 ? r
		  : members_check(ipam, "EndpointsConfig.IPAMConfig",
				  ipam_members, ARRAY_SIZE(ipam_members), true,
				  err);
	r = r < 0 ? r
		  : check_address(record, AF_INET,
				  member_string(ipam, "IPv4Address"), err);
	r = r < 0 ? r
		  : check_address(record, AF_INET6,
				  member_string(ipam, "IPv6Address"), err);
	if (r >= 0 && *mac)
		r = netns_mac_parse(mac, bytes, err);
	cJSON_ArrayForEach(alias, member_get(settings, "Aliases"))
	{
		if (r >= 0)
			r = check_alias(item_string(alias), err);
	}
	return r;
}

static cJSON *copy_or_null(const cJSON *object, const char *name)
{
	const cJSON *member = member_get(object, name);

	return member_is_empty(member) ? NULL : cJSON_Duplicate(member, true);
}

int endpoint_make(struct engine *engine, const char *network,
		  const cJSON *settings, cJSON **ret_endpoint,
		  struct error *err)
{
	CLEANUP(network_record_release) struct network_record record = {0};
	cJSON *json;
	char id[ID_TEXT_MAX];
	int r = network_find(&engine->store, network, &record, err);

	if (r < 0)
		return r;
	if (record.built_in)
		return err_set(err, ERROR_UNSUPPORTED,
			       "network %s cannot be one of several",
			       record.name);
	r = check_settings(&record, settings, err);
	if (r < 0)
		return r;
	random_id(id);
	json = json_object();
	json_set_string(json, "Name", record.name);
	json_set_string(json, "Id", record.id);
	json_set_string(json, "EndpointId", id);
	json_set(json, "IPAMConfig", copy_or_null(settings, "IPAMConfig"));
	json_set(json, "Aliases", copy_or_null(settings, "Aliases"));
	json_set_string(json, "GivenMac",
			member_string(settings, "MacAddress"));
	json_set_i64(json, "GwPriority", member_i64(settings, "GwPriority"));
	*ret_endpoint = json;
	return 0;
}

static bool has_endpoint(const cJSON *array, const char *name)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, array)
	{
		if (str_equal(member_string(item, "Name"), name))
			return true;
	}
	return false;
}

static int add_endpoint(struct engine *engine, const char *network,
			const cJSON *settings, const cJSON *body, cJSON *array,
			struct error *err)
{
	cJSON *endpoint = NULL;
	int r = endpoint_make(engine, network, settings, &endpoint, err);

	if (r < 0)
		return r;
	if (has_endpoint(array, member_string(endpoint, "Name"))) {
		cJSON_Delete(endpoint);
		return 0;
	}
	/* The old place of it, for the first network. */
	if (cJSON_GetArraySize(array) == 0 &&
	    *member_string(endpoint, "GivenMac") == '\0')
		json_set_string(endpoint, "GivenMac",
				member_string(body, "MacAddress"));
	json_push(array, endpoint);
	return 0;
}

/* The settings of the network that mode names, by whichever name of it. */
static const cJSON *settings_of(struct engine *engine, const cJSON *endpoints,
				const char *mode)
{
	CLEANUP(network_record_release) struct network_record record = {0};
	const cJSON *item = member_get(endpoints, mode);

	if (item || network_find(&engine->store, mode, &record, NULL) < 0)
		return item;
	item = member_get(endpoints, record.name);
	return item ? item : member_get(endpoints, record.id);
}

int endpoints_parse(struct engine *engine, const cJSON *body, const char *mode,
		    enum launch_network kind, cJSON **ret_array,
		    struct error *err)
{
	cleanup_json cJSON *array = json_array();
	const cJSON *endpoints = member_get(
		member_get(body, "NetworkingConfig"), "EndpointsConfig");
	const cJSON *item;
	int r = 0;

	if (kind == LAUNCH_NETWORK_NAMED)
		r = add_endpoint(engine, mode,
				 settings_of(engine, endpoints, mode), body,
				 array, err);
	cJSON_ArrayForEach(item, endpoints)
	{
		if (r < 0 || *network_name(item->string))
			continue;
		r = add_endpoint(engine, item->string, item, body, array, err);
	}
	if (r < 0)
		return r;
	if (cJSON_GetArraySize(array) > 0 && kind != LAUNCH_NETWORK_NAMED &&
	    kind != LAUNCH_NETWORK_SLIRP)
		return err_set(err, ERROR_INVALID,
			       "conflicting options: cannot attach both "
			       "user-defined and non-user-defined "
			       "network-modes");
	*ret_array = steal_ptr(&array);
	return 0;
}

cJSON *endpoint_find(const cJSON *container, const char *network)
{
	cJSON *item;

	cJSON_ArrayForEach(
		item, member_get(member_get(container, "Moss"), "Networks"))
	{
		if (str_equal(member_string(item, "Name"), network) ||
		    str_equal(member_string(item, "Id"), network))
			return item;
	}
	return NULL;
}

/* ---- what it gets ---- */

struct places {
	const char *wanted; /* in IPAMConfig */
	const char *address, *prefix, *gateway;
};

static const struct places places[] = {
	{"IPv4Address", "Address", "Prefix", "Gateway"},
	{"IPv6Address", "Address6", "Prefix6", "Gateway6"},
};

/* The wanted one, else the one it had, else any. */
static int claim(struct engine *engine, const struct network_record *record,
		 const struct net_pool *pool, const struct places *place,
		 const char *id, cJSON *endpoint,
		 struct net_address_value *ret_address, struct error *err)
{
	const char *wanted = member_string(member_get(endpoint, "IPAMConfig"),
					   place->wanted);
	const char *had = member_string(endpoint, place->address);
	struct net_address_value address = {0};

	if (*wanted) {
		(void)address_parse(wanted, &address);
		return network_claim(&engine->store, record, pool, &address, id,
				     ret_address, err);
	}
	if (*had && address_parse(had, &address) &&
	    network_claim(&engine->store, record, pool, &address, id,
			  ret_address, NULL) >= 0)
		return 0;
	address = (struct net_address_value){0};
	return network_claim(&engine->store, record, pool, &address, id,
			     ret_address, err);
}

/* routed: over a wire for IPv4 only (net/bridge_routed.h). */
static int set_address(struct engine *engine,
		       const struct network_record *record, int family,
		       bool routed, const char *id, cJSON *endpoint,
		       struct error *err)
{
	const struct places *place = &places[family == AF_INET6];
	const cJSON *wanted = member_get(endpoint, "IPAMConfig");
	struct net_address_value address;
	char text[ADDRESS_TEXT_MAX];
	struct net_pool pool;
	int r;

	if (routed && family == AF_INET6 &&
	    *member_string(wanted, place->wanted))
		return err_set(err, ERROR_UNSUPPORTED,
			       "a container with an egress policy has no IPv6 "
			       "address on network %s",
			       record->name);

	if (!network_pool(record, family, &pool) ||
	    (family == AF_INET6 && routed)) {
		json_set_string(endpoint, place->address, "");
		json_set_string(endpoint, place->gateway, "");
		json_set_i64(endpoint, place->prefix, 0);
		return 0;
	}
	r = claim(engine, record, &pool, place, id, endpoint, &address, err);
	if (r < 0)
		return r;
	address_text(&address, text);
	json_set_string(endpoint, place->address, text);
	address_text(&pool.gateway, text);
	json_set_string(endpoint, place->gateway, text);
	json_set_i64(endpoint, place->prefix, pool.subnet.length);
	return 0;
}

static void set_mac(cJSON *endpoint)
{
	const char *given = member_string(endpoint, "GivenMac");
	struct net_address_value address;
	cleanup_free char *text = NULL;
	uint8_t mac[6] = {0};

	if (*given)
		(void)netns_mac_parse(given, mac, NULL);
	else if (address_parse(member_string(endpoint, "Address"), &address))
		pool_mac(&address, mac);
	text = xasprintf("%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1],
			 mac[2], mac[3], mac[4], mac[5]);
	json_set_string(endpoint, "Mac", text);
}

static int prepare(struct engine *engine, const char *id, bool routed,
		   cJSON *endpoint, struct error *err)
{
	CLEANUP(network_record_release) struct network_record record = {0};
	int r = network_find(&engine->store, member_string(endpoint, "Name"),
			     &record, err);

	if (r < 0)
		return r;
	/* Made anew under the same name: other addresses. */
	json_set_string(endpoint, "Id", record.id);
	r = set_address(engine, &record, AF_INET, routed, id, endpoint, err);
	r = r < 0 ? r
		  : set_address(engine, &record, AF_INET6, routed, id, endpoint,
				err);
	if (r < 0)
		return r;
	set_mac(endpoint);
	json_set_i64(endpoint, "Mtu", network_mtu(&record));
	json_set_bool(endpoint, "Internal",
		      member_bool(record.json, "Internal"));
	json_set_bool(endpoint, "Isolated",
		      !network_option(&record, NETWORK_OPTION_ICC, true));
	json_set_bool(
		endpoint, "HostLoopback",
		network_option(&record, NETWORK_OPTION_HOST_LOOPBACK, false));
	return 0;
}

/* docker's: the highest priority, then the first name. */
static bool is_better(const cJSON *a, const cJSON *b)
{
	int64_t first = member_i64(a, "GwPriority");
	int64_t second = member_i64(b, "GwPriority");

	if (first != second)
		return first > second;
	return strcmp(member_string(a, "Name"), member_string(b, "Name")) < 0;
}

/* None where the container has a way out of its own. */
static void choose_default(const cJSON *container)
{
	const cJSON *moss = member_get(container, "Moss");
	bool named = str_equal(member_string(moss, "Network"), "named");
	cJSON *best = NULL;
	cJSON *item;

	cJSON_ArrayForEach(item, member_get(moss, "Networks"))
	{
		json_set_bool(item, "DefaultRoute", false);
		if (named && !member_bool(item, "Internal") &&
		    (!best || is_better(item, best)))
			best = item;
	}
	if (best)
		json_set_bool(best, "DefaultRoute", true);
}

int endpoints_prepare(struct engine *engine, const char *id, cJSON *container,
		      struct error *err)
{
	const cJSON *moss = member_get(container, "Moss");
	const cJSON *networks = member_get(moss, "Networks");
	const bool routed = cJSON_IsObject(member_get(moss, "Egress"));
	cleanup_fd int lock_fd = -1;
	cJSON *item;

	if (cJSON_GetArraySize(networks) == 0)
		return 0;
	lock_fd = network_lock(&engine->store, err);
	if (lock_fd < 0)
		return lock_fd;
	cJSON_ArrayForEach(item, networks)
	{
		int r = prepare(engine, id, routed, item, err);

		if (r < 0)
			return r;
	}
	choose_default(container);
	return 0;
}

void endpoints_release(struct engine *engine, const char *id,
		       const cJSON *container, const char *network)
{
	struct record_network *networks = NULL;
	size_t count = 0;

	(void)record_networks_parse(member_get(container, "Moss"), &networks,
				    &count, NULL);
	for (size_t i = 0; i < count; i++) {
		if (!network || str_equal(networks[i].name, network))
			record_network_release_addresses(&engine->store, id,
							 &networks[i]);
	}
	record_networks_release(networks, count);
}

/* ---- how it is told ---- */

static void push_new(cJSON *array, const char *text)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, array)
	{
		if (str_equal(item_string(item), text))
			return;
	}
	if (*text)
		json_push_string(array, text);
}

/* As the monitor has them (core/monitor/networks.c). */
static cJSON *dns_names(const cJSON *container, const cJSON *endpoint)
{
	const char *name = member_string(container, "Name");
	cleanup_free char *id =
		xstrndup(member_string(container, "Id"), SHORT_ID);
	cJSON *array = json_array();
	const cJSON *item;

	push_new(array, *name == '/' ? name + 1 : name);
	cJSON_ArrayForEach(item, member_get(endpoint, "Aliases"))
	{
		push_new(array, item_string(item));
	}
	push_new(array, id);
	push_new(array,
		 member_string(member_get(container, "Config"), "Hostname"));
	return array;
}

cJSON *endpoint_json(const cJSON *container, const cJSON *endpoint,
		     bool running)
{
	const cJSON *none = NULL;
	const cJSON *now = running ? endpoint : none;
	cJSON *json = json_object();

	json_set(json, "IPAMConfig", copy_or_null(endpoint, "IPAMConfig"));
	json_set(json, "Links", NULL);
	json_set(json, "Aliases", copy_or_null(endpoint, "Aliases"));
	json_set(json, "DriverOpts", NULL);
	json_set_i64(json, "GwPriority", member_i64(endpoint, "GwPriority"));
	json_set_string(json, "NetworkID", member_string(endpoint, "Id"));
	json_set_string(json, "EndpointID", member_string(now, "EndpointId"));
	json_set_string(json, "Gateway", member_string(now, "Gateway"));
	json_set_string(json, "IPAddress", member_string(now, "Address"));
	json_set_i64(json, "IPPrefixLen", member_i64(now, "Prefix"));
	json_set_string(json, "IPv6Gateway", member_string(now, "Gateway6"));
	json_set_string(json, "GlobalIPv6Address",
			member_string(now, "Address6"));
	json_set_i64(json, "GlobalIPv6PrefixLen", member_i64(now, "Prefix6"));
	json_set_string(json, "MacAddress", member_string(now, "Mac"));
	json_set(json, "DNSNames", dns_names(container, endpoint));
	return json;
}
