#include "core/runtime/spec.h"

#include <linux/mount.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "core/runtime/kernel.h"
#include "core/runtime/mountopt.h"
#include "core/runtime/spec_field.h"

static const struct {
	const char *name;
	int flag;
} namespace_names[] = {
	{"user", CLONE_NEWUSER}, {"mount", CLONE_NEWNS},
	{"pid", CLONE_NEWPID},	 {"ipc", CLONE_NEWIPC},
	{"uts", CLONE_NEWUTS},	 {"network", CLONE_NEWNET},
	{"time", CLONE_NEWTIME}, {"cgroup", CLONE_NEWCGROUP},
};

static const struct field_refusal refusals[] = {
	{"hooks", "hooks are not supported"},
	{"solaris", "is for another system"},
	{"windows", "is for another system"},
	{"vm", "is for another kind of runtime"},
	{"zos", "is for another system"},
};

static const struct field_refusal linux_refusals[] = {
	{"mountLabel", "SELinux labels are not supported"},
	{"personality", "personalities are not supported"},
	{"intelRdt", "resource director groups are not supported"},
	{"timeOffsets", "clock offsets are not supported"},
	{"memoryPolicy", "NUMA policies are not supported"},
	{"netDevices", "moving network devices is not supported"},
};

static const struct field_refusal mount_refusals[] = {
	{"uidMappings", "mounts with their own ID map are not supported"},
	{"gidMappings", "mounts with their own ID map are not supported"},
};

void spec_release(struct runtime_spec *spec)
{
	if (!spec)
		return;
	spec_process_release(&spec->process);
	free(spec->root_path);
	free(spec->hostname);
	free(spec->domainname);
	for (size_t i = 0; i < spec->mount_count; i++) {
		free(spec->mounts[i].destination);
		free(spec->mounts[i].type);
		free(spec->mounts[i].source);
		strv_free(spec->mounts[i].options);
	}
	free(spec->mounts);
	for (size_t i = 0; i < spec->namespace_count; i++)
		free(spec->namespaces[i].path);
	free(spec->namespaces);
	strv_free(spec->masked_paths);
	strv_free(spec->readonly_paths);
	strv_free(spec->sysctl);
	for (size_t i = 0; i < spec->device_count; i++) {
		free(spec->devices[i].path);
		free(spec->devices[i].source);
	}
	free(spec->devices);
	cgroup_limits_release(&spec->limits);
	free(spec->cgroup_parent);
	free(spec->environment_file);
	cJSON_Delete(spec->seccomp);
	*spec = (struct runtime_spec){0};
}

const struct spec_namespace *spec_namespace(const struct runtime_spec *spec,
					    int flag)
{
	for (size_t i = 0; i < spec->namespace_count; i++) {
		if (spec->namespaces[i].flag == flag)
			return &spec->namespaces[i];
	}
	return NULL;
}

bool spec_namespace_is_new(const struct runtime_spec *spec, int flag)
{
	const struct spec_namespace *found = spec_namespace(spec, flag);

	return found && !found->path;
}

static int parse_root(const cJSON *json, struct runtime_spec *spec,
		      struct error *err)
{
	const cJSON *root = NULL;
	int r = json_get_object(json, "", "root", &root, err);

	if (r <= 0)
		return r;
	r = field_path(root, "root", "path", &spec->root_path, err);
	if (r < 0)
		return r;
	r = json_get_bool(root, "root", "readonly", &spec->root_readonly, err);
	return r < 0 ? r : 0;
}

static int parse_names(const cJSON *json, struct runtime_spec *spec,
		       struct error *err)
{
	const struct {
		const char *key;
		char **target;
	} names[] = {
		{"hostname", &spec->hostname},
		{"domainname", &spec->domainname},
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		int r = field_string(json, "", names[i].key, names[i].target,
				     err);

		if (r < 0)
			return r;
		if (r > 0 && strlen(*names[i].target) > 64)
			return err_set(err, ERROR_INVALID,
				       "%s: longer than 64 characters",
				       names[i].key);
	}
	return 0;
}

static int parse_mount(const cJSON *item, const char *path,
		       struct spec_mount *mount, struct error *err)
{
	struct mount_options options;
	int r = field_refuse(item, path, mount_refusals,
			     ARRAY_SIZE(mount_refusals), err);

	if (r < 0)
		return r;
	r = field_path(item, path, "destination", &mount->destination, err);
	if (r < 0)
		return r;
	if (!mount->destination || str_equal(mount->destination, "/"))
		return err_set(err, ERROR_INVALID,
			       "%s.destination: cannot be %s", path,
			       mount->destination ? "\"/\"" : "missing");
	r = field_string(item, path, "type", &mount->type, err);
	if (r < 0)
		return r;
	r = field_string(item, path, "source", &mount->source, err);
	if (r < 0)
		return r;
	r = field_strv(item, path, "options", 1024, &mount->options, err);
	if (r < 0)
		return r;
	r = mount_options_parse(mount, &options, err);
	if (r < 0)
		return err_wrap(err, "%s.options", path);
	mount_options_release(&options);
	if (options.bind && (!mount->source || mount->source[0] != '/'))
		return err_set(err, ERROR_INVALID,
			       "%s.source: must be an absolute path", path);
	if (options.layers && str_empty(mount->source))
		return err_set(err, ERROR_INVALID, "%s.source: is missing",
			       path);
	if (!options.bind && str_empty(mount->type))
		return err_set(err, ERROR_INVALID, "%s.type: is missing", path);
	return 0;
}

static int parse_mounts(const cJSON *json, struct runtime_spec *spec,
			struct error *err)
{
	const cJSON *array = NULL, *item;
	size_t count = 0;
	int r = field_array(json, "", "mounts", SPEC_MOUNTS_MAX, &array, &count,
			    err);

	if (r <= 0)
		return r;
	spec->mounts = xcalloc(count + 1, sizeof(*spec->mounts));
	cJSON_ArrayForEach(item, array)
	{
		size_t index = spec->mount_count++;
		cleanup_free char *path = xasprintf("mounts[%zu]", index);

		r = parse_mount(item, path, &spec->mounts[index], err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* "PID:START[,PID:START…]" */
static int parse_owners(const char *text, struct runtime_spec *spec,
			struct error *err)
{
	cleanup_strv char **list = strv_split(text, ',');

	for (size_t i = 0; list && list[i]; i++) {
		struct spec_owner *owner = &spec->owners[i];
		char *colon = strchr(list[i], ':');
		int64_t pid = 0;

		if (colon)
			*colon = '\0';
		if (i == SPEC_OWNERS_MAX || !colon ||
		    parse_i64(list[i], &pid) < 0 || pid <= 0 ||
		    pid > INT32_MAX ||
		    parse_u64(colon + 1, &owner->start_time) < 0)
			return err_set(err, ERROR_INVALID,
				       "annotations.dev.moss.joined: expected "
				       "PID:START[,…], not \"%s\"",
				       text);
		owner->pid = (pid_t)pid;
		spec->owner_count = i + 1;
	}
	return 0;
}

static int parse_annotations(const cJSON *json, struct runtime_spec *spec,
			     struct error *err)
{
	const cJSON *annotations = NULL;
	const char *init = NULL;
	const char *joined = NULL;
	int r = json_get_object(json, "", "annotations", &annotations, err);

	if (r <= 0)
		return r;
	r = json_get_string(annotations, "annotations", "dev.moss.joined",
			    &joined, err);
	if (r > 0)
		r = parse_owners(joined, spec, err);
	if (r < 0)
		return r;
	r = json_get_string(annotations, "annotations", "dev.moss.init", &init,
			    err);
	if (r < 0)
		return r;
	if (init && parse_bool(init, &spec->init) < 0)
		return err_set(err, ERROR_INVALID,
			       "annotations.dev.moss.init: expected true or "
			       "false, not \"%s\"",
			       init);
	r = field_string(annotations, "annotations", "dev.moss.cgroup-parent",
			 &spec->cgroup_parent, err);
	if (r >= 0)
		r = field_path(annotations, "annotations",
			       "dev.moss.environment", &spec->environment_file,
			       err);
	if (r < 0)
		return r;
	return spec_process_annotations(annotations, "annotations",
					&spec->process, err);
}

static int parse_map(const cJSON *object, const char *key,
		     struct id_map *ret_map, struct error *err)
{
	const cJSON *array = NULL, *item;
	size_t count = 0;
	int r = field_array(object, "linux", key, ID_MAP_MAX, &array, &count,
			    err);

	if (r <= 0)
		return r;
	cJSON_ArrayForEach(item, array)
	{
		cleanup_free char *path =
			xasprintf("linux.%s[%zu]", key, ret_map->count);
		struct id_extent *extent = &ret_map->extents[ret_map->count];
		const struct {
			const char *key;
			uint32_t *value;
		} members[] = {
			{"containerID", &extent->inside},
			{"hostID", &extent->outside},
			{"size", &extent->count},
		};

		for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
			r = field_u32(item, path, members[i].key, UINT32_MAX,
				      members[i].value, err);
			if (r < 0)
				return r;
		}
		if (extent->count == 0 ||
		    extent->inside > UINT32_MAX - extent->count ||
		    extent->outside > UINT32_MAX - extent->count)
			return err_set(err, ERROR_INVALID,
				       "%s: not a range of IDs", path);
		ret_map->count++;
	}
	return 0;
}

static int parse_namespace(const cJSON *item, const char *path,
			   struct runtime_spec *spec, struct error *err)
{
	struct spec_namespace *space = &spec->namespaces[spec->namespace_count];
	const char *type = NULL;
	int r = json_get_string(item, path, "type", &type, err);

	if (r < 0)
		return r;
	for (size_t i = 0; type && i < ARRAY_SIZE(namespace_names); i++) {
		if (!str_equal(type, namespace_names[i].name))
			continue;
		if (spec_namespace(spec, namespace_names[i].flag))
			return err_set(err, ERROR_INVALID,
				       "%s: a second %s namespace", path, type);
		r = field_path(item, path, "path", &space->path, err);
		if (r < 0)
			return r;
		space->flag = namespace_names[i].flag;
		spec->namespace_count++;
		return 0;
	}
	return err_set(err, ERROR_INVALID, "%s.type: unknown namespace \"%s\"",
		       path, type ? type : "");
}

static int parse_namespaces(const cJSON *object, struct runtime_spec *spec,
			    struct error *err)
{
	const cJSON *array = NULL, *item;
	const struct spec_namespace *mount;
	size_t count = 0, index = 0;
	int r = field_array(object, "linux", "namespaces", SPEC_NAMESPACES_MAX,
			    &array, &count, err);

	if (r < 0)
		return r;
	spec->namespaces = xcalloc(count + 1, sizeof(*spec->namespaces));
	cJSON_ArrayForEach(item, array)
	{
		cleanup_free char *path =
			xasprintf("linux.namespaces[%zu]", index++);

		r = parse_namespace(item, path, spec, err);
		if (r < 0)
			return r;
	}
	if (!spec_namespace(spec, CLONE_NEWUSER))
		return err_set(err, ERROR_INVALID,
			       "linux.namespaces: a user namespace is needed");
	mount = spec_namespace(spec, CLONE_NEWNS);
	if (!mount || mount->path)
		return err_set(err, ERROR_INVALID,
			       "linux.namespaces: a new mount namespace is "
			       "needed");
	return 0;
}

static int parse_device(const cJSON *item, const char *path,
			struct spec_device *device, struct error *err)
{
	const struct {
		const char *key;
		uint32_t *value;
	} numbers[] = {
		{"major", &device->major},   {"minor", &device->minor},
		{"fileMode", &device->mode}, {"uid", &device->uid},
		{"gid", &device->gid},
	};
	const char *type = NULL;
	int r = field_path(item, path, "path", &device->path, err);

	if (r < 0)
		return r;
	if (!device->path || str_equal(device->path, "/"))
		return err_set(err, ERROR_INVALID, "%s.path: is missing", path);
	r = field_path(item, path, "source", &device->source, err);
	if (r < 0)
		return r;
	r = json_get_string(item, path, "type", &type, err);
	if (r < 0)
		return r;
	if (!type || strlen(type) != 1 || !strchr("cbup", type[0]))
		return err_set(err, ERROR_INVALID,
			       "%s.type: expected c, b, u or p", path);
	device->type = type[0];
	device->mode = 0666;
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		r = field_u32(item, path, numbers[i].key, UINT32_MAX,
			      numbers[i].value, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int parse_devices(const cJSON *object, struct runtime_spec *spec,
			 struct error *err)
{
	const cJSON *array = NULL, *item;
	size_t count = 0;
	int r = field_array(object, "linux", "devices", SPEC_DEVICES_MAX,
			    &array, &count, err);

	if (r <= 0)
		return r;
	spec->devices = xcalloc(count + 1, sizeof(*spec->devices));
	cJSON_ArrayForEach(item, array)
	{
		size_t index = spec->device_count++;
		cleanup_free char *path =
			xasprintf("linux.devices[%zu]", index);

		r = parse_device(item, path, &spec->devices[index], err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int parse_sysctl(const cJSON *object, struct runtime_spec *spec,
			struct error *err)
{
	const cJSON *settings = NULL, *item;
	size_t count = 0;
	int r = json_get_object(object, "linux", "sysctl", &settings, err);

	if (r <= 0)
		return r;
	cJSON_ArrayForEach(item, settings)
	{
		if (!cJSON_IsString(item))
			return err_set(err, ERROR_INVALID,
				       "linux.sysctl.%s: expected a string",
				       item->string);
		if (++count > SPEC_PATHS_MAX)
			return err_set(err, ERROR_INVALID,
				       "linux.sysctl: more than %d entries",
				       SPEC_PATHS_MAX);
		strv_push_take(&spec->sysctl, xasprintf("%s=%s", item->string,
							item->valuestring));
	}
	return 0;
}

static int parse_propagation(const cJSON *object, struct runtime_spec *spec,
			     struct error *err)
{
	const char *word = NULL;
	int r = json_get_string(object, "linux", "rootfsPropagation", &word,
				err);

	spec->root_propagation = MS_PRIVATE | MS_REC;
	if (r < 0 || str_empty(word))
		return r < 0 ? r : 0;
	if (mount_propagation(word, &spec->root_propagation) < 0)
		return err_set(err, ERROR_INVALID,
			       "linux.rootfsPropagation: unknown word \"%s\"",
			       word);
	return 0;
}

static int parse_resources(const cJSON *object, struct runtime_spec *spec,
			   struct error *err)
{
	return cgroup_limits_parse(object, &spec->limits, err);
}

static int parse_linux(const cJSON *json, struct runtime_spec *spec,
		       struct error *err)
{
	static int (*const parsers[])(const cJSON *, struct runtime_spec *,
				      struct error *) = {
		parse_namespaces,  parse_devices,   parse_sysctl,
		parse_propagation, parse_resources,
	};
	const cJSON *object = NULL, *seccomp = NULL;
	int r = json_get_object(json, "", "linux", &object, err);

	if (r < 0)
		return r;
	r = field_refuse(object, "linux", linux_refusals,
			 ARRAY_SIZE(linux_refusals), err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(parsers); i++) {
		r = parsers[i](object, spec, err);
		if (r < 0)
			return r;
	}
	r = parse_map(object, "uidMappings", &spec->uid_map, err);
	if (r < 0)
		return r;
	r = parse_map(object, "gidMappings", &spec->gid_map, err);
	if (r < 0)
		return r;
	if (spec_namespace_is_new(spec, CLONE_NEWUSER) &&
	    (!spec->uid_map.count || !spec->gid_map.count))
		return err_set(err, ERROR_INVALID,
			       "linux.%s: a new user namespace needs a map",
			       spec->uid_map.count ? "gidMappings"
						   : "uidMappings");
	r = field_paths(object, "linux", "maskedPaths", &spec->masked_paths,
			err);
	if (r < 0)
		return r;
	r = field_paths(object, "linux", "readonlyPaths", &spec->readonly_paths,
			err);
	if (r < 0)
		return r;
	r = json_get_object(object, "linux", "seccomp", &seccomp, err);
	if (r <= 0)
		return r;
	spec->seccomp = cJSON_Duplicate(seccomp, true);
	if (!spec->seccomp)
		str_oom();
	return 0;
}

int spec_parse(const cJSON *json, struct runtime_spec *ret_spec,
	       struct error *err)
{
	static int (*const parsers[])(const cJSON *, struct runtime_spec *,
				      struct error *) = {
		parse_root,	   parse_names, parse_mounts,
		parse_annotations, parse_linux,
	};
	CLEANUP(spec_release) struct runtime_spec spec = {0};
	const cJSON *process = NULL;
	const char *version = NULL;
	int r;

	if (!cJSON_IsObject(json))
		return err_set(err, ERROR_INVALID,
			       "configuration: expected a JSON object");
	r = json_get_string(json, "", "ociVersion", &version, err);
	if (r < 0)
		return r;
	if (!version || !str_starts(version, "1."))
		return err_set(err, ERROR_UNSUPPORTED,
			       "ociVersion: \"%s\" is not 1.x",
			       version ? version : "");
	r = field_refuse(json, "", refusals, ARRAY_SIZE(refusals), err);
	if (r < 0)
		return r;
	r = json_get_object(json, "", "process", &process, err);
	if (r < 0)
		return r;
	r = spec_process_parse(process, &spec.process, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(parsers); i++) {
		r = parsers[i](json, &spec, err);
		if (r < 0)
			return r;
	}
	*ret_spec = spec;
	spec = (struct runtime_spec){0};
	return 0;
}
