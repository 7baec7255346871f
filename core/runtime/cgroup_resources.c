/*
 * linux.resources: limits that become a cgroup's (core/runtime/cgroup.h).
 * Device rules are passed over: without root nobody gets at a device that is
 * not his, and the specification's own default set has them.
 */
#include "core/runtime/cgroup.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "core/runtime/spec_field.h"

#define RESOURCES "linux.resources"

static const struct field_refusal refusals[] = {
	{"hugepageLimits", "limits of huge pages are not supported"},
	{"network", "classes of network traffic are cgroup v1's"},
	{"rdma", "limits of RDMA are not supported"},
	{"unified", "cgroup files by name are not supported"},
};

static const struct field_refusal memory_refusals[] = {
	{"kernel", "limits of kernel memory are cgroup v1's"},
	{"kernelTCP", "limits of kernel memory are cgroup v1's"},
	{"disableOOMKiller", "the OOM killer cannot be turned off"},
};

static const struct field_refusal cpu_refusals[] = {
	{"realtimeRuntime", "real-time limits are cgroup v1's"},
	{"realtimePeriod", "real-time limits are cgroup v1's"},
	{"burst", "bursts are not supported"},
	{"idle", "idle scheduling is not supported"},
};

static const struct field_refusal block_refusals[] = {
	{"leafWeight", "leaf weights are cgroup v1's"},
};

/* A member's path, and the object when it is there. */
static int part(const cJSON *resources, const char *name,
		const struct field_refusal *list, size_t count,
		const cJSON **ret_part, struct error *err)
{
	cleanup_free char *path = xasprintf(RESOURCES ".%s", name);
	int r = json_get_object(resources, RESOURCES, name, ret_part, err);

	return r <= 0 ? r : field_refuse(*ret_part, path, list, count, err);
}

static int parse_memory(const cJSON *resources, struct cgroup_limits *limits,
			struct error *err)
{
	const struct {
		const char *key;
		int64_t *value;
	} rows[] = {
		{"limit", &limits->memory},
		{"swap", &limits->swap},
		{"reservation", &limits->reservation},
	};
	const cJSON *memory = NULL;
	int r = part(resources, "memory", memory_refusals,
		     ARRAY_SIZE(memory_refusals), &memory, err);

	for (size_t i = 0; r >= 0 && memory && i < ARRAY_SIZE(rows); i++) {
		r = json_get_i64(memory, RESOURCES ".memory", rows[i].key,
				 rows[i].value, err);
		if (r >= 0 && *rows[i].value < CGROUP_UNLIMITED)
			return err_set(err, ERROR_INVALID,
				       RESOURCES ".memory.%s: %lld is negative",
				       rows[i].key, (long long)*rows[i].value);
	}
	return r < 0 ? r : 0;
}

/* Sets are handed to the kernel, which knows what they may hold. */
static int check_set(const char *key, const char *set, struct error *err)
{
	if (!set || strspn(set, "0123456789,-") == strlen(set))
		return 0;
	return err_set(err, ERROR_INVALID,
		       RESOURCES ".cpu.%s: \"%s\" is no list of numbers", key,
		       set);
}

static int parse_cpu(const cJSON *resources, struct cgroup_limits *limits,
		     struct error *err)
{
	static const char path[] = RESOURCES ".cpu";
	const cJSON *cpu = NULL;
	int r = part(resources, "cpu", cpu_refusals, ARRAY_SIZE(cpu_refusals),
		     &cpu, err);

	if (r < 0 || !cpu)
		return r;
	r = field_u64(cpu, path, "shares", &limits->shares, err);
	if (r >= 0)
		r = json_get_i64(cpu, path, "quota", &limits->quota, err);
	if (r >= 0)
		r = field_u64(cpu, path, "period", &limits->period, err);
	if (r >= 0)
		r = field_string(cpu, path, "cpus", &limits->cpus, err);
	if (r >= 0)
		r = field_string(cpu, path, "mems", &limits->mems, err);
	if (r >= 0)
		r = check_set("cpus", limits->cpus, err);
	return r < 0 ? r : check_set("mems", limits->mems, err);
}

static int parse_pids(const cJSON *resources, struct cgroup_limits *limits,
		      struct error *err)
{
	const cJSON *pids = NULL;
	int r = part(resources, "pids", NULL, 0, &pids, err);

	if (r < 0 || !pids)
		return r;
	r = json_get_i64(pids, RESOURCES ".pids", "limit", &limits->pids, err);
	if (r > 0 && limits->pids <= 0)
		limits->pids = CGROUP_UNLIMITED;
	return r < 0 ? r : 0;
}

static int parse_device(const cJSON *item, const char *path,
			struct cgroup_limits *limits,
			struct cgroup_device **ret_device, struct error *err)
{
	uint32_t major = 0, minor = 0;
	int r;

	if (!cJSON_IsObject(item))
		return err_set(err, ERROR_INVALID, "%s: expected an object",
			       path);
	r = field_u32(item, path, "major", UINT32_MAX, &major, err);
	if (r >= 0)
		r = field_u32(item, path, "minor", UINT32_MAX, &minor, err);
	if (r < 0)
		return r;
	*ret_device = cgroup_limits_device(limits, major, minor);
	return 0;
}

/* Rows of the weights (rate RATE_COUNT) or of one of the rates. */
static int parse_devices(const cJSON *block, const char *key, int rate,
			 struct cgroup_limits *limits, struct error *err)
{
	const cJSON *array = NULL, *item;
	size_t count = 0, index = 0;
	int r = field_array(block, RESOURCES ".blockIO", key,
			    CGROUP_DEVICES_MAX, &array, &count, err);

	if (r <= 0)
		return r;
	cJSON_ArrayForEach(item, array)
	{
		cleanup_free char *path =
			xasprintf(RESOURCES ".blockIO.%s[%zu]", key, index++);
		struct cgroup_device *device = NULL;

		r = parse_device(item, path, limits, &device, err);
		if (r >= 0 && rate == RATE_COUNT)
			r = field_u32(item, path, "weight", UINT16_MAX,
				      &device->weight, err);
		else if (r >= 0)
			r = field_u64(item, path, "rate", &device->rates[rate],
				      err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int parse_block(const cJSON *resources, struct cgroup_limits *limits,
		       struct error *err)
{
	static const struct {
		const char *key;
		int rate;
	} rows[] = {
		{"weightDevice", RATE_COUNT},
		{"throttleReadBpsDevice", RATE_RBPS},
		{"throttleWriteBpsDevice", RATE_WBPS},
		{"throttleReadIOPSDevice", RATE_RIOPS},
		{"throttleWriteIOPSDevice", RATE_WIOPS},
	};
	const cJSON *block = NULL;
	int r = part(resources, "blockIO", block_refusals,
		     ARRAY_SIZE(block_refusals), &block, err);

	if (r < 0 || !block)
		return r;
	r = field_u32(block, RESOURCES ".blockIO", "weight", UINT16_MAX,
		      &limits->weight, err);
	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(rows); i++)
		r = parse_devices(block, rows[i].key, rows[i].rate, limits,
				  err);
	return r < 0 ? r : 0;
}

int cgroup_limits_parse(const cJSON *linux_part, struct cgroup_limits *limits,
			struct error *err)
{
	static int (*const parsers[])(const cJSON *, struct cgroup_limits *,
				      struct error *) = {
		parse_memory,
		parse_cpu,
		parse_pids,
		parse_block,
	};
	const cJSON *resources = NULL;
	int r = json_get_object(linux_part, "linux", "resources", &resources,
				err);

	if (r <= 0)
		return r;
	r = field_refuse(resources, RESOURCES, refusals, ARRAY_SIZE(refusals),
			 err);
	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(parsers); i++)
		r = parsers[i](resources, limits, err);
	if (r < 0)
		return r;
	r = cgroup_limits_check(limits, err);
	return r < 0 ? err_wrap(err, RESOURCES) : 0;
}
