/* Images as objects: core/engine/engine.h. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "core/engine/config.h"
#include "core/engine/container.h"
#include "core/engine/members.h"
#include "storage/store/blob.h"
#include "storage/store/platform.h"
#include "storage/store/reference.h"

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

	for (size_t i = 0; image->references && image->references[i]; i++) {
		cleanup_free char *tag = NULL;

		tag = reference_shorten(image->references[i]);
		if (!strchr(tag, '@'))
			json_push_string(tags, tag);
	}
	for (size_t i = 0; image->digests && image->digests[i]; i++) {
		cleanup_free char *digest = NULL;

		digest = reference_shorten(image->digests[i]);
		json_push_string(digests, digest);
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

static void image_platform(const struct image *image,
			   struct platform *ret_platform)
{
	platform_set(ret_platform, member_string(image->config, "os"),
		     member_string(image->config, "architecture"),
		     member_string(image->config, "variant"));
}

static cJSON *summary(const struct image *image, int64_t containers)
{
	const cJSON *config = member_get(image->config, "config");
	cJSON *json = json_object();
	cJSON *moss = json_object();
	cJSON *labels = copy_or_null(member_get(config, "Labels"));

	json_set_i64(json, "Containers", containers);
	json_set_i64(json, "Created", created_seconds(image));
	json_set_string(json, "Id", image->id);
	json_set(json, "Labels", labels);
	json_set_string(json, "ParentId", "");
	set_references(json, image);
	json_set_i64(json, "SharedSize", -1);
	json_set_i64(json, "Size", (int64_t)image->size);
	json_set_string(moss, "Created", image->created);
	json_set(json, "Moss", moss);
	return json;
}

static cJSON *platform_json(const struct platform *platform)
{
	cJSON *json = json_object();

	json_set_string(json, "architecture", platform->architecture);
	json_set_string(json, "os", platform->os);
	if (*platform->variant)
		json_set_string(json, "variant", platform->variant);
	return json;
}

/* ManifestSummary; bytes only of what is here. */
static cJSON *manifest_summary(const char *digest, bool available,
			       const struct platform *platform,
			       uint64_t content, uint64_t unpacked)
{
	cJSON *json = json_object();
	cJSON *size = json_object();
	cJSON *data = json_object();
	cJSON *data_size = json_object();

	json_set_string(json, "ID", digest);
	json_set_bool(json, "Available", available);
	json_set_i64(size, "Content", (int64_t)content);
	json_set_i64(size, "Total", (int64_t)(content + unpacked));
	json_set(json, "Size", size);
	json_set_string(json, "Kind", "image");
	json_set(data, "Platform", platform_json(platform));
	json_set_i64(data_size, "Unpacked", (int64_t)unpacked);
	json_set(data, "Size", data_size);
	json_set(json, "ImageData", data);
	return json;
}

/* Of the index that its name led to. Attestations are for no platform. */
static void push_other_platforms(const cJSON *index, const struct image *image,
				 cJSON *array)
{
	const cJSON *entry;

	cJSON_ArrayForEach(entry, member_get(index, "manifests"))
	{
		const cJSON *object = member_get(entry, "platform");
		struct descriptor descriptor;
		struct platform platform;

		if (descriptor_parse(entry, "", &descriptor, NULL) < 0 ||
		    str_equal(descriptor.digest, image->manifest))
			continue;
		platform_set(&platform, member_string(object, "os"),
			     member_string(object, "architecture"),
			     member_string(object, "variant"));
		if (*platform.os && !str_equal(platform.os, "unknown"))
			json_push(array,
				  manifest_summary(descriptor.digest, false,
						   &platform, 0, 0));
	}
}

static cJSON *manifests_of(const struct engine *engine,
			   const struct image *image)
{
	cleanup_json cJSON *index = NULL;
	struct descriptor target;
	struct platform platform;
	cJSON *array = json_array();

	image_platform(image, &platform);
	json_push(array, manifest_summary(image->manifest, true, &platform,
					  image->content, image->size));
	if (image->origin && !str_equal(image->origin, image->manifest) &&
	    image_target(&engine->store, image, &target, &index, NULL) == 0 &&
	    index)
		push_other_platforms(index, image, array);
	return array;
}

int engine_image_list(struct engine *engine, bool whole, cJSON **ret_array,
		      struct error *err)
{
	CLEANUP(image_users_release)
	struct image_users users = {.engine = engine};
	cleanup_json cJSON *array = json_array();
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
	for (size_t i = 0; r >= 0 && i < count; i++) {
		cJSON *json;

		if (whole)
			r = image_users_count(&users, images[i].id);
		if (r < 0)
			break;
		json = summary(&images[i], whole ? r : -1);
		if (whole)
			json_set(json, "Manifests",
				 manifests_of(engine, &images[i]));
		json_push(array, json);
	}
	image_list_free(images, count);
	if (r < 0)
		return err_number(err, r, "cannot read the containers");
	*ret_array = steal_ptr(&array);
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

/* Descriptor: what its name led to. */
static void set_target(const struct engine *engine, const struct image *image,
		       cJSON *json)
{
	cleanup_json cJSON *index = NULL;
	struct descriptor target;

	if (image_target(&engine->store, image, &target, &index, NULL) == 0)
		json_set(json, "Descriptor", descriptor_json(&target));
}

/* What the registry knows to refer to it, signatures and the like. */
static cJSON *referrers(const struct engine *engine, const struct image *image)
{
	cleanup_json cJSON *index = NULL;
	const cJSON *manifests;

	if (image->referrers && blob_read_json(&engine->store, image->referrers,
					       &index, NULL) == 0) {
		manifests = member_get(index, "manifests");
		if (cJSON_IsArray(manifests))
			return copy_or_null(manifests);
	}
	return json_array();
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
	json_set_string(metadata, "LastTagTime",
			image->tagged ? image->tagged : CONTAINER_TIME_NONE);
	json_set(json, "Metadata", metadata);
	set_target(engine, image, json);
	json_set(json, "Referrers", referrers(engine, image));
	*ret_json = json;
	return 0;
}

int image_check_platform(const struct image *image, const char *name,
			 const char *platform, struct error *err)
{
	char have_text[PLATFORM_TEXT_MAX], wanted_text[PLATFORM_TEXT_MAX];
	struct platform have, wanted;
	int r;

	r = platform_parse(platform, &wanted, err);
	if (r < 0)
		return r;
	image_platform(image, &have);
	if (platform_match(&wanted, &have) > 0)
		return 0;
	platform_text(have_text, &have);
	platform_text(wanted_text, &wanted);
	err_set(err, ERROR_NOT_FOUND,
		"image with reference %s was found but its platform (%s) does "
		"not match the specified platform (%s)",
		name, have_text, wanted_text);
	return err_hint(err, "`moss pull --platform %s` gets the other one.",
			wanted_text);
}

int engine_image_check_platform(struct engine *engine, const char *name,
				const char *platform, struct error *err)
{
	struct image image = {0};
	int r;

	r = image_find(&engine->store, name, &image, err);
	if (r < 0)
		return r;
	r = image_check_platform(&image, name, platform, err);
	image_release(&image);
	return r;
}

int engine_image_inspect(struct engine *engine, const char *name,
			 cJSON **ret_json, struct error *err)
{
	CLEANUP(image_release) struct image image = {0};
	cleanup_fd int lock_fd = -1;
	int r;

	lock_fd = store_lock(&engine->store, LOCK_SHARED, err);
	if (lock_fd < 0)
		return lock_fd;
	r = image_find(&engine->store, name, &image, err);
	return r < 0 ? r : inspect(engine, &image, ret_json, err);
}

int engine_image_serves(struct engine *engine, const char *name,
			const char *platform)
{
	cleanup_fd int lock_fd = -1;
	struct image image = {0};
	int r;

	lock_fd = store_lock(&engine->store, LOCK_SHARED, NULL);
	if (lock_fd < 0 || image_find(&engine->store, name, &image, NULL) < 0)
		return 0;
	r = platform ? image_check_platform(&image, name, platform, NULL) : 0;
	image_release(&image);
	return r == 0;
}

int engine_image_remove(struct engine *engine, const char *name, bool force,
			char ***ret_report, struct error *err)
{
	CLEANUP(image_users_release)
	struct image_users users = {.engine = engine};

	return image_remove(&engine->store, name, force, image_users_find,
			    &users, ret_report, err);
}
