/* moss history: the steps that made an image, newest first. */
#include "cmd/command.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "cmd/commands.h"
#include "cmd/listing.h"
#include "cmd/member.h"
#include "cmd/text.h"
#include "storage/store/digest.h"

#define STEP_WIDTH 45 /* columns of CREATED BY, as docker's */

/* clang-format off */
static const struct option history_options[] = {
	{0, "format", OPTION_STRING, NULL, NULL, LISTING_FORMAT_HELP, false},
	{'H', "human", OPTION_FLAG, NULL, "true", "Print sizes and dates in human readable format", false},
	{0, "no-trunc", OPTION_FLAG, NULL, NULL, "Don't truncate output", false},
	{0, "platform", OPTION_STRING, NULL, NULL, "Show history for the given platform. Formatted as \"os[/arch[/variant]]\" (e.g., \"linux/amd64\")", false},
	{'q', "quiet", OPTION_FLAG, NULL, NULL, "Only show image IDs", false},
	{0},
};
/* clang-format on */

static const struct listing_column columns[] = {
	{"ID", "IMAGE"},
	{"CreatedAt", "CREATED AT"},
	{"CreatedSince", "CREATED"},
	{"CreatedBy", "CREATED BY"},
	{"Size", "SIZE"},
	{"Comment", "COMMENT"},
	{0},
};

struct style {
	bool whole;
	bool human;
};

/* "2026-01-02T03:04:05+01:00", local time. */
static char *local_time(int64_t epoch)
{
	time_t seconds = (time_t)epoch;
	char text[64];
	struct tm tm;
	size_t length;

	localtime_r(&seconds, &tm);
	length = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S%z", &tm);
	if (str_ends(text, "+0000"))
		return xasprintf("%.*sZ", (int)length - 5, text);
	return xasprintf("%.*s:%s", (int)length - 2, text, text + length - 2);
}

static char *since_text(int64_t created)
{
	cleanup_free char *ago = format_ago((int64_t)time(NULL) - created);

	return xasprintf("%s ago", ago);
}

/* On one line, as docker's. */
static char *step_text(const char *text, bool whole)
{
	cleanup_free char *line = xstrdup(text);

	for (char *c = line; *c; c++)
		if (*c == '\t')
			*c = ' ';
	return whole ? steal_ptr(&line) : text_cut(line, STEP_WIDTH);
}

static cJSON *row_of(const cJSON *step, const struct style *style)
{
	const char *id = text_of(step, "Id");
	int64_t created = number_of(step, "Created");
	int64_t bytes = number_of(step, "Size");
	cleanup_free char *by =
		step_text(text_of(step, "CreatedBy"), style->whole);
	cleanup_free char *at =
		created > 0 ? local_time(created) : xstrdup("N/A");
	cleanup_free char *since =
		created > 0 && style->human ? since_text(created) : xstrdup(at);
	cleanup_free char *size = style->human
					  ? format_bytes_short((uint64_t)bytes)
					  : xasprintf("%lld", (long long)bytes);
	char short_id[DIGEST_SHORT_MAX];
	cJSON *row = json_object();

	digest_short(short_id, id);
	json_set_string(row, "Comment", text_of(step, "Comment"));
	json_set_string(row, "CreatedAt", at);
	json_set_string(row, "CreatedBy", by);
	json_set_string(row, "CreatedSince", since);
	json_set_string(row, "ID", style->whole ? id : short_id);
	json_set_string(row, "Size", size);
	return row;
}

static int print_history(struct context *context, const struct options *options,
			 struct error *err)
{
	static const char *const shown[] = {"ID",   "CreatedSince", "CreatedBy",
					    "Size", "Comment",	    NULL};
	const char *name = options->operands[0];
	const char *platform = option_string(options, "platform");
	const struct style style = {
		.whole = option_flag(options, "no-trunc"),
		.human = option_flag(options, "human"),
	};
	struct listing listing = {
		.columns = columns,
		.shown = shown,
		.format = option_string(options, "format"),
		.quiet = option_flag(options, "quiet"),
		.quiet_field = "ID",
	};
	cleanup_json cJSON *history = NULL;
	cleanup_json cJSON *rows = json_array();
	const cJSON *step;
	int r = 0;

	if (platform)
		r = engine_image_check_platform(&context->engine, name,
						platform, err);
	r = r < 0 ? r
		  : engine_image_history(&context->engine, name, &history, err);
	if (r < 0)
		return r;
	cJSON_ArrayForEach(step, history)
	{
		json_push(rows, row_of(step, &style));
	}
	return listing_print(&listing, rows, err);
}

static int history_main(struct context *context, const struct options *options)
{
	struct error err = {0};

	if (print_history(context, options, &err) < 0)
		return command_fail(context, &err);
	return 0;
}

static const struct option *const tables[] = {history_options, NULL};

const struct command command_history = {
	.name = "history",
	.usage = "[OPTIONS] IMAGE",
	.summary = "Show the history of an image",
	.aliases = "moss image history, moss history",
	.options = tables,
	.operands_min = 1,
	.operands_max = 1,
	.run = history_main,
	.group = "Commands",
	.completes = "image",
};
