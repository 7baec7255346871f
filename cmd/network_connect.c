/*
 * moss network connect and disconnect.
 */
#include "cmd/command.h"

#include <stdio.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "cmd/commands.h"
#include "cmd/network_option.h"

/* clang-format off */
static const struct option connect_options[] = {
	{0, "alias", OPTION_LIST, "strings", NULL, "Add network-scoped alias for the container", false},
	/* Refused, with a reason. */
	{0, "driver-opt", OPTION_LIST, "strings", NULL, "Driver options for the network", true},
	{0, "gw-priority", OPTION_INT, NULL, NULL, "Highest gw-priority provides the default gateway. Accepts positive and negative values.", false},
	{0, "ip", OPTION_STRING, NULL, NULL, "IPv4 address (e.g., \"172.30.100.104\")", false},
	{0, "ip6", OPTION_STRING, NULL, NULL, "IPv6 address (e.g., \"2001:db8::33\")", false},
	{0, "link", OPTION_LIST, NULL, NULL, "Add link to another container", true},
	{0, "link-local-ip", OPTION_LIST, "strings", NULL, "Add a link-local address for the container", true},
	{0},
};
static const struct option disconnect_options[] = {
	{'f', "force", OPTION_FLAG, NULL, NULL, "Force the container to disconnect from a network", false},
	{0},
};
/* clang-format on */

static int add_list(const struct options *options, const char *option,
		    const char *key, cJSON *settings, struct error *err)
{
	char *const *list = option_list(options, option);
	int r = 0;

	for (size_t i = 0; r >= 0 && list[i]; i++) {
		cleanup_strv char **parts = strv_split(list[i], ',');

		for (size_t j = 0; r >= 0 && parts[j]; j++)
			r = network_setting_add(settings, key, parts[j], err);
	}
	return r;
}

static int settings_of(const struct options *options, cJSON *settings,
		       struct error *err)
{
	static const char *const scalars[] = {"ip", "ip6"};
	int r = 0;

	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(scalars); i++) {
		const char *value = option_string(options, scalars[i]);

		if (!str_empty(value))
			r = network_setting_add(settings, scalars[i], value,
						err);
	}
	if (option_given(options, "gw-priority"))
		json_set_i64(settings, "GwPriority",
			     option_number(options, "gw-priority"));
	if (option_list(options, "link")[0])
		return err_set(err, ERROR_UNSUPPORTED,
			       "--link is not supported: containers on a "
			       "network know each other by name");
	r = r < 0 ? r : add_list(options, "alias", "alias", settings, err);
	r = r < 0 ? r
		  : add_list(options, "link-local-ip", "link-local-ip",
			     settings, err);
	return r < 0 ? r
		     : add_list(options, "driver-opt", "driver-opt", settings,
				err);
}

static int connect_main(struct context *context, const struct options *options)
{
	cleanup_json cJSON *settings = json_object();
	struct error err = {0};

	if (settings_of(options, settings, &err) < 0 ||
	    engine_network_connect(&context->engine, options->operands[0],
				   options->operands[1], settings, &err) < 0)
		return command_fail(context, &err);
	return 0;
}

static int disconnect_main(struct context *context,
			   const struct options *options)
{
	struct error err = {0};

	if (engine_network_disconnect(&context->engine, options->operands[0],
				      options->operands[1],
				      option_flag(options, "force"), &err) < 0)
		return command_fail(context, &err);
	return 0;
}

static const struct option *const connect_tables[] = {connect_options, NULL};
static const struct option *const disconnect_tables[] = {disconnect_options,
							 NULL};

const struct command command_network_connect = {
	.name = "network-connect",
	.usage = "[OPTIONS] NETWORK CONTAINER",
	.summary = "Connect a container to a network",
	.options = connect_tables,
	.operands_min = 2,
	.operands_max = 2,
	.hidden = true,
	.run = connect_main,
	.completes = "network",
};

const struct command command_network_disconnect = {
	.name = "network-disconnect",
	.usage = "[OPTIONS] NETWORK CONTAINER",
	.summary = "Disconnect a container from a network",
	.options = disconnect_tables,
	.operands_min = 2,
	.operands_max = 2,
	.hidden = true,
	.run = disconnect_main,
	.completes = "network",
};
