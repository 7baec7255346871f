/*
 * moss network create, ls and rm. Inspecting them is in inspect.c, pruning in
 * prune.c, connecting in network_connect.c.
 */
#include "cmd/command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "cmd/commands.h"
#include "cmd/docker_config.h"
#include "cmd/listing.h"
#include "cmd/member.h"
#include "cmd/rows.h"
#include "net/prefix.h"

#define SHORT_ID 12

/* clang-format off */
static const struct option create_options[] = {
	{0, "attachable", OPTION_FLAG, NULL, NULL, "Enable manual container attachment", false},
	{0, "aux-address", OPTION_LIST, "map", NULL, "Auxiliary IPv4 or IPv6 addresses used by Network driver", false},
	{'d', "driver", OPTION_STRING, NULL, "bridge", "Driver to manage the Network", false},
	{0, "gateway", OPTION_LIST, "strings", NULL, "IPv4 or IPv6 Gateway for the master subnet", false},
	{0, "internal", OPTION_FLAG, NULL, NULL, "Restrict external access to the network", false},
	{0, "ip-range", OPTION_LIST, "strings", NULL, "Allocate container ip from a sub-range", false},
	{0, "ipam-driver", OPTION_STRING, NULL, "default", "IP Address Management Driver", false},
	/* Refused by the engine, which says so. */
	{0, "ipam-opt", OPTION_LIST, "map", NULL, "Set IPAM driver specific options", true},
	{0, "ipv4", OPTION_FLAG, NULL, "true", "Enable or disable IPv4 address assignment", false},
	{0, "ipv6", OPTION_FLAG, NULL, NULL, "Enable or disable IPv6 address assignment", false},
	{0, "label", OPTION_LIST, NULL, NULL, "Set metadata on a network", false},
	{'o', "opt", OPTION_LIST, "map", NULL, "Set driver specific options", false},
	{0, "scope", OPTION_STRING, NULL, NULL, "Control the network's scope", false},
	{0, "subnet", OPTION_LIST, "strings", NULL, "Subnet in CIDR format that represents a network segment", false},
	{0},
};
static const struct option ls_options[] = {
	{'f', "filter", OPTION_LIST, "filter", NULL, "Provide filter values (e.g. \"driver=bridge\")", false},
	{0, "format", OPTION_STRING, NULL, NULL, LISTING_FORMAT_HELP, false},
	{0, "no-trunc", OPTION_FLAG, NULL, NULL, "Do not truncate the output", false},
	{'q', "quiet", OPTION_FLAG, NULL, NULL, "Only display network IDs", false},
	{0},
};
static const struct option rm_options[] = {
	{'f', "force", OPTION_FLAG, NULL, NULL, "Do not error if the network does not exist", false},
	{0},
};
/* clang-format on */

const struct listing_column network_columns[] = {
	{"ID", "NETWORK ID"},
	{"Name", "NAME"},
	{"Driver", "DRIVER"},
	{"Scope", "SCOPE"},
	{"CreatedAt", "CREATED AT"},
	{"IPv4", "IPV4"},
	{"IPv6", "IPV6"},
	{"Internal", "INTERNAL"},
	{"Labels", "LABELS"},
	{0},
};

static const char *const filter_keys[] = {"dangling", "driver", "id",	"label",
					  "name",     "scope",	"type", NULL};

/* The entry whose subnet has the address; NULL: none. */
static cJSON *config_of(cJSON *configs, const struct net_prefix *prefix)
{
	cJSON *config;

	cJSON_ArrayForEach(config, configs)
	{
		struct net_prefix subnet;

		if (prefix_parse(text_of(config, "Subnet"), &subnet) &&
		    subnet.address.family == prefix->address.family &&
		    prefix_within(prefix, &subnet))
			return config;
	}
	return NULL;
}

/* An address or a range, put to the subnet that it is in. */
static int assign(cJSON *configs, const char *what, const char *member,
		  const char *value, struct error *err)
{
	struct net_prefix prefix = {0};
	cJSON *config;

	if (address_parse(value, &prefix.address))
		prefix.length =
			(unsigned int)(8 * address_size(prefix.address.family));
	else if (!prefix_parse(value, &prefix))
		return err_set(err, ERROR_INVALID,
			       "invalid %s %s: expected an address", what,
			       value);
	config = config_of(configs, &prefix);
	if (!config)
		return err_set(err, ERROR_INVALID,
			       "no matching subnet for %s %s", what, value);
	if (member_of(config, member))
		return err_set(err, ERROR_INVALID,
			       "cannot specify two %ss (%s and %s) for one "
			       "subnet",
			       what, text_of(config, member), value);
	json_set_string(config, member, value);
	return 0;
}

static int assign_auxiliary(cJSON *configs, const char *text, struct error *err)
{
	const char *equals = strchr(text, '=');
	cleanup_free char *name = NULL;
	struct net_prefix prefix = {0};
	cJSON *config, *auxiliary;

	if (!equals || equals == text)
		return err_set(err, ERROR_INVALID,
			       "invalid aux-address %s: expected NAME=ADDRESS",
			       text);
	if (!address_parse(equals + 1, &prefix.address))
		return err_set(err, ERROR_INVALID,
			       "invalid aux-address %s: expected an address",
			       equals + 1);
	prefix.length = (unsigned int)(8 * address_size(prefix.address.family));
	config = config_of(configs, &prefix);
	if (!config)
		return err_set(err, ERROR_INVALID,
			       "no matching subnet for aux-address %s",
			       equals + 1);
	auxiliary =
		cJSON_GetObjectItemCaseSensitive(config, "AuxiliaryAddresses");
	if (!auxiliary) {
		auxiliary = json_object();
		json_set(config, "AuxiliaryAddresses", auxiliary);
	}
	name = xstrndup(text, (size_t)(equals - text));
	json_set_string(auxiliary, name, equals + 1);
	return 0;
}

/* "a,b" stands for two, as in docker. */
static char **split_list(char *const *list)
{
	char **all = NULL;

	for (size_t i = 0; list[i]; i++) {
		cleanup_strv char **parts = strv_split(list[i], ',');

		for (size_t j = 0; parts[j]; j++)
			strv_push(&all, parts[j]);
	}
	return all;
}

static int make_configs(const struct options *options, cJSON *configs,
			struct error *err)
{
	static const struct {
		const char *option;
		const char *member;
	} parts[] = {{"ip-range", "IPRange"}, {"gateway", "Gateway"}};
	cleanup_strv char **subnets =
		split_list(option_list(options, "subnet"));
	char *const *auxiliary = option_list(options, "aux-address");
	int r = 0;

	for (size_t i = 0; subnets && subnets[i]; i++) {
		cJSON *config = json_object();

		json_set_string(config, "Subnet", subnets[i]);
		json_push(configs, config);
	}
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		cleanup_strv char **values =
			split_list(option_list(options, parts[i].option));

		for (size_t j = 0; r >= 0 && values && values[j]; j++)
			r = assign(configs, parts[i].option, parts[i].member,
				   values[j], err);
	}
	for (size_t i = 0; r >= 0 && auxiliary[i]; i++)
		r = assign_auxiliary(configs, auxiliary[i], err);
	return r;
}

static int create_main(struct context *context, const struct options *options)
{
	cleanup_json cJSON *body = json_object();
	cleanup_json cJSON *json = NULL;
	cJSON *ipam = json_object();
	cJSON *configs = json_array();
	struct error err = {0};

	json_set_string(body, "Name", options->operands[0]);
	json_set_string(body, "Driver", option_string(options, "driver"));
	json_set(body, "IPAM", ipam);
	json_set_string(ipam, "Driver", option_string(options, "ipam-driver"));
	json_set(ipam, "Config", configs);
	if (option_given(options, "ipam-opt"))
		json_set(ipam, "Options",
			 option_map(option_list(options, "ipam-opt")));
	if (option_given(options, "scope"))
		json_set_string(body, "Scope", option_string(options, "scope"));
	if (option_given(options, "ipv4"))
		json_set_bool(body, "EnableIPv4", option_flag(options, "ipv4"));
	json_set_bool(body, "EnableIPv6", option_flag(options, "ipv6"));
	json_set_bool(body, "Internal", option_flag(options, "internal"));
	json_set_bool(body, "Attachable", option_flag(options, "attachable"));
	json_set(body, "Options", option_map(option_list(options, "opt")));
	json_set(body, "Labels", option_map(option_list(options, "label")));
	if (make_configs(options, configs, &err) < 0 ||
	    engine_network_create(&context->engine, body, &json, &err) < 0)
		return command_fail(context, &err);
	printf("%s\n", text_of(json, "Id"));
	return 0;
}

/* ---- ls ---- */

/* A network and whether no container mentions it. */
struct use {
	const cJSON *network;
	const cJSON *containers;
};

static bool match_name(const char *value, const void *data)
{
	return strstr(text_of(data, "Name"), value) != NULL;
}

static bool match_id(const char *value, const void *data)
{
	return str_starts(text_of(data, "Id"), value);
}

static bool match_driver(const char *value, const void *data)
{
	return str_equal(text_of(data, "Driver"), value);
}

static bool match_scope(const char *value, const void *data)
{
	return str_equal(text_of(data, "Scope"), value);
}

static bool match_label(const char *value, const void *data)
{
	return label_matches(value, member_of(data, "Labels"));
}

static bool is_built_in(const cJSON *network)
{
	const char *name = text_of(network, "Name");

	return str_equal(name, "bridge") || str_equal(name, "host") ||
	       str_equal(name, "none");
}

static bool match_type(const char *value, const void *data)
{
	return str_equal(value, is_built_in(data) ? "builtin" : "custom");
}

static bool is_used(const cJSON *containers, const char *name)
{
	const cJSON *container;

	cJSON_ArrayForEach(container, containers)
	{
		const cJSON *settings = member_of(container, "NetworkSettings");

		if (member_of(member_of(settings, "Networks"), name))
			return true;
	}
	return false;
}

static bool match_dangling(const char *value, const void *data)
{
	const struct use *use = data;
	const char *name = text_of(use->network, "Name");
	bool wanted = false;

	(void)parse_bool(value, &wanted);
	return (!is_built_in(use->network) &&
		!is_used(use->containers, name)) == wanted;
}

static bool passes(const struct filters *filters, const cJSON *network,
		   const cJSON *containers)
{
	struct use use = {network, containers};

	return filters_pass(filters, "name", match_name, network) &&
	       filters_pass(filters, "id", match_id, network) &&
	       filters_pass(filters, "driver", match_driver, network) &&
	       filters_pass(filters, "scope", match_scope, network) &&
	       filters_pass(filters, "type", match_type, network) &&
	       filters_pass_all(filters, "label", match_label, network) &&
	       filters_pass(filters, "dangling", match_dangling, &use);
}

static void set_truth(cJSON *row, const char *field, bool value)
{
	json_set_string(row, field, value ? "true" : "false");
}

/* "2026-01-02 03:04:05.678 +0000 UTC" of RFC 3339. */
static char *created_of(const cJSON *network)
{
	const char *text = text_of(network, "Created");
	const char *t = strchr(text, 'T');
	size_t length = strlen(text);

	if (!t || text[length - 1] != 'Z')
		return xstrdup(text);
	return xasprintf("%.*s %.*s +0000 UTC", (int)(t - text), text,
			 (int)(text + length - 1 - (t + 1)), t + 1);
}

cJSON *network_row(const cJSON *network, bool whole)
{
	cleanup_free char *labels = labels_text(member_of(network, "Labels"));
	cleanup_free char *created = created_of(network);
	cleanup_free char *id =
		whole ? xstrdup(text_of(network, "Id"))
		      : xstrndup(text_of(network, "Id"), SHORT_ID);
	cJSON *row = json_object();

	json_set_string(row, "CreatedAt", created);
	json_set_string(row, "Driver", text_of(network, "Driver"));
	json_set_string(row, "ID", id);
	set_truth(row, "IPv4", flag_of(network, "EnableIPv4"));
	set_truth(row, "IPv6", flag_of(network, "EnableIPv6"));
	set_truth(row, "Internal", flag_of(network, "Internal"));
	json_set_string(row, "Labels", labels);
	json_set_string(row, "Name", text_of(network, "Name"));
	json_set_string(row, "Scope", text_of(network, "Scope"));
	return row;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(text_of(*(const cJSON *const *)a, "Name"),
		      text_of(*(const cJSON *const *)b, "Name"));
}

/* Rows by name, and their labels. */
static int rows_of(struct context *context, const struct filters *filters,
		   bool whole, cJSON *rows, cJSON *labels, struct error *err)
{
	cleanup_json cJSON *list = NULL;
	cleanup_json cJSON *containers = NULL;
	cleanup_free const cJSON **networks = NULL;
	const cJSON *network;
	size_t count = 0;
	int r;

	r = filters_check(filters, filter_keys, err);
	r = r < 0 ? r : engine_network_list(&context->engine, &list, err);
	for (size_t i = 0; r >= 0 && filters->list[i]; i++)
		if (!containers && str_starts(filters->list[i], "dangling="))
			r = engine_container_list(&context->engine,
						  CONTAINER_LIST_ALL,
						  &containers, err);
	if (r < 0)
		return r;
	cJSON_ArrayForEach(network, list)
	{
		networks = xrealloc(networks, count + 1, sizeof(*networks));
		networks[count++] = network;
	}
	if (count > 1)
		qsort(networks, count, sizeof(*networks), compare_names);
	for (size_t i = 0; i < count; i++) {
		if (!passes(filters, networks[i], containers))
			continue;
		json_push(rows, network_row(networks[i], whole));
		json_push(labels,
			  cJSON_Duplicate(member_of(networks[i], "Labels"),
					  true));
	}
	return 0;
}

static int ls_main(struct context *context, const struct options *options)
{
	static const char *const shown[] = {"ID", "Name", "Driver", "Scope",
					    NULL};
	struct filters filters = {option_list(options, "filter")};
	cleanup_free char *format = docker_config_format(
		options, "networksFormat", option_flag(options, "quiet"));
	cleanup_json cJSON *rows = json_array();
	cleanup_json cJSON *labels = json_array();
	struct listing listing = {
		.columns = network_columns,
		.shown = shown,
		.format = format,
		.raw = "network_id: {{.ID}}\nname: {{.Name}}\n"
		       "driver: {{.Driver}}\nscope: {{.Scope}}\n",
		.quiet = option_flag(options, "quiet"),
		.quiet_field = "ID",
		.labels = labels,
	};
	struct error err = {0};

	if (rows_of(context, &filters, option_flag(options, "no-trunc"), rows,
		    labels, &err) < 0 ||
	    listing_print(&listing, rows, &err) < 0)
		return command_fail(context, &err);
	return 0;
}

static int rm_main(struct context *context, const struct options *options)
{
	bool force = option_flag(options, "force");
	int code = 0;

	for (size_t i = 0; options->operands[i]; i++) {
		const char *name = options->operands[i];
		struct error err = {0};

		if (engine_network_remove(&context->engine, name, &err) >= 0)
			printf("%s\n", name);
		else if (!force || err.kind != ERROR_NOT_FOUND)
			code = command_fail(context, &err);
	}
	return code;
}

static const struct option *const create_tables[] = {create_options, NULL};
static const struct option *const ls_tables[] = {ls_options, NULL};
static const struct option *const rm_tables[] = {rm_options, NULL};

const struct command command_network_create = {
	.name = "network-create",
	.usage = "[OPTIONS] NETWORK",
	.summary = "Create a network",
	.options = create_tables,
	.operands_min = 1,
	.operands_max = 1,
	.hidden = true,
	.run = create_main,
};

const struct command command_network_ls = {
	.name = "network-ls",
	.usage = "[OPTIONS]",
	.summary = "List networks",
	.aliases = "moss network ls, moss network list",
	.options = ls_tables,
	.hidden = true,
	.run = ls_main,
};

const struct command command_network_rm = {
	.name = "network-rm",
	.usage = "NETWORK [NETWORK...]",
	.summary = "Remove one or more networks",
	.aliases = "moss network rm, moss network remove",
	.options = rm_tables,
	.operands_min = 1,
	.operands_max = -1,
	.hidden = true,
	.run = rm_main,
	.completes = "network",
};
