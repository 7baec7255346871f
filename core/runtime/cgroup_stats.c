/* What the kernel counts of a cgroup. */
#include "core/runtime/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/str.h"

#define TEXT_MAX  (1u << 20)
#define IO_MAX	  4096 /* devices */
#define NS_PER_US 1000
#define NO_LIMIT  "max"

static char *read_text(const struct cgroup *cgroup, const char *file)
{
	char *text = NULL;

	(void)file_read_at(cgroup->fd, file, TEXT_MAX, &text, NULL, NULL);
	return text;
}

/* A file of one number, or "max". */
static bool read_number(const struct cgroup *cgroup, const char *file,
			uint64_t *ret_value)
{
	cleanup_free char *text = read_text(cgroup, file);

	if (!text)
		return false;
	text[strcspn(text, "\n")] = '\0';
	if (str_equal(text, NO_LIMIT)) {
		*ret_value = UINT64_MAX;
		return true;
	}
	return parse_u64(text, ret_value) == 0;
}

uint64_t cgroup_stat(const char *text, const char *name)
{
	size_t length = strlen(name);

	while (text && *text) {
		if (strncmp(text, name, length) == 0 && text[length] == ' ')
			return strtoull(text + length + 1, NULL, 10);
		text = strchr(text, '\n');
		text = text ? text + 1 : NULL;
	}
	return 0;
}

/* Times are there without the controller, too. */
static bool read_cpu(const struct cgroup *cgroup, struct cgroup_stats *stats)
{
	cleanup_free char *text = read_text(cgroup, "cpu.stat");

	if (!text)
		return false;
	stats->cpu_ns = cgroup_stat(text, "usage_usec") * NS_PER_US;
	stats->user_ns = cgroup_stat(text, "user_usec") * NS_PER_US;
	stats->system_ns = cgroup_stat(text, "system_usec") * NS_PER_US;
	stats->periods = cgroup_stat(text, "nr_periods");
	stats->throttled_periods = cgroup_stat(text, "nr_throttled");
	stats->throttled_ns = cgroup_stat(text, "throttled_usec") * NS_PER_US;
	return true;
}

static bool read_memory(const struct cgroup *cgroup, struct cgroup_stats *stats)
{
	cleanup_free char *events = NULL;

	if (!read_number(cgroup, "memory.current", &stats->memory))
		return false;
	(void)read_number(cgroup, "memory.max", &stats->memory_limit);
	/* Since 5.19. */
	(void)read_number(cgroup, "memory.peak", &stats->memory_peak);
	stats->memory_stat = read_text(cgroup, "memory.stat");
	stats->memory_inactive_file =
		cgroup_stat(stats->memory_stat, "inactive_file");
	events = read_text(cgroup, "memory.events");
	stats->memory_failures = cgroup_stat(events, "max");
	return true;
}

static bool read_pids(const struct cgroup *cgroup, struct cgroup_stats *stats)
{
	if (!read_number(cgroup, "pids.current", &stats->pids))
		return false;
	(void)read_number(cgroup, "pids.max", &stats->pids_limit);
	return true;
}

static uint64_t io_number(const char *line, const char *name)
{
	const char *at = strstr(line, name);

	return at ? strtoull(at + strlen(name), NULL, 10) : 0;
}

/* "8:0 rbytes=90 wbytes=299 rios=8 wios=13 dbytes=0 dios=0" */
static bool read_io(const struct cgroup *cgroup, struct cgroup_stats *stats)
{
	cleanup_free char *text = read_text(cgroup, "io.stat");
	cleanup_strv char **lines = NULL;

	if (!text)
		return false;
	lines = strv_split(text, '\n');
	for (size_t i = 0; lines[i] && stats->io_count < IO_MAX; i++) {
		struct cgroup_io io = {0};

		if (sscanf(lines[i], "%" SCNu32 ":%" SCNu32 " ", &io.major,
			   &io.minor) != 2)
			continue;
		io.read_bytes = io_number(lines[i], " rbytes=");
		io.written_bytes = io_number(lines[i], " wbytes=");
		io.reads = io_number(lines[i], " rios=");
		io.writes = io_number(lines[i], " wios=");
		stats->io = xrealloc(stats->io, stats->io_count + 1,
				     sizeof(*stats->io));
		stats->io[stats->io_count++] = io;
	}
	return true;
}

int cgroup_stats_read(const struct cgroup *cgroup,
		      struct cgroup_stats *ret_stats, struct error *err)
{
	struct cgroup_stats stats = {
		.memory_limit = UINT64_MAX,
		.pids_limit = UINT64_MAX,
	};

	if (read_cpu(cgroup, &stats))
		stats.has |= CGROUP_BIT(CGROUP_CPU);
	else
		return err_set(err, ERROR_NOT_FOUND, "the cgroup %s has gone",
			       cgroup->path);
	if (read_memory(cgroup, &stats))
		stats.has |= CGROUP_BIT(CGROUP_MEMORY);
	if (read_pids(cgroup, &stats))
		stats.has |= CGROUP_BIT(CGROUP_PIDS);
	if (read_io(cgroup, &stats))
		stats.has |= CGROUP_BIT(CGROUP_IO);
	*ret_stats = stats;
	return 0;
}

void cgroup_stats_release(struct cgroup_stats *stats)
{
	free(stats->memory_stat);
	free(stats->io);
	*stats = (struct cgroup_stats){0};
}

uint64_t cgroup_oom_kills(const struct cgroup *cgroup)
{
	cleanup_free char *text = read_text(cgroup, "memory.events");

	return cgroup_stat(text, "oom_kill");
}

int cgroup_oom_watch(const struct cgroup *cgroup, struct error *err)
{
	cleanup_free char *path = xasprintf("%s/memory.events", cgroup->path);
	cleanup_fd int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);

	if (fd < 0 || inotify_add_watch(fd, path, IN_MODIFY) < 0)
		return err_errno(err, "cannot watch %s", path);
	return steal_fd(&fd);
}
