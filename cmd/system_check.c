/*
 * moss system check: a line for each finding, then what was looked at. Findings
 * go to standard output, being what was asked for.
 */
#include "cmd/command.h"

#include <stdio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "cmd/commands.h"
#include "cmd/member.h"
#include "cmd/progress.h"
#include "cmd/text.h"

/* clang-format off */
static const struct option check_options[] = {
	{'f', "force", OPTION_FLAG, NULL, NULL, "With --repair: drop images that cannot be mended although containers use them", false},
	{0, "quick", OPTION_FLAG, NULL, NULL, "Leave out the unpacked layers", false},
	{'q', "quiet", OPTION_FLAG, NULL, NULL, "Only display what is wrong", false},
	{0, "repair", OPTION_FLAG, NULL, NULL, "Mend what can be mended, drop what cannot, remove leftovers", false},
	{0},
};
/* clang-format on */

/* Names in findings are an image's choice. */
static void print_line(const char *line)
{
	cleanup_free char *plain = text_printable(line, true);

	puts(plain);
}

/* Returns how many were not mended. */
static unsigned int print_findings(const cJSON *findings)
{
	unsigned int left = 0;
	const cJSON *finding;

	cJSON_ArrayForEach(finding, findings)
	{
		bool mended = flag_of(finding, "mended");
		cleanup_free char *line =
			xasprintf("%s: %s; %s", text_of(finding, "subject"),
				  text_of(finding, "problem"),
				  text_of(finding, "advice"));

		print_line(line);
		left += !mended;
	}
	return left;
}

static void print_leftovers(const cJSON *leftovers)
{
	cleanup_free char *size =
		format_bytes((uint64_t)number_of(leftovers, "bytes"));
	int64_t count = number_of(leftovers, "count");

	if (count == 0)
		return;
	printf("%lld leftover%s of %s%s\n", (long long)count,
	       count == 1 ? "" : "s", size,
	       flag_of(leftovers, "removed")
		       ? " removed"
		       : "; moss image prune removes them");
}

static void print_summary(const cJSON *result, unsigned int left)
{
	const cJSON *findings = member_of(result, "findings");
	int found = cJSON_GetArraySize(findings);

	printf("%lld images, %lld layers and %lld blobs checked: ",
	       (long long)number_of(result, "images"),
	       (long long)number_of(result, "layers"),
	       (long long)number_of(result, "blobs"));
	if (found == 0)
		puts("nothing is wrong");
	else
		printf("%d findings, %d mended\n", found, found - (int)left);
}

static int check_main(struct context *context, const struct options *options)
{
	const bool quiet = option_flag(options, "quiet");
	struct engine_check check = {
		.repair = option_flag(options, "repair"),
		.quick = option_flag(options, "quick"),
		.force = option_flag(options, "force"),
	};
	/* Into a pipe, its lines would be mistaken for findings. */
	const struct progress_options shown = {
		.fd = STDERR_FILENO,
		.quiet = quiet || !isatty(STDERR_FILENO),
	};
	cleanup_json cJSON *result = NULL;
	struct progress progress;
	struct error err = {0};
	unsigned int left;
	int r;

	if (check.force && !check.repair) {
		err_set(&err, ERROR_INVALID, "--force is for --repair only");
		return command_fail(context, &err);
	}
	progress_open(&shown, &progress);
	check.progress_fd = progress.fd;
	r = engine_system_check(&context->engine, &check, &result, &err);
	r = progress_close(&progress, r, &err);
	if (r < 0)
		return command_fail(context, &err);
	left = print_findings(member_of(result, "findings"));
	if (!quiet) {
		print_leftovers(member_of(result, "leftovers"));
		print_summary(result, left);
	}
	return left > 0;
}

static const struct option *const tables[] = {check_options, NULL};

const struct command command_system_check = {
	.name = "system-check",
	.usage = "[OPTIONS]",
	.summary = "Check that images and layers are what they should be",
	.aliases = "moss system check",
	.options = tables,
	.run = check_main,
};
