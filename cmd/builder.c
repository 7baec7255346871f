/*
 * moss builder du: what the build cache takes, a row a result, and in sum. Rows
 * of it are in `system df -v`, too.
 */
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
#include "cmd/rows.h"
#include "cmd/text.h"

#define SHORT_ID 12

/* clang-format off */
static const struct option du_options[] = {
	{0, "filter", OPTION_LIST, "filter", NULL, "Provide filter values (e.g. \"type=regular\")", false},
	{0, "format", OPTION_STRING, NULL, NULL, LISTING_FORMAT_HELP, false},
	{0, "verbose", OPTION_FLAG, NULL, NULL, "Provide a more verbose output", false},
	{0},
};
/* clang-format on */

static const char *const filter_keys[] = {
	"description", "id", "inuse", "private", "shared", "type", NULL};

const struct listing_column build_cache_columns[] = {
	{"ID", "CACHE ID"},
	{"CacheType", "CACHE TYPE"},
	{"Size", "SIZE"},
	{"CreatedAt", "CREATED AT"},
	{"CreatedSince", "CREATED"},
	{"LastUsedAt", "LAST USED AT"},
	{"LastUsedSince", "LAST USED"},
	{"UsageCount", "USAGE"},
	{"InUse", "IN USE"},
	{"Shared", "SHARED"},
	{"Description", "DESCRIPTION"},
	{0},
};

/* "2 hours ago"; "" for what is no time. */
static char *since_text(const char *time_text)
{
	cleanup_free char *ago = NULL;
	struct timespec then;

	if (parse_time(time_text, &then) < 0)
		return xstrdup("");
	ago = format_ago((int64_t)time(NULL) - then.tv_sec);
	return xasprintf("%s ago", ago);
}

static void set_truth(cJSON *row, const char *field, bool truth)
{
	json_set_string(row, field, truth ? "true" : "false");
}

cJSON *build_cache_row(const cJSON *record, bool whole)
{
	const char *id = text_of(record, "ID");
	const char *created = text_of(record, "CreatedAt");
	const char *used = text_of(record, "LastUsedAt");
	cleanup_free char *shown =
		xasprintf("%.*s%s", whole ? (int)strlen(id) : SHORT_ID, id,
			  flag_of(record, "InUse") ? "*" : "");
	cleanup_free char *size =
		format_bytes_short((uint64_t)number_of(record, "Size"));
	cleanup_free char *created_since = since_text(created);
	cleanup_free char *used_since = since_text(used);
	cleanup_free char *uses =
		xasprintf("%lld", (long long)number_of(record, "UsageCount"));
	cJSON *row = json_object();

	json_set_string(row, "CacheType", text_of(record, "Type"));
	json_set_string(row, "CreatedAt", created);
	json_set_string(row, "CreatedSince", created_since);
	json_set_string(row, "Description", text_of(record, "Description"));
	json_set_string(row, "ID", shown);
	set_truth(row, "InUse", flag_of(record, "InUse"));
	json_set_string(row, "LastUsedAt", used);
	json_set_string(row, "LastUsedSince", used_since);
	set_truth(row, "Shared", flag_of(record, "Shared"));
	json_set_string(row, "Size", size);
	json_set_string(row, "UsageCount", uses);
	return row;
}

/* ---- du ---- */

static const struct listing_column du_columns[] = {
	{"ID", "ID"},
	{"Reclaimable", "RECLAIMABLE"},
	{"Size", "SIZE"},
	{"LastUsedSince", "LAST ACCESSED"},
	{"CacheType", "TYPE"},
	{"CreatedAt", "CREATED AT"},
	{"CreatedSince", "CREATED"},
	{"Description", "DESCRIPTION"},
	{"InUse", "IN USE"},
	{"LastUsedAt", "LAST ACCESSED AT"},
	{"Shared", "SHARED"},
	{"UsageCount", "USAGE"},
	{0},
};
static const char *const du_shown[] = {"ID", "Reclaimable", "Size",
				       "LastUsedSince", NULL};

/* In docker's table a size with a star is shared. */
static cJSON *du_row(const cJSON *record, bool star)
{
	cJSON *row = build_cache_row(record, true);
	cleanup_free char *size =
		format_bytes((uint64_t)number_of(record, "Size"));
	cleanup_free char *starred = xasprintf(
		"%s%s", size, star && flag_of(record, "Shared") ? "*" : "");

	json_set_string(row, "ID", text_of(record, "ID"));
	json_set_string(row, "Size", starred);
	set_truth(row, "Reclaimable", !flag_of(record, "InUse"));
	return row;
}

/* A line a member, as `docker buildx du --verbose`. */
static void print_verbose(const cJSON *row)
{
	static const char *const lines[][2] = {
		{"ID", "ID"},
		{"Created at", "CreatedAt"},
		{"Reclaimable", "Reclaimable"},
		{"Shared", "Shared"},
		{"Size", "Size"},
		{"Description", "Description"},
		{"Usage count", "UsageCount"},
		{"Last used", "LastUsedSince"},
		{"Type", "CacheType"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(lines); i++) {
		cleanup_free char *label = xasprintf("%s:", lines[i][0]);
		/* A Dockerfile's words. */
		cleanup_free char *value =
			text_printable(text_of(row, lines[i][1]), true);

		printf("%-15s %s\n", label, value);
	}
	putchar('\n');
}

static void print_sum(const char *label, int64_t bytes)
{
	cleanup_free char *size = format_bytes((uint64_t)bytes);

	printf("%-15s %s\n", label, size);
}

static void print_sums(const cJSON *records)
{
	int64_t total = 0;
	int64_t shared = 0;
	int64_t free_bytes = 0;
	const cJSON *record;

	cJSON_ArrayForEach(record, records)
	{
		int64_t size = number_of(record, "Size");

		total += size;
		if (flag_of(record, "Shared"))
			shared += size;
		if (!flag_of(record, "InUse"))
			free_bytes += size;
	}
	if (shared > 0) {
		print_sum("Shared:", shared);
		print_sum("Private:", total - shared);
	}
	print_sum("Reclaimable:", free_bytes);
	print_sum("Total:", total);
}

static int print_du(const cJSON *records, const struct options *options,
		    struct error *err)
{
	const char *format = option_string(options, "format");
	const bool verbose = option_flag(options, "verbose");
	cleanup_json cJSON *rows = json_array();
	struct listing listing = {
		.columns = du_columns,
		.shown = du_shown,
		.format = format,
	};
	const cJSON *record;

	cJSON_ArrayForEach(record, records)
	{
		json_push(rows, du_row(record, str_empty(format) && !verbose));
	}
	if (!verbose || !str_empty(format)) {
		int r = listing_print(&listing, rows, err);

		if (r < 0)
			return r;
	} else {
		cJSON_ArrayForEach(record, rows)
		{
			print_verbose(record);
		}
	}
	/* A sum of some would be taken for all. */
	if (str_empty(format) && !option_list(options, "filter")[0])
		print_sums(records);
	return 0;
}

static int du_main(struct context *context, const struct options *options)
{
	const struct filters filters = {option_list(options, "filter")};
	cleanup_json cJSON *wanted = NULL;
	cleanup_json cJSON *records = NULL;
	struct error err = {0};
	int r = filters_check(&filters, filter_keys, &err);

	if (r >= 0) {
		wanted = filters_json(&filters);
		r = engine_build_cache_list(&context->engine, wanted, &records,
					    &err);
	}
	if (r >= 0)
		r = print_du(records, options, &err);
	return r < 0 ? command_fail(context, &err) : 0;
}

static const struct option *const tables[] = {du_options, NULL};

const struct command command_builder_du = {
	.name = "builder-du",
	.usage = "[OPTIONS]",
	.summary = "Show what the build cache takes",
	.options = tables,
	.hidden = true,
	.run = du_main,
};
