/* moss update: what can be changed of containers that are there. */
#include "cmd/command.h"

#include <stdio.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "cmd/commands.h"
#include "cmd/container_options.h"
#include "cmd/limit_options.h"

/* clang-format off */
static const struct option update_options[] = {
	{0, "restart", OPTION_STRING, NULL, NULL, "Restart policy to apply when a container exits", false},
	{0},
};
/* clang-format on */

static int add_members(const struct options *options, cJSON *body,
		       struct error *err)
{
	int r = limit_options_add(options, body, err);

	if (r >= 0 && option_given(options, "restart"))
		r = restart_option_add(option_string(options, "restart"), body,
				       err);
	if (r >= 0 && !body->child)
		return err_set(err, ERROR_INVALID,
			       "You must provide one or more flags when using "
			       "this command.");
	return r;
}

static int update_main(struct context *context, const struct options *options)
{
	cleanup_json cJSON *body = json_object();
	struct error err = {0};
	int code = 0;

	if (add_members(options, body, &err) < 0)
		return command_fail(context, &err);
	for (size_t i = 0; options->operands[i]; i++) {
		const char *name = options->operands[i];

		err_clear(&err);
		if (engine_container_update(&context->engine, name, body,
					    &err) < 0)
			code |= command_fail(context, &err);
		else
			printf("%s\n", name);
	}
	return code ? 1 : 0;
}

static const struct option *const update_tables[] = {
	update_options, limit_update_options, NULL};

const struct command command_update = {
	.name = "update",
	.usage = "[OPTIONS] CONTAINER [CONTAINER...]",
	.summary = "Update configuration of one or more containers",
	.aliases = "moss container update, moss update",
	.options = update_tables,
	.operands_min = 1,
	.operands_max = -1,
	.run = update_main,
	.group = "Commands",
	.completes = "container",
};
