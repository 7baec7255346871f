/* moss commit: a container becomes an image. */
#include "cmd/command.h"

#include <stdio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "cmd/commands.h"
#include "cmd/progress.h"

/* clang-format off */
static const struct option commit_options[] = {
	{'a', "author", OPTION_STRING, NULL, NULL, "Author (e.g., \"John Hannibal Smith <hannibal@a-team.com>\")", false},
	{'c', "change", OPTION_LIST, NULL, NULL, "Apply Dockerfile instruction to the created image", false},
	{'m', "message", OPTION_STRING, NULL, NULL, "Commit message", false},
	{'p', "pause", OPTION_FLAG, NULL, "true", "Pause container during commit", false},
	{0},
};
/* clang-format on */

static int commit_main(struct context *context, const struct options *options)
{
	const struct progress_options shown = {.fd = STDERR_FILENO,
					       .quiet = true};
	struct commit_options request = {
		.reference = options->operands[1],
		.author = option_string(options, "author"),
		.message = option_string(options, "message"),
		.changes = option_list(options, "change"),
		.pause = option_flag(options, "pause"),
	};
	struct progress progress;
	cleanup_free char *id = NULL;
	struct error err = {0};
	int r;

	progress_open(&shown, &progress);
	request.progress_fd = progress.fd;
	r = engine_container_commit(&context->engine, options->operands[0],
				    &request, &id, &err);
	r = progress_close(&progress, r, &err);
	if (r < 0)
		return command_fail(context, &err);
	printf("%s\n", id);
	return 0;
}

static const struct option *const tables[] = {commit_options, NULL};

const struct command command_commit = {
	.name = "commit",
	.usage = "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
	.summary = "Create a new image from a container's changes",
	.aliases = "moss container commit, moss commit",
	.options = tables,
	.operands_min = 1,
	.operands_max = 2,
	.run = commit_main,
	.group = "Commands",
	.completes = "container",
};
