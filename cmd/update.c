/* moss update: what can be changed of containers that are there. */
#include "cmd/command.h"

#include <stdio.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "cmd/commands.h"
#include "cmd/container_options.h"

/* clang-format off */
static const struct option update_options[] = {
	{0, "blkio-weight", OPTION_INT, "uint16", NULL, "Block IO (relative weight), between 10 and 1000, or 0 to disable (needs cgroup delegation)", false},
	{0, "cpu-period", OPTION_INT, NULL, NULL, "Limit CPU CFS (Completely Fair Scheduler) period (needs cgroup delegation)", false},
	{0, "cpu-quota", OPTION_INT, NULL, NULL, "Limit CPU CFS (Completely Fair Scheduler) quota (needs cgroup delegation)", false},
	{0, "cpu-rt-period", OPTION_INT, NULL, NULL, "Limit the CPU real-time period in microseconds (needs cgroup delegation)", false},
	{0, "cpu-rt-runtime", OPTION_INT, NULL, NULL, "Limit the CPU real-time runtime in microseconds (needs cgroup delegation)", false},
	{'c', "cpu-shares", OPTION_INT, NULL, NULL, "CPU shares (relative weight; needs cgroup delegation)", false},
	{0, "cpus", OPTION_STRING, "decimal", NULL, "Number of CPUs (needs cgroup delegation)", false},
	{0, "cpuset-cpus", OPTION_STRING, NULL, NULL, "CPUs in which to allow execution (0-3, 0,1; needs cgroup delegation)", false},
	{0, "cpuset-mems", OPTION_STRING, NULL, NULL, "MEMs in which to allow execution (0-3, 0,1; needs cgroup delegation)", false},
	{'m', "memory", OPTION_BYTES, NULL, NULL, "Memory limit (needs cgroup delegation)", false},
	{0, "memory-reservation", OPTION_BYTES, NULL, NULL, "Memory soft limit (needs cgroup delegation)", false},
	{0, "memory-swap", OPTION_BYTES, NULL, NULL, "Swap limit equal to memory plus swap: -1 to enable unlimited swap (needs cgroup delegation)", false},
	{0, "pids-limit", OPTION_INT, NULL, NULL, "Tune container pids limit (set -1 for unlimited; needs cgroup delegation)", false},
	{0, "restart", OPTION_STRING, NULL, NULL, "Restart policy to apply when a container exits", false},
	{0},
};
/* clang-format on */

static const struct {
	const char *option;
	const char *member;
} numbers[] = {
	{"blkio-weight", "BlkioWeight"},
	{"cpu-period", "CpuPeriod"},
	{"cpu-quota", "CpuQuota"},
	{"cpu-rt-period", "CpuRealtimePeriod"},
	{"cpu-rt-runtime", "CpuRealtimeRuntime"},
	{"cpu-shares", "CpuShares"},
	{"memory", "Memory"},
	{"memory-reservation", "MemoryReservation"},
	{"memory-swap", "MemorySwap"},
	{"pids-limit", "PidsLimit"},
};

static int add_members(const struct options *options, cJSON *body,
		       struct error *err)
{
	int r = 0;

	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		if (option_given(options, numbers[i].option))
			json_set_i64(body, numbers[i].member,
				     option_number(options, numbers[i].option));
	}
	if (option_given(options, "cpuset-cpus"))
		json_set_string(body, "CpusetCpus",
				option_string(options, "cpuset-cpus"));
	if (option_given(options, "cpuset-mems"))
		json_set_string(body, "CpusetMems",
				option_string(options, "cpuset-mems"));
	if (option_given(options, "cpus"))
		r = cpus_option_add(options, body, err);
	if (r >= 0 && option_given(options, "restart"))
		r = restart_option_add(option_string(options, "restart"), body,
				       err);
	if (r >= 0 && !body->child)
		return err_set(err, ERROR_INVALID,
			       "You must provide one or more flags when using "
			       "this command.");
	return r;
}

static int update_main(struct context *context, const struct options *options)
{
	cleanup_json cJSON *body = json_object();
	struct error err = {0};
	int code = 0;

	if (add_members(options, body, &err) < 0)
		return command_fail(context, &err);
	for (size_t i = 0; options->operands[i]; i++) {
		const char *name = options->operands[i];

		err_clear(&err);
		if (engine_container_update(&context->engine, name, body,
					    &err) < 0)
			code |= command_fail(context, &err);
		else
			printf("%s\n", name);
	}
	return code ? 1 : 0;
}

static const struct option *const update_tables[] = {update_options, NULL};

const struct command command_update = {
	.name = "update",
	.usage = "[OPTIONS] CONTAINER [CONTAINER...]",
	.summary = "Update configuration of one or more containers",
	.aliases = "moss container update, moss update",
	.options = update_tables,
	.operands_min = 1,
	.operands_max = -1,
	.run = update_main,
	.group = "Commands",
	.completes = "container",
};
