/* What everything takes on disk: core/engine/engine.h. */
#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "core/engine/container.h"
#include "core/engine/members.h"
#include "storage/store/usage.h"

static const struct usage_image *find_image(const struct usage *usage,
					    const char *id)
{
	for (size_t i = 0; i < usage->count; i++)
		if (str_equal(usage->images[i].id, id))
			return &usage->images[i];
	return NULL;
}

static void set_image_sizes(cJSON *images, const struct usage *usage)
{
	cJSON *image;

	cJSON_ArrayForEach(image, images)
	{
		const struct usage_image *found =
			find_image(usage, member_string(image, "Id"));

		/* Gone or come since. */
		json_set_i64(image, "Size", found ? (int64_t)found->size : 0);
		json_set_i64(image, "SharedSize",
			     found ? (int64_t)found->shared : 0);
	}
}

static int add_images(struct engine *engine, cJSON *json, struct error *err)
{
	CLEANUP(image_users_release)
	struct image_users users = {.engine = engine};
	CLEANUP(usage_release) struct usage usage = {0};
	cJSON *moss = json_object();
	cJSON *images = NULL;
	int r;

	json_set(json, "Moss", moss);
	r = usage_read(&engine->store, image_users_find, &users, &usage, err);
	r = r < 0 ? r : engine_image_list(engine, true, &images, err);
	if (r < 0)
		return r;
	set_image_sizes(images, &usage);
	json_set_i64(json, "LayersSize", (int64_t)usage.total);
	json_set_i64(moss, "Reclaimable",
		     (int64_t)(usage.total - usage.needed));
	json_set(json, "Images", images);
	return 0;
}

static int64_t count_users(const cJSON *containers, const char *volume)
{
	const cJSON *container, *mount;
	int64_t count = 0;

	cJSON_ArrayForEach(container, containers)
	{
		cJSON_ArrayForEach(mount, member_get(container, "Mounts"))
		{
			if (str_equal(member_string(mount, "Type"), "volume") &&
			    str_equal(member_string(mount, "Name"), volume)) {
				count++;
				break;
			}
		}
	}
	return count;
}

static int add_volumes(struct engine *engine, cJSON *json,
		       const cJSON *containers, struct error *err)
{
	cleanup_json cJSON *list = NULL;
	cJSON *volumes, *volume;
	int r;

	r = engine_volume_list(engine, &list, err);
	if (r < 0)
		return r;
	volumes = cJSON_DetachItemFromObjectCaseSensitive(list, "Volumes");
	cJSON_ArrayForEach(volume, volumes)
	{
		const char *name = member_string(volume, "Name");
		cJSON *data = json_object();
		uint64_t bytes = 0;

		(void)tree_size_at(engine->store.volumes_fd, name, &bytes,
				   NULL);
		json_set_i64(data, "RefCount", count_users(containers, name));
		json_set_i64(data, "Size", (int64_t)bytes);
		json_set(volume, "UsageData", data);
	}
	json_set(json, "Volumes", volumes);
	return 0;
}

int engine_disk_usage(struct engine *engine, cJSON **ret_json,
		      struct error *err)
{
	cleanup_json cJSON *json = json_object();
	cJSON *containers = NULL;
	cJSON *cache = NULL;
	int r;

	r = add_images(engine, json, err);
	r = r < 0 ? r
		  : engine_container_list(
			    engine, CONTAINER_LIST_ALL | CONTAINER_LIST_SIZE,
			    &containers, err);
	if (r < 0)
		return r;
	json_set(json, "Containers", containers);
	r = add_volumes(engine, json, containers, err);
	if (r < 0)
		return r;
	r = engine_build_cache_list(engine, NULL, &cache, err);
	if (r < 0)
		return r;
	json_set(json, "BuildCache", cache);
	*ret_json = steal_ptr(&json);
	return 0;
}
