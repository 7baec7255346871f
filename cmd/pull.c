/* moss pull and push. */
#include "cmd/command.h"

#include <stdio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cmd/commands.h"
#include "cmd/pulling.h"
#include "storage/store/reference.h"

/* clang-format off */
static const struct option pull_options[] = {
	{'a', "all-tags", OPTION_FLAG, NULL, NULL, "Download all tagged images in the repository", false},
	{0, "disable-content-trust", OPTION_FLAG, NULL, "true", "Skip image verification", false},
	{0, "platform", OPTION_STRING, NULL, NULL, "Set platform if server is multi-platform capable", false},
	{'q', "quiet", OPTION_FLAG, NULL, NULL, "Suppress verbose output", false},
	{0},
};
static const struct option push_options[] = {
	{'a', "all-tags", OPTION_FLAG, NULL, NULL, "Push all tags of an image to the repository", false},
	{0, "disable-content-trust", OPTION_FLAG, NULL, "true", "Skip image signing", false},
	{0, "platform", OPTION_STRING, NULL, NULL, "Push a platform-specific manifest as a single-platform image to the registry", false},
	{'q', "quiet", OPTION_FLAG, NULL, NULL, "Suppress verbose output", false},
	{0},
};
/* clang-format on */

/*
 * The operand's reference, with the notes that docker gives on the way;
 * *ret_name: what is printed at the end.
 */
static int read_name(const struct options *options, char **ret_name,
		     struct error *err)
{
	const char *text = options->operands[0];
	bool all_tags = option_flag(options, "all-tags");
	struct reference reference;
	int r;

	r = content_trust_check(options, err);
	r = r < 0 ? r : reference_parse(text, &reference, err);
	if (r < 0)
		return r;
	if (all_tags && !reference_is_name_only(text))
		return err_set(err, ERROR_INVALID,
			       "tag can't be used with --all-tags/-a");
	if (all_tags) {
		*ret_name = xasprintf("%s/%s", reference.registry,
				      reference.repository);
		return 0;
	}
	if (reference_is_name_only(text) && !option_flag(options, "quiet")) {
		printf("Using default tag: latest\n");
		fflush(stdout);
	}
	*ret_name = reference_full(&reference);
	return 0;
}

static int pull_main(struct context *context, const struct options *options)
{
	const struct pulling pulling = {
		.name = options->operands[0],
		.platform = option_platform(options),
		.all_tags = option_flag(options, "all-tags"),
		.quiet = option_flag(options, "quiet"),
		.fd = STDOUT_FILENO,
	};
	cleanup_free char *name = NULL;
	struct error err = {0};
	int r;

	r = read_name(options, &name, &err);
	r = r < 0 ? r : pulling_run(context, &pulling, &err);
	if (r < 0)
		return command_fail(context, &err);
	printf("%s\n", name);
	return 0;
}

static int push_main(struct context *context, const struct options *options)
{
	const struct pulling pushing = {
		.name = options->operands[0],
		.platform = option_string(options, "platform"),
		.all_tags = option_flag(options, "all-tags"),
		.quiet = option_flag(options, "quiet"),
		.fd = STDOUT_FILENO,
	};
	cleanup_free char *name = NULL;
	struct error err = {0};
	int r;

	r = read_name(options, &name, &err);
	r = r < 0 ? r : pushing_run(context, &pushing, &err);
	if (r < 0)
		return command_fail(context, &err);
	if (option_flag(options, "quiet"))
		printf("%s\n", name);
	return 0;
}

static const struct option *const pull_tables[] = {pull_options, NULL};
static const struct option *const push_tables[] = {push_options, NULL};

const struct command command_pull = {
	.name = "pull",
	.usage = "[OPTIONS] NAME[:TAG|@DIGEST]",
	.summary = "Download an image from a registry",
	.aliases = "moss image pull, moss pull",
	.options = pull_tables,
	.operands_min = 1,
	.operands_max = 1,
	.credentials = CREDENTIALS_READ,
	.run = pull_main,
	.group = "Common Commands",
	.completes = "image",
};

const struct command command_push = {
	.name = "push",
	.usage = "[OPTIONS] NAME[:TAG]",
	.summary = "Upload an image to a registry",
	.aliases = "moss image push, moss push",
	.options = push_tables,
	.operands_min = 1,
	.operands_max = 1,
	.credentials = CREDENTIALS_READ,
	.run = push_main,
	.group = "Common Commands",
	.completes = "image",
};
