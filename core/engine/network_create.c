/* NetworkCreate: from docker's body to a record. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "core/engine/engine.h"
#include "core/engine/members.h"
#include "core/engine/network_store.h"
#include "net/netns.h"
#include "storage/store/events.h"

#define ROUTES_MAX   (1u << 20) /* bytes of /proc/net/route */
#define CONFIGS_MAX  16
#define MTU_MIN	     68	  /* IPv4's */
#define MTU_MIN_IPV6 1280 /* RFC 8200, section 5 */

/* clang-format off */
static const struct member create_members[] = {
	{"Name", MEMBER_STRING, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"Driver", MEMBER_STRING, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"Scope", MEMBER_STRING, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"CheckDuplicate", MEMBER_BOOL, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"EnableIPv4", MEMBER_BOOL, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"EnableIPv6", MEMBER_BOOL, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"IPAM", MEMBER_OBJECT, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"Internal", MEMBER_BOOL, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"Attachable", MEMBER_BOOL, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"Ingress", MEMBER_BOOL, MEMBER_REFUSED, MEMBER_OMIT, "--ingress", NULL},
	{"ConfigOnly", MEMBER_BOOL, MEMBER_REFUSED, MEMBER_OMIT, "--config-only", NULL},
	{"ConfigFrom", MEMBER_OBJECT, MEMBER_REFUSED, MEMBER_OMIT, "--config-from", NULL},
	{"Options", MEMBER_MAP, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"Labels", MEMBER_MAP, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
};

static const struct member ipam_members[] = {
	{"Driver", MEMBER_STRING, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"Options", MEMBER_MAP, MEMBER_REFUSED, MEMBER_OMIT, "--ipam-opt", NULL},
	{"Config", MEMBER_ARRAY, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
};

static const struct member config_members[] = {
	{"Subnet", MEMBER_STRING, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"IPRange", MEMBER_STRING, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"Gateway", MEMBER_STRING, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"AuxiliaryAddresses", MEMBER_MAP, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
};
/* clang-format on */

/* What is known of a new network on its way. */
struct request {
	struct engine *engine;
	const cJSON *body;
	bool ipv6;
	struct net_prefix *taken; /* by other networks and the host's routes */
	size_t taken_count;
	size_t network_count; /* of them, which come first */
	cJSON *configs;	      /* docker's IPAM.Config, completed */
	bool has[2];	      /* a subnet of IPv4, IPv6 */
};

static void request_release(struct request *request)
{
	free(request->taken);
	cJSON_Delete(request->configs);
}

static void add_taken(struct request *request, const struct net_prefix *prefix)
{
	request->taken = xrealloc(request->taken, request->taken_count + 1,
				  sizeof(*request->taken));
	request->taken[request->taken_count++] = prefix_mask(prefix);
}

/* "eth0 0012A8C0 00000000 0001 0 0 0 00F0FFFF …", little-endian hex. */
static bool parse_route(const char *line, struct net_prefix *ret_prefix)
{
	unsigned int destination, flags, mask;
	struct net_prefix prefix = {.address.family = AF_INET};

	if (sscanf(line, "%*s %8x %*8x %x %*d %*d %*d %8x", &destination,
		   &flags, &mask) != 3 ||
	    mask == 0)
		return false;
	memcpy(prefix.address.bytes, &destination, sizeof(uint32_t));
	prefix.length = (unsigned int)__builtin_popcount(mask);
	*ret_prefix = prefix;
	return true;
}

/* The host's routes: a network over one of them would hide what is there. */
static void add_routes(struct request *request)
{
	cleanup_free char *text = NULL;
	char *rest = NULL;

	if (file_read_at(AT_FDCWD, "/proc/net/route", ROUTES_MAX, &text, NULL,
			 NULL) < 0)
		return;
	for (char *line = strtok_r(text, "\n", &rest); line;
	     line = strtok_r(NULL, "\n", &rest)) {
		struct net_prefix prefix;

		if (parse_route(line, &prefix))
			add_taken(request, &prefix);
	}
}

static int collect_taken(struct request *request, struct error *err)
{
	static const int families[] = {AF_INET, AF_INET6};
	const struct store *store = &request->engine->store;
	cleanup_strv char **names = NULL;
	struct net_prefix slirp;
	int r = network_names(store, &names, err);

	if (r < 0)
		return r;
	for (size_t i = 0; names && names[i]; i++) {
		CLEANUP(network_record_release)
		struct network_record record = {0};

		if (network_find(store, names[i], &record, NULL) < 0)
			continue;
		for (size_t j = 0; j < ARRAY_SIZE(families); j++) {
			struct net_pool pool;

			if (network_pool(&record, families[j], &pool))
				add_taken(request, &pool.subnet);
		}
	}
	/* What the uplink looks like from inside. */
	prefix_parse("10.0.2.0/24", &slirp);
	add_taken(request, &slirp);
	prefix_parse("fd00::/64", &slirp);
	add_taken(request, &slirp);
	request->network_count = request->taken_count;
	add_routes(request);
	return 0;
}

static int check_subnet(const struct request *request,
			const struct net_prefix *subnet, struct error *err)
{
	for (size_t i = 0; i < request->network_count; i++) {
		if (request->taken[i].address.family ==
			    subnet->address.family &&
		    prefix_overlaps(&request->taken[i], subnet))
			return err_set(err, ERROR_CONFLICT,
				       "invalid pool request: Pool overlaps "
				       "with other one on this address space");
	}
	return 0;
}

static int check_inside(const struct net_prefix *subnet, const char *what,
			const char *text, struct net_address_value *ret_address,
			struct error *err)
{
	char subnet_text[PREFIX_TEXT_MAX];

	prefix_text(subnet, subnet_text);
	if (!address_parse(text, ret_address))
		return err_set(err, ERROR_INVALID, "invalid %s address: %s",
			       what, text);
	if (ret_address->family != subnet->address.family ||
	    !prefix_contains(subnet, ret_address))
		return err_set(err, ERROR_INVALID,
			       "no matching subnet for %s %s: it is not in %s",
			       what, text, subnet_text);
	return 0;
}

static int check_range(const struct net_prefix *subnet, const char *text,
		       struct error *err)
{
	struct net_prefix range;

	if (*text == '\0')
		return 0;
	if (!prefix_parse(text, &range))
		return err_set(err, ERROR_INVALID,
			       "invalid range: %s is no ADDRESS/BITS", text);
	if (range.address.family != subnet->address.family ||
	    !prefix_within(&range, subnet))
		return err_set(err, ERROR_INVALID,
			       "no matching subnet for range %s", text);
	return 0;
}

static int check_auxiliary(const struct net_prefix *subnet, const cJSON *config,
			   struct error *err)
{
	const cJSON *auxiliary = member_get(config, "AuxiliaryAddresses");
	struct net_address_value address;
	const cJSON *item;

	if (cJSON_GetArraySize(auxiliary) > POOL_RESERVED_MAX)
		return err_set(err, ERROR_INVALID,
			       "more than %d auxiliary addresses",
			       POOL_RESERVED_MAX);
	cJSON_ArrayForEach(item, auxiliary)
	{
		int r = check_inside(subnet, "aux-address", item_string(item),
				     &address, err);

		if (r < 0)
			return r;
	}
	return 0;
}

/* The first address, unless it is given or the range has no other. */
static int choose_gateway(const struct net_prefix *subnet, const cJSON *config,
			  struct net_address_value *ret_gateway,
			  struct error *err)
{
	const char *given = member_string(config, "Gateway");
	struct net_pool pool = {.subnet = *subnet};
	const cJSON *item;

	if (*given) {
		int r = check_inside(subnet, "gateway", given, ret_gateway,
				     err);

		return r < 0 ? r : pool_check(&pool, ret_gateway, err);
	}
	cJSON_ArrayForEach(item, member_get(config, "AuxiliaryAddresses"))
	{
		address_parse(item_string(item),
			      &pool.reserved[pool.reserved_count++]);
	}
	*ret_gateway = (struct net_address_value){0};
	if (!pool_next(&pool, ret_gateway))
		return err_set(err, ERROR_INVALID,
			       "the subnet has no address for a gateway");
	return 0;
}

/* One entry of IPAM.Config with its subnet, completed. */
static int add_config(struct request *request, const struct net_prefix *subnet,
		      const cJSON *config, struct error *err)
{
	const char *range = member_string(config, "IPRange");
	const cJSON *auxiliary = member_get(config, "AuxiliaryAddresses");
	bool v6 = subnet->address.family == AF_INET6;
	struct net_address_value gateway;
	char text[PREFIX_TEXT_MAX];
	cJSON *json;
	int r;

	if (request->has[v6])
		return err_set(err, ERROR_INVALID,
			       "bridge driver doesn't support multiple "
			       "subnets");
	r = check_subnet(request, subnet, err);
	r = r < 0 ? r : check_range(subnet, range, err);
	r = r < 0 ? r : check_auxiliary(subnet, config, err);
	r = r < 0 ? r : choose_gateway(subnet, config, &gateway, err);
	if (r < 0)
		return r;
	request->has[v6] = true;
	json = json_object();
	prefix_text(subnet, text);
	json_set_string(json, "Subnet", text);
	if (*range)
		json_set_string(json, "IPRange", range);
	address_text(&gateway, text);
	json_set_string(json, "Gateway", text);
	if (!member_is_empty(auxiliary))
		json_set(json, "AuxiliaryAddresses",
			 cJSON_Duplicate(auxiliary, true));
	json_push(request->configs, json);
	return 0;
}

static int read_config(struct request *request, const cJSON *config,
		       struct error *err)
{
	const char *text = member_string(config, "Subnet");
	struct net_prefix subnet;
	struct net_prefix masked;
	int r;

	r = members_check(config, "IPAM.Config", config_members,
			  ARRAY_SIZE(config_members), true, err);
	if (r < 0)
		return r;
	if (*text == '\0') {
		/* An address of its own choosing needs a subnet it is in. */
		if (!member_is_empty(member_get(config, "Gateway")) ||
		    !member_is_empty(member_get(config, "IPRange")) ||
		    !member_is_empty(member_get(config, "AuxiliaryAddresses")))
			return err_set(err, ERROR_INVALID,
				       "invalid network config: a gateway, "
				       "range or auxiliary address needs a "
				       "--subnet");
		return 0;
	}
	if (!prefix_parse(text, &subnet))
		return err_set(err, ERROR_INVALID,
			       "invalid subnet %s: invalid CIDR address", text);
	masked = prefix_mask(&subnet);
	if (!address_equal(&masked.address, &subnet.address)) {
		char wanted[PREFIX_TEXT_MAX];

		prefix_text(&masked, wanted);
		return err_set(err, ERROR_INVALID,
			       "invalid network config: invalid subnet %s: it "
			       "should be %s",
			       text, wanted);
	}
	if (subnet.length == 0)
		return err_set(err, ERROR_INVALID,
			       "invalid subnet %s: that is everything", text);
	if (subnet.address.family == AF_INET6)
		request->ipv6 = true;
	return add_config(request, &subnet, config, err);
}

static int read_ipam(struct request *request, struct error *err)
{
	const cJSON *ipam = member_get(request->body, "IPAM");
	const char *driver = member_string(ipam, "Driver");
	const cJSON *configs = member_get(ipam, "Config");
	const cJSON *config;
	int r;

	r = members_check(ipam, "IPAM", ipam_members, ARRAY_SIZE(ipam_members),
			  true, err);
	if (r < 0)
		return r;
	if (*driver && !str_equal(driver, "default"))
		return err_set(err, ERROR_NOT_FOUND,
			       "IPAM driver %s: there is only default", driver);
	if (cJSON_GetArraySize(configs) > CONFIGS_MAX)
		return err_set(err, ERROR_INVALID, "more than %d subnets",
			       CONFIGS_MAX);
	cJSON_ArrayForEach(config, configs)
	{
		r = read_config(request, config, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* What was not named is chosen. */
static int choose_subnets(struct request *request, struct error *err)
{
	struct net_prefix subnet;
	int r = 0;

	if (!request->has[0]) {
		r = pool_choose_subnet(request->taken, request->taken_count,
				       &subnet, err);
		r = r < 0 ? r : add_config(request, &subnet, NULL, err);
	}
	if (r >= 0 && request->ipv6 && !request->has[1]) {
		r = pool_choose_subnet6(&subnet, err);
		r = r < 0 ? r : add_config(request, &subnet, NULL, err);
	}
	return r;
}

static int check_bool(const cJSON *option, struct error *err)
{
	bool value;

	if (parse_bool(item_string(option), &value) == 0)
		return 0;
	return err_set(err, ERROR_INVALID,
		       "network option %s=%s: expected true or false",
		       option->string, item_string(option));
}

static int check_mtu(const struct request *request, const cJSON *option,
		     struct error *err)
{
	uint64_t least = request->ipv6 ? MTU_MIN_IPV6 : MTU_MIN;
	uint64_t mtu;

	if (parse_u64(item_string(option), &mtu) == 0 && mtu >= least &&
	    mtu <= NET_MTU)
		return 0;
	return err_set(err, ERROR_INVALID,
		       "network option %s=%s: expected a number from %u to %d",
		       option->string, item_string(option), (unsigned int)least,
		       NET_MTU);
}

static int check_options(const struct request *request, struct error *err)
{
	static const char *const bools[] = {NETWORK_OPTION_ICC,
					    NETWORK_OPTION_HOST_LOOPBACK};
	const cJSON *option;

	cJSON_ArrayForEach(option, member_get(request->body, "Options"))
	{
		bool known = str_equal(option->string, NETWORK_OPTION_MTU);
		int r = known ? check_mtu(request, option, err) : 0;

		for (size_t i = 0; i < ARRAY_SIZE(bools); i++) {
			if (!str_equal(option->string, bools[i]))
				continue;
			known = true;
			r = check_bool(option, err);
		}
		if (r < 0)
			return r;
		if (known)
			continue;
		err_set(err, ERROR_UNSUPPORTED,
			"network option %s is not supported", option->string);
		return err_hint(err, "known are %s, %s and %s",
				NETWORK_OPTION_MTU, NETWORK_OPTION_ICC,
				NETWORK_OPTION_HOST_LOOPBACK);
	}
	return 0;
}

static int check_body(struct request *request, struct error *err)
{
	const cJSON *body = request->body;
	const char *name = member_string(body, "Name");
	const char *driver = member_string(body, "Driver");
	const char *scope = member_string(body, "Scope");
	int r;

	r = members_check(body, "", create_members, ARRAY_SIZE(create_members),
			  true, err);
	r = r < 0 ? r : network_name_check(name, err);
	if (r < 0)
		return r;
	if (*driver && !str_equal(driver, "bridge"))
		return err_set(err, ERROR_NOT_FOUND,
			       "network driver %s: there is only bridge",
			       driver);
	if (*scope && !str_equal(scope, "local"))
		return err_set(err, ERROR_INVALID,
			       "network scope %s: there is only local", scope);
	if (cJSON_IsFalse(member_get(body, "EnableIPv4")))
		return err_set(err, ERROR_UNSUPPORTED,
			       "a network without IPv4 is not supported");
	request->ipv6 = member_bool(body, "EnableIPv6");
	if (network_is_built_in(name))
		return err_set(err, ERROR_PERMISSION,
			       "operation is not permitted on predefined %s "
			       "network",
			       name);
	return 0;
}

static cJSON *object_of(const cJSON *object, const char *name)
{
	const cJSON *member = member_get(object, name);
	cJSON *copy = member_is_empty(member) ? json_object()
					      : cJSON_Duplicate(member, true);

	if (!copy)
		str_oom();
	return copy;
}

static cJSON *record_json(struct request *request)
{
	const cJSON *body = request->body;
	cJSON *json = json_object();
	cJSON *ipam = json_object();
	cJSON *from = json_object();
	char id[ID_TEXT_MAX];
	char now[TIME_TEXT_MAX];

	random_id(id);
	format_now(now);
	json_set_string(ipam, "Driver", "default");
	json_set(ipam, "Options", json_object());
	json_set(ipam, "Config", steal_ptr(&request->configs));
	json_set_string(from, "Network", "");
	json_set_string(json, "Name", member_string(body, "Name"));
	json_set_string(json, "Id", id);
	json_set_string(json, "Created", now);
	json_set_string(json, "Scope", "local");
	json_set_string(json, "Driver", "bridge");
	json_set_bool(json, "EnableIPv4", true);
	json_set_bool(json, "EnableIPv6", request->ipv6);
	json_set(json, "IPAM", ipam);
	json_set_bool(json, "Internal", member_bool(body, "Internal"));
	json_set_bool(json, "Attachable", member_bool(body, "Attachable"));
	json_set_bool(json, "Ingress", false);
	json_set(json, "ConfigFrom", from);
	json_set_bool(json, "ConfigOnly", false);
	json_set(json, "Options", object_of(body, "Options"));
	json_set(json, "Labels", object_of(body, "Labels"));
	return json;
}

/* Is the name, or its meaning as an ID, somebody's? */
static int check_free(struct engine *engine, const char *name,
		      struct error *err)
{
	CLEANUP(network_record_release) struct network_record record = {0};
	struct error problem = {0};
	int r = network_find(&engine->store, name, &record, &problem);

	if (problem.kind == ERROR_NOT_FOUND ||
	    (r >= 0 && !str_equal(record.name, name)))
		return 0;
	if (r < 0)
		return err_copy(err, &problem);
	return err_set(err, ERROR_EXISTS, "network with name %s already exists",
		       name);
}

int engine_network_create(struct engine *engine, const cJSON *body,
			  cJSON **ret_json, struct error *err)
{
	CLEANUP(request_release)
	struct request request = {
		.engine = engine,
		.body = body,
		.configs = json_array(),
	};
	const char *name = member_string(body, "Name");
	cleanup_json cJSON *json = NULL;
	cleanup_fd int lock_fd = -1;
	const char *id;
	int r = check_body(&request, err);

	if (r < 0)
		return r;
	lock_fd = network_lock(&engine->store, err);
	if (lock_fd < 0)
		return lock_fd;
	r = check_free(engine, name, err);
	r = r < 0 ? r : collect_taken(&request, err);
	r = r < 0 ? r : read_ipam(&request, err);
	r = r < 0 ? r : choose_subnets(&request, err);
	r = r < 0 ? r : check_options(&request, err);
	if (r < 0)
		return r;
	json = record_json(&request);
	r = network_write(&engine->store, json, err);
	if (r < 0)
		return r;
	id = member_string(json, "Id");
	event_write(&engine->store, EVENT_NETWORK, "create", id,
		    event_attributes("name", name, "type", "bridge", NULL));
	*ret_json = json_object();
	json_set_string(*ret_json, "Id", id);
	json_set_string(*ret_json, "Warning", "");
	return 0;
}
