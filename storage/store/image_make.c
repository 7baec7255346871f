#include "storage/store/image_make.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"

/* ---- order ---- */

static int compare_members(const void *a, const void *b)
{
	return strcmp((*(cJSON *const *)a)->string,
		      (*(cJSON *const *)b)->string);
}

/* Children of an object in the order of their names; all the way down. */
static void sort_members(cJSON *json)
{
	size_t count = 0;
	cleanup_free cJSON **members =
		xcalloc((size_t)cJSON_GetArraySize(json) + 1, sizeof(*members));
	cJSON *item;

	cJSON_ArrayForEach(item, json)
	{
		sort_members(item);
		members[count++] = item;
	}
	if (!cJSON_IsObject(json))
		return;
	qsort(members, count, sizeof(*members), compare_members);
	for (size_t i = 0; i < count; i++)
		cJSON_AddItemToArray(
			json, cJSON_DetachItemViaPointer(json, members[i]));
}

/* ---- times ---- */

static bool is_empty_step(const cJSON *step)
{
	return cJSON_IsTrue(json_member(step, "empty_layer"));
}

/* NULL: it has none. */
static const cJSON *time_of(const cJSON *step)
{
	const cJSON *created = json_member(step, "created");

	return cJSON_IsString(created) ? created : NULL;
}

/* Whole seconds without a fraction, as Go writes them. */
static void set_time(cJSON *step, const struct timespec *time)
{
	char text[TIME_TEXT_MAX];
	char *point;

	format_time(text, time);
	point = strchr(text, '.');
	if (time->tv_nsec == 0 && point)
		strcpy(point, "Z");
	json_set_string(step, "created", text);
}

/* Those of the entries that made a layer; with an epoch, of all. */
static int set_own_times(const struct image_make *make, cJSON *history,
			 struct error *err)
{
	const struct timespec epoch = {.tv_sec = make->epoch};
	size_t count = strv_length(make->diff_ids);
	size_t layer = 0;
	cJSON *step;

	cJSON_ArrayForEach(step, history)
	{
		bool has_layer = !is_empty_step(step);

		if (has_layer && layer == count)
			return err_set(err, ERROR_INVALID,
				       "the image's history tells of more than "
				       "its %zu layers",
				       count);
		if (!time_of(step) && make->epoch >= 0)
			set_time(step, &epoch);
		else if (!time_of(step) && has_layer)
			set_time(step, &make->times[layer]);
		layer += has_layer;
	}
	if (layer == count)
		return 0;
	return err_set(err, ERROR_INVALID,
		       "the image's history tells of %zu layers, it has %zu",
		       layer, count);
}

/* Where the entries without a time are to begin: the first that has one behind
   them, or the last of all. NULL: none has one. */
static const cJSON *first_time(const cJSON *history)
{
	const cJSON *created = NULL;
	const cJSON *step;
	bool missing = false;

	cJSON_ArrayForEach(step, history)
	{
		const cJSON *own = time_of(step);

		if (own)
			created = own;
		else
			missing = true;
		if (own && missing)
			break;
	}
	return created;
}

static void set_other_times(cJSON *history)
{
	const cJSON *created = first_time(history);
	bool missing = false;
	cJSON *step;

	cJSON_ArrayForEach(step, history)
	{
		const cJSON *own = time_of(step);

		if (own && missing)
			created = own;
		if (own || !created)
			continue;
		missing = true;
		json_set(step, "created", cJSON_Duplicate(created, true));
	}
}

static void set_created(cJSON *config, const cJSON *history, int64_t epoch)
{
	const struct timespec time = {.tv_sec = epoch};
	const cJSON *created = NULL;
	const cJSON *step;

	if (epoch >= 0) {
		set_time(config, &time);
		return;
	}
	cJSON_ArrayForEach(step, history)
	{
		const cJSON *own = time_of(step);

		created = own ? own : created;
	}
	if (created)
		json_set(config, "created", cJSON_Duplicate(created, true));
}

/* ---- the documents ---- */

int image_make_config(const struct image_make *make, cJSON **ret_config,
		      struct error *err)
{
	cleanup_json cJSON *config = cJSON_Duplicate(make->image, true);
	cJSON *rootfs = json_object();
	cJSON *history;
	int r;

	if (!config)
		str_oom();
	json_set_string(rootfs, "type", "layers");
	json_set_strv(rootfs, "diff_ids", make->diff_ids);
	json_set(config, "rootfs", rootfs);
	history = cJSON_GetObjectItemCaseSensitive(config, "history");
	if (!cJSON_IsArray(history)) {
		history = json_array();
		json_set(config, "history", history);
	}
	r = set_own_times(make, history, err);
	if (r < 0)
		return r;
	set_other_times(history);
	set_created(config, history, make->epoch);
	sort_members(config);
	*ret_config = steal_ptr(&config);
	return 0;
}

cJSON *image_make_manifest(const struct manifest *manifest,
			   char *const *annotations)
{
	cJSON *json = manifest_json(manifest);
	cJSON *object;

	if (strv_length(annotations) == 0)
		return json;
	object = json_object();
	for (size_t i = 0; annotations[i]; i++) {
		size_t length = strcspn(annotations[i], "=");
		cleanup_free char *name = xstrndup(annotations[i], length);

		json_set_string(object, name,
				annotations[i][length]
					? annotations[i] + length + 1
					: "");
	}
	sort_members(object);
	json_set(json, "annotations", object);
	return json;
}
