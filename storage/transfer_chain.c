/* Chains of layers of storage/transfer_build.h. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "storage/store/blob.h"
#include "storage/store/image_entry.h"
#include "storage/store/index.h"
#include "storage/store/layer.h"
#include "storage/transfer_build.h"

void layer_chain_release(struct layer_chain *chain)
{
	free(chain->layers);
	*chain = (struct layer_chain){0};
}

int layer_chain_push(struct layer_chain *chain, const struct layer_ref *layer,
		     struct error *err)
{
	if (chain->count >= MANIFEST_LAYERS_MAX)
		return err_set(err, ERROR_INVALID,
			       "the image would have more than %d layers",
			       MANIFEST_LAYERS_MAX);
	chain->layers = xrealloc(chain->layers, chain->count + 1,
				 sizeof(*chain->layers));
	chain->layers[chain->count++] = *layer;
	return 0;
}

void layer_chain_copy(const struct layer_chain *chain,
		      struct layer_chain *ret_chain)
{
	struct layer_chain copy = {0};

	if (chain->count > 0) {
		copy.layers = xcalloc(chain->count, sizeof(*copy.layers));
		memcpy(copy.layers, chain->layers,
		       chain->count * sizeof(*copy.layers));
		copy.count = chain->count;
	}
	*ret_chain = copy;
}

char **layer_chain_diff_ids(const struct layer_chain *chain)
{
	char **diff_ids = NULL;

	for (size_t i = 0; i < chain->count; i++)
		strv_push(&diff_ids, chain->layers[i].diff_id);
	return diff_ids;
}

cJSON *layer_ref_json(const struct layer_ref *layer)
{
	cJSON *json = descriptor_json(&layer->blob);

	json_set_string(json, "diffId", layer->diff_id);
	return json;
}

int layer_ref_from_json(const cJSON *json, const char *where,
			struct layer_ref *ret_layer, struct error *err)
{
	struct layer_ref layer = {0};
	const char *diff_id = "";
	int r = descriptor_parse(json, where, &layer.blob, err);

	if (r >= 0)
		r = json_get_string(json, where, "diffId", &diff_id, err);
	if (r >= 0)
		r = digest_check(diff_id, where, err);
	if (r < 0)
		return r;
	strcpy(layer.diff_id, diff_id);
	*ret_layer = layer;
	return 0;
}

cJSON *layer_chain_json(const struct layer_chain *chain)
{
	cJSON *json = json_array();

	for (size_t i = 0; i < chain->count; i++)
		json_push(json, layer_ref_json(&chain->layers[i]));
	return json;
}

int layer_chain_from_json(const cJSON *json, const char *where,
			  struct layer_chain *ret_chain, struct error *err)
{
	CLEANUP(layer_chain_release) struct layer_chain chain = {0};
	const cJSON *item;

	if (json && !cJSON_IsNull(json) && !cJSON_IsArray(json))
		return err_set(err, ERROR_INVALID, "%s: expected an array",
			       where);
	cJSON_ArrayForEach(item, json)
	{
		cleanup_free char *name =
			xasprintf("%s[%zu]", where, chain.count);
		struct layer_ref layer;
		int r = layer_ref_from_json(item, name, &layer, err);

		if (r == 0)
			r = layer_chain_push(&chain, &layer, err);
		if (r < 0)
			return r;
	}
	*ret_chain = chain;
	chain = (struct layer_chain){0};
	return 0;
}

/* One layer of the image, leased before it is asked whether it is there. */
static int add_layer(const struct store *store, const struct store_work *work,
		     const char *diff_id, const struct descriptor *blob,
		     struct layer_chain *chain, struct error *err)
{
	struct layer_ref layer = {.blob = *blob};
	int r = 0;

	strcpy(layer.diff_id, diff_id);
	if (work)
		r = store_work_lease(work, digest_hex(diff_id), err);
	if (r == 0 && work)
		r = store_work_lease(work, digest_hex(blob->digest), err);
	if (r < 0)
		return r;
	if (!layer_exists(store, diff_id) || !blob_exists(store, blob->digest))
		return err_set(err, ERROR_CORRUPT,
			       "layer %s is not in the store any more; pull "
			       "the image again",
			       diff_id);
	return layer_chain_push(chain, &layer, err);
}

int image_chain(struct store *store, const struct store_work *work,
		const char *image_id, struct layer_chain *ret_chain,
		struct error *err)
{
	CLEANUP(layer_chain_release) struct layer_chain chain = {0};
	CLEANUP(manifest_release) struct manifest manifest = {0};
	CLEANUP(image_release) struct image image = {0};
	cleanup_json cJSON *index = NULL;
	cleanup_fd int lock_fd = store_lock(store, LOCK_SHARED, err);
	const cJSON *entry = NULL;
	int r = lock_fd;

	if (r >= 0)
		r = index_read(store, &index, err);
	if (r >= 0)
		r = image_find_entry(store, index, image_id, &entry, err);
	if (r >= 0)
		r = image_entry_manifest(store, entry, &manifest, err);
	if (r >= 0)
		r = image_from_entry(store, index, entry, &image, err);
	if (r < 0)
		return r;
	manifest_use_oci_types(&manifest);
	if (manifest.layer_count != strv_length(image.diff_ids))
		return err_set(err, ERROR_CORRUPT,
			       "image %s is damaged: it has %zu layers and %zu "
			       "diff IDs",
			       image_id, manifest.layer_count,
			       strv_length(image.diff_ids));
	for (size_t i = 0; i < manifest.layer_count; i++) {
		r = add_layer(store, work, image.diff_ids[i],
			      &manifest.layers[i], &chain, err);
		if (r < 0)
			return err_wrap(err, "image %s", image_id);
	}
	*ret_chain = chain;
	chain = (struct layer_chain){0};
	return 0;
}
