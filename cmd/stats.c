/* moss stats: what containers use, once a second. */
#include "cmd/command.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/str.h"
#include "cmd/commands.h"
#include "cmd/docker_config.h"
#include "cmd/listing.h"
#include "cmd/member.h"

#define UNKNOWN	     "--"
#define SHORT_ID     12
#define CLEAR_SCREEN "\033[H\033[J"
#define PERCENT	     100.0
#define ROUND_MS     1000
#define SCREEN_SIZE  (256u << 10)

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

/* Powers of 1024 with four digits, as docker shows memory. */
static char *memory_text(uint64_t bytes)
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	double value = (double)bytes;
	size_t unit = 0;

	for (; value >= 1024 && unit < ARRAY_SIZE(units) - 1; unit++)
		value /= 1024;
	return xasprintf("%.4g%s", value, units[unit]);
}

/* Of a member that may be too large for a double. */
static int64_t count_of(const cJSON *object, const char *member)
{
	int64_t value = 0;

	return object && json_get_i64(object, "", member, &value, NULL) > 0
		       ? value
		       : 0;
}

/* Takes both. */
static void set_pair(cJSON *row, const char *member, char *left, char *right)
{
	cleanup_free char *first = left;
	cleanup_free char *second = right;
	cleanup_free char *text = xasprintf("%s / %s", first, second);

	json_set_string(row, member, text);
}

static void set_percent(cJSON *row, const char *member, double percent)
{
	cleanup_free char *text = xasprintf("%.2f%%", percent);

	json_set_string(row, member, text);
}

/* docker's: of one processor, by what all of them have spent meanwhile. */
static double cpu_percent(const cJSON *stats)
{
	const cJSON *now = member_of(stats, "cpu_stats");
	const cJSON *before = member_of(stats, "precpu_stats");
	double used =
		(double)(count_of(member_of(now, "cpu_usage"), "total_usage") -
			 count_of(member_of(before, "cpu_usage"),
				  "total_usage"));
	double spent = (double)(count_of(now, "system_cpu_usage") -
				count_of(before, "system_cpu_usage"));

	/* One that was started anew, or whose orphans took theirs along. */
	if (used <= 0 || spent <= 0)
		return 0;
	return used / spent * (double)count_of(now, "online_cpus") * PERCENT;
}

/* docker's: without the cache that could be given up at once. */
static void set_memory(cJSON *row, const cJSON *stats)
{
	const cJSON *memory = member_of(stats, "memory_stats");
	int64_t usage = count_of(memory, "usage");
	int64_t inactive =
		count_of(member_of(memory, "stats"), "inactive_file");
	int64_t limit = count_of(memory, "limit");

	if (inactive < usage)
		usage -= inactive;
	set_pair(row, "MemUsage", memory_text((uint64_t)usage),
		 memory_text((uint64_t)limit));
	set_percent(row, "MemPerc",
		    limit > 0 ? PERCENT * (double)usage / (double)limit : 0);
}

static void set_network(cJSON *row, const cJSON *stats)
{
	const cJSON *network;
	int64_t received = 0, sent = 0;

	cJSON_ArrayForEach(network, member_of(stats, "networks"))
	{
		received += count_of(network, "rx_bytes");
		sent += count_of(network, "tx_bytes");
	}
	set_pair(row, "NetIO", format_bytes_short((uint64_t)received),
		 format_bytes_short((uint64_t)sent));
}

static void set_block(cJSON *row, const cJSON *stats)
{
	const cJSON *item;
	int64_t read = 0, written = 0;

	cJSON_ArrayForEach(item, member_of(member_of(stats, "blkio_stats"),
					   "io_service_bytes_recursive"))
	{
		if (*text_of(item, "op") == 'r')
			read += count_of(item, "value");
		else
			written += count_of(item, "value");
	}
	set_pair(row, "BlockIO", format_bytes_short((uint64_t)read),
		 format_bytes_short((uint64_t)written));
}

/* One that was asked for and has gone. */
static cJSON *gone_row(const cJSON *stats)
{
	static const char *const unknown[] = {"Name",  "CPUPerc", "MemPerc",
					      "NetIO", "BlockIO", "PIDs"};
	cJSON *row = json_object();

	json_set_string(row, "Container", text_of(stats, "asked"));
	json_set_string(row, "ID", "");
	json_set_string(row, "MemUsage", UNKNOWN " / " UNKNOWN);
	for (size_t i = 0; i < ARRAY_SIZE(unknown); i++)
		json_set_string(row, unknown[i], UNKNOWN);
	return row;
}

static cJSON *stats_row(const cJSON *stats, bool whole)
{
	const char *id = text_of(stats, "id");
	const char *asked = text_of(stats, "asked");
	cleanup_free char *shown_id =
		whole ? xstrdup(id) : xstrndup(id, SHORT_ID);
	cleanup_free char *count = NULL;
	cJSON *row;

	if (*id == '\0')
		return gone_row(stats);
	count = xasprintf(
		"%lld",
		(long long)count_of(member_of(stats, "pids_stats"), "current"));
	row = json_object();
	json_set_string(row, "Container", *asked ? asked : id);
	json_set_string(row, "ID", shown_id);
	json_set_string(row, "Name", text_of(stats, "name") + 1);
	set_percent(row, "CPUPerc", cpu_percent(stats));
	set_memory(row, stats);
	set_network(row, stats);
	set_block(row, stats);
	json_set_string(row, "PIDs", count);
	return row;
}

/* By ID, or by the name that was asked for. */
static const cJSON *find_stats(const cJSON *array, const char *member,
			       const char *text)
{
	const cJSON *stats;

	cJSON_ArrayForEach(stats, array)
	{
		if (str_equal(text_of(stats, member), text))
			return stats;
	}
	return NULL;
}

/*
 * Adds one to now. Of those that were not asked for it may have gone since; one
 * that was asked for must be there at the first round.
 */
static int take_one(struct context *context, const char *id, const char *asked,
		    const cJSON *before, cJSON *now, struct error *err)
{
	const cJSON *last = asked ? find_stats(before, "asked", asked)
				  : find_stats(before, "id", id);
	struct error problem = {0};
	cJSON *stats = NULL;
	int r = engine_container_stats(&context->engine, id, last, &stats,
				       &problem);
	bool is_gone = r < 0 && (problem.kind == ERROR_NOT_FOUND ||
				 problem.kind == ERROR_CONFLICT);

	if (is_gone && !asked)
		return 0;
	if (r < 0 && !(is_gone && last))
		return err_copy(err, &problem);
	if (r < 0)
		stats = json_object();
	json_set_text(stats, "asked", asked);
	json_push(now, stats);
	return 0;
}

static int take_all(struct context *context, bool all, const cJSON *before,
		    cJSON *now, struct error *err)
{
	cleanup_json cJSON *list = NULL;
	const cJSON *container;
	int r = engine_container_list(&context->engine,
				      all ? CONTAINER_LIST_ALL : 0, &list, err);

	cJSON_ArrayForEach(container, list)
	{
		r = take_one(context, text_of(container, "Id"), NULL, before,
			     now, err);
		if (r < 0)
			break;
	}
	return r < 0 ? r : 0;
}

/* The next round in the place of the last one. */
static int take(struct context *context, const struct options *options,
		cJSON **rounds, struct error *err)
{
	cleanup_json cJSON *now = json_array();
	char *const *name = options->operands;
	int r = 0;

	if (!name || !*name)
		r = take_all(context, option_flag(options, "all"), *rounds, now,
			     err);
	for (; r >= 0 && name && *name; name++)
		r = take_one(context, *name, *name, *rounds, now, err);
	if (r < 0)
		return r;
	cJSON_Delete(*rounds);
	*rounds = steal_ptr(&now);
	return 0;
}

static int print(const struct options *options, const char *format,
		 const cJSON *now, struct error *err)
{
	const struct listing listing = {
		.columns = columns, .shown = shown, .format = format};
	cleanup_json cJSON *rows = json_array();
	const cJSON *stats;
	int r;

	cJSON_ArrayForEach(stats, now)
	{
		json_push(rows,
			  stats_row(stats, option_flag(options, "no-trunc")));
	}
	if (!option_flag(options, "no-stream") && isatty(STDOUT_FILENO))
		printf(CLEAR_SCREEN);
	r = listing_print(&listing, rows, err);
	return r >= 0 && fflush(stdout) != 0
		       ? err_errno(err, "cannot write statistics")
		       : r;
}

/* Until a second after the last one, or nobody reads any more. */
static void await_round(int64_t *due_ms)
{
	struct pollfd out = {.fd = STDOUT_FILENO, .events = 0};
	int64_t left;

	*due_ms += ROUND_MS;
	left = *due_ms - clock_ms();
	/* Late by more than a round: they are not made up for. */
	if (left < 0) {
		*due_ms = clock_ms();
		return;
	}
	if (poll(&out, 1, (int)left) > 0)
		output_broken_pipe();
}

static int stats_main(struct context *context, const struct options *options)
{
	cleanup_free char *format =
		docker_config_format(options, "statsFormat", false);
	cleanup_json cJSON *now = NULL;
	struct error err = {0};
	int64_t due_ms = clock_ms();
	int r = take(context, options, &now, &err);

	/* A whole screen at once does not flicker. */
	setvbuf(stdout, NULL, _IOFBF, SCREEN_SIZE);
	while (r >= 0) {
		await_round(&due_ms);
		r = take(context, options, &now, &err);
		r = r < 0 ? r : print(options, format, now, &err);
		if (option_flag(options, "no-stream"))
			break;
	}
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
