/*
 * docker's archives from before 1.10, of storage/archive/load.h: a directory
 * for each layer with its part of the image's history,
 *
 *   repositories        {"web": {"latest": "ID"}}
 *   ID/json             {"id", "parent", "created", "config", …}
 *   ID/layer.tar
 *
 * Such an image has no config of today's form: one is made of the topmost
 * layer's json, the diff IDs of all and their history, as docker did on the
 * move to 1.10.
 */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "storage/archive/load.h"
#include "storage/store/manifest.h"

#define REPOSITORIES "repositories"

/* One image's layers, topmost first. */
struct chain {
	cJSON *jsons[MANIFEST_LAYERS_MAX];
	char *ids[MANIFEST_LAYERS_MAX];
	size_t count;
};

static void chain_free(struct chain **chain)
{
	for (size_t i = 0; i < (*chain)->count; i++) {
		cJSON_Delete((*chain)->jsons[i]);
		free((*chain)->ids[i]);
	}
	free(*chain);
}

static bool is_id(const char *id)
{
	return id && strlen(id) == DIGEST_HEX && digest_is_hex(id, DIGEST_HEX);
}

static int read_chain(struct load *load, const char *id, struct chain *chain,
		      struct error *err)
{
	while (id) {
		cleanup_free char *name = NULL;
		const char *parent = NULL;
		cJSON *json = NULL;
		int r;

		if (!is_id(id))
			return err_set(err, ERROR_INVALID,
				       "invalid layer ID \"%.80s\"", id);
		if (chain->count == MANIFEST_LAYERS_MAX)
			return err_set(err, ERROR_INVALID,
				       "more than %d layers",
				       MANIFEST_LAYERS_MAX);
		name = xasprintf("%s/json", id);
		r = load_files_json(&load->files, name, &json, err);
		if (r < 0)
			return r;
		chain->jsons[chain->count] = json;
		chain->ids[chain->count++] = xstrdup(id);
		r = json_get_string(json, name, "parent", &parent, err);
		if (r < 0)
			return r;
		id = str_empty(parent) ? NULL : parent;
	}
	return 0;
}

static void copy_text(cJSON *to, const char *to_key, const cJSON *from,
		      const char *key)
{
	const char *text = NULL;

	if (json_get_string(from, "", key, &text, NULL) > 0 && *text)
		json_set_string(to, to_key, text);
}

static cJSON *history_step(const cJSON *json)
{
	cJSON *step = json_object();
	cleanup_strv char **command = NULL;
	const cJSON *container = NULL;

	copy_text(step, "created", json, "created");
	copy_text(step, "author", json, "author");
	copy_text(step, "comment", json, "comment");
	if (json_get_object(json, "", "container_config", &container, NULL) >
		    0 &&
	    json_get_strv(container, "", "Cmd", &command, NULL) > 0 &&
	    command[0]) {
		cleanup_free char *line = strv_join(command, " ");

		json_set_string(step, "created_by", line);
	}
	return step;
}

static cJSON *make_config(const struct chain *chain, cJSON *diff_ids)
{
	static const char *const dropped[] = {
		"id", "parent", "Size", "parent_id", "layer_id", "throwaway"};
	cJSON *config = cJSON_Duplicate(chain->jsons[0], true);
	cJSON *rootfs = json_object();
	cJSON *history = json_array();

	if (!config)
		str_oom();
	for (size_t i = 0; i < ARRAY_SIZE(dropped); i++)
		cJSON_DeleteItemFromObjectCaseSensitive(config, dropped[i]);
	for (size_t i = chain->count; i > 0; i--)
		json_push(history, history_step(chain->jsons[i - 1]));
	json_set_string(rootfs, "type", "layers");
	json_set(rootfs, "diff_ids", diff_ids);
	json_set(config, "rootfs", rootfs);
	json_set(config, "history", history);
	return config;
}

/* The chain begins with the uppermost layer. */
static int stage_layers(struct load *load, const struct chain *chain,
			const char *what, struct load_parts *parts,
			cJSON *diff_ids, struct error *err)
{
	struct load_layer *layers = xcalloc(chain->count + 1, sizeof(*layers));
	int r;

	for (size_t i = 0; i < chain->count; i++) {
		const char *id = chain->ids[chain->count - 1 - i];

		layers[i].file = xasprintf("%s/layer.tar", id);
		layers[i].what = xasprintf("%s: layer %zu (%s)", what, i + 1,
					   layers[i].file);
	}
	r = load_layers(load, layers, chain->count, &parts->size, err);
	for (size_t i = 0; r == 0 && i < chain->count; i++) {
		parts->layers[parts->layer_count++] = layers[i].blob;
		json_push_string(diff_ids, layers[i].layer.diff_id);
	}
	load_layers_free(layers, chain->count);
	return r;
}

static int load_image(struct load *load, const char *name, const char *id,
		      struct error *err)
{
	CLEANUP(chain_free) struct chain *chain = xcalloc(1, sizeof(*chain));
	CLEANUP(stage_image_release) struct stage_image image = {0};
	cleanup_free struct descriptor *layers = NULL;
	cleanup_free char *what = xasprintf("image %.256s", name);
	cleanup_free char *text = NULL;
	cleanup_json cJSON *config = NULL;
	cleanup_json cJSON *diff_ids = json_array();
	cleanup_strv char **checked = NULL;
	struct load_parts parts = {0};
	int r = read_chain(load, id, chain, err);

	if (r < 0)
		return err_wrap(err, "%s", what);
	layers = xcalloc(chain->count + 1, sizeof(*layers));
	parts.layers = layers;
	r = stage_layers(load, chain, what, &parts, diff_ids, err);
	if (r < 0)
		return r;
	config = make_config(chain, steal_ptr(&diff_ids));
	r = load_check_config(load, config, what, chain->count, &checked, err);
	if (r <= 0)
		return r;
	text = json_print(config);
	parts.config = text;
	parts.config_length = strlen(text);
	r = load_make_image(load, &parts, &image, err);
	if (r == 0)
		r = load_add_name(&image, name, err);
	if (r < 0)
		return r;
	return load_add_image(load, &image, err);
}

int load_legacy(struct load *load, struct error *err)
{
	cleanup_json cJSON *json = NULL;
	const cJSON *repository;
	const cJSON *tag;
	int r = load_files_json(&load->files, REPOSITORIES, &json, err);

	if (r < 0)
		return r;
	if (!cJSON_IsObject(json) || !json->child)
		return err_set(err, ERROR_INVALID,
			       REPOSITORIES " names no image");
	cJSON_ArrayForEach(repository, json)
	{
		cJSON_ArrayForEach(tag, repository)
		{
			cleanup_free char *name =
				xasprintf("%s:%s", repository->string,
					  tag->string ? tag->string : "");

			if (!cJSON_IsString(tag))
				return err_set(err, ERROR_INVALID,
					       REPOSITORIES
					       ": %.256s: expected a string",
					       name);
			r = load_image(load, name, tag->valuestring, err);
			if (r < 0)
				return r;
		}
	}
	return 0;
}
