/* moss stats: what containers use, once a second. */
#include "cmd/command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "cmd/commands.h"
#include "cmd/listing.h"
#include "cmd/member.h"

#define UNKNOWN	      "--"
#define SHORT_ID      12
#define CLEAR_SCREEN  "\033[H\033[J"
#define PERCENT	      100.0
#define NS_PER_SECOND 1000000000

/* clang-format off */
static const struct option stats_options[] = {
	{'a', "all", OPTION_FLAG, NULL, NULL, "Show all containers (default shows just running)", false},
	{0, "format", OPTION_STRING, NULL, NULL, LISTING_FORMAT_HELP, false},
	{0, "no-stream", OPTION_FLAG, NULL, NULL, "Disable streaming stats and only pull the first result", false},
	{0, "no-trunc", OPTION_FLAG, NULL, NULL, "Do not truncate output", false},
	{0},
};
/* clang-format on */

static const struct listing_column columns[] = {
	{"Container", "CONTAINER"},
	{"ID", "CONTAINER ID"},
	{"Name", "NAME"},
	{"CPUPerc", "CPU %"},
	{"MemUsage", "MEM USAGE / LIMIT"},
	{"MemPerc", "MEM %"},
	{"NetIO", "NET I/O"},
	{"BlockIO", "BLOCK I/O"},
	{"PIDs", "PIDS"},
	{0},
};
static const char *const shown[] = {"ID",	"Name",	   "CPUPerc",
				    "MemUsage", "MemPerc", "NetIO",
				    "BlockIO",	"PIDs",	   NULL};

struct sample {
	struct timespec time;
	cJSON *stats; /* array, with the name that was asked for as "asked" */
};

/* Powers of 1024 with four digits, as docker shows memory. */
static char *memory_text(int64_t bytes)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	double value = (double)bytes;
	size_t unit = 0;

	for (; value >= 1024 && unit < ARRAY_SIZE(units) - 1; unit++)
		value /= 1024;
	return xasprintf("%.4g%s", value, units[unit]);
}

/* Takes both; NULL: not known. */
static void set_pair(cJSON *row, const char *member, char *left, char *right)
{
	cleanup_free char *first = left;
	cleanup_free char *second = right;
	cleanup_free char *text = NULL;

	text = xasprintf("%s / %s", first ? first : UNKNOWN,
			 second ? second : UNKNOWN);
	json_set_string(row, member, text);
}

static void set_percent(cJSON *row, const char *member, bool known,
			double percent)
{
	cleanup_free char *text =
		known ? xasprintf("%.2f%%", percent) : xstrdup(UNKNOWN);

	json_set_string(row, member, text);
}

static int64_t cpu_ns(const cJSON *stats)
{
	return number_of(member_of(member_of(stats, "cpu_stats"), "cpu_usage"),
			 "total_usage");
}

static const cJSON *find_stats(const struct sample *sample, const char *id)
{
	const cJSON *stats;

	cJSON_ArrayForEach(stats, sample->stats)
	{
		if (str_equal(text_of(stats, "id"), id))
			return stats;
	}
	return NULL;
}

static void set_cpu(cJSON *row, const cJSON *stats, const struct sample *now,
		    const struct sample *before)
{
	const cJSON *then = find_stats(before, text_of(stats, "id"));
	int64_t wall_ns = ((int64_t)now->time.tv_sec - before->time.tv_sec) *
				  NS_PER_SECOND +
			  now->time.tv_nsec - before->time.tv_nsec;
	int64_t used = cpu_ns(stats) - cpu_ns(then);

	/* One that was started anew, or whose orphans took theirs along. */
	if (used < 0)
		used = 0;
	set_percent(row, "CPUPerc",
		    member_of(stats, "cpu_stats") &&
			    member_of(then, "cpu_stats") && wall_ns > 0,
		    PERCENT * (double)used / (double)(wall_ns ? wall_ns : 1));
}

static void set_memory(cJSON *row, const cJSON *stats)
{
	const cJSON *memory = member_of(stats, "memory_stats");
	int64_t usage = number_of(memory, "usage");
	int64_t limit = number_of(memory, "limit");

	set_pair(row, "MemUsage", memory ? memory_text(usage) : NULL,
		 memory ? memory_text(limit) : NULL);
	set_percent(row, "MemPerc", limit > 0,
		    PERCENT * (double)usage / (double)(limit ? limit : 1));
}

static void set_io(cJSON *row, const cJSON *stats)
{
	const cJSON *networks = member_of(stats, "networks");
	const cJSON *bytes = member_of(member_of(stats, "blkio_stats"),
				       "io_service_bytes_recursive");
	bool known = cJSON_IsObject(networks);
	int64_t received = 0, sent = 0;
	const cJSON *network;

	cJSON_ArrayForEach(network, networks)
	{
		received += number_of(network, "rx_bytes");
		sent += number_of(network, "tx_bytes");
	}
	set_pair(row, "NetIO",
		 known ? format_bytes_short((uint64_t)received) : NULL,
		 known ? format_bytes_short((uint64_t)sent) : NULL);
	known = cJSON_GetArraySize(bytes) == 2;
	received = number_of(cJSON_GetArrayItem(bytes, 0), "value");
	sent = number_of(cJSON_GetArrayItem(bytes, 1), "value");
	set_pair(row, "BlockIO",
		 known ? format_bytes_short((uint64_t)received) : NULL,
		 known ? format_bytes_short((uint64_t)sent) : NULL);
}

static cJSON *stats_row(const cJSON *stats, const struct sample *now,
			const struct sample *before, bool whole)
{
	const cJSON *pids = member_of(stats, "pids_stats");
	const char *id = text_of(stats, "id");
	cleanup_free char *shown_id =
		whole ? xstrdup(id) : xstrndup(id, SHORT_ID);
	cleanup_free char *count =
		member_of(pids, "current")
			? xasprintf("%lld",
				    (long long)number_of(pids, "current"))
			: xstrdup(UNKNOWN);
	const char *asked = text_of(stats, "asked");
	cJSON *row = json_object();

	json_set_string(row, "Container", *asked ? asked : shown_id);
	json_set_string(row, "ID", shown_id);
	json_set_string(row, "Name", text_of(stats, "name") + 1);
	set_cpu(row, stats, now, before);
	set_memory(row, stats);
	set_io(row, stats);
	json_set_string(row, "PIDs", count);
	return row;
}

/* One that has gone since is no failure, unless it was asked for by name. */
static int take_one(struct context *context, const char *id, const char *asked,
		    struct sample *sample, struct error *err)
{
	struct error problem = {0};
	cJSON *stats = NULL;
	int r = engine_container_stats(&context->engine, id, &stats, &problem);

	if (r < 0 && !asked && problem.kind == ERROR_NOT_FOUND)
		return 0;
	if (r < 0)
		return err_copy(err, &problem);
	if (asked)
		json_set_string(stats, "asked", asked);
	json_push(sample->stats, stats);
	return 0;
}

static int take(struct context *context, const struct options *options,
		struct sample *sample, struct error *err)
{
	cleanup_json cJSON *list = NULL;
	const cJSON *container;
	int r = 0;

	cJSON_Delete(sample->stats);
	sample->stats = json_array();
	clock_gettime(CLOCK_MONOTONIC, &sample->time);
	for (char *const *name = options->operands; r >= 0 && name && *name;
	     name++)
		r = take_one(context, *name, *name, sample, err);
	if (r < 0 || (options->operands && options->operands[0]))
		return r;
	r = engine_container_list(&context->engine, option_flag(options, "all"),
				  false, &list, err);
	cJSON_ArrayForEach(container, list)
	{
		r = take_one(context, text_of(container, "Id"), NULL, sample,
			     err);
		if (r < 0)
			break;
	}
	return r;
}

static int print(const struct options *options, const struct sample *now,
		 const struct sample *before, struct error *err)
{
	const struct listing listing = {
		.columns = columns,
		.shown = shown,
		.format = option_string(options, "format"),
	};
	cleanup_json cJSON *rows = json_array();
	const cJSON *stats;
	int r;

	cJSON_ArrayForEach(stats, now->stats)
	{
		json_push(rows, stats_row(stats, now, before,
					  option_flag(options, "no-trunc")));
	}
	if (!option_flag(options, "no-stream") && isatty(STDOUT_FILENO))
		printf(CLEAR_SCREEN);
	r = listing_print(&listing, rows, err);
	return r >= 0 && fflush(stdout) != 0
		       ? err_errno(err, "cannot write statistics")
		       : r;
}

static int stats_main(struct context *context, const struct options *options)
{
	struct sample before = {0}, now = {0};
	struct error err = {0};
	int r = take(context, options, &before, &err);

	while (r >= 0) {
		const struct sample last = before;

		sleep(1);
		r = take(context, options, &now, &err);
		r = r < 0 ? r : print(options, &now, &before, &err);
		if (r < 0 || option_flag(options, "no-stream"))
			break;
		before = now;
		now = last;
	}
	cJSON_Delete(before.stats);
	cJSON_Delete(now.stats);
	if (r < 0 && err.number == EPIPE)
		output_broken_pipe();
	return r < 0 ? command_fail(context, &err) : 0;
}

static const struct option *const tables[] = {stats_options, NULL};

const struct command command_stats = {
	.name = "stats",
	.usage = "[OPTIONS] [CONTAINER...]",
	.summary = "Display a live stream of container(s) resource usage "
		   "statistics",
	.aliases = "moss container stats, moss stats",
	.options = tables,
	.operands_max = -1,
	.run = stats_main,
	.group = "Commands",
	.completes = "container-running",
};
