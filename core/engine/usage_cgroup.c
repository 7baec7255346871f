#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "core/engine/usage.h"
#include "core/runtime/cgroup.h"

static void take_memory(struct usage *usage, const struct cgroup_stats *stats)
{
	usage->memory = stats->memory;
	usage->anon = cgroup_stat(stats->memory_stat, "anon");
	usage->file = cgroup_stat(stats->memory_stat, "file");
	usage->shmem = cgroup_stat(stats->memory_stat, "shmem");
	usage->inactive_file = stats->memory_inactive_file;
	if (stats->memory_limit < usage->memory_limit)
		usage->memory_limit = stats->memory_limit;
}

static void take_io(struct usage *usage, const struct cgroup_stats *stats)
{
	usage->read = usage->written = 0;
	for (size_t i = 0; i < stats->io_count; i++) {
		usage->read += stats->io[i].read_bytes;
		usage->written += stats->io[i].written_bytes;
	}
	usage->has_io = true;
}

void usage_take_cgroup(struct usage *usage, const char *path)
{
	CLEANUP(cgroup_close) struct cgroup cgroup = CGROUP_NONE;
	CLEANUP(cgroup_stats_release) struct cgroup_stats stats = {0};

	if (str_empty(path) || cgroup_open(path, &cgroup, NULL) < 0 ||
	    cgroup_stats_read(&cgroup, &stats, NULL) < 0)
		return;
	if (stats.has & CGROUP_BIT(CGROUP_CPU)) {
		usage->user_ns = stats.user_ns;
		usage->system_ns = stats.system_ns;
		usage->periods = stats.periods;
		usage->throttled_periods = stats.throttled_periods;
		usage->throttled_ns = stats.throttled_ns;
	}
	if (stats.has & CGROUP_BIT(CGROUP_MEMORY))
		take_memory(usage, &stats);
	if (stats.has & CGROUP_BIT(CGROUP_PIDS)) {
		usage->tasks = stats.pids;
		usage->tasks_limit = stats.pids_limit;
	}
	if (stats.has & CGROUP_BIT(CGROUP_IO))
		take_io(usage, &stats);
}
