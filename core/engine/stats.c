/* ContainerStats of what usage.h tells: core/engine/engine.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/proc.h"
#include "base/str.h"
#include "core/engine/container.h"
#include "core/engine/members.h"
#include "core/engine/usage.h"

#define MACHINE_TEXT_MAX (1u << 20)

static void set_u64(cJSON *json, const char *name, uint64_t value)
{
	cleanup_free char *text = NULL;

	if (value <= INT64_MAX) {
		json_set_i64(json, name, (int64_t)value);
		return;
	}
	text = xasprintf("%llu", (unsigned long long)value);
	json_set(json, name, cJSON_CreateRaw(text));
}

static cJSON *cpu_json(const struct usage *usage)
{
	cJSON *json = json_object();
	cJSON *use = json_object();
	cJSON *throttling = json_object();

	set_u64(use, "total_usage", usage->user_ns + usage->system_ns);
	set_u64(use, "usage_in_kernelmode", usage->system_ns);
	set_u64(use, "usage_in_usermode", usage->user_ns);
	json_set(json, "cpu_usage", use);
	if (usage->machine_ns > 0) {
		set_u64(json, "system_cpu_usage", usage->machine_ns);
		set_u64(json, "online_cpus", usage->cpus);
	}
	set_u64(throttling, "periods", usage->periods);
	set_u64(throttling, "throttled_periods", usage->throttled_periods);
	set_u64(throttling, "throttled_time", usage->throttled_ns);
	json_set(json, "throttling_data", throttling);
	return json;
}

static cJSON *memory_json(const struct usage *usage)
{
	cJSON *json = json_object();
	cJSON *stats = json_object();

	set_u64(json, "usage", usage->memory);
	set_u64(stats, "anon", usage->anon);
	set_u64(stats, "file", usage->file);
	set_u64(stats, "shmem", usage->shmem);
	set_u64(stats, "inactive_file", usage->inactive_file);
	json_set(json, "stats", stats);
	set_u64(json, "limit", usage->memory_limit);
	return json;
}

static void push_io(cJSON *array, const char *op, uint64_t value)
{
	cJSON *item = json_object();

	/* Of all devices together. */
	json_set_i64(item, "major", 0);
	json_set_i64(item, "minor", 0);
	json_set_string(item, "op", op);
	set_u64(item, "value", value);
	json_push(array, item);
}

/* Without usage, or when it is not known, all of them are null. */
static cJSON *io_json(const struct usage *usage)
{
	static const char *const unknown[] = {
		"io_serviced_recursive",     "io_queue_recursive",
		"io_service_time_recursive", "io_wait_time_recursive",
		"io_merged_recursive",	     "io_time_recursive",
		"sectors_recursive",
	};
	cJSON *json = json_object();
	cJSON *bytes = NULL;

	if (usage && usage->has_io) {
		bytes = json_array();
		push_io(bytes, "read", usage->read);
		push_io(bytes, "write", usage->written);
	}
	json_set(json, "io_service_bytes_recursive", bytes);
	for (size_t i = 0; i < ARRAY_SIZE(unknown); i++)
		json_set(json, unknown[i], NULL);
	return json;
}

static cJSON *interface_json(const struct usage_interface *interface)
{
	cJSON *json = json_object();

	set_u64(json, "rx_bytes", interface->rx_bytes);
	set_u64(json, "rx_packets", interface->rx_packets);
	set_u64(json, "rx_errors", interface->rx_errors);
	set_u64(json, "rx_dropped", interface->rx_dropped);
	set_u64(json, "tx_bytes", interface->tx_bytes);
	set_u64(json, "tx_packets", interface->tx_packets);
	set_u64(json, "tx_errors", interface->tx_errors);
	set_u64(json, "tx_dropped", interface->tx_dropped);
	return json;
}

/* As its first process sees them; NULL: they are the host's, or unknown. */
static cJSON *networks_json(const struct container *container)
{
	const char *mode =
		member_string(member_get(container->json, "Moss"), "Network");
	struct usage_interface interfaces[USAGE_INTERFACES_MAX];
	cleanup_free char *text = NULL;
	size_t count;
	cJSON *json;

	if (str_equal(mode, "host"))
		return NULL;
	text = usage_proc_text(container->state.pid, "net/dev");
	if (!text ||
	    !proc_is_alive(container->state.pid, container->state.pid_start))
		return NULL;
	json = json_object();
	count = usage_interfaces(text, interfaces);
	for (size_t i = 0; i < count; i++)
		json_set(json, interfaces[i].name,
			 interface_json(&interfaces[i]));
	return json;
}

static int measure_machine(struct usage *usage, struct error *err)
{
	cleanup_free char *text = NULL;
	int r = file_read_at(AT_FDCWD, "/proc/stat", MACHINE_TEXT_MAX, &text,
			     NULL, err);

	return r < 0 ? r
		     : usage_machine(text, &usage->machine_ns, &usage->cpus,
				     err);
}

/* Where its user namespace limits them; a cgroup tells by itself. */
static uint64_t tasks_limit(const struct container *container)
{
	int64_t limit = member_i64(member_get(container->json, "HostConfig"),
				   "PidsLimit");

	return limit > 0 ? (uint64_t)limit : 0;
}

static int measure_processes(const struct container *container,
			     struct usage *usage, struct error *err)
{
	cleanup_free pid_t *pids = NULL;
	size_t count = 0;
	int r = container_processes(container, &pids, &count, err);

	usage->has_io = true;
	usage->memory_limit = (uint64_t)sysconf(_SC_PHYS_PAGES) *
			      (uint64_t)sysconf(_SC_PAGESIZE);
	for (size_t i = 0; r >= 0 && i < count; i++)
		usage_add_process(usage, pids[i]);
	usage->tasks_limit = tasks_limit(container);
	usage_take_cgroup(usage, container->state.cgroup);
	return r;
}

static cJSON *running_json(const struct container *container,
			   const struct usage *usage)
{
	cJSON *json = json_object();
	cJSON *pids = json_object();
	cJSON *networks = networks_json(container);

	set_u64(pids, "current", usage->tasks);
	/* docker's: the greatest number is no limit. */
	if (usage->tasks_limit > 0)
		set_u64(pids, "limit", usage->tasks_limit);
	json_set(json, "pids_stats", pids);
	json_set(json, "blkio_stats", io_json(usage));
	json_set(json, "cpu_stats", cpu_json(usage));
	json_set(json, "memory_stats", memory_json(usage));
	if (networks)
		json_set(json, "networks", networks);
	return json;
}

/* docker's, whose counts are all of a number that is not there. */
static cJSON *ended_json(void)
{
	const struct usage nothing = {0};
	cJSON *json = json_object();

	json_set(json, "pids_stats", json_object());
	json_set(json, "blkio_stats", io_json(NULL));
	json_set(json, "cpu_stats", cpu_json(&nothing));
	json_set(json, "memory_stats", json_object());
	return json;
}

static void set_before(cJSON *json, const cJSON *before)
{
	static const struct usage nothing = {0};
	const cJSON *cpu = member_get(before, "cpu_stats");
	const char *read = member_string(before, "read");
	cJSON *copy = cpu ? cJSON_Duplicate(cpu, true) : cpu_json(&nothing);

	if (!copy)
		str_oom();
	json_set_string(json, "preread", *read ? read : CONTAINER_TIME_NONE);
	json_set(json, "precpu_stats", copy);
}

int engine_container_stats(struct engine *engine, const char *id,
			   const cJSON *before, cJSON **ret_json,
			   struct error *err)
{
	CLEANUP(container_close) struct container container = CONTAINER_INIT;
	struct usage usage = {0};
	cleanup_free char *name = NULL;
	char now[TIME_TEXT_MAX];
	cJSON *json;
	bool runs;
	int r = container_open(engine, id, &container, err);

	if (r < 0)
		return r;
	runs = container_is_running(&container) && container.state.pid > 0;
	if (runs)
		r = measure_processes(&container, &usage, err);
	/* Just now, so that both are of the same moment. */
	if (runs && r >= 0)
		r = measure_machine(&usage, err);
	if (r < 0)
		return r;
	json = runs ? running_json(&container, &usage) : ended_json();
	format_now(now);
	name = xasprintf("/%s", container.name);
	json_set_string(json, "name", name);
	json_set_string(json, "id", container.record.id);
	json_set_string(json, "os_type", "linux");
	json_set_string(json, "read", runs ? now : CONTAINER_TIME_NONE);
	json_set_i64(json, "num_procs", 0);
	json_set(json, "storage_stats", json_object());
	set_before(json, before);
	*ret_json = json;
	return 0;
}
