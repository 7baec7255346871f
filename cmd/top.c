/* moss top: what runs in a container, in the words of the host's ps. */
#include "cmd/command.h"

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "cmd/commands.h"
#include "cmd/member.h"

#define COLUMN_MIN 20 /* docker's */

static void add_row(struct table *table, const cJSON *fields)
{
	char **row = NULL;
	const cJSON *field;

	cJSON_ArrayForEach(field, fields)
	{
		strv_push(&row, cJSON_GetStringValue(field));
	}
	if (row)
		table_add(table, row);
}

static int top_main(struct context *context, const struct options *options)
{
	cleanup_free char *ps_options = strv_join(options->operands + 1, " ");
	cleanup_json cJSON *json = NULL;
	struct table table = {.column_min = COLUMN_MIN};
	struct error err = {0};
	const cJSON *process;

	if (engine_container_top(&context->engine, options->operands[0],
				 ps_options, &json, &err) < 0)
		return command_fail(context, &err);
	add_row(&table, member_of(json, "Titles"));
	cJSON_ArrayForEach(process, member_of(json, "Processes"))
	{
		add_row(&table, process);
	}
	table_print(&table);
	table_release(&table);
	return 0;
}

const struct command command_top = {
	.name = "top",
	.usage = "CONTAINER [ps OPTIONS]",
	.summary = "Display the running processes of a container",
	.aliases = "moss container top, moss top",
	.operands_min = 1,
	.operands_max = -1,
	.stop_at_operand = true,
	.run = top_main,
	.group = "Commands",
	.completes = "container-running",
};
