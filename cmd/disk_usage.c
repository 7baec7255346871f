/* moss system df: what everything takes on disk, and what prune would free. */
#include "cmd/command.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "cmd/commands.h"
#include "cmd/format.h"
#include "cmd/listing.h"
#include "cmd/member.h"
#include "cmd/rows.h"

/* clang-format off */
static const struct option df_options[] = {
	{0, "format", OPTION_STRING, NULL, NULL, LISTING_FORMAT_HELP, false},
	{'v', "verbose", OPTION_FLAG, NULL, NULL, "Show detailed information on space usage", false},
	{0},
};
/* clang-format on */

static const struct listing_column summary_columns[] = {
	{"Type", "TYPE"}, {"TotalCount", "TOTAL"},	  {"Active", "ACTIVE"},
	{"Size", "SIZE"}, {"Reclaimable", "RECLAIMABLE"}, {0},
};
/* ---- a row a kind ---- */

struct total {
	int64_t count;
	int64_t active;
	int64_t bytes;
	int64_t reclaimable;
};

static cJSON *total_row(const char *type, const struct total *total,
			bool percentage)
{
	cleanup_free char *count = xasprintf("%lld", (long long)total->count);
	cleanup_free char *active = xasprintf("%lld", (long long)total->active);
	cleanup_free char *size = format_bytes((uint64_t)total->bytes);
	cleanup_free char *free_size =
		format_bytes((uint64_t)total->reclaimable);
	cleanup_free char *share = NULL;
	cJSON *row = json_object();

	if (percentage && total->bytes > 0)
		share = xasprintf(
			"%s (%lld%%)", free_size,
			(long long)(total->reclaimable * 100 / total->bytes));
	json_set_string(row, "Active", active);
	json_set_string(row, "Reclaimable", share ? share : free_size);
	json_set_string(row, "Size", size);
	json_set_string(row, "TotalCount", count);
	json_set_string(row, "Type", type);
	return row;
}

static struct total total_images(const cJSON *usage)
{
	struct total total = {
		.bytes = number_of(usage, "LayersSize"),
		.reclaimable =
			number_of(member_of(usage, "Moss"), "Reclaimable"),
	};
	const cJSON *image;

	cJSON_ArrayForEach(image, member_of(usage, "Images"))
	{
		total.count++;
		total.active += number_of(image, "Containers") > 0;
	}
	return total;
}

static bool is_active(const cJSON *container)
{
	const char *state = text_of(container, "State");

	return str_equal(state, "running") || str_equal(state, "paused") ||
	       str_equal(state, "restarting");
}

static struct total total_containers(const cJSON *usage)
{
	struct total total = {0};
	const cJSON *container;

	cJSON_ArrayForEach(container, member_of(usage, "Containers"))
	{
		int64_t bytes = number_of(container, "SizeRw");
		bool active = is_active(container);

		total.count++;
		total.active += active;
		total.bytes += bytes;
		total.reclaimable += active ? 0 : bytes;
	}
	return total;
}

static struct total total_volumes(const cJSON *usage)
{
	struct total total = {0};
	const cJSON *volume;

	cJSON_ArrayForEach(volume, member_of(usage, "Volumes"))
	{
		const cJSON *data = member_of(volume, "UsageData");
		int64_t bytes = number_of(data, "Size");
		bool active = number_of(data, "RefCount") > 0;

		total.count++;
		total.active += active;
		total.bytes += bytes;
		total.reclaimable += active ? 0 : bytes;
	}
	return total;
}

/* What an image has, too, is counted there. */
static struct total total_build_cache(const cJSON *usage)
{
	struct total total = {0};
	const cJSON *record;

	cJSON_ArrayForEach(record, member_of(usage, "BuildCache"))
	{
		bool in_use = flag_of(record, "InUse");

		total.count++;
		total.active += in_use;
		if (flag_of(record, "Shared"))
			continue;
		total.bytes += number_of(record, "Size");
		total.reclaimable += in_use ? 0 : number_of(record, "Size");
	}
	return total;
}

static int print_summary(const cJSON *usage, const char *format,
			 struct error *err)
{
	static const char *const shown[] = {"Type", "TotalCount",  "Active",
					    "Size", "Reclaimable", NULL};
	const struct total totals[] = {
		total_images(usage),
		total_containers(usage),
		total_volumes(usage),
		total_build_cache(usage),
	};
	static const char *const types[] = {"Images", "Containers",
					    "Local Volumes", "Build Cache"};
	struct listing listing = {
		.columns = summary_columns,
		.shown = shown,
		.format = format,
		.raw = "type: {{.Type}}\ntotal: {{.TotalCount}}\n"
		       "active: {{.Active}}\nsize: {{.Size}}\n"
		       "reclaimable: {{.Reclaimable}}\n",
	};
	cleanup_json cJSON *rows = json_array();

	for (size_t i = 0; i < ARRAY_SIZE(totals); i++)
		json_push(rows, total_row(types[i], &totals[i], i < 3));
	return listing_print(&listing, rows, err);
}

/* ---- a row an object ---- */

static void push_image(const struct image_name *name, void *data)
{
	json_push(data, image_row(name, false));
}

static void push_whole_image(const struct image_name *name, void *data)
{
	json_push(data, image_row(name, true));
}

/* whole: long IDs. */
static cJSON *image_rows(const cJSON *usage, bool whole)
{
	cJSON *rows = json_array();
	const cJSON *image;

	cJSON_ArrayForEach(image, member_of(usage, "Images"))
	{
		image_names_visit(image, false,
				  whole ? push_whole_image : push_image, rows);
	}
	return rows;
}

static cJSON *container_rows(const cJSON *usage, bool whole)
{
	cJSON *rows = json_array();
	const cJSON *container;

	cJSON_ArrayForEach(container, member_of(usage, "Containers"))
	{
		cJSON *row = container_row(container, whole);
		cleanup_free char *size = format_bytes_short(
			(uint64_t)number_of(container, "SizeRw"));

		json_set_string(row, "Size", size);
		json_push(rows, row);
	}
	return rows;
}

static cJSON *volume_rows(const cJSON *usage)
{
	cJSON *rows = json_array();
	const cJSON *volume;

	cJSON_ArrayForEach(volume, member_of(usage, "Volumes"))
	{
		const cJSON *data = member_of(volume, "UsageData");
		cJSON *row = volume_row(volume);
		cleanup_free char *links = xasprintf(
			"%lld", (long long)number_of(data, "RefCount"));
		cleanup_free char *size =
			format_bytes((uint64_t)number_of(data, "Size"));

		json_set_string(row, "Links", links);
		json_set_string(row, "Size", size);
		json_push(rows, row);
	}
	return rows;
}

static cJSON *build_cache_rows(const cJSON *usage, bool whole)
{
	cJSON *rows = json_array();
	const cJSON *record;

	cJSON_ArrayForEach(record, member_of(usage, "BuildCache"))
	{
		json_push(rows, build_cache_row(record, whole));
	}
	return rows;
}

static const char *const image_shown[] = {
	"Repository", "Tag",	    "ID", "CreatedSince", "Size", "SharedSize",
	"UniqueSize", "Containers", NULL};
static const char *const container_shown[] = {
	"ID",	  "Image", "Command", "LocalVolumes", "Size", "RunningFor",
	"Status", "Names", NULL};
static const char *const volume_shown[] = {"Name", "Links", "Size", NULL};
static const char *const cache_shown[] = {
	"ID",	      "CacheType", "Size", "CreatedSince", "LastUsedSince",
	"UsageCount", "Shared",	   NULL};

static const struct section {
	const char *heading; /* NULL: it has the sum in it */
	const char *member;  /* of the usage, and of the object --format sees */
	const struct listing_column *columns;
	const char *const *shown;
} sections[] = {
	{"Images space usage:", "Images", image_columns, image_shown},
	{"Containers space usage:", "Containers", container_columns,
	 container_shown},
	{"Local Volumes space usage:", "Volumes", volume_columns, volume_shown},
	{NULL, "BuildCache", build_cache_columns, cache_shown},
};

static int print_sections(const cJSON *usage, const cJSON *rows,
			  struct error *err)
{
	const struct total total = total_build_cache(usage);
	cleanup_free char *size = format_bytes((uint64_t)total.bytes);
	cleanup_free char *cache = xasprintf("Build cache usage: %s", size);

	for (size_t i = 0; i < ARRAY_SIZE(sections); i++) {
		const struct section *section = &sections[i];
		struct listing listing = {
			.columns = section->columns,
			.shown = section->shown,
		};
		int r;

		printf("%s%s\n\n", i > 0 ? "\n" : "",
		       section->heading ? section->heading : cache);
		r = listing_print(&listing, member_of(rows, section->member),
				  err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int df_main(struct context *context, const struct options *options)
{
	const char *format = option_string(options, "format");
	cleanup_json cJSON *usage = NULL;
	cleanup_json cJSON *rows = NULL;
	struct error err = {0};
	bool whole;
	int r;

	r = engine_disk_usage(&context->engine, &usage, &err);
	if (r < 0)
		return command_fail(context, &err);
	if (!option_flag(options, "verbose")) {
		r = print_summary(usage, format, &err);
		return r < 0 ? command_fail(context, &err) : 0;
	}
	whole = !str_empty(format) && !str_equal(format, "table");
	rows = json_object();
	json_set(rows, "Images", image_rows(usage, whole));
	json_set(rows, "Containers", container_rows(usage, whole));
	json_set(rows, "Volumes", volume_rows(usage));
	json_set(rows, "BuildCache", build_cache_rows(usage, whole));
	if (whole)
		return format_object(context, format, rows) ? 1 : 0;
	r = print_sections(usage, rows, &err);
	return r < 0 ? command_fail(context, &err) : 0;
}

static const struct option *const tables[] = {df_options, NULL};

const struct command command_system_df = {
	.name = "system-df",
	.usage = "[OPTIONS]",
	.summary = "Show moss disk usage",
	.options = tables,
	.hidden = true,
	.run = df_main,
};
