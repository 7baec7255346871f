#include "core/engine/ocispec.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "base/str.h"
#include "core/engine/hostconfig.h"
#include "core/engine/limits.h"
#include "core/engine/members.h"
#include "core/engine/resources.h"
#include "core/monitor/record.h"

#define OCI_VERSION "1.1.0"

struct build {
	const struct spec_request *request;
	const cJSON *config;
	const cJSON *host;
	const cJSON *engine;
	struct id_map uids;
	struct id_map gids;
	struct mount_list mounts;
};

static const char *host_mode(const struct build *build, const char *name)
{
	return member_string(build->host, name);
}

cJSON *ocispec_map_json(const struct id_map *map)
{
	cJSON *array = json_array();

	for (size_t i = 0; i < map->count; i++) {
		const double numbers[] = {map->extents[i].inside,
					  map->extents[i].outside,
					  map->extents[i].count};
		cJSON *extent = cJSON_CreateDoubleArray(numbers, 3);

		if (!extent)
			str_oom();
		json_push(array, extent);
	}
	return array;
}

int ocispec_map_parse(const cJSON *array, struct id_map *ret_map,
		      struct error *err)
{
	const cJSON *extent;

	ret_map->count = 0;
	cJSON_ArrayForEach(extent, array)
	{
		struct id_extent *to = &ret_map->extents[ret_map->count];
		uint32_t *const values[] = {&to->inside, &to->outside,
					    &to->count};

		for (int i = 0; i < 3; i++) {
			const cJSON *number = cJSON_GetArrayItem(extent, i);

			if (!cJSON_IsNumber(number) ||
			    number->valuedouble < 0 ||
			    number->valuedouble > UINT32_MAX)
				return err_set(err, ERROR_CORRUPT,
					       "container.json: Engine: not an "
					       "ID map");
			*values[i] = (uint32_t)number->valuedouble;
		}
		if (++ret_map->count == ID_MAP_MAX)
			break;
	}
	return 0;
}

static cJSON *oci_map(const struct id_map *map)
{
	cJSON *array = json_array();

	for (size_t i = 0; i < map->count; i++) {
		cJSON *extent = json_object();

		json_set_i64(extent, "containerID", map->extents[i].inside);
		json_set_i64(extent, "hostID", map->extents[i].outside);
		json_set_i64(extent, "size", map->extents[i].count);
		json_push(array, extent);
	}
	return array;
}

static pid_t joined(const struct build *build)
{
	for (size_t i = 0; i < JOIN_COUNT; i++) {
		if (build->request->join[i] > 0)
			return build->request->join[i];
	}
	return 0;
}

static void push_namespace(cJSON *array, const char *type, pid_t pid,
			   const char *file)
{
	cJSON *object = json_object();
	cleanup_free char *path = NULL;

	json_set_string(object, "type", type);
	if (pid > 0) {
		path = xasprintf("/proc/%d/ns/%s", (int)pid, file);
		json_set_string(object, "path", path);
	}
	json_push(array, object);
}

static cJSON *namespaces(const struct build *build)
{
	static const struct {
		const char *type;
		const char *file;
		const char *member; /* of HostConfig; "host": not a new one */
		int join;	    /* enum spec_join, -1 none */
	} rows[] = {
		{"pid", "pid", "PidMode", JOIN_PID},
		{"ipc", "ipc", "IpcMode", JOIN_IPC},
		{"uts", "uts", "UTSMode", -1},
		{"network", "net", "NetworkMode", JOIN_NETWORK},
		{"cgroup", "cgroup", "CgroupnsMode", -1},
	};
	cJSON *array = json_array();

	push_namespace(array, "user", joined(build), "user");
	push_namespace(array, "mount", 0, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		pid_t pid = rows[i].join < 0
				    ? 0
				    : build->request->join[rows[i].join];

		if (!str_equal(host_mode(build, rows[i].member), "host"))
			push_namespace(array, rows[i].type, pid, rows[i].file);
	}
	return array;
}

static bool has_own_network(const struct build *build)
{
	const char *mode = host_mode(build, "NetworkMode");

	return !str_equal(mode, "host") && !mode_container(mode);
}

/*
 * Who may ping: all groups of the container. The kernel wants both ends mapped
 * and in order on the host's side, too.
 */
static char *ping_group_range(const struct build *build)
{
	const struct id_map *own = &build->request->identity->gids;
	uint32_t low = 0, high = 0;
	uint32_t pinned, low_host, high_host;

	for (size_t i = 0; i < build->gids.count; i++) {
		const struct id_extent *extent = &build->gids.extents[i];
		uint32_t last = extent->inside + (extent->count - 1);

		if (extent->count > 0 && last > high && last <= INT32_MAX)
			high = last;
	}
	if (idmap_to_outside(&build->gids, high, &pinned) < 0 ||
	    idmap_to_outside(own, pinned, &high_host) < 0)
		return NULL;
	for (; low <= 1 && low <= high; low++) {
		if (idmap_to_outside(&build->gids, low, &pinned) == 0 &&
		    idmap_to_outside(own, pinned, &low_host) == 0 &&
		    low_host <= high_host)
			return xasprintf("%u %u", low, high);
	}
	return NULL;
}

/* "net.a.b", where this kernel has it. */
static void add_sysctl(cJSON *object, const char *name, const char *value)
{
	cleanup_free char *path = xasprintf("/proc/sys/%s", name);

	for (char *at = path; *at; at++)
		*at = *at == '.' ? '/' : *at;
	if (access(path, F_OK) == 0)
		json_set_string(object, name, value);
}

static void add_network_sysctls(const struct build *build, cJSON *object)
{
	cleanup_free char *range = ping_group_range(build);

	add_sysctl(object, "net.ipv4.ip_unprivileged_port_start", "0");
	if (range)
		add_sysctl(object, "net.ipv4.ping_group_range", range);
	/*
	 * The other end of all its connections is in this machine, where
	 * nothing is lost: what the host has for the world, BBR say, would
	 * only make it wait. Every kernel has this one, for everybody.
	 */
	add_sysctl(object, "net.ipv4.tcp_congestion_control", "reno");
}

static cJSON *sysctls(const struct build *build)
{
	cJSON *object = json_object();
	const cJSON *item;

	if (has_own_network(build))
		add_network_sysctls(build, object);
	cJSON_ArrayForEach(item, member_get(build->host, "Sysctls"))
	{
		json_set_string(object, item->string, item_string(item));
	}
	return object;
}

/* "PID:START[,…]"; caller frees. */
static char *joined_text(const struct spec_request *request)
{
	struct str text = {0};

	for (size_t i = 0; i < JOIN_COUNT; i++) {
		if (request->join[i] > 0)
			str_appendf(&text, "%s%d:%llu", text.length ? "," : "",
				    (int)request->join[i],
				    (unsigned long long)request->join_start[i]);
	}
	return str_steal(&text);
}

static cJSON *annotations(const struct build *build)
{
	const cJSON *given = member_get(build->host, "Annotations");
	const char *parent = host_mode(build, "CgroupParent");
	const char *environment =
		member_string(build->engine, "EnvironmentFile");
	cJSON *object = given ? cJSON_Duplicate(given, true) : json_object();
	cleanup_free char *owners = joined_text(build->request);

	if (!object)
		str_oom();
	if (!str_empty(owners))
		json_set_string(object, "dev.moss.joined", owners);
	/* In another's PID namespace there is an init already. */
	if (member_bool(build->host, "Init") &&
	    *host_mode(build, "PidMode") == '\0')
		json_set_string(object, "dev.moss.init", "true");
	if (*parent)
		json_set_string(object, "dev.moss.cgroup-parent", parent);
	if (*environment)
		json_set_string(object, "dev.moss.environment", environment);
	return object;
}

static int count_slashes(const char *path)
{
	int count = 0;

	for (; *path; path++)
		count += *path == '/';
	return count;
}

struct sorted_mount {
	cJSON *json;
	int depth;
	size_t order;
};

static int compare_mounts(const void *a, const void *b)
{
	const struct sorted_mount *left = a;
	const struct sorted_mount *right = b;

	if (left->depth != right->depth)
		return left->depth < right->depth ? -1 : 1;
	return left->order < right->order ? -1 : 1;
}

static cJSON *own_file(const struct build *build, const char *name)
{
	struct mount_point point = {.kind = MOUNT_BIND};
	cleanup_free char *source = NULL;
	cleanup_free char *destination = NULL;

	source = xasprintf("%s/%s",
			   build->request->network_directory
				   ? build->request->network_directory
				   : build->request->directory,
			   name);
	destination = xasprintf("/etc/%s", name);
	point.source = source;
	point.destination = destination;
	point.read_only = member_bool(build->host, "ReadonlyRootfs");
	return mount_oci_json(&point, false);
}

static bool is_slave(const struct mount_point *point)
{
	return str_ends(point->propagation, "slave");
}

static cJSON *mounts(const struct build *build)
{
	static const char *const files[] = {"resolv.conf", "hostname", "hosts"};
	const size_t max = build->mounts.count + ARRAY_SIZE(files);
	cleanup_free struct sorted_mount *list = xcalloc(max, sizeof(*list));
	size_t count = 0;
	cJSON *array;

	array = ocispec_default_mounts(build->request, &build->mounts,
				       &build->gids);
	for (size_t i = 0; i < ARRAY_SIZE(files); i++) {
		cleanup_free char *destination = NULL;

		destination = xasprintf("/etc/%s", files[i]);
		if (!mount_list_find(&build->mounts, destination))
			list[count++].json = own_file(build, files[i]);
	}
	for (size_t i = 0; i < build->mounts.count; i++)
		list[count++].json = mount_oci_json(&build->mounts.entries[i],
						    build->request->first);
	for (size_t i = 0; i < count; i++) {
		list[i].depth = count_slashes(
			member_string(list[i].json, "destination"));
		list[i].order = i;
	}
	qsort(list, count, sizeof(*list), compare_mounts);
	for (size_t i = 0; i < count; i++)
		json_push(array, list[i].json);
	return array;
}

static int linux_part(const struct build *build, cJSON **ret_linux,
		      struct error *err)
{
	cleanup_json cJSON *object = json_object();
	cleanup_strv char **masked = member_strv(build->host, "MaskedPaths");
	cleanup_strv char **readonly =
		member_strv(build->host, "ReadonlyPaths");
	cJSON *devices, *resources;
	int r;

	json_set(object, "namespaces", namespaces(build));
	if (joined(build) == 0) {
		json_set(object, "uidMappings", oci_map(&build->uids));
		json_set(object, "gidMappings", oci_map(&build->gids));
	}
	json_set(object, "sysctl", sysctls(build));
	r = devices_json(build->host, &devices, err);
	if (r < 0)
		return r;
	json_set(object, "devices", devices);
	r = limits_oci_json(build->host, &resources, err);
	if (r < 0)
		return r;
	if (resources)
		json_set(object, "resources", resources);
	json_set_strv(object, "maskedPaths", masked);
	json_set_strv(object, "readonlyPaths", readonly);
	for (size_t i = 0; i < build->mounts.count; i++) {
		if (is_slave(&build->mounts.entries[i]))
			json_set_string(object, "rootfsPropagation", "rslave");
	}
	*ret_linux = steal_ptr(&object);
	return 0;
}

static int build_spec(const struct build *build, cJSON **ret_spec,
		      struct error *err)
{
	cleanup_json cJSON *spec = json_object();
	cleanup_free char *root = NULL;
	cJSON *object;
	int r;

	json_set_string(spec, "ociVersion", OCI_VERSION);
	json_set(spec, "process", ocispec_process(build->request->container));
	object = json_object();
	root = xasprintf("%s/merged", build->request->directory);
	json_set_string(object, "path", root);
	json_set_bool(object, "readonly",
		      member_bool(build->host, "ReadonlyRootfs"));
	json_set(spec, "root", object);
	if (!str_equal(host_mode(build, "UTSMode"), "host")) {
		const char *domain = member_string(build->config, "Domainname");

		json_set_string(spec, "hostname",
				member_string(build->config, "Hostname"));
		if (*domain)
			json_set_string(spec, "domainname", domain);
	}
	json_set(spec, "mounts", mounts(build));
	json_set(spec, "annotations", annotations(build));
	r = linux_part(build, &object, err);
	if (r < 0)
		return r;
	json_set(spec, "linux", object);
	*ret_spec = steal_ptr(&spec);
	return 0;
}

int ocispec_build(const struct spec_request *request, cJSON **ret_spec,
		  struct error *err)
{
	struct build build = {
		.request = request,
		.config = member_get(request->container, "Config"),
		.host = member_get(request->container, "HostConfig"),
		.engine = member_get(request->container, "Engine"),
	};
	int r;

	r = ocispec_map_parse(member_get(build.engine, "Uids"), &build.uids,
			      err);
	if (r < 0)
		return r;
	r = ocispec_map_parse(member_get(build.engine, "Gids"), &build.gids,
			      err);
	if (r < 0)
		return r;
	r = mounts_parse_json(member_get(build.engine, "Mounts"), &build.mounts,
			      err);
	if (r < 0)
		return r;
	r = build_spec(&build, ret_spec, err);
	mount_list_release(&build.mounts);
	return r;
}
