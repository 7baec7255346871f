#include "core/engine/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "core/engine/hostconfig.h"
#include "core/engine/members.h"
#include "core/runtime/task_limit.h"

#define MEMORY_MIN     (6 << 20)
#define NANO	       1000000000ll
#define CPUS_PERIOD_US 100000
#define PERIOD_MIN_US  1000
#define PERIOD_MAX_US  1000000
#define QUOTA_MIN_US   1000
#define BLKIO_MIN      10
#define BLKIO_MAX      1000
#define SWAPPINESS_MAX 100
#define SET_MAX	       8192 /* CPUs or memory nodes */
#define SET_TEXT_MAX   4096
#define MEMORY_FACTOR  2 /* docker's default of memory and swap */

/* Of the table of HostConfig's members, those that a cgroup limits. */
static const struct member *next_limit(const struct member *after)
{
	size_t count;
	const struct member *members = host_config_members(&count);
	const struct member *row = after ? after + 1 : members;

	while (row < members + count && row->use != MEMBER_LIMIT)
		row++;
	return row < members + count ? row : NULL;
}

/* Is something limited? -1 is docker's "no limit", as is nothing. */
static bool is_set(const cJSON *host, const char *member)
{
	const cJSON *value = member_get(host, member);

	if (cJSON_IsNumber(value))
		return value->valuedouble > 0;
	return !member_is_empty(value);
}

static int invalid(struct error *err, const char *text)
{
	return err_set(err, ERROR_INVALID, "%s", text);
}

static int check_memory(const cJSON *host, bool is_update, struct error *err)
{
	int64_t memory = member_i64(host, "Memory");
	int64_t swap = member_i64(host, "MemorySwap");
	int64_t reservation = member_i64(host, "MemoryReservation");
	int64_t swappiness = member_i64(host, "MemorySwappiness");

	if (memory != 0 && memory < MEMORY_MIN)
		return invalid(err, "Minimum memory limit allowed is 6MB");
	if (memory > 0 && swap > 0 && swap < memory)
		return invalid(err, "Minimum memoryswap limit should be larger "
				    "than memory limit, see usage");
	if (memory == 0 && swap > 0 && !is_update)
		return invalid(err, "You should always set the Memory limit "
				    "when using Memoryswap limit, see usage");
	if (swap < -1)
		return invalid(err, "the limit of memory and swap is negative");
	if (swappiness < -1 || swappiness > SWAPPINESS_MAX)
		return err_set(err, ERROR_INVALID,
			       "Invalid value: %lld, valid memory swappiness "
			       "range is 0-100",
			       (long long)swappiness);
	if (reservation < 0 || (reservation > 0 && reservation < MEMORY_MIN))
		return invalid(err,
			       "Minimum memory reservation allowed is 6MB");
	if (memory > 0 && reservation > 0 && memory < reservation)
		return invalid(err, "Minimum memory limit can not be less than "
				    "memory reservation limit, see usage");
	return 0;
}

static int check_cpu(const cJSON *host, bool is_update, struct error *err)
{
	int64_t nano = member_i64(host, "NanoCpus");
	int64_t period = member_i64(host, "CpuPeriod");
	int64_t quota = member_i64(host, "CpuQuota");
	int64_t shares = member_i64(host, "CpuShares");
	long count = sysconf(_SC_NPROCESSORS_ONLN);

	if (nano > 0 && period > 0)
		return invalid(err, "Conflicting options: Nano CPUs and CPU "
				    "Period cannot both be set");
	if (nano > 0 && quota > 0)
		return invalid(err, "Conflicting options: Nano CPUs and CPU "
				    "Quota cannot both be set");
	/* The kernel's least quota is 1 ms in a period. */
	if (nano < 0 || nano > count * NANO || (nano > 0 && nano < NANO / 100))
		return err_set(err, ERROR_INVALID,
			       "Range of CPUs is from 0.01 to %ld.00, as there "
			       "are only %ld CPUs available",
			       count, count);
	if (period != 0 && (period < PERIOD_MIN_US || period > PERIOD_MAX_US))
		return invalid(err, "CPU cfs period can not be less than 1ms "
				    "(i.e. 1000) or larger than 1s (i.e. "
				    "1000000)");
	if (quota > 0 && quota < QUOTA_MIN_US)
		return invalid(err, "CPU cfs quota can not be less than 1ms "
				    "(i.e. 1000)");
	if (shares < 0)
		return err_set(err, ERROR_INVALID,
			       "invalid CPU shares (%lld): value must be a "
			       "positive integer",
			       (long long)shares);
	if (member_i64(host, "CpuRealtimePeriod") == 0 &&
	    member_i64(host, "CpuRealtimeRuntime") == 0)
		return 0;
	err_set(err, ERROR_UNSUPPORTED,
		"Your kernel does not support CPU real-time scheduler: cgroup "
		"v2 has no limits of it");
	return err_hint(err, "leave --cpu-rt-period and --cpu-rt-runtime out");
}

/* "0-2,7" → a flag for each; false: it is none. */
static bool parse_set(const char *text, bool ret_set[SET_MAX])
{
	cleanup_strv char **parts = strv_split(text, ',');

	memset(ret_set, 0, SET_MAX * sizeof(*ret_set));
	for (size_t i = 0; parts[i]; i++) {
		char *dash = strchr(parts[i], '-');
		uint64_t first, last;

		if (dash)
			*dash = '\0';
		if (parse_u64(parts[i], &first) < 0)
			return false;
		last = first;
		if (dash && parse_u64(dash + 1, &last) < 0)
			return false;
		if (first > last || last >= SET_MAX)
			return false;
		for (; first <= last; first++)
			ret_set[first] = true;
	}
	return true;
}

struct set {
	const char *member;
	const char *what, *plural;
	const char *file; /* of what the machine has */
};

static const struct set sets[] = {
	{"CpusetCpus", "cpus", "CPUs", "/sys/devices/system/cpu/online"},
	{"CpusetMems", "mems", "memory nodes",
	 "/sys/devices/system/node/online"},
};

static int check_set(const cJSON *host, const struct set *set,
		     struct error *err)
{
	const char *text = member_string(host, set->member);
	cleanup_free char *online = NULL;
	static bool wanted[SET_MAX], there[SET_MAX];

	if (*text == '\0')
		return 0;
	if (strlen(text) > SET_TEXT_MAX || !parse_set(text, wanted))
		return err_set(err, ERROR_INVALID,
			       "Invalid value %.64s for cpuset %s", text,
			       set->what);
	/* Where the machine does not tell, the kernel will. */
	if (file_read_at(AT_FDCWD, set->file, SET_TEXT_MAX, &online, NULL,
			 NULL) < 0)
		return 0;
	online[strcspn(online, "\n")] = '\0';
	if (!parse_set(online, there))
		return 0;
	for (size_t i = 0; i < SET_MAX; i++) {
		if (wanted[i] && !there[i])
			return err_set(err, ERROR_INVALID,
				       "Requested %s are not available - "
				       "requested %s, available: %s",
				       set->plural, text, online);
	}
	return 0;
}

/* Lists of devices with a number for each. */
static const struct device_list {
	const char *member;
	const char *value;
	const char *oci, *oci_value;
} device_lists[] = {
	{"BlkioWeightDevice", "Weight", "weightDevice", "weight"},
	{"BlkioDeviceReadBps", "Rate", "throttleReadBpsDevice", "rate"},
	{"BlkioDeviceWriteBps", "Rate", "throttleWriteBpsDevice", "rate"},
	{"BlkioDeviceReadIOps", "Rate", "throttleReadIOPSDevice", "rate"},
	{"BlkioDeviceWriteIOps", "Rate", "throttleWriteIOPSDevice", "rate"},
};

static int check_devices(const cJSON *host, const struct device_list *list,
			 struct error *err)
{
	static const struct member rate_members[] = {
		{"Path", MEMBER_STRING, MEMBER_USED, MEMBER_EMPTY, NULL, NULL},
		{"Rate", MEMBER_INTEGER, MEMBER_USED, MEMBER_ZERO, NULL, NULL},
	};
	static const struct member weight_members[] = {
		{"Path", MEMBER_STRING, MEMBER_USED, MEMBER_EMPTY, NULL, NULL},
		{"Weight", MEMBER_INTEGER, MEMBER_USED, MEMBER_ZERO, NULL,
		 NULL},
	};
	bool is_weight = str_equal(list->value, "Weight");
	cleanup_free char *path = xasprintf("HostConfig.%s", list->member);
	const cJSON *array = member_get(host, list->member);
	const cJSON *item;

	if (cJSON_GetArraySize(array) > CGROUP_DEVICES_MAX)
		return err_set(err, ERROR_INVALID, "%s: more than %d entries",
			       path, CGROUP_DEVICES_MAX);
	cJSON_ArrayForEach(item, array)
	{
		int64_t value;
		int r;

		if (!cJSON_IsObject(item))
			return err_set(err, ERROR_INVALID,
				       "%s: expected objects", path);
		r = members_check(item, path,
				  is_weight ? weight_members : rate_members,
				  ARRAY_SIZE(rate_members), true, err);
		if (r < 0)
			return r;
		value = member_i64(item, list->value);
		if (is_weight && (value < BLKIO_MIN || value > BLKIO_MAX))
			return invalid(err, "Range of blkio weight is from 10 "
					    "to 1000");
		if (value <= 0)
			return err_set(err, ERROR_INVALID,
				       "%s: a rate of %lld for %s is none",
				       path, (long long)value,
				       member_string(item, "Path"));
	}
	return 0;
}

static int check_io(const cJSON *host, struct error *err)
{
	int64_t weight = member_i64(host, "BlkioWeight");

	if (weight != 0 && (weight < BLKIO_MIN || weight > BLKIO_MAX))
		return invalid(err, "Range of blkio weight is from 10 to 1000");
	for (size_t i = 0; i < ARRAY_SIZE(device_lists); i++) {
		int r = check_devices(host, &device_lists[i], err);

		if (r < 0)
			return r;
	}
	return 0;
}

int limits_check(const cJSON *host, bool is_update, struct error *err)
{
	int r = check_memory(host, is_update, err);

	if (r >= 0)
		r = check_cpu(host, is_update, err);
	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(sets); i++)
		r = check_set(host, &sets[i], err);
	return r < 0 ? r : check_io(host, err);
}

void limits_discard(cJSON *host, char ***warnings)
{
	if (member_get(host, "MemorySwappiness")) {
		if (member_i64(host, "MemorySwappiness") != -1)
			strv_push(warnings,
				  "Your kernel does not support memory "
				  "swappiness capabilities or the cgroup is "
				  "not mounted. Memory swappiness discarded.");
		json_set(host, "MemorySwappiness", NULL);
	}
	if (member_bool(host, "OomKillDisable"))
		strv_push(warnings, "Your kernel does not support "
				    "OomKillDisable. OomKillDisable "
				    "discarded.");
	json_set(host, "OomKillDisable", NULL);
	if (member_i64(host, "KernelMemory") > 0 ||
	    member_i64(host, "KernelMemoryTCP") > 0)
		strv_push(warnings,
			  "Your kernel does not support kernel memory limit "
			  "capabilities or the cgroup is not mounted. "
			  "Limitation discarded.");
	cJSON_DeleteItemFromObjectCaseSensitive(host, "KernelMemory");
	cJSON_DeleteItemFromObjectCaseSensitive(host, "KernelMemoryTCP");
}

void limits_set_defaults(cJSON *host)
{
	int64_t memory = member_i64(host, "Memory");

	if (memory > 0 && member_i64(host, "MemorySwap") == 0 &&
	    memory <= INT64_MAX / MEMORY_FACTOR)
		json_set_i64(host, "MemorySwap", memory * MEMORY_FACTOR);
}

/* As docker's, of which each may be another container's. */
static bool joins_namespaces(const cJSON *host)
{
	static const char *const modes[] = {"NetworkMode", "IpcMode", "PidMode",
					    "UTSMode"};

	for (size_t i = 0; i < ARRAY_SIZE(modes); i++)
		if (mode_container(member_string(host, modes[i])))
			return true;
	return false;
}

/*
 * Why the number of processes is not limited without a cgroup, and what there
 * is instead: RLIMIT_NPROC of the container's own user namespace.
 */
static int hint_nproc(const cJSON *host, int64_t count, struct error *err)
{
	cleanup_free char *hint = NULL;

	if (!err)
		return -ENOTSUP;
	hint = xstrdup(err->hint);
	return err_hint(err,
			"%s (%s); --ulimit nproc=%lld works without, but "
			"counts each user of the container apart",
			hint,
			!task_limit_is_possible() ? "or boot Linux 5.14"
			: joins_namespaces(host)
				? "without is only for a container that joins "
				  "no other's namespaces"
				: "the least without is 2",
			(long long)count);
}

/* The number of processes, when it is the user namespace that limits it. */
static bool counts_tasks(const struct member *row, const cJSON *wanted,
			 const cJSON *host)
{
	return str_equal(row->name, "PidsLimit") && task_limit_is_possible() &&
	       member_i64(wanted, row->name) >= TASK_LIMIT_MIN &&
	       !joins_namespaces(host);
}

/* The controllers that are wanted; *ret_first: the first that is missing. */
static unsigned int find_needed(const cJSON *wanted, const cJSON *host,
				const struct cgroup_host *cgroups,
				const char **ret_first)
{
	unsigned int needed = 0;

	*ret_first = NULL;
	for (const struct member *row = next_limit(NULL); row;
	     row = next_limit(row)) {
		unsigned int controllers =
			cgroup_controllers_parse(row->controller);
		bool missing = controllers & ~cgroups->delegated;

		if (!is_set(wanted, row->name) ||
		    (missing && counts_tasks(row, wanted, host)))
			continue;
		needed |= controllers;
		if (missing && !*ret_first)
			*ret_first = row->option;
	}
	return needed;
}

int limits_check_cgroup(const cJSON *wanted, const cJSON *host,
			struct error *err)
{
	CLEANUP(cgroup_host_release) struct cgroup_host cgroups = {0};
	const char *parent = member_string(wanted, "CgroupParent");
	const char *first = NULL;
	unsigned int needed;

	/* Most containers have none, and need not look for cgroups. */
	if (!find_needed(wanted, host, &cgroups, &first) && *parent == '\0')
		return 0;
	cgroup_host_read("", cgroup_outside_uid(), &cgroups);
	needed = find_needed(wanted, host, &cgroups, &first);
	if (!first && *parent)
		first = "--cgroup-parent";
	if (first) {
		int r = cgroup_host_check(&cgroups, needed, first, err);

		if (r < 0 && str_equal(first, "--pids-limit"))
			return hint_nproc(host, member_i64(wanted, "PidsLimit"),
					  err);
		if (r < 0)
			return r;
	}
	return cgroup_parent_check(&cgroups, parent, err);
}

static void set_positive(cJSON *object, const char *name, int64_t value)
{
	if (value != 0)
		json_set_i64(object, name, value);
}

static void set_text(cJSON *object, const char *name, const char *value)
{
	if (*value)
		json_set_string(object, name, value);
}

static cJSON *cpu_json(const cJSON *host)
{
	int64_t nano = member_i64(host, "NanoCpus");
	cJSON *json = json_object();

	set_positive(json, "shares", member_i64(host, "CpuShares"));
	set_positive(json, "quota", member_i64(host, "CpuQuota"));
	set_positive(json, "period", member_i64(host, "CpuPeriod"));
	if (nano > 0) {
		json_set_i64(json, "period", CPUS_PERIOD_US);
		json_set_i64(json, "quota", nano * CPUS_PERIOD_US / NANO);
	}
	set_text(json, "cpus", member_string(host, "CpusetCpus"));
	set_text(json, "mems", member_string(host, "CpusetMems"));
	return json;
}

static cJSON *memory_json(const cJSON *host)
{
	cJSON *json = json_object();

	set_positive(json, "limit", member_i64(host, "Memory"));
	set_positive(json, "swap", member_i64(host, "MemorySwap"));
	set_positive(json, "reservation",
		     member_i64(host, "MemoryReservation"));
	return json;
}

static int devices_json(const cJSON *host, const struct device_list *list,
			cJSON *block, struct error *err)
{
	const cJSON *item;
	cJSON *array = NULL;

	cJSON_ArrayForEach(item, member_get(host, list->member))
	{
		const char *path = member_string(item, "Path");
		cJSON *device;
		struct stat st;

		if (stat(path, &st) < 0)
			return err_errno(err, "cannot limit the device %s",
					 path);
		if (!S_ISBLK(st.st_mode))
			return err_set(err, ERROR_INVALID,
				       "cannot limit %s: it is no block device",
				       path);
		if (!array) {
			array = json_array();
			json_set(block, list->oci, array);
		}
		device = json_object();
		json_set_i64(device, "major", major(st.st_rdev));
		json_set_i64(device, "minor", minor(st.st_rdev));
		json_set_i64(device, list->oci_value,
			     member_i64(item, list->value));
		json_push(array, device);
	}
	return 0;
}

int limits_oci_json(const cJSON *host, cJSON **ret_json, struct error *err)
{
	cleanup_json cJSON *json = json_object();
	int64_t pids = member_i64(host, "PidsLimit");
	cJSON *block = json_object();
	cJSON *cpu = cpu_json(host);
	cJSON *memory = memory_json(host);
	cJSON *number;

	json_set(json, "blockIO", block);
	json_set(json, "cpu", cpu);
	json_set(json, "memory", memory);
	set_positive(block, "weight", member_i64(host, "BlkioWeight"));
	for (size_t i = 0; i < ARRAY_SIZE(device_lists); i++) {
		int r = devices_json(host, &device_lists[i], block, err);

		if (r < 0)
			return r;
	}
	if (pids != 0) {
		number = json_object();
		json_set_i64(number, "limit", pids);
		json_set(json, "pids", number);
	}
	*ret_json = NULL;
	if (block->child || cpu->child || memory->child || pids != 0)
		*ret_json = steal_ptr(&json);
	return 0;
}

int limits_parse(const cJSON *host, struct cgroup_limits *ret_limits,
		 struct error *err)
{
	cleanup_json cJSON *linux_part = json_object();
	cJSON *resources = NULL;
	int r = limits_oci_json(host, &resources, err);

	if (r < 0)
		return r;
	*ret_limits = (struct cgroup_limits){0};
	if (!resources)
		return 0;
	json_set(linux_part, "resources", resources);
	r = cgroup_limits_parse(linux_part, ret_limits, err);
	if (r < 0)
		cgroup_limits_release(ret_limits);
	return r;
}

static int check_order(const cJSON *before, const cJSON *update,
		       struct error *err)
{
	static const struct {
		const char *given, *present, *text;
	} rows[] = {
		{"NanoCpus", "CpuPeriod",
		 "Conflicting options: Nano CPUs cannot be updated as CPU "
		 "Period has already been set"},
		{"NanoCpus", "CpuQuota",
		 "Conflicting options: Nano CPUs cannot be updated as CPU "
		 "Quota has already been set"},
		{"CpuPeriod", "NanoCpus",
		 "Conflicting options: CPU Period cannot be updated as "
		 "NanoCPUs has already been set"},
		{"CpuQuota", "NanoCpus",
		 "Conflicting options: CPU Quota cannot be updated as NanoCPUs "
		 "has already been set"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		if (member_i64(update, rows[i].given) > 0 &&
		    member_i64(before, rows[i].present) > 0)
			return invalid(err, rows[i].text);
	}
	if (member_i64(update, "MemorySwap") == 0 &&
	    member_i64(update, "Memory") > 0 &&
	    member_i64(before, "MemorySwap") >= 0 &&
	    member_i64(update, "Memory") > member_i64(before, "MemorySwap"))
		return invalid(err, "Memory limit should be smaller than "
				    "already set memoryswap limit, update the "
				    "memoryswap at the same time");
	return 0;
}

int limits_merge(cJSON *container_host, const cJSON *update, struct error *err)
{
	int changed = 0;
	int r = check_order(container_host, update, err);

	if (r < 0)
		return r;
	for (const struct member *row = next_limit(NULL); row;
	     row = next_limit(row)) {
		const cJSON *value = member_get(update, row->name);
		cJSON *copy;

		/* 0 and "" leave it as it is, as with docker. */
		if (member_is_empty(value))
			continue;
		copy = cJSON_Duplicate(value, true);
		if (!copy)
			str_oom();
		json_set(container_host, row->name, copy);
		changed = 1;
	}
	return changed;
}
