/* moss diff: what a container has changed in its root file system. */
#include "cmd/command.h"

#include <stdio.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "cmd/commands.h"
#include "cmd/member.h"
#include "cmd/text.h"

static int diff_main(struct context *context, const struct options *options)
{
	static const char kinds[] = "CAD";
	cleanup_json cJSON *changes = NULL;
	struct error err = {0};
	const cJSON *change;

	if (engine_container_changes(&context->engine, options->operands[0],
				     &changes, &err) < 0)
		return command_fail(context, &err);
	cJSON_ArrayForEach(change, changes)
	{
		/* A name of a hostile program's may hold anything. */
		cleanup_free char *path =
			text_printable(text_of(change, "Path"), true);

		printf("%c %s\n", kinds[number_of(change, "Kind") % 3], path);
	}
	return 0;
}

const struct command command_diff = {
	.name = "diff",
	.usage = "CONTAINER",
	.summary = "Inspect changes to files or directories on a container's "
		   "filesystem",
	.aliases = "moss container diff, moss diff",
	.operands_min = 1,
	.operands_max = 1,
	.run = diff_main,
	.group = "Commands",
	.completes = "container",
};
