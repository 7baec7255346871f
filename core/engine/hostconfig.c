#include "core/engine/hostconfig.h"

#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "core/engine/limits.h"
#include "core/engine/members.h"
#include "core/engine/paths.h"
#include "core/monitor/log.h"
#include "net/files.h"
#include "policy/capability.h"

/* clang-format off */
static const struct member host_members[] = {
	{"Binds", MEMBER_STRINGS, MEMBER_USED, MEMBER_NULL, NULL, NULL},
	{"ContainerIDFile", MEMBER_STRING, MEMBER_USED, MEMBER_EMPTY, NULL, NULL},
	{"LogConfig", MEMBER_OBJECT, MEMBER_USED, MEMBER_NULL, NULL, NULL},
	{"NetworkMode", MEMBER_STRING, MEMBER_USED, MEMBER_EMPTY, NULL, NULL},
	{"PortBindings", MEMBER_SET, MEMBER_USED, MEMBER_NO_MEMBERS, NULL, NULL},
	{"RestartPolicy", MEMBER_OBJECT, MEMBER_USED, MEMBER_NULL, NULL, NULL},
	{"AutoRemove", MEMBER_BOOL, MEMBER_USED, MEMBER_FALSE, NULL, NULL},
	{"VolumeDriver", MEMBER_STRING, MEMBER_USED, MEMBER_EMPTY, NULL, NULL},
	{"VolumesFrom", MEMBER_STRINGS, MEMBER_USED, MEMBER_NULL, NULL, NULL},
	{"ConsoleSize", MEMBER_ARRAY, MEMBER_USED, MEMBER_NULL, NULL, NULL},
	{"Annotations", MEMBER_MAP, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"CapAdd", MEMBER_STRINGS, MEMBER_USED, MEMBER_NULL, NULL, NULL},
	{"CapDrop", MEMBER_STRINGS, MEMBER_USED, MEMBER_NULL, NULL, NULL},
	{"CgroupnsMode", MEMBER_STRING, MEMBER_USED, MEMBER_EMPTY, NULL, NULL},
	{"Dns", MEMBER_STRINGS, MEMBER_USED, MEMBER_NO_ITEMS, NULL, NULL},
	{"DnsOptions", MEMBER_STRINGS, MEMBER_USED, MEMBER_NO_ITEMS, NULL, NULL},
	{"DnsSearch", MEMBER_STRINGS, MEMBER_USED, MEMBER_NO_ITEMS, NULL, NULL},
	{"ExtraHosts", MEMBER_STRINGS, MEMBER_USED, MEMBER_NULL, NULL, NULL},
	{"GroupAdd", MEMBER_STRINGS, MEMBER_USED, MEMBER_NULL, NULL, NULL},
	{"IpcMode", MEMBER_STRING, MEMBER_USED, MEMBER_EMPTY, NULL, NULL},
	{"Cgroup", MEMBER_STRING, MEMBER_REFUSED, MEMBER_EMPTY, NULL, NULL},
	{"Links", MEMBER_STRINGS, MEMBER_REFUSED, MEMBER_NULL, "--link", NULL},
	{"OomScoreAdj", MEMBER_INTEGER, MEMBER_USED, MEMBER_ZERO, NULL, NULL},
	{"PidMode", MEMBER_STRING, MEMBER_USED, MEMBER_EMPTY, NULL, NULL},
	{"Privileged", MEMBER_BOOL, MEMBER_USED, MEMBER_FALSE, NULL, NULL},
	{"PublishAllPorts", MEMBER_BOOL, MEMBER_USED, MEMBER_FALSE, NULL, NULL},
	{"ReadonlyRootfs", MEMBER_BOOL, MEMBER_USED, MEMBER_FALSE, NULL, NULL},
	{"SecurityOpt", MEMBER_STRINGS, MEMBER_USED, MEMBER_NULL, NULL, NULL},
	{"StorageOpt", MEMBER_MAP, MEMBER_REFUSED, MEMBER_OMIT, "--storage-opt", NULL},
	{"Tmpfs", MEMBER_MAP, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"UTSMode", MEMBER_STRING, MEMBER_USED, MEMBER_EMPTY, NULL, NULL},
	{"UsernsMode", MEMBER_STRING, MEMBER_USED, MEMBER_EMPTY, NULL, NULL},
	{"ShmSize", MEMBER_INTEGER, MEMBER_USED, MEMBER_ZERO, NULL, NULL},
	{"Sysctls", MEMBER_MAP, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"Runtime", MEMBER_STRING, MEMBER_USED, MEMBER_EMPTY, NULL, NULL},
	{"Isolation", MEMBER_STRING, MEMBER_USED, MEMBER_EMPTY, NULL, NULL},
	{"CpuShares", MEMBER_INTEGER, MEMBER_LIMIT, MEMBER_ZERO, "--cpu-shares", "cpu"},
	{"Memory", MEMBER_INTEGER, MEMBER_LIMIT, MEMBER_ZERO, "--memory", "memory"},
	{"NanoCpus", MEMBER_INTEGER, MEMBER_LIMIT, MEMBER_ZERO, "--cpus", "cpu"},
	{"CgroupParent", MEMBER_STRING, MEMBER_USED, MEMBER_EMPTY, NULL, NULL},
	{"BlkioWeight", MEMBER_INTEGER, MEMBER_LIMIT, MEMBER_ZERO, "--blkio-weight", "io"},
	{"BlkioWeightDevice", MEMBER_ARRAY, MEMBER_LIMIT, MEMBER_NO_ITEMS, "--blkio-weight-device", "io"},
	{"BlkioDeviceReadBps", MEMBER_ARRAY, MEMBER_LIMIT, MEMBER_NO_ITEMS, "--device-read-bps", "io"},
	{"BlkioDeviceWriteBps", MEMBER_ARRAY, MEMBER_LIMIT, MEMBER_NO_ITEMS, "--device-write-bps", "io"},
	{"BlkioDeviceReadIOps", MEMBER_ARRAY, MEMBER_LIMIT, MEMBER_NO_ITEMS, "--device-read-iops", "io"},
	{"BlkioDeviceWriteIOps", MEMBER_ARRAY, MEMBER_LIMIT, MEMBER_NO_ITEMS, "--device-write-iops", "io"},
	{"CpuPeriod", MEMBER_INTEGER, MEMBER_LIMIT, MEMBER_ZERO, "--cpu-period", "cpu"},
	{"CpuQuota", MEMBER_INTEGER, MEMBER_LIMIT, MEMBER_ZERO, "--cpu-quota", "cpu"},
	{"CpuRealtimePeriod", MEMBER_INTEGER, MEMBER_USED, MEMBER_ZERO, NULL, NULL},
	{"CpuRealtimeRuntime", MEMBER_INTEGER, MEMBER_USED, MEMBER_ZERO, NULL, NULL},
	{"CpusetCpus", MEMBER_STRING, MEMBER_LIMIT, MEMBER_EMPTY, "--cpuset-cpus", "cpuset"},
	{"CpusetMems", MEMBER_STRING, MEMBER_LIMIT, MEMBER_EMPTY, "--cpuset-mems", "cpuset"},
	{"Devices", MEMBER_ARRAY, MEMBER_USED, MEMBER_NO_ITEMS, NULL, NULL},
	{"DeviceCgroupRules", MEMBER_STRINGS, MEMBER_REFUSED, MEMBER_NULL, "--device-cgroup-rule", NULL},
	{"DeviceRequests", MEMBER_ARRAY, MEMBER_REFUSED, MEMBER_NULL, "--gpus", NULL},
	{"MemoryReservation", MEMBER_INTEGER, MEMBER_LIMIT, MEMBER_ZERO, "--memory-reservation", "memory"},
	{"MemorySwap", MEMBER_INTEGER, MEMBER_LIMIT, MEMBER_ZERO, "--memory-swap", "memory"},
	{"MemorySwappiness", MEMBER_INTEGER, MEMBER_USED, MEMBER_NULL, NULL, NULL},
	{"OomKillDisable", MEMBER_BOOL, MEMBER_USED, MEMBER_NULL, NULL, NULL},
	{"PidsLimit", MEMBER_INTEGER, MEMBER_LIMIT, MEMBER_NULL, "--pids-limit", "pids"},
	{"Ulimits", MEMBER_ARRAY, MEMBER_USED, MEMBER_NO_ITEMS, NULL, NULL},
	{"CpuCount", MEMBER_INTEGER, MEMBER_REFUSED, MEMBER_ZERO, "--cpu-count", NULL},
	{"CpuPercent", MEMBER_INTEGER, MEMBER_REFUSED, MEMBER_ZERO, "--cpu-percent", NULL},
	{"IOMaximumIOps", MEMBER_INTEGER, MEMBER_REFUSED, MEMBER_ZERO, "--io-maxiops", NULL},
	{"IOMaximumBandwidth", MEMBER_INTEGER, MEMBER_REFUSED, MEMBER_ZERO, "--io-maxbandwidth", NULL},
	{"KernelMemory", MEMBER_INTEGER, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"KernelMemoryTCP", MEMBER_INTEGER, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"Mounts", MEMBER_ARRAY, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"MaskedPaths", MEMBER_STRINGS, MEMBER_USED, MEMBER_NULL, NULL, NULL},
	{"ReadonlyPaths", MEMBER_STRINGS, MEMBER_USED, MEMBER_NULL, NULL, NULL},
	{"Init", MEMBER_BOOL, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"Moss", MEMBER_OBJECT, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
};

static const struct member moss_members[] = {
	{"StorageDriver", MEMBER_STRING, MEMBER_USED, MEMBER_EMPTY, NULL, NULL},
	{"SeccompName", MEMBER_STRING, MEMBER_USED, MEMBER_EMPTY, NULL, NULL},
	{"Platform", MEMBER_STRING, MEMBER_USED, MEMBER_EMPTY, NULL, NULL},
	{"Egress", MEMBER_OBJECT, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"PublishMode", MEMBER_STRING, MEMBER_USED, MEMBER_EMPTY, NULL, NULL},
	{"HostPorts", MEMBER_STRINGS, MEMBER_USED, MEMBER_NULL, NULL, NULL},
};

static const struct member restart_members[] = {
	{"Name", MEMBER_STRING, MEMBER_USED, MEMBER_EMPTY, NULL, NULL},
	{"MaximumRetryCount", MEMBER_INTEGER, MEMBER_USED, MEMBER_ZERO, NULL, NULL},
};

static const struct member log_members[] = {
	{"Type", MEMBER_STRING, MEMBER_USED, MEMBER_EMPTY, NULL, NULL},
	{"Config", MEMBER_MAP, MEMBER_USED, MEMBER_NO_MEMBERS, NULL, NULL},
};
/* clang-format on */

const struct member *host_config_members(size_t *ret_count)
{
	*ret_count = ARRAY_SIZE(host_members);
	return host_members;
}

const char *mode_container(const char *mode)
{
	if (!str_starts(mode, "container:"))
		return NULL;
	return mode + strlen("container:");
}

static int check_restart(const cJSON *host, struct error *err)
{
	static const char *const names[] = {"", "no", "always",
					    "unless-stopped", "on-failure"};
	const cJSON *policy = member_get(host, "RestartPolicy");
	const char *name = member_string(policy, "Name");
	int64_t count = member_i64(policy, "MaximumRetryCount");
	size_t known = 0;

	while (known < ARRAY_SIZE(names) && !str_equal(names[known], name))
		known++;
	if (known == ARRAY_SIZE(names))
		return err_set(err, ERROR_INVALID,
			       "invalid restart policy: unknown policy '%s'; "
			       "use one of 'no', 'always', 'on-failure', or "
			       "'unless-stopped'",
			       name);
	if (count < 0)
		return err_set(err, ERROR_INVALID,
			       "invalid restart policy: maximum retry count "
			       "cannot be negative");
	if (count > 0 && !str_equal(name, "on-failure"))
		return err_set(err, ERROR_INVALID,
			       "invalid restart policy: maximum retry count "
			       "can only be used with 'on-failure'");
	if (member_bool(host, "AutoRemove") && *name && !str_equal(name, "no"))
		return err_set(err, ERROR_INVALID,
			       "can't create 'AutoRemove' container with "
			       "restart policy");
	return 0;
}

struct mode {
	const char *member;
	const char *what;
	bool container; /* may it be "container:NAME"? */
	const char *words[6];
};

static const struct mode modes[] = {
	{"IpcMode",
	 "IPC mode",
	 true,
	 {"", "none", "private", "host", "shareable"}},
	{"PidMode", "PID mode", true, {"", "host"}},
	{"UTSMode", "UTS mode", false, {"", "host"}},
	{"CgroupnsMode",
	 "cgroup namespace mode",
	 false,
	 {"", "private", "host"}},
	{"Isolation", "isolation", false, {"", "default"}},
	{"Runtime", "runtime", false, {"", RUNTIME_NAME}},
	{"VolumeDriver", "volume driver", false, {"", "local"}},
};

static int check_mode(const cJSON *host, const struct mode *mode,
		      struct error *err)
{
	const char *value = member_string(host, mode->member);
	const char *container = mode_container(value);
	cleanup_str struct str choices = {0};

	if (mode->container && container && *container)
		return 0;
	for (size_t i = 0; mode->words[i]; i++) {
		if (str_equal(mode->words[i], value))
			return 0;
		if (*mode->words[i])
			str_appendf(&choices, "%s%s",
				    choices.length ? ", " : "", mode->words[i]);
	}
	if (mode->container)
		str_append(&choices, ", container:NAME");
	err_set(err, ERROR_INVALID, "invalid %s: %s", mode->what, value);
	return err_hint(err, "use one of: %s", str_text(&choices));
}

static int check_annotations(const cJSON *host, struct error *err)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, member_get(host, "Annotations"))
	{
		if (*item->string == '\0')
			return err_set(err, ERROR_INVALID,
				       "invalid Annotations: the empty string "
				       "is not permitted as an annotation key");
		if (str_starts(item->string, "dev.moss."))
			return err_set(err, ERROR_INVALID,
				       "invalid Annotations: %s: names that "
				       "begin with dev.moss. are moss's own",
				       item->string);
	}
	return 0;
}

static int check_names(const cJSON *host, struct error *err)
{
	static const struct {
		const char *member;
		int (*check)(const char *text, struct error *err);
	} lists[] = {
		{"ExtraHosts", net_add_host_check},
		{"Dns", net_dns_check},
		{"DnsSearch", net_dns_search_check},
	};

	for (size_t i = 0; i < ARRAY_SIZE(lists); i++) {
		const cJSON *item;

		cJSON_ArrayForEach(item, member_get(host, lists[i].member))
		{
			int r = lists[i].check(item_string(item), err);

			if (r < 0)
				return r;
		}
	}
	return 0;
}

static int check_groups(const cJSON *host, struct error *err)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, member_get(host, "GroupAdd"))
	{
		const char *text = item_string(item);

		/* They travel as one annotation, joined by commas. */
		if (*text == '\0' || strpbrk(text, ",:\n\t /"))
			return err_set(err, ERROR_INVALID,
				       "invalid group: \"%s\"", text);
	}
	return 0;
}

static int check_path_list(const cJSON *host, const char *name,
			   struct error *err)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, member_get(host, name))
	{
		if (item_string(item)[0] != '/')
			return err_set(err, ERROR_INVALID,
				       "%s: \"%s\" is not an absolute path",
				       name, item_string(item));
	}
	return 0;
}

static int check_console_size(const cJSON *host, struct error *err)
{
	const cJSON *size = member_get(host, "ConsoleSize");
	const cJSON *item;

	if (member_is_empty(size))
		return 0;
	cJSON_ArrayForEach(item, size)
	{
		if (!cJSON_IsNumber(item) || item->valuedouble < 0 ||
		    item->valuedouble > UINT16_MAX)
			size = NULL;
	}
	if (cJSON_GetArraySize(size) != 2)
		return err_set(err, ERROR_INVALID,
			       "ConsoleSize: expected [ROWS, COLUMNS]");
	return 0;
}

static int check_capabilities(const cJSON *host, struct error *err)
{
	cleanup_strv char **add = member_strv(host, "CapAdd");
	cleanup_strv char **drop = member_strv(host, "CapDrop");
	uint64_t mask;

	return capability_resolve(add, drop, member_bool(host, "Privileged"),
				  &mask, err);
}

static int check_objects(const cJSON *host, struct error *err)
{
	struct log_options log;
	int r;

	r = members_check(member_get(host, "Moss"), "HostConfig.Moss",
			  moss_members, ARRAY_SIZE(moss_members), true, err);
	if (r < 0)
		return r;
	r = members_check(member_get(host, "RestartPolicy"),
			  "HostConfig.RestartPolicy", restart_members,
			  ARRAY_SIZE(restart_members), true, err);
	if (r < 0)
		return r;
	r = members_check(member_get(host, "LogConfig"), "HostConfig.LogConfig",
			  log_members, ARRAY_SIZE(log_members), true, err);
	if (r < 0)
		return r;
	return log_options_parse(member_get(host, "LogConfig"), &log, err);
}

int host_config_check(const cJSON *host, bool is_update, struct error *err)
{
	static int (*const checks[])(const cJSON *host, struct error *err) = {
		check_objects,	    check_restart, check_annotations,
		check_names,	    check_groups,  check_console_size,
		check_capabilities,
	};
	int64_t score;
	int r;

	r = members_check(host, "HostConfig", host_members,
			  ARRAY_SIZE(host_members), true, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(checks); i++) {
		r = checks[i](host, err);
		if (r < 0)
			return r;
	}
	for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
		r = check_mode(host, &modes[i], err);
		if (r < 0)
			return r;
	}
	r = limits_check(host, is_update, err);
	if (r < 0)
		return r;
	r = check_path_list(host, "MaskedPaths", err);
	if (r < 0)
		return r;
	r = check_path_list(host, "ReadonlyPaths", err);
	if (r < 0)
		return r;
	if (member_i64(host, "ShmSize") < 0)
		return err_set(err, ERROR_INVALID,
			       "SHM size can not be less than 0");
	score = member_i64(host, "OomScoreAdj");
	if (score < -1000 || score > 1000)
		return err_set(err, ERROR_INVALID,
			       "Invalid value %lld, range for oom score adj is "
			       "[-1000, 1000]",
			       (long long)score);
	return 0;
}

static void default_string(cJSON *host, const char *name, const char *value)
{
	if (*member_string(host, name) == '\0')
		json_set_string(host, name, value);
}

cJSON *host_config_normalise(const cJSON *host)
{
	cJSON *result =
		members_normalise(host, host_members, ARRAY_SIZE(host_members));
	cJSON *log, *policy;

	log = members_normalise(member_get(host, "LogConfig"), log_members,
				ARRAY_SIZE(log_members));
	default_string(log, "Type", "json-file");
	json_set(result, "LogConfig", log);
	policy =
		members_normalise(member_get(host, "RestartPolicy"),
				  restart_members, ARRAY_SIZE(restart_members));
	default_string(policy, "Name", "no");
	json_set(result, "RestartPolicy", policy);
	default_string(result, "IpcMode", "private");
	default_string(result, "CgroupnsMode", "private");
	default_string(result, "Runtime", RUNTIME_NAME);
	limits_set_defaults(result);
	if (member_i64(result, "ShmSize") == 0)
		json_set_i64(result, "ShmSize", SHM_SIZE_DEFAULT);
	if (member_is_empty(member_get(result, "ConsoleSize"))) {
		cJSON *size = json_array();

		json_push(size, cJSON_CreateNumber(0));
		json_push(size, cJSON_CreateNumber(0));
		json_set(result, "ConsoleSize", size);
	}
	/* null asks for the defaults, [] for none. */
	if (member_bool(host, "Privileged")) {
		json_set(result, "MaskedPaths", NULL);
		json_set(result, "ReadonlyPaths", NULL);
	} else {
		if (!member_get(host, "MaskedPaths"))
			json_set(result, "MaskedPaths", paths_masked());
		if (!member_get(host, "ReadonlyPaths"))
			json_set(result, "ReadonlyPaths", paths_readonly());
	}
	return result;
}

static int check_container_network(const cJSON *config, const cJSON *host,
				   struct error *err)
{
	static const struct {
		const char *member;
		bool host;
		const char *what;
	} rows[] = {
		{"Hostname", false, "hostname and the network mode"},
		{"MacAddress", false, "mac-address and the network mode"},
		{"Dns", true, "dns and the network mode"},
		{"ExtraHosts", true,
		 "custom host-to-IP mapping and the network mode"},
		{"PortBindings", true,
		 "port publishing and the container type network mode"},
		{"PublishAllPorts", true,
		 "port publishing and the container type network mode"},
		{"ExposedPorts", false,
		 "port exposing and the container type network mode"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		const cJSON *object = rows[i].host ? host : config;

		if (!member_is_empty(member_get(object, rows[i].member)))
			return err_set(err, ERROR_INVALID,
				       "conflicting options: %s", rows[i].what);
	}
	return 0;
}

int host_config_check_conflicts(const cJSON *config, const cJSON *host,
				char ***warnings, struct error *err)
{
	const char *network = member_string(host, "NetworkMode");
	const char *container = mode_container(network);

	if (container && *container == '\0')
		return err_set(err, ERROR_INVALID,
			       "invalid network mode: invalid container format "
			       "container:<name|id>");
	if (container) {
		int r = check_container_network(config, host, err);

		if (r < 0)
			return r;
	}
	if (str_equal(member_string(host, "UTSMode"), "host") &&
	    *member_string(config, "Hostname"))
		return err_set(
			err, ERROR_INVALID,
			"conflicting options: hostname and the UTS mode");
	if ((str_equal(network, "host") || str_equal(network, "none")) &&
	    (!member_is_empty(member_get(host, "PortBindings")) ||
	     member_bool(host, "PublishAllPorts")))
		strv_push_take(warnings,
			       xasprintf("Published ports are discarded when "
					 "using %s network mode",
					 network));
	if (member_bool(host, "Privileged"))
		strv_push(warnings,
			  "--privileged gives all capabilities inside the "
			  "container's own user namespace, without seccomp and "
			  "masked paths; it is not root on the host");
	return 0;
}
