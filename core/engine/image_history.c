/*
 * The history of an image: core/engine/engine.h. The config tells the steps,
 * oldest first, and which of them made no layer; the others take the layers in
 * their order. Both come from elsewhere and need not agree: layers without a
 * step are told as steps of which nothing is known.
 */
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "core/engine/engine.h"
#include "core/engine/members.h"
#include "storage/store/layer.h"
#include "storage/store/reference.h"

#define NOT_AN_IMAGE "<missing>"
#define STEPS_MAX    16384

static int64_t seconds_of(const cJSON *step)
{
	struct timespec time;

	if (parse_time(member_string(step, "created"), &time) < 0)
		return 0;
	return time.tv_sec;
}

static int64_t layer_size(struct engine *engine, const char *diff_id)
{
	struct layer layer;

	if (!diff_id || layer_read(&engine->store, diff_id, &layer, NULL) < 0)
		return 0;
	return (int64_t)layer.size;
}

/* step NULL: nothing is known. */
static cJSON *row_of(const cJSON *step, int64_t size)
{
	cJSON *row = json_object();

	json_set_string(row, "Comment", member_string(step, "comment"));
	json_set_i64(row, "Created", seconds_of(step));
	json_set_string(row, "CreatedBy", member_string(step, "created_by"));
	json_set_string(row, "Id", NOT_AN_IMAGE);
	json_set_i64(row, "Size", size);
	json_set(row, "Tags", NULL);
	return row;
}

static cJSON *tags_of(const struct image *image)
{
	cJSON *tags = json_array();

	for (size_t i = 0; image->references && image->references[i]; i++) {
		cleanup_free char *tag = NULL;

		tag = reference_shorten(image->references[i]);
		if (!strchr(tag, '@'))
			json_push_string(tags, tag);
	}
	return tags;
}

static void push_front(cJSON *array, cJSON *row)
{
	if (!cJSON_InsertItemInArray(array, 0, row))
		str_oom();
}

/* The newest first, unlike in the config. */
static int rows_of(struct engine *engine, const struct image *image,
		   cJSON **ret_rows, struct error *err)
{
	const cJSON *history = member_get(image->config, "history");
	size_t count = strv_length(image->diff_ids);
	const cJSON *step;
	size_t layer = 0;
	cJSON *rows;

	if (!cJSON_IsArray(history))
		history = NULL;
	if (cJSON_GetArraySize(history) > STEPS_MAX)
		return err_set(err, ERROR_INVALID,
			       "the image's history has more than %d steps",
			       STEPS_MAX);
	rows = json_array();
	cJSON_ArrayForEach(step, history)
	{
		const char *diff_id = NULL;

		if (!member_bool(step, "empty_layer") && layer < count)
			diff_id = image->diff_ids[layer++];
		push_front(rows, row_of(step, layer_size(engine, diff_id)));
	}
	for (; layer < count; layer++)
		push_front(rows,
			   row_of(NULL,
				  layer_size(engine, image->diff_ids[layer])));
	*ret_rows = rows;
	return 0;
}

int engine_image_history(struct engine *engine, const char *name,
			 cJSON **ret_array, struct error *err)
{
	CLEANUP(image_release) struct image image = {0};
	cleanup_fd int lock_fd = -1;
	cJSON *rows = NULL;
	int r;

	lock_fd = store_lock(&engine->store, LOCK_SHARED, err);
	if (lock_fd < 0)
		return lock_fd;
	r = image_find(&engine->store, name, &image, err);
	if (r < 0)
		return r;
	r = rows_of(engine, &image, &rows, err);
	if (r < 0)
		return err_wrap(err, "image %s", name);
	if (rows->child) {
		json_set_string(rows->child, "Id", image.id);
		json_set(rows->child, "Tags", tags_of(&image));
	}
	*ret_array = rows;
	return 0;
}
