/*
 * moss port: where a container's published ports are on the host, and how more
 * of them come and go. A container may be called "add" or "rm": docker's form
 * has two words at most, ours has more.
 */
#include "cmd/command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "cmd/commands.h"
#include "cmd/member.h"
#include "net/port.h"

#define PORT_MAX 65535

/* "0.0.0.0:8080", "[::]:8080" */
static char *address_text(const cJSON *binding)
{
	const char *ip = text_of(binding, "HostIp");
	bool v6 = strchr(ip, ':') != NULL;

	return xasprintf("%s%s%s:%s", v6 ? "[" : "", ip, v6 ? "]" : "",
			 text_of(binding, "HostPort"));
}

/* "80" and "80/TCP" to "80/tcp", a key of NetworkSettings.Ports. */
static int port_key(const char *text, char **ret_key, struct error *err)
{
	size_t length = strcspn(text, "/");
	cleanup_free char *number = xstrndup(text, length);
	cleanup_free char *protocol = NULL;
	uint64_t port;

	protocol = xstrdup(text[length] ? text + length + 1 : "tcp");
	if (parse_u64(number, &port) < 0 || port > PORT_MAX)
		return err_set(err, ERROR_INVALID,
			       "invalid port (%s): expected "
			       "PRIVATE_PORT[/PROTO]",
			       text);
	for (char *c = protocol; *c; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c | 0x20);
	*ret_key = xasprintf("%llu/%s", (unsigned long long)port, protocol);
	return 0;
}

static int compare_lines(const void *a, const void *b)
{
	return strverscmp(*(char *const *)a, *(char *const *)b);
}

/* One line a binding: with key NULL of all ports, naming each. */
static char **lines_of(const cJSON *ports, const char *key)
{
	char **lines = NULL;
	const cJSON *port, *binding;

	cJSON_ArrayForEach(port, ports)
	{
		if (key && !str_equal(port->string, key))
			continue;
		cJSON_ArrayForEach(binding, port)
		{
			char *address = address_text(binding);

			if (!key) {
				char *line = xasprintf("%s -> %s", port->string,
						       address);

				free(address);
				address = line;
			}
			strv_push_take(&lines, address);
		}
	}
	if (lines)
		qsort(lines, strv_length(lines), sizeof(char *), compare_lines);
	return lines;
}

static int list_ports(struct context *context, const char *name,
		      const char *wanted)
{
	cleanup_json cJSON *json = NULL;
	cleanup_strv char **lines = NULL;
	cleanup_free char *key = NULL;
	struct error err = {0};
	char id[ID_TEXT_MAX];

	if ((wanted && port_key(wanted, &key, &err) < 0) ||
	    engine_container_resolve(&context->engine, name, id, &err) < 0 ||
	    engine_container_inspect(&context->engine, id, &json, &err) < 0) {
		if (str_equal(name, "add") || str_equal(name, "rm"))
			err_hint(&err,
				 "to change ports: moss port %s "
				 "CONTAINER SPEC...",
				 name);
		return command_fail(context, &err);
	}
	lines = lines_of(member_of(member_of(json, "NetworkSettings"), "Ports"),
			 key);
	if (key && !lines) {
		err_set(&err, ERROR_NOT_FOUND,
			"no public port '%s' published for %s", wanted, name);
		return command_fail(context, &err);
	}
	for (size_t i = 0; lines && lines[i]; i++)
		printf("%s\n", lines[i]);
	return 0;
}

/* ---- add and rm ---- */

/* Those of -p and those without it. */
static int read_specs(const struct options *options, struct port_list *specs,
		      struct error *err)
{
	char *const *publish = option_list(options, "publish");
	char *const *more = options->operands + 2;
	int r = 0;

	for (size_t i = 0; r >= 0 && publish[i]; i++)
		r = port_parse_publish(publish[i], specs, err);
	for (size_t i = 0; r >= 0 && more[i]; i++)
		r = port_parse_publish(more[i], specs, err);
	return r;
}

static char **bound_lines(struct context *context, const char *id)
{
	cleanup_json cJSON *json = NULL;

	if (engine_container_inspect(&context->engine, id, &json, NULL) < 0)
		return NULL;
	return lines_of(member_of(member_of(json, "NetworkSettings"), "Ports"),
			NULL);
}

/* What is there now and was not before, as the kernel has chosen. */
static void print_new(char *const *before, char *const *after)
{
	for (size_t i = 0; after && after[i]; i++) {
		size_t j = 0;

		while (before && before[j] && !str_equal(before[j], after[i]))
			j++;
		if (!before || !before[j])
			printf("%s\n", after[i]);
	}
}

static int change_ports(struct context *context, const struct options *options,
			bool add)
{
	struct engine *engine = &context->engine;
	CLEANUP(port_list_release) struct port_list specs = {0};
	cleanup_strv char **before = NULL;
	cleanup_strv char **after = NULL;
	struct error err = {0};
	char id[ID_TEXT_MAX];

	if (read_specs(options, &specs, &err) < 0 ||
	    engine_container_resolve(engine, options->operands[1], id, &err) <
		    0)
		return command_fail(context, &err);
	if (!add)
		return engine_container_ports_remove(engine, id, &specs, &err) <
				       0
			       ? command_fail(context, &err)
			       : 0;
	before = bound_lines(context, id);
	if (engine_container_ports_add(engine, id, &specs, &err) < 0)
		return command_fail(context, &err);
	after = bound_lines(context, id);
	print_new(before, after);
	return 0;
}

static int port_main(struct context *context, const struct options *options)
{
	char **operands = options->operands;
	bool add = str_equal(operands[0], "add");
	bool given = option_given(options, "publish");
	size_t count = strv_length(operands);
	struct error err = {0};

	if ((add || str_equal(operands[0], "rm")) &&
	    (count > 2 || (add && count == 2 && given)))
		return change_ports(context, options, add);
	if (count <= 2 && !given)
		return list_ports(context, operands[0], operands[1]);
	err_set(&err, ERROR_INVALID,
		"expected CONTAINER [PRIVATE_PORT[/PROTO]], add CONTAINER "
		"SPEC... or rm CONTAINER SPEC...");
	return command_fail(context, &err);
}

/* clang-format off */
static const struct option port_options[] = {
	{'p', "publish", OPTION_LIST, NULL, NULL, "Publish a container's port(s) to the host, with add", false},
	{0},
};
/* clang-format on */
static const struct option *const port_tables[] = {port_options, NULL};

const struct command command_port = {
	.name = "port",
	.usage = "CONTAINER [PRIVATE_PORT[/PROTO]]\n"
		 "\tmoss port add CONTAINER SPEC...\n"
		 "\tmoss port rm CONTAINER SPEC...",
	.summary =
		"List port mappings or a specific mapping for the container, "
		"add and remove them",
	.aliases = "moss container port, moss port",
	.operands_min = 1,
	.operands_max = -1,
	.options = port_tables,
	.run = port_main,
	.group = "Commands",
	.completes = "container-running",
};
