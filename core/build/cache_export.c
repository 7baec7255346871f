/* --cache-to, of core/build/cache_transfer.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json.h"
#include "base/path.h"
#include "base/str.h"
#include "core/build/cache_transfer.h"

#define KEYS_NAME_MAX 32
#define KEYS_MAX      (16u << 20) /* bytes of a stage's */

/* ---- keys ---- */

static void keys_name(char ret_name[KEYS_NAME_MAX], size_t stage)
{
	snprintf(ret_name, KEYS_NAME_MAX, "keys-%zu", stage);
}

int cache_note(const struct store_work *work, size_t stage, const char *key,
	       const char *description, struct error *err)
{
	cleanup_json cJSON *json = json_object();
	cleanup_free char *text = NULL;
	cleanup_free char *line = NULL;
	char name[KEYS_NAME_MAX];
	cleanup_fd int fd = -1;
	int r;

	json_set_string(json, "key", key);
	json_set_string(json, "description", description ? description : "");
	text = json_print(json);
	line = xasprintf("%s\n", text);
	keys_name(name, stage);
	fd = openat(work->fd, name,
		    O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW,
		    0600);
	r = fd < 0 ? -errno : write_all(fd, line, strlen(line));
	return r < 0 ? err_number(err, r, "cannot note a step's key") : 0;
}

/* ---- what is exported ---- */

struct export
{
	const struct cache_context *context;
	struct layer_chain chain;
	cJSON *records;
	cJSON *history;
	char **seen; /* keys */
	bool closed; /* only what chain has already */
};

static void export_release(struct export *export)
{
	layer_chain_release(&export->chain);
	cJSON_Delete(export->records);
	cJSON_Delete(export->history);
	strv_free(export->seen);
}

static int64_t find_layer(const struct export *export, const char *diff_id)
{
	for (size_t i = 0; i < export->chain.count; i++) {
		if (str_equal(export->chain.layers[i].diff_id, diff_id))
			return (int64_t)i;
	}
	return -1;
}

static void add_history(struct export *export, const char *description)
{
	cJSON *step = json_object();

	json_set_string(step, "created_by", description);
	json_push(export->history, step);
}

/* One of the chain's; -1: there is no room for it. */
static int64_t use_layer(struct export *export, const struct layer_ref *layer,
			 const char *description)
{
	int64_t index = find_layer(export, layer->diff_id);

	if (index >= 0 || export->closed ||
	    layer_chain_push(&export->chain, layer, NULL) < 0)
		return index;
	add_history(export, description);
	return (int64_t) export->chain.count - 1;
}

static int add_key(struct export *export, const char *key,
		   const char *description, struct error *err)
{
	const struct cache_context *context = export->context;
	struct layer_ref layer;
	int64_t index = -1;
	cJSON *record;
	int r;

	if (strv_contains(export->seen, key))
		return 0;
	strv_push(&export->seen, key);
	r = build_cache_find(&context->engine->store, context->work, key,
			     &layer, err);
	/* Somebody may have pruned it meanwhile. */
	if (r == BUILD_CACHE_MISS || r < 0)
		return r < 0 ? r : 0;
	if (r == BUILD_CACHE_LAYER) {
		index = use_layer(export, &layer, description);
		if (index < 0)
			return 0;
	}
	record = json_object();
	json_set_string(record, "key", key);
	if (index >= 0)
		json_set_i64(record, "layer", index);
	json_set_string(record, "description", description);
	json_push(export->records, record);
	return 0;
}

static int add_line(struct export *export, const char *line, struct error *err)
{
	cleanup_json cJSON *json = NULL;
	const char *description = "";
	const char *key = NULL;
	int r = json_parse(line, strlen(line), "a step's key", &json, err);

	if (r == 0)
		r = json_get_string(json, "", "description", &description, err);
	if (r >= 0)
		r = json_get_string(json, "", "key", &key, err);
	if (r <= 0)
		return r;
	return add_key(export, key, description, err);
}

/* A stage that was not needed, or made nothing, has none. */
static int add_stage(struct export *export, size_t stage, struct error *err)
{
	const struct store_work *work = export->context->work;
	cleanup_strv char **lines = NULL;
	cleanup_free char *text = NULL;
	char name[KEYS_NAME_MAX];
	int r;

	keys_name(name, stage);
	if (faccessat(work->fd, name, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	r = file_read_at(work->fd, name, KEYS_MAX, &text, NULL, err);
	if (r < 0)
		return r;
	lines = strv_split(text, '\n');
	for (size_t i = 0; r == 0 && lines[i]; i++) {
		if (*lines[i])
			r = add_line(export, lines[i], err);
	}
	return r;
}

static int gather(struct export *export, const struct cache_steps *steps,
		  bool all, struct error *err)
{
	size_t count = all ? steps->all : steps->target_count;
	int r = 0;

	export->records = json_array();
	export->history = json_array();
	for (size_t i = 0; r == 0 && i < count; i++)
		r = add_stage(export, all ? i : steps->target[i], err);
	return r;
}

static cJSON *cache_member(struct export *export)
{
	cJSON *cache = json_object();

	json_set_i64(cache, "version", BUILD_CACHE_VERSION);
	json_set(cache, "records", steal_ptr(&export->records));
	return cache;
}

/* ---- inline ---- */

static const char *text_of(const cJSON *json, const char *key)
{
	const char *text = cJSON_GetStringValue(json_member(json, key));

	return text ? text : "";
}

int cache_inline(const struct cache_context *context, const cJSON *to,
		 const struct cache_steps *steps,
		 const struct layer_chain *chain, struct image_draft *image,
		 struct error *err)
{
	CLEANUP(export_release)
	struct export export = {.context = context, .closed = true};
	const cJSON *item;
	bool wanted = false;
	int r;

	cJSON_ArrayForEach(item, to)
	{
		if (str_equal(text_of(item, "type"), "inline"))
			wanted = true;
	}
	if (!wanted)
		return 0;
	layer_chain_copy(chain, &export.chain);
	r = gather(&export, steps, false, err);
	if (r == 0)
		json_set(image->json, BUILD_CACHE_MEMBER,
			 cache_member(&export));
	return r;
}

/* ---- elsewhere ---- */

/* An image of nothing but layers. */
static cJSON *make_image(struct export *export, const struct image_draft *like)
{
	static const char *const keys[] = {"architecture", "os", "variant"};
	cJSON *image = json_object();

	for (size_t i = 0; i < ARRAY_SIZE(keys); i++) {
		const cJSON *value = json_member(like->json, keys[i]);

		if (value)
			json_set(image, keys[i], cJSON_Duplicate(value, true));
	}
	json_set(image, "config", json_object());
	json_set(image, "history", steal_ptr(&export->history));
	json_set(image, BUILD_CACHE_MEMBER, cache_member(export));
	return image;
}

static int write_directory(const struct export *export, const cJSON *image,
			   const char *path, struct error *err)
{
	const struct assemble_output output = {
		.path = path,
		.directory = true,
	};
	const struct assemble_request request = {
		.chain = &export->chain,
		.image = image,
		.outputs = &output,
		.output_count = 1,
		.output_fd = -1,
		.epoch = -1,
		.progress_fd = -1,
	};
	cleanup_free char *parent = xasprintf("%s/..", path);
	cleanup_free char *above = path_clean(parent);
	struct assembled_image ignored;
	int r = path_mkdirs(above, 0777, err);

	return r < 0 ? r
		     : image_assemble(&export->context->engine->store, &request,
				      &ignored, err);
}

static int push(const struct export *export, const cJSON *image,
		const char *reference, struct error *err)
{
	const struct cache_context *context = export->context;
	const struct assemble_request request = {
		.chain = &export->chain,
		.image = image,
		.output_fd = -1,
		.epoch = -1,
		.progress_fd = -1,
	};
	struct assembled_image assembled;
	struct engine_pull_request pushed = {
		.name = reference,
		.manifest = &assembled.manifest,
		.progress_fd = -1,
	};
	cleanup_json cJSON *auths = NULL;
	cleanup_json cJSON *result = NULL;
	int r = image_assemble_leased(&context->engine->store, &request,
				      context->work->name, &assembled, err);

	if (r == 0 && context->find_auths)
		r = context->find_auths(context->data, reference, true, &auths,
					err);
	if (r < 0)
		return r;
	pushed.auths = auths;
	return engine_image_push(context->engine, &pushed, &result, err);
}

static int export_to(const struct cache_context *context, const cJSON *to,
		     const struct cache_steps *steps,
		     const struct image_draft *like, struct error *err)
{
	CLEANUP(export_release) struct export export = {.context = context};
	cleanup_json cJSON *image = NULL;
	int r = gather(&export, steps, str_equal(text_of(to, "mode"), "max"),
		       err);

	if (r < 0)
		return r;
	image = make_image(&export, like);
	if (str_equal(text_of(to, "type"), "local"))
		return write_directory(&export, image, text_of(to, "dest"),
				       err);
	return push(&export, image, text_of(to, "ref"), err);
}

int cache_export(const struct cache_context *context, const cJSON *to,
		 const struct cache_steps *steps,
		 const struct image_draft *image, struct error *err)
{
	const struct report *report = context->report;
	const cJSON *item;
	int r = 0;

	cJSON_ArrayForEach(item, to)
	{
		const char *where = str_equal(text_of(item, "type"), "local")
					    ? text_of(item, "dest")
					    : text_of(item, "ref");
		cleanup_free char *name =
			xasprintf("exporting cache to %s", where);
		unsigned int vertex;

		if (r < 0 || str_equal(text_of(item, "type"), "inline"))
			continue;
		vertex = ++*context->last_vertex;
		report_vertex(report, vertex, "internal", name);
		report_started(report, vertex);
		r = export_to(context, item, steps, image, err);
		if (r < 0)
			err_wrap(err, "cannot write the cache to %s", where);
		report_completed(report, vertex, r < 0 ? err : NULL);
	}
	return r;
}
