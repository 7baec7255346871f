/* SystemInfo: core/engine/engine.h. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statfs.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "core/engine/container.h"
#include "core/engine/hostconfig.h"
#include "core/engine/settings.h"
#include "core/runtime/cgroup.h"
#include "core/runtime/task_limit.h"
#include "storage/store/image.h"

#define FILE_TEXT_MAX 65536

struct counts {
	struct engine *engine;
	int64_t all, running, paused;
};

static int count_container(const struct container *container, void *data,
			   struct error *err)
{
	struct counts *counts = data;
	struct container_state state = {0};

	if (record_repair(&counts->engine->store, &container->record, &state,
			  NULL) != 0)
		return 0;
	counts->all++;
	counts->running += state.status == CONTAINER_RUNNING ||
			   state.status == CONTAINER_RESTARTING;
	counts->paused += state.status == CONTAINER_PAUSED;
	container_state_release(&state);
	return 0;
}

static int set_counts(struct engine *engine, cJSON *json, struct error *err)
{
	struct counts counts = {.engine = engine};
	cleanup_fd int lock_fd = -1;
	struct image *images = NULL;
	size_t image_count = 0;
	int r;

	r = container_for_each(engine, count_container, &counts, err);
	if (r < 0)
		return r;
	lock_fd = store_lock(&engine->store, LOCK_SHARED, err);
	if (lock_fd < 0)
		return lock_fd;
	r = image_list(&engine->store, &images, &image_count, err);
	if (r < 0)
		return r;
	image_list_free(images, image_count);
	json_set_i64(json, "Containers", counts.all);
	json_set_i64(json, "ContainersRunning", counts.running);
	json_set_i64(json, "ContainersPaused", counts.paused);
	json_set_i64(json, "ContainersStopped",
		     counts.all - counts.running - counts.paused);
	json_set_i64(json, "Images", (int64_t)image_count);
	return 0;
}

/* The value of a key of os-release(5), without its quotes; NULL: none. */
static char *os_release(const char *key)
{
	static const char *const files[] = {"/etc/os-release",
					    "/usr/lib/os-release"};

	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		cleanup_free char *text = NULL;
		cleanup_strv char **lines = NULL;

		if (file_read_at(AT_FDCWD, files[i], FILE_TEXT_MAX, &text, NULL,
				 NULL) < 0)
			continue;
		lines = strv_split(text, '\n');
		for (size_t j = 0; lines[j]; j++) {
			const char *value = lines[j] + strlen(key);
			size_t length;

			if (!str_starts(lines[j], key))
				continue;
			length = strlen(value);
			if (length >= 2 && (*value == '"' || *value == '\''))
				return xstrndup(value + 1, length - 2);
			return xstrdup(value);
		}
	}
	return NULL;
}

static void set_machine(cJSON *json)
{
	cleanup_free char *system = os_release("PRETTY_NAME=");
	cleanup_free char *version = os_release("VERSION_ID=");
	struct utsname host = {0};
	struct sysinfo memory = {0};
	char now[TIME_TEXT_MAX];

	(void)uname(&host);
	(void)sysinfo(&memory);
	format_now(now);
	json_set_string(json, "SystemTime", now);
	json_set_string(json, "KernelVersion", host.release);
	json_set_string(json, "OperatingSystem", system ? system : "Linux");
	json_set_string(json, "OSVersion", version ? version : "");
	json_set_string(json, "OSType", "linux");
	json_set_string(json, "Architecture", host.machine);
	json_set_i64(json, "NCPU", sysconf(_SC_NPROCESSORS_ONLN));
	json_set_i64(json, "MemTotal",
		     (int64_t)((uint64_t)memory.totalram * memory.mem_unit));
	json_set_string(json, "Name", host.nodename);
}

static const struct {
	unsigned long magic;
	const char *name;
} file_systems[] = {
	{0xef53, "extfs"},	 {0x58465342, "xfs"},	{0x9123683e, "btrfs"},
	{0x2fc12fc1, "zfs"},	 {0x01021994, "tmpfs"}, {0x6969, "nfs"},
	{0x794c7630, "overlay"}, {0x65735546, "fuse"},	{0xf2f52010, "f2fs"},
};

static const char *backing_file_system(const struct engine *engine)
{
	struct statfs status;

	if (fstatfs(engine->store.root_fd, &status) < 0)
		return "unknown";
	for (size_t i = 0; i < ARRAY_SIZE(file_systems); i++) {
		if ((unsigned long)status.f_type == file_systems[i].magic)
			return file_systems[i].name;
	}
	return "unknown";
}

static void push_pair(cJSON *array, const char *name, const char *value)
{
	cJSON *pair = json_array();

	json_push_string(pair, name);
	json_push_string(pair, value);
	json_push(array, pair);
}

/* Driver, DriverStatus, and Moss.Drivers: a line why or why not for each. */
static int set_drivers(struct engine *engine, cJSON *json, cJSON *moss,
		       struct error *err)
{
	enum snapshot_driver driver = SNAPSHOT_AUTO;
	cleanup_free char *reasons = NULL;
	cleanup_strv char **lines = NULL;
	cJSON *status = json_array();
	cJSON *array = json_array();
	int r;

	json_set(json, "DriverStatus", status);
	json_set(moss, "Drivers", array);
	r = snapshot_choose(&engine->store, SNAPSHOT_AUTO, false,
			    engine->cache_fd, &driver, &reasons, err);
	if (r < 0)
		return r;
	json_set_string(json, "Driver",
			driver == SNAPSHOT_AUTO ? "none"
						: snapshot_driver_name(driver));
	push_pair(status, "Backing Filesystem", backing_file_system(engine));
	lines = strv_split(reasons, '\n');
	for (size_t i = 0; lines && lines[i]; i++) {
		if (*lines[i])
			json_push_string(array, lines[i]);
	}
	return 0;
}

static cJSON *string_array(const char *const *strings, size_t count)
{
	cJSON *array = json_array();

	for (size_t i = 0; i < count; i++)
		json_push_string(array, strings[i]);
	return array;
}

static void set_plugins(cJSON *json)
{
	static const char *const volumes[] = {"local"};
	static const char *const networks[] = {"host", "none", "slirp"};
	static const char *const logs[] = {"json-file", "none"};
	cJSON *plugins = json_object();

	json_set(plugins, "Volume", string_array(volumes, 1));
	json_set(plugins, "Network", string_array(networks, 3));
	json_set(plugins, "Authorization", NULL);
	json_set(plugins, "Log", string_array(logs, 2));
	json_set(json, "Plugins", plugins);
}

static void set_runtimes(cJSON *json)
{
	cJSON *runtimes = json_object();
	cJSON *own = json_object();

	json_set_string(own, "path", RUNTIME_NAME);
	json_set(runtimes, RUNTIME_NAME, own);
	json_set(json, "Runtimes", runtimes);
	json_set_string(json, "DefaultRuntime", RUNTIME_NAME);
}

static void set_security(cJSON *json)
{
	static const char *const options[] = {"name=seccomp,profile=builtin",
					      "name=rootless", "name=cgroupns"};

	json_set(json, "SecurityOptions",
		 string_array(options, ARRAY_SIZE(options)));
}

/* docker's members of SystemInfo and its words when there is no such limit. */
static const struct {
	const char *member;
	enum cgroup_controller controller;
	const char *what;
} limits[] = {
	{"MemoryLimit", CGROUP_MEMORY, "memory limit"},
	{"SwapLimit", CGROUP_MEMORY, "swap limit"},
	{"CpuCfsQuota", CGROUP_CPU, "cpu cfs quota"},
	{"CpuCfsPeriod", CGROUP_CPU, "cpu cfs period"},
	{"CPUShares", CGROUP_CPU, "cpu shares"},
	{"CPUSet", CGROUP_CPUSET, "cpuset"},
	{"PidsLimit", CGROUP_PIDS, "pids limit"},
	{NULL, CGROUP_IO, "io.weight"},
	{NULL, CGROUP_IO, "io.weight (per device)"},
	{NULL, CGROUP_IO, "io.max (rbps)"},
	{NULL, CGROUP_IO, "io.max (wbps)"},
	{NULL, CGROUP_IO, "io.max (riops)"},
	{NULL, CGROUP_IO, "io.max (wiops)"},
};

static const char *const drivers[] = {
	[CGROUP_MANAGER_NONE] = "none",
	[CGROUP_MANAGER_DIRECT] = "cgroupfs",
	[CGROUP_MANAGER_SYSTEMD] = "systemd",
};

static cJSON *controllers_json(unsigned int controllers)
{
	cJSON *array = json_array();

	for (unsigned int i = 0; i < CGROUP_CONTROLLERS; i++) {
		if (controllers & CGROUP_BIT(i))
			json_push_string(array, cgroup_controller_name(i));
	}
	return array;
}

static void set_limits(const struct engine *engine, cJSON *json, cJSON *moss)
{
	CLEANUP(cgroup_host_release) struct cgroup_host host = {0};
	cJSON *warnings = json_array();

	cgroup_host_read("", cgroup_outside_uid(), &host);
	json_set_string(json, "CgroupDriver", drivers[host.manager]);
	json_set_string(json, "CgroupVersion",
			host.version == CGROUP_VERSION_2 ? "2" : "1");
	if (!engine->identity.mapped)
		json_push_string(warnings,
				 "WARNING: no subordinate IDs: containers have "
				 "one user, root");
	if (host.manager == CGROUP_MANAGER_NONE)
		json_push_string(warnings,
				 "WARNING: Running in rootless-mode without "
				 "cgroups: moss doctor tells what to do");
	for (size_t i = 0; i < ARRAY_SIZE(limits); i++) {
		bool has =
			(host.delegated & CGROUP_BIT(limits[i].controller)) ||
			(limits[i].controller == CGROUP_PIDS &&
			 task_limit_is_possible());
		cleanup_free char *text = NULL;

		if (limits[i].member)
			json_set_bool(json, limits[i].member, has);
		text = xasprintf("WARNING: No %s support", limits[i].what);
		if (!has)
			json_push_string(warnings, text);
	}
	json_set_bool(json, "OomKillDisable", false);
	json_set(moss, "DelegatedControllers",
		 controllers_json(host.delegated));
	json_set(json, "Warnings", warnings);
}

static void set_identity(const struct engine *engine, cJSON *moss)
{
	const struct identity *identity = &engine->identity;
	cJSON *json = json_object();

	json_set_string(json, "User", identity->user);
	json_set_i64(json, "Uid", identity->uid);
	json_set_i64(json, "Gid", identity->gid);
	json_set_bool(json, "Mapped", identity->mapped);
	json_set_i64(json, "Uids", (int64_t)idmap_size(&identity->uids));
	json_set_i64(json, "Gids", (int64_t)idmap_size(&identity->gids));
	json_set(moss, "Identity", json);
}

/* A moss.conf that is wrong is no reason to say nothing else. */
static void set_registries(const struct engine *engine, cJSON *json)
{
	CLEANUP(conf_release) struct conf conf = {0};
	struct error err = {0};

	json_set_string(json, "IndexServerAddress", REGISTRY_DOCKER_ACCOUNTS);
	if (settings_read(engine, &conf, &err) < 0) {
		cleanup_free char *text = xasprintf("WARNING: %s", err.message);

		json_push_string(
			cJSON_GetObjectItemCaseSensitive(json, "Warnings"),
			text);
	}
	json_set(json, "RegistryConfig", registries_info(&conf));
}

/* "http://user:password@host" is nobody's business, as docker has it. */
static char *mask_credentials(const char *url)
{
	const char *scheme = strstr(url, "://");
	const char *host = scheme ? scheme + strlen("://") : url;
	const char *end = host + strcspn(host, "/?#");
	const char *at = memrchr(host, '@', (size_t)(end - host));

	return at ? xasprintf("%.*sxxxxx:xxxxx%s", (int)(host - url), url, at)
		  : xstrdup(url);
}

/* A proxy as the user's programs find it: in small letters or capitals. */
static void set_proxy(cJSON *json, const char *member, const char *variable,
		      const char *capitals)
{
	const char *value = getenv(variable);
	cleanup_free char *masked = NULL;

	if (str_empty(value))
		value = getenv(capitals);
	masked = mask_credentials(value ? value : "");
	json_set_string(json, member, masked);
}

static bool forwards_ipv4(void)
{
	cleanup_free char *text = NULL;

	return file_read_at(AT_FDCWD, "/proc/sys/net/ipv4/ip_forward",
			    FILE_TEXT_MAX, &text, NULL, NULL) >= 0 &&
	       text[0] == '1';
}

/* What docker has, and what there is to say of it without a daemon, a swarm and
   other runtimes: programs read these without asking whether they are there. */
static void set_absent(cJSON *json)
{
	static const char *const commits[] = {"ContainerdCommit", "RuncCommit",
					      "InitCommit"};
	static const char *const counts[] = {"NFd", "NGoroutines",
					     "NEventsListener"};
	cJSON *swarm = json_object();

	for (size_t i = 0; i < ARRAY_SIZE(commits); i++) {
		cJSON *commit = json_object();

		json_set_string(commit, "ID", "");
		json_set(json, commits[i], commit);
	}
	for (size_t i = 0; i < ARRAY_SIZE(counts); i++)
		json_set_i64(json, counts[i], 0);
	json_set_string(swarm, "NodeID", "");
	json_set_string(swarm, "NodeAddr", "");
	json_set_string(swarm, "LocalNodeState", "inactive");
	json_set_bool(swarm, "ControlAvailable", false);
	json_set_string(swarm, "Error", "");
	json_set(swarm, "RemoteManagers", NULL);
	json_set(json, "Swarm", swarm);
	json_set_bool(json, "IPv4Forwarding", forwards_ipv4());
	json_set_bool(json, "LiveRestoreEnabled", false);
	json_set_string(json, "Isolation", "");
	json_set_string(json, "InitBinary", "");
	json_set(json, "GenericResources", NULL);
	json_set(json, "CDISpecDirs", json_array());
	set_proxy(json, "HttpProxy", "http_proxy", "HTTP_PROXY");
	set_proxy(json, "HttpsProxy", "https_proxy", "HTTPS_PROXY");
	set_proxy(json, "NoProxy", "no_proxy", "NO_PROXY");
}

int engine_info(struct engine *engine, cJSON **ret_json, struct error *err)
{
	cleanup_json cJSON *json = json_object();
	cJSON *moss = json_object();
	int r;

	json_set_string(json, "ID", "");
	json_set(json, "Moss", moss);
	r = set_counts(engine, json, err);
	if (r < 0)
		return r;
	r = set_drivers(engine, json, moss, err);
	if (r < 0)
		return r;
	set_plugins(json);
	set_machine(json);
	set_runtimes(json);
	set_security(json);
	set_limits(engine, json, moss);
	set_identity(engine, moss);
	set_registries(engine, json);
	set_absent(json);
	json_set_string(json, "LoggingDriver", "json-file");
	json_set_string(json, "DockerRootDir", engine->store.path);
	json_set_string(json, "ServerVersion", MOSS_VERSION);
	json_set_bool(json, "Debug", false);
	json_set_bool(json, "ExperimentalBuild", false);
	json_set(json, "Labels", json_array());
	*ret_json = steal_ptr(&json);
	return 0;
}
