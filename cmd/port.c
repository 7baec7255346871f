/* moss port: where a container's published ports are on the host. */
#include "cmd/command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "cmd/commands.h"
#include "cmd/member.h"

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

static int port_main(struct context *context, const struct options *options)
{
	const char *name = options->operands[0];
	const char *wanted = options->operands[1];
	cleanup_json cJSON *json = NULL;
	cleanup_strv char **lines = NULL;
	cleanup_free char *key = NULL;
	struct error err = {0};
	char id[ID_TEXT_MAX];

	if ((wanted && port_key(wanted, &key, &err) < 0) ||
	    engine_container_resolve(&context->engine, name, id, &err) < 0 ||
	    engine_container_inspect(&context->engine, id, &json, &err) < 0)
		return command_fail(context, &err);
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

const struct command command_port = {
	.name = "port",
	.usage = "CONTAINER [PRIVATE_PORT[/PROTO]]",
	.summary = "List port mappings or a specific mapping for the container",
	.aliases = "moss container port, moss port",
	.operands_min = 1,
	.operands_max = 2,
	.run = port_main,
	.group = "Commands",
	.completes = "container-running",
};
