/* Images as objects: core/engine/engine.h. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "core/engine/config.h"
#include "core/engine/container.h"
#include "core/engine/members.h"
#include "storage/reference.h"

static cJSON *copy_or_null(const cJSON *json)
{
	cJSON *copy = json ? cJSON_Duplicate(json, true) : NULL;

	if (json && !copy)
		str_oom();
	return copy;
}

/* RepoTags ["web:latest"] and RepoDigests ["web@sha256:…"], as docker's. */
static void set_references(cJSON *json, const struct image *image)
{
	cJSON *tags = json_array();
	cJSON *digests = json_array();
	cleanup_strv char **names = NULL;

	for (size_t i = 0; image->references && image->references[i]; i++) {
		struct reference reference;
		cleanup_free char *tag = NULL;
		cleanup_free char *name = NULL;

		if (reference_parse(image->references[i], &reference, NULL) < 0)
			continue;
		name = reference_familiar_name(&reference);
		if (*reference.tag) {
			tag = xasprintf("%s:%s", name, reference.tag);
			json_push_string(tags, tag);
		}
		if (image->manifest && !strv_contains(names, name)) {
			cleanup_free char *digest = NULL;

			digest = xasprintf("%s@%s", name, image->manifest);
			json_push_string(digests, digest);
			strv_push(&names, name);
		}
	}
	json_set(json, "RepoTags", tags);
	json_set(json, "RepoDigests", digests);
}

static int64_t created_seconds(const struct image *image)
{
	struct timespec time;

	if (str_empty(image->created) || parse_time(image->created, &time) < 0)
		return 0;
	return time.tv_sec;
}

static cJSON *summary(const struct image *image)
{
	const cJSON *config = member_get(image->config, "config");
	cJSON *json = json_object();
	cJSON *labels = copy_or_null(member_get(config, "Labels"));

	json_set_i64(json, "Containers", -1);
	json_set_i64(json, "Created", created_seconds(image));
	json_set_string(json, "Id", image->id);
	json_set(json, "Labels", labels);
	json_set_string(json, "ParentId", "");
	set_references(json, image);
	json_set_i64(json, "SharedSize", -1);
	json_set_i64(json, "Size", (int64_t)image->size);
	return json;
}

int engine_image_list(struct engine *engine, bool all, cJSON **ret_array,
		      struct error *err)
{
	cleanup_fd int lock_fd = -1;
	struct image *images = NULL;
	size_t count = 0;
	int r;

	lock_fd = store_lock(&engine->store, LOCK_SHARED, err);
	if (lock_fd < 0)
		return lock_fd;
	r = image_list(&engine->store, &images, &count, err);
	if (r < 0)
		return r;
	*ret_array = json_array();
	for (size_t i = 0; i < count; i++)
		json_push(*ret_array, summary(&images[i]));
	image_list_free(images, count);
	return 0;
}

static cJSON *root_fs(const struct image *image)
{
	cJSON *json = json_object();

	json_set_string(json, "Type", "layers");
	json_set_strv(json, "Layers", image->diff_ids);
	return json;
}

/* Where the layers lie, as docker's overlay2 driver tells it. */
static cJSON *graph_driver(const struct engine *engine,
			   const struct image *image)
{
	cJSON *json = json_object();
	cJSON *data = json_object();
	cleanup_str struct str lower = {0};
	size_t count = strv_length(image->diff_ids);

	for (size_t i = count; i > 0; i--)
		str_appendf(&lower, "%s%s/layers/%s/diff", i < count ? ":" : "",
			    engine->store.path,
			    image->diff_ids[i - 1] + strlen("sha256:"));
	json_set_string(data, "LowerDir", str_text(&lower));
	json_set_string(json, "Name", "overlay");
	json_set(json, "Data", data);
	return json;
}

static int inspect(const struct engine *engine, const struct image *image,
		   cJSON **ret_json, struct error *err)
{
	const cJSON *whole = image->config;
	cJSON *json, *config, *metadata;
	const cJSON *history;
	int r;

	r = config_of_image(member_get(whole, "config"), &config, err);
	if (r < 0)
		return r;
	json = json_object();
	json_set_string(json, "Id", image->id);
	set_references(json, image);
	json_set_string(json, "Parent", "");
	history = member_get(whole, "history");
	history = cJSON_GetArrayItem(history, cJSON_GetArraySize(history) - 1);
	json_set_string(json, "Comment", member_string(history, "comment"));
	json_set_string(json, "Created", image->created);
	json_set_string(json, "DockerVersion", "");
	json_set_string(json, "Author", member_string(whole, "author"));
	json_set(json, "Config", config);
	json_set_string(json, "Architecture",
			member_string(whole, "architecture"));
	if (*member_string(whole, "variant"))
		json_set_string(json, "Variant",
				member_string(whole, "variant"));
	json_set_string(json, "Os", member_string(whole, "os"));
	json_set_i64(json, "Size", (int64_t)image->size);
	json_set(json, "GraphDriver", graph_driver(engine, image));
	json_set(json, "RootFS", root_fs(image));
	metadata = json_object();
	json_set_string(metadata, "LastTagTime", CONTAINER_TIME_NONE);
	json_set(json, "Metadata", metadata);
	*ret_json = json;
	return 0;
}

int engine_image_inspect(struct engine *engine, const char *name,
			 cJSON **ret_json, struct error *err)
{
	cleanup_fd int lock_fd = -1;
	struct image image = {0};
	int r;

	lock_fd = store_lock(&engine->store, LOCK_SHARED, err);
	if (lock_fd < 0)
		return lock_fd;
	r = image_find(&engine->store, name, &image, err);
	if (r < 0)
		return r;
	r = inspect(engine, &image, ret_json, err);
	image_release(&image);
	return r;
}

struct image_user {
	const char *image_id;
	char *container_id;
	bool running;
};

static int look_for_user(const struct container *container, void *data,
			 struct error *err)
{
	struct image_user *user = data;

	if (!str_equal(member_string(container->json, "Image"), user->image_id))
		return 0;
	/* A running one is the better reason. */
	if (!user->container_id || container_is_running(container)) {
		free(user->container_id);
		user->container_id = xstrdup(container->record.id);
		user->running = container_is_running(container);
	}
	return user->running ? 1 : 0;
}

int container_image_in_use(const char *image_id, char **ret_container_id,
			   bool *ret_running, void *data)
{
	struct engine *engine = data;
	struct image_user user = {.image_id = image_id};
	int r;

	r = container_for_each(engine, look_for_user, &user, NULL);
	if (r < 0) {
		free(user.container_id);
		return r;
	}
	if (!user.container_id)
		return 0;
	if (ret_running)
		*ret_running = user.running;
	if (ret_container_id)
		*ret_container_id = user.container_id;
	else
		free(user.container_id);
	return 1;
}

int engine_image_remove(struct engine *engine, const char *name, bool force,
			char ***ret_report, struct error *err)
{
	return image_remove(&engine->store, name, force, container_image_in_use,
			    engine, ret_report, err);
}
