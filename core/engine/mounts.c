#include "core/engine/mounts.h"

#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/path.h"
#include "base/str.h"
#include "core/engine/members.h"
#include "storage/root/volume.h"
#include "storage/store/image.h"

static const char *const kind_names[] = {
	[MOUNT_BIND] = "bind",
	[MOUNT_VOLUME] = "volume",
	[MOUNT_TMPFS] = "tmpfs",
	[MOUNT_IMAGE] = "image",
};

void mount_point_release(struct mount_point *point)
{
	if (!point)
		return;
	free(point->name);
	free(point->source);
	free(point->destination);
	free(point->mode);
	free(point->propagation);
	free(point->options);
	free(point->subpath);
	strv_free(point->layers);
	strv_free(point->directories);
	cJSON_Delete(point->labels);
	cJSON_Delete(point->driver_options);
	*point = (struct mount_point){0};
}

void mount_list_release(struct mount_list *list)
{
	if (!list)
		return;
	for (size_t i = 0; i < list->count; i++)
		mount_point_release(&list->entries[i]);
	free(list->entries);
	*list = (struct mount_list){0};
}

const struct mount_point *mount_list_find(const struct mount_list *list,
					  const char *destination)
{
	for (size_t i = 0; i < list->count; i++) {
		if (str_equal(list->entries[i].destination, destination))
			return &list->entries[i];
	}
	return NULL;
}

int mount_list_add(struct mount_list *list, struct mount_point *point,
		   struct error *err)
{
	size_t at = 0;

	while (at < list->count &&
	       !str_equal(list->entries[at].destination, point->destination))
		at++;
	if (at == MOUNTS_MAX)
		return err_set(err, ERROR_INVALID, "more than %d mounts",
			       MOUNTS_MAX);
	if (at == list->count) {
		list->entries = xrealloc(list->entries, list->count + 1,
					 sizeof(*list->entries));
		list->count++;
	} else {
		mount_point_release(&list->entries[at]);
	}
	list->entries[at] = *point;
	*point = (struct mount_point){0};
	return 0;
}

/* Points the user asked for; two at one place are a mistake. */
static int add_unique(struct mount_list *list, char ***destinations,
		      struct mount_point *point, struct error *err)
{
	if (strv_contains(*destinations, point->destination))
		return err_set(err, ERROR_INVALID, "Duplicate mount point: %s",
			       point->destination);
	strv_push(destinations, point->destination);
	return mount_list_add(list, point, err);
}

static int collect_asked(const cJSON *host, struct mount_list *list,
			 struct error *err)
{
	cleanup_strv char **destinations = NULL;
	const cJSON *item;

	cJSON_ArrayForEach(item, member_get(host, "Tmpfs"))
	{
		CLEANUP(mount_point_release) struct mount_point point = {0};
		int r = mount_parse_tmpfs(item->string, item_string(item),
					  &point, err);

		if (r >= 0)
			r = add_unique(list, &destinations, &point, err);
		if (r < 0)
			return r;
	}
	cJSON_ArrayForEach(item, member_get(host, "Binds"))
	{
		CLEANUP(mount_point_release) struct mount_point point = {0};
		int r = mount_parse_bind(item_string(item), &point, err);

		if (r >= 0)
			r = add_unique(list, &destinations, &point, err);
		if (r < 0)
			return r;
	}
	cJSON_ArrayForEach(item, member_get(host, "Mounts"))
	{
		CLEANUP(mount_point_release) struct mount_point point = {0};
		int r = mount_parse_spec(item, &point, err);

		if (r >= 0)
			r = add_unique(list, &destinations, &point, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Config.Volumes: an anonymous volume where nothing else is. */
static int collect_volumes(const cJSON *volumes, struct mount_list *list,
			   struct error *err)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, volumes)
	{
		CLEANUP(mount_point_release)
		struct mount_point point = {
			.kind = MOUNT_VOLUME,
			.copy = true,
			.anonymous = true,
			.listed = true,
		};
		int r;

		if (item->string[0] != '/')
			return err_set(err, ERROR_INVALID,
				       "invalid volume: '%s': mount path must "
				       "be absolute",
				       item->string);
		point.destination = path_clean(item->string);
		if (str_equal(point.destination, "/"))
			return err_set(err, ERROR_INVALID,
				       "invalid specification: destination "
				       "can't be '/'");
		if (mount_list_find(list, point.destination))
			continue;
		point.mode = xstrdup("");
		point.propagation = xstrdup("");
		r = mount_list_add(list, &point, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int mounts_collect(const cJSON *host, const cJSON *volumes,
		   struct mount_list *list, struct error *err)
{
	int r = collect_asked(host, list, err);

	if (r < 0)
		return r;
	return collect_volumes(volumes, list, err);
}

int mounts_make_volumes(struct store *store, struct mount_list *list,
			char ***created, struct error *err)
{
	for (size_t i = 0; i < list->count; i++) {
		struct mount_point *point = &list->entries[i];
		struct volume volume = {0};
		bool is_new = false;
		int r;

		/* With a source it is another container's. */
		if (point->kind != MOUNT_VOLUME || point->source)
			continue;
		r = volume_ensure(store, point->name, point->labels,
				  point->driver_options, &volume, &is_new, err);
		if (r < 0)
			return r;
		point->read_only = point->read_only || volume.read_only;
		if (is_new)
			strv_push(created, volume.name);
		free(point->name);
		point->name = steal_ptr(&volume.name);
		point->source = steal_ptr(&volume.path);
		volume_release(&volume);
	}
	return 0;
}

int mounts_find_images(struct store *store, struct mount_list *list,
		       struct error *err)
{
	for (size_t i = 0; i < list->count; i++) {
		struct mount_point *point = &list->entries[i];
		CLEANUP(image_release) struct image image = {0};
		int r;

		/* With a source it is another container's, or a build's. */
		if (point->kind != MOUNT_IMAGE || point->source)
			continue;
		r = image_find(store, point->name, &image, err);
		if (r < 0)
			return r;
		point->source = steal_ptr(&image.id);
		point->layers = steal_ptr(&image.diff_ids);
	}
	return 0;
}

static const char *or_empty(const char *text)
{
	return text ? text : "";
}

static cJSON *docker_json(const struct mount_point *point)
{
	cJSON *json = json_object();

	json_set_string(json, "Type", kind_names[point->kind]);
	if (point->kind == MOUNT_VOLUME || point->kind == MOUNT_IMAGE)
		json_set_string(json, "Name", or_empty(point->name));
	json_set_string(json, "Source", or_empty(point->source));
	json_set_string(json, "Destination", point->destination);
	if (point->kind == MOUNT_VOLUME)
		json_set_string(json, "Driver", "local");
	json_set_string(json, "Mode", or_empty(point->mode));
	json_set_bool(json, "RW", !point->read_only);
	json_set_string(json, "Propagation", or_empty(point->propagation));
	return json;
}

cJSON *mounts_docker_json(const struct mount_list *list)
{
	cJSON *array = json_array();

	for (size_t i = 0; i < list->count; i++) {
		if (list->entries[i].listed)
			json_push(array, docker_json(&list->entries[i]));
	}
	return array;
}

static const struct {
	const char *name;
	size_t offset;
} text_members[] = {
	{"Name", offsetof(struct mount_point, name)},
	{"Source", offsetof(struct mount_point, source)},
	{"Destination", offsetof(struct mount_point, destination)},
	{"Mode", offsetof(struct mount_point, mode)},
	{"Propagation", offsetof(struct mount_point, propagation)},
	{"Options", offsetof(struct mount_point, options)},
	{"Subpath", offsetof(struct mount_point, subpath)},
};

static const struct {
	const char *name;
	size_t offset;
} bool_members[] = {
	{"ReadOnly", offsetof(struct mount_point, read_only)},
	{"Copy", offsetof(struct mount_point, copy)},
	{"Anonymous", offsetof(struct mount_point, anonymous)},
	{"CreateSource", offsetof(struct mount_point, create_source)},
	{"NonRecursive", offsetof(struct mount_point, non_recursive)},
	{"Chown", offsetof(struct mount_point, chown)},
	{"Listed", offsetof(struct mount_point, listed)},
	{"InRoot", offsetof(struct mount_point, in_root)},
	{"Temporary", offsetof(struct mount_point, temporary)},
};

static const struct {
	const char *name;
	size_t offset;
} list_members[] = {
	{"Layers", offsetof(struct mount_point, layers)},
	{"Directories", offsetof(struct mount_point, directories)},
};

cJSON *mounts_json(const struct mount_list *list)
{
	cJSON *array = json_array();

	for (size_t i = 0; i < list->count; i++) {
		const char *point = (const char *)&list->entries[i];
		cJSON *json = json_object();

		json_set_string(json, "Type",
				kind_names[list->entries[i].kind]);
		for (size_t j = 0; j < ARRAY_SIZE(text_members); j++) {
			const void *at = point + text_members[j].offset;
			const char *text = *(char *const *)at;

			if (text)
				json_set_string(json, text_members[j].name,
						text);
		}
		for (size_t j = 0; j < ARRAY_SIZE(bool_members); j++) {
			const void *at = point + bool_members[j].offset;

			if (*(const bool *)at)
				json_set_bool(json, bool_members[j].name, true);
		}
		for (size_t j = 0; j < ARRAY_SIZE(list_members); j++) {
			const void *at = point + list_members[j].offset;
			char *const *strv = *(char *const *const *)at;

			if (strv)
				json_set_strv(json, list_members[j].name, strv);
		}
		json_push(array, json);
	}
	return array;
}

static int parse_point(const cJSON *json, struct mount_point *point,
		       struct error *err)
{
	const char *type = member_string(json, "Type");
	char *base = (char *)point;
	size_t kind = 0;

	while (kind < ARRAY_SIZE(kind_names) &&
	       !str_equal(kind_names[kind], type))
		kind++;
	if (kind == ARRAY_SIZE(kind_names))
		return err_set(err, ERROR_CORRUPT,
			       "Engine.Mounts: unknown type '%s'", type);
	point->kind = (enum mount_kind)kind;
	for (size_t i = 0; i < ARRAY_SIZE(text_members); i++) {
		const cJSON *value = member_get(json, text_members[i].name);
		void *at = base + text_members[i].offset;

		if (cJSON_IsString(value))
			*(char **)at = xstrdup(value->valuestring);
	}
	for (size_t i = 0; i < ARRAY_SIZE(bool_members); i++) {
		void *at = base + bool_members[i].offset;

		*(bool *)at = member_bool(json, bool_members[i].name);
	}
	for (size_t i = 0; i < ARRAY_SIZE(list_members); i++) {
		void *at = base + list_members[i].offset;

		*(char ***)at = member_strv(json, list_members[i].name);
	}
	if (str_empty(point->destination) ||
	    (point->kind != MOUNT_TMPFS && str_empty(point->source)))
		return err_set(err, ERROR_CORRUPT,
			       "Engine.Mounts: a mount without %s",
			       str_empty(point->destination) ? "Destination"
							     : "Source");
	return 0;
}

int mounts_parse_json(const cJSON *array, struct mount_list *ret_list,
		      struct error *err)
{
	CLEANUP(mount_list_release) struct mount_list list = {0};
	const cJSON *item;

	cJSON_ArrayForEach(item, array)
	{
		CLEANUP(mount_point_release) struct mount_point point = {0};
		int r = parse_point(item, &point, err);

		if (r >= 0)
			r = mount_list_add(&list, &point, err);
		if (r < 0)
			return r;
	}
	*ret_list = list;
	list = (struct mount_list){0};
	return 0;
}

static cJSON *tmpfs_oci_options(const struct mount_point *point)
{
	cleanup_strv char **words = strv_split(or_empty(point->options), ',');
	cJSON *options = json_array();

	for (size_t i = 0; words[i]; i++)
		json_push_string(options, words[i]);
	return options;
}

static void push_each(cJSON *options, const char *key, char *const *values)
{
	for (size_t i = 0; values && values[i]; i++) {
		cleanup_free char *word = xasprintf("%s=%s", key, values[i]);

		json_push_string(options, word);
	}
}

static cJSON *layers_oci_options(const struct mount_point *point)
{
	cJSON *options = json_array();

	push_each(options, "layer", point->layers);
	push_each(options, "lower", point->directories);
	json_push_string(options, point->read_only ? "ro" : "rw");
	return options;
}

static cJSON *bind_oci_options(const struct mount_point *point, bool first)
{
	cJSON *options = json_array();

	json_push_string(options, point->non_recursive ? "bind" : "rbind");
	if (point->read_only)
		json_push_string(options, "ro");
	json_push_string(options, str_empty(point->propagation)
					  ? "rprivate"
					  : point->propagation);
	if (point->kind == MOUNT_VOLUME && point->copy && first)
		json_push_string(options, "copyup");
	if (point->chown)
		json_push_string(options, "chown");
	return options;
}

cJSON *mount_oci_json(const struct mount_point *point, bool first)
{
	cJSON *json = json_object();
	cJSON *options;

	json_set_string(json, "destination", point->destination);
	if (point->kind == MOUNT_TMPFS) {
		json_set_string(json, "type", "tmpfs");
		json_set_string(json, "source", "tmpfs");
		options = tmpfs_oci_options(point);
	} else if (point->kind == MOUNT_IMAGE) {
		json_set_string(json, "type", "layers");
		json_set_string(json, "source",
				point->name ? point->name : point->source);
		options = layers_oci_options(point);
	} else {
		json_set_string(json, "type", "bind");
		json_set_string(json, "source", point->source);
		options = bind_oci_options(point, first);
	}
	if (point->subpath) {
		bool in_root = point->in_root || point->kind == MOUNT_IMAGE;
		cleanup_free char *word =
			xasprintf("%s=%s", in_root ? "rootpath" : "subpath",
				  point->subpath);

		json_push_string(options, word);
	}
	if (point->temporary)
		json_push_string(options, "temporary");
	json_set(json, "options", options);
	return json;
}
