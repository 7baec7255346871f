/*
 * What a container uses, as far as /proc tells: without controllers of control
 * groups the kernel keeps no account of a container, only of its processes.
 * What those have used that have ended counts once their parents, in the
 * container, have waited for them.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/proc.h"
#include "base/str.h"
#include "core/engine/container.h"
#include "core/engine/members.h"

#define PROC_TEXT_MAX (1u << 20)
#define NS_PER_SECOND 1000000000
#define STAT_UTIME    12 /* fields after the name's ")", from 1 */
#define STAT_THREADS  18

struct usage {
	uint64_t user_ticks, system_ticks;
	uint64_t memory; /* bytes */
	uint64_t read, written;
	uint64_t threads;
	bool has_io; /* of all of its processes */
};

static char *read_proc(pid_t pid, const char *name)
{
	cleanup_free char *path = xasprintf("/proc/%d/%s", (int)pid, name);
	char *text = NULL;

	(void)file_read_at(AT_FDCWD, path, PROC_TEXT_MAX, &text, NULL, NULL);
	return text;
}

/* "NAME: NUMBER" on a line of its own; false: there is none. */
static bool find_number(const char *text, const char *name, uint64_t *ret_value)
{
	const char *at = text ? strstr(text, name) : NULL;

	while (at && at != text && at[-1] != '\n')
		at = strstr(at + 1, name);
	if (!at)
		return false;
	*ret_value = strtoull(at + strlen(name), NULL, 10);
	return true;
}

static void add_times(pid_t pid, struct usage *usage)
{
	cleanup_free char *text = read_proc(pid, "stat");
	char *at = text ? strrchr(text, ')') : NULL;

	for (int field = 1; at && (at = strchr(at, ' ')); field++) {
		uint64_t value = strtoull(++at, NULL, 10);

		if (field == STAT_UTIME || field == STAT_UTIME + 2)
			usage->user_ticks += value;
		else if (field == STAT_UTIME + 1 || field == STAT_UTIME + 3)
			usage->system_ticks += value;
		else if (field == STAT_THREADS)
			usage->threads += value;
	}
}

/* Its share of what it shares, or all of it where that is not to be had. */
static void add_memory(pid_t pid, struct usage *usage)
{
	cleanup_free char *rollup = read_proc(pid, "smaps_rollup");
	cleanup_free char *status = NULL;
	uint64_t kilobytes = 0;

	if (!find_number(rollup, "Pss:", &kilobytes)) {
		status = read_proc(pid, "status");
		(void)find_number(status, "VmRSS:", &kilobytes);
	}
	usage->memory += kilobytes * 1024;
}

static void add_io(pid_t pid, struct usage *usage)
{
	cleanup_free char *text = read_proc(pid, "io");
	uint64_t read = 0, written = 0;

	if (!find_number(text, "read_bytes:", &read) ||
	    !find_number(text, "write_bytes:", &written))
		usage->has_io = false;
	usage->read += read;
	usage->written += written;
}

static uint64_t ticks_ns(uint64_t ticks)
{
	return ticks * (NS_PER_SECOND / (uint64_t)sysconf(_SC_CLK_TCK));
}

static cJSON *cpu_json(const struct usage *usage)
{
	cJSON *json = json_object();
	cJSON *use = json_object();
	uint64_t user = ticks_ns(usage->user_ticks);
	uint64_t system = ticks_ns(usage->system_ticks);

	json_set_i64(use, "total_usage", (int64_t)(user + system));
	json_set_i64(use, "usage_in_kernelmode", (int64_t)system);
	json_set_i64(use, "usage_in_usermode", (int64_t)user);
	json_set(json, "cpu_usage", use);
	json_set_i64(json, "online_cpus", sysconf(_SC_NPROCESSORS_ONLN));
	return json;
}

static cJSON *memory_json(const struct usage *usage)
{
	cJSON *json = json_object();

	json_set_i64(json, "usage", (int64_t)usage->memory);
	json_set_i64(json, "limit",
		     (int64_t)sysconf(_SC_PHYS_PAGES) * sysconf(_SC_PAGESIZE));
	return json;
}

static cJSON *io_json(const struct usage *usage)
{
	const struct {
		const char *name;
		uint64_t value;
	} counts[] = {{"read", usage->read}, {"write", usage->written}};
	cJSON *json = json_object();
	cJSON *array = json_array();

	for (size_t i = 0; usage->has_io && i < ARRAY_SIZE(counts); i++) {
		cJSON *item = json_object();

		json_set_string(item, "op", counts[i].name);
		json_set_i64(item, "value", (int64_t)counts[i].value);
		json_push(array, item);
	}
	json_set(json, "io_service_bytes_recursive", array);
	return json;
}

/* Of all interfaces but lo; NULL: they are the host's, or cannot be read. */
static cJSON *networks_json(const struct container *container)
{
	const char *mode =
		member_string(member_get(container->json, "Moss"), "Network");
	cleanup_free char *text = NULL;
	cleanup_strv char **lines = NULL;
	cJSON *json;

	if (str_equal(mode, "host"))
		return NULL;
	text = read_proc(container->state.pid, "net/dev");
	if (!text)
		return NULL;
	json = json_object();
	lines = strv_split(text, '\n');
	for (size_t i = 0; lines[i]; i++) {
		unsigned long long received, sent;
		char name[32];
		cJSON *item;

		if (sscanf(lines[i],
			   " %31[^:]: %llu %*u %*u %*u %*u %*u %*u %*u %llu",
			   name, &received, &sent) != 3 ||
		    str_equal(name, "lo"))
			continue;
		item = json_object();
		json_set_i64(item, "rx_bytes", (int64_t)received);
		json_set_i64(item, "tx_bytes", (int64_t)sent);
		json_set(json, name, item);
	}
	return json;
}

static int measure(const struct container *container, struct usage *usage,
		   struct error *err)
{
	const struct container_state *state = &container->state;
	const pid_t helpers[] = {state->net_pid, state->fuse_pid};
	cleanup_free pid_t *pids = NULL;
	size_t count = 0;
	int r = proc_tree(state->monitor_pid, helpers, ARRAY_SIZE(helpers),
			  &pids, &count, err);

	usage->has_io = true;
	for (size_t i = 0; r >= 0 && i < count; i++) {
		add_times(pids[i], usage);
		add_memory(pids[i], usage);
		add_io(pids[i], usage);
	}
	return r;
}

int engine_container_stats(struct engine *engine, const char *id,
			   cJSON **ret_json, struct error *err)
{
	CLEANUP(container_close) struct container container = CONTAINER_INIT;
	struct usage usage = {0};
	cleanup_free char *name = NULL;
	cJSON *json, *pids;
	char now[TIME_TEXT_MAX];
	bool runs;
	int r = container_open(engine, id, &container, err);

	if (r < 0)
		return r;
	runs = container_is_running(&container) && container.state.pid > 0;
	r = runs ? measure(&container, &usage, err) : 0;
	if (r < 0)
		return r;
	json = json_object();
	name = xasprintf("/%s", container.name);
	json_set_string(json, "name", name);
	json_set_string(json, "id", container.record.id);
	format_now(now);
	json_set_string(json, "read", runs ? now : CONTAINER_TIME_NONE);
	pids = json_object();
	if (runs) {
		json_set_i64(pids, "current", (int64_t)usage.threads);
		json_set(json, "cpu_stats", cpu_json(&usage));
		json_set(json, "memory_stats", memory_json(&usage));
		json_set(json, "blkio_stats", io_json(&usage));
		json_set(json, "networks", networks_json(&container));
	}
	json_set(json, "pids_stats", pids);
	*ret_json = json;
	return 0;
}
