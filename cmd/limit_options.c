#include "cmd/limit_options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"

#define NANO	   1e9
#define CPUS_MAX   1e6
#define WEIGHT_MAX UINT16_MAX

/* clang-format off */
const struct option limit_options[] = {
	{0, "blkio-weight", OPTION_INT, "uint16", NULL, "Block IO (relative weight), between 10 and 1000, or 0 to disable (default 0)", false},
	{0, "blkio-weight-device", OPTION_LIST, NULL, NULL, "Block IO weight (relative device weight)", false},
	{0, "cgroup-parent", OPTION_STRING, NULL, NULL, "Optional parent cgroup for the container", false},
	{0, "cpu-period", OPTION_INT, NULL, NULL, "Limit CPU CFS (Completely Fair Scheduler) period", false},
	{0, "cpu-quota", OPTION_INT, NULL, NULL, "Limit CPU CFS (Completely Fair Scheduler) quota", false},
	{0, "cpu-rt-period", OPTION_INT, NULL, NULL, "Limit CPU real-time period in microseconds (not in cgroup v2)", false},
	{0, "cpu-rt-runtime", OPTION_INT, NULL, NULL, "Limit CPU real-time runtime in microseconds (not in cgroup v2)", false},
	{'c', "cpu-shares", OPTION_INT, NULL, NULL, "CPU shares (relative weight)", false},
	{0, "cpus", OPTION_STRING, "decimal", NULL, "Number of CPUs", false},
	{0, "cpuset-cpus", OPTION_STRING, NULL, NULL, "CPUs in which to allow execution (0-3, 0,1)", false},
	{0, "cpuset-mems", OPTION_STRING, NULL, NULL, "MEMs in which to allow execution (0-3, 0,1)", false},
	{0, "device-read-bps", OPTION_LIST, NULL, NULL, "Limit read rate (bytes per second) from a device", false},
	{0, "device-read-iops", OPTION_LIST, NULL, NULL, "Limit read rate (IO per second) from a device", false},
	{0, "device-write-bps", OPTION_LIST, NULL, NULL, "Limit write rate (bytes per second) to a device", false},
	{0, "device-write-iops", OPTION_LIST, NULL, NULL, "Limit write rate (IO per second) to a device", false},
	{0, "kernel-memory", OPTION_BYTES, NULL, NULL, "Kernel memory limit (not in cgroup v2: discarded)", false},
	{'m', "memory", OPTION_BYTES, NULL, NULL, "Memory limit", false},
	{0, "memory-reservation", OPTION_BYTES, NULL, NULL, "Memory soft limit", false},
	{0, "memory-swap", OPTION_STRING, "bytes", NULL, "Swap limit equal to memory plus swap: '-1' to enable unlimited swap", false},
	{0, "memory-swappiness", OPTION_INT, NULL, "-1", "Tune container memory swappiness (0 to 100; not in cgroup v2: discarded)", false},
	{0, "oom-kill-disable", OPTION_FLAG, NULL, NULL, "Disable OOM Killer (not in cgroup v2: discarded)", false},
	{0, "pids-limit", OPTION_INT, NULL, NULL, "Tune container pids limit (set -1 for unlimited)", false},
	{0},
};

const struct option limit_update_options[] = {
	{0, "blkio-weight", OPTION_INT, "uint16", NULL, "Block IO (relative weight), between 10 and 1000, or 0 to disable (default 0)", false},
	{0, "cpu-period", OPTION_INT, NULL, NULL, "Limit CPU CFS (Completely Fair Scheduler) period", false},
	{0, "cpu-quota", OPTION_INT, NULL, NULL, "Limit CPU CFS (Completely Fair Scheduler) quota", false},
	{0, "cpu-rt-period", OPTION_INT, NULL, NULL, "Limit the CPU real-time period in microseconds (not in cgroup v2)", false},
	{0, "cpu-rt-runtime", OPTION_INT, NULL, NULL, "Limit the CPU real-time runtime in microseconds (not in cgroup v2)", false},
	{'c', "cpu-shares", OPTION_INT, NULL, NULL, "CPU shares (relative weight)", false},
	{0, "cpus", OPTION_STRING, "decimal", NULL, "Number of CPUs", false},
	{0, "cpuset-cpus", OPTION_STRING, NULL, NULL, "CPUs in which to allow execution (0-3, 0,1)", false},
	{0, "cpuset-mems", OPTION_STRING, NULL, NULL, "MEMs in which to allow execution (0-3, 0,1)", false},
	{'m', "memory", OPTION_BYTES, NULL, NULL, "Memory limit", false},
	{0, "memory-reservation", OPTION_BYTES, NULL, NULL, "Memory soft limit", false},
	{0, "memory-swap", OPTION_STRING, "bytes", NULL, "Swap limit equal to memory plus swap: -1 to enable unlimited swap", false},
	{0, "pids-limit", OPTION_INT, NULL, NULL, "Tune container pids limit (set -1 for unlimited)", false},
	{0},
};

/* Each option's member, and how its words become a value. */
enum form {
	FORM_PLAIN, /* as the parser has it */
	FORM_CPUS,
	FORM_SWAP,
	FORM_WEIGHT,
	FORM_BYTE_RATES,
	FORM_RATES,
	FORM_WEIGHTS,
};

static const struct {
	const char *option;
	const char *member;
	enum form form;
} members[] = {
	{"blkio-weight", "BlkioWeight", FORM_WEIGHT},
	{"blkio-weight-device", "BlkioWeightDevice", FORM_WEIGHTS},
	{"cgroup-parent", "CgroupParent", FORM_PLAIN},
	{"cpu-period", "CpuPeriod", FORM_PLAIN},
	{"cpu-quota", "CpuQuota", FORM_PLAIN},
	{"cpu-rt-period", "CpuRealtimePeriod", FORM_PLAIN},
	{"cpu-rt-runtime", "CpuRealtimeRuntime", FORM_PLAIN},
	{"cpu-shares", "CpuShares", FORM_PLAIN},
	{"cpus", "NanoCpus", FORM_CPUS},
	{"cpuset-cpus", "CpusetCpus", FORM_PLAIN},
	{"cpuset-mems", "CpusetMems", FORM_PLAIN},
	{"device-read-bps", "BlkioDeviceReadBps", FORM_BYTE_RATES},
	{"device-read-iops", "BlkioDeviceReadIOps", FORM_RATES},
	{"device-write-bps", "BlkioDeviceWriteBps", FORM_BYTE_RATES},
	{"device-write-iops", "BlkioDeviceWriteIOps", FORM_RATES},
	{"kernel-memory", "KernelMemory", FORM_PLAIN},
	{"memory", "Memory", FORM_PLAIN},
	{"memory-reservation", "MemoryReservation", FORM_PLAIN},
	{"memory-swap", "MemorySwap", FORM_SWAP},
	{"memory-swappiness", "MemorySwappiness", FORM_PLAIN},
	{"oom-kill-disable", "OomKillDisable", FORM_PLAIN},
	{"pids-limit", "PidsLimit", FORM_PLAIN},
};
/* clang-format on */

static int add_cpus(const char *text, const char *member, cJSON *host,
		    struct error *err)
{
	char *end;
	double cpus;

	errno = 0;
	cpus = strtod(text, &end);
	if (*text == '\0' || *end != '\0' || errno || !(cpus >= 0) ||
	    cpus > CPUS_MAX)
		return err_set(err, ERROR_INVALID,
			       "invalid argument \"%s\" for \"--cpus\" flag: "
			       "expected a number such as 1.5",
			       text);
	json_set_i64(host, member, (int64_t)(cpus * NANO));
	return 0;
}

static int add_swap(const char *text, const char *member, cJSON *host,
		    struct error *err)
{
	int64_t bytes = -1;

	if (!str_equal(text, "-1") && parse_bytes(text, &bytes) < 0)
		return err_set(err, ERROR_INVALID,
			       "invalid argument \"%s\" for \"--memory-swap\" "
			       "flag: expected a size such as 64m or 1g, or -1",
			       text);
	json_set_i64(host, member, bytes);
	return 0;
}

static int add_weight(int64_t weight, const char *member, cJSON *host,
		      struct error *err)
{
	if (weight < 0 || weight > WEIGHT_MAX)
		return err_set(err, ERROR_INVALID,
			       "invalid argument \"%lld\" for "
			       "\"--blkio-weight\" flag: value out of range",
			       (long long)weight);
	json_set_i64(host, member, weight);
	return 0;
}

/* docker's words for a number that is none. */
static int bad_number(enum form form, const char *text, struct error *err)
{
	if (form == FORM_WEIGHTS)
		return err_set(err, ERROR_INVALID,
			       "invalid weight for device: %s", text);
	if (form == FORM_RATES)
		return err_set(err, ERROR_INVALID,
			       "invalid rate for device: %s. The correct "
			       "format is <device-path>:<number>. Number must "
			       "be a positive integer",
			       text);
	return err_set(err, ERROR_INVALID,
		       "invalid rate for device: %s. The correct format is "
		       "<device-path>:<number>[<unit>]. Number must be a "
		       "positive integer. Unit is optional and can be kb, mb, "
		       "or gb",
		       text);
}

/* "/dev/sda:1mb" */
static int add_device(enum form form, const char *text, cJSON *array,
		      struct error *err)
{
	const char *colon = strchr(text, ':');
	cleanup_free char *path = NULL;
	int64_t number = 0;
	cJSON *device;
	int r;

	if (!colon || colon == text)
		return err_set(err, ERROR_INVALID, "bad format: %s", text);
	if (!str_starts(text, "/dev/"))
		return err_set(err, ERROR_INVALID,
			       "bad format for device path: %s", text);
	r = form == FORM_BYTE_RATES ? parse_bytes(colon + 1, &number)
				    : parse_i64(colon + 1, &number);
	if (r < 0 || number < 0 ||
	    (form == FORM_WEIGHTS && number > WEIGHT_MAX))
		return bad_number(form, text, err);
	path = xstrndup(text, (size_t)(colon - text));
	device = json_object();
	json_set_string(device, "Path", path);
	json_set_i64(device, form == FORM_WEIGHTS ? "Weight" : "Rate", number);
	json_push(array, device);
	return 0;
}

static int add_devices(enum form form, char *const *texts, const char *member,
		       cJSON *host, struct error *err)
{
	cJSON *array = json_array();
	int r = 0;

	json_set(host, member, array);
	for (size_t i = 0; r == 0 && texts[i]; i++)
		r = add_device(form, texts[i], array, err);
	return r;
}

static void add_plain(const struct options *options,
		      const struct option *option, const char *member,
		      cJSON *host)
{
	if (option->type == OPTION_FLAG)
		json_set_bool(host, member, option_flag(options, option->name));
	else if (option->type == OPTION_STRING)
		json_set_string(host, member,
				option_string(options, option->name));
	else
		json_set_i64(host, member,
			     option_number(options, option->name));
}

static int add(const struct options *options, const struct option *option,
	       size_t row, cJSON *host, struct error *err)
{
	const char *member = members[row].member;
	const char *name = option->name;

	switch (members[row].form) {
	case FORM_PLAIN:
		add_plain(options, option, member, host);
		return 0;
	case FORM_CPUS:
		return add_cpus(option_string(options, name), member, host,
				err);
	case FORM_SWAP:
		return add_swap(option_string(options, name), member, host,
				err);
	case FORM_WEIGHT:
		return add_weight(option_number(options, name), member, host,
				  err);
	case FORM_BYTE_RATES:
	case FORM_RATES:
	case FORM_WEIGHTS:
		break;
	}
	return add_devices(members[row].form, option_list(options, name),
			   member, host, err);
}

int limit_options_add(const struct options *options, cJSON *host,
		      struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < options->count; i++) {
		const struct option_value *value = &options->values[i];

		for (size_t row = 0;
		     r == 0 && value->given && row < ARRAY_SIZE(members); row++)
			if (str_equal(members[row].option, value->option->name))
				r = add(options, value->option, row, host, err);
	}
	return r;
}
