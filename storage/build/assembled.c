#include "storage/build/assembled.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "storage/store/blob.h"
#include "storage/store/image_make.h"
#include "storage/store/index.h"
#include "storage/store/oci.h"
#include "storage/tar/hash.h"

/* As stage_write_json() would write it. */
static int describe(const cJSON *json, const char *media_type,
		    struct descriptor *ret_descriptor, struct error *err)
{
	cleanup_free char *text = json_print(json);

	strcpy(ret_descriptor->media_type, media_type);
	ret_descriptor->size = strlen(text);
	return hash_bytes(text, strlen(text), ret_descriptor->digest, err);
}

static int read_times(const struct store *store, char *const *diff_ids,
		      struct timespec *times)
{
	int r = 0;

	for (size_t i = 0; r == 0 && diff_ids && diff_ids[i]; i++) {
		struct layer layer;

		r = layer_read(store, diff_ids[i], &layer, NULL);
		if (r == 0)
			times[i] = layer.made;
	}
	return r;
}

static int make_config(const struct store *store,
		       const struct assemble_request *request,
		       struct descriptor *ret_config, struct error *err)
{
	cleanup_strv char **diff_ids = layer_chain_diff_ids(request->chain);
	cleanup_free struct timespec *times =
		xcalloc(request->chain->count + 1, sizeof(*times));
	const struct image_make make = {
		.image = request->image,
		.diff_ids = diff_ids,
		.times = times,
		.epoch = request->epoch,
	};
	cleanup_json cJSON *config = NULL;
	int r;

	/* The helper says what is wrong with it. */
	if (read_times(store, diff_ids, times) < 0)
		return 0;
	r = image_make_config(&make, &config, err);
	if (r == 0)
		r = describe(config, OCI_CONFIG, ret_config, err);
	return r < 0 ? r : 1;
}

static int make_manifest(const struct assemble_request *request,
			 const struct descriptor *config,
			 struct descriptor *ret_manifest, struct error *err)
{
	CLEANUP(manifest_release)
	struct manifest manifest = {.config = *config};
	cleanup_json cJSON *json = NULL;

	manifest.layers =
		xcalloc(request->chain->count + 1, sizeof(*manifest.layers));
	for (size_t i = 0; i < request->chain->count; i++)
		manifest.layers[i] = request->chain->layers[i].blob;
	manifest.layer_count = request->chain->count;
	manifest_use_oci_types(&manifest);
	json = image_make_manifest(&manifest, request->annotations);
	return describe(json, OCI_MANIFEST, ret_manifest, err);
}

/* Under each of its names, or under any where it is to have none. */
static bool is_there(const cJSON *index, const char *manifest,
		     char *const *references)
{
	if (strv_length(references) == 0)
		return index_find_manifest(index, manifest) != NULL;
	for (size_t i = 0; references[i]; i++) {
		const cJSON *entry = index_find_reference(index, references[i]);

		if (!entry || index_entry_is_removed(entry) ||
		    !str_equal(index_entry_digest(entry), manifest))
			return false;
	}
	return true;
}

static int look_up(const struct store *store, const char *config,
		   const char *manifest, char *const *references,
		   struct error *err)
{
	cleanup_json cJSON *index = NULL;
	cleanup_fd int lock_fd = store_lock(store, LOCK_SHARED, err);
	int r = lock_fd < 0 ? lock_fd : index_read(store, &index, err);

	if (r < 0)
		return r;
	return is_there(index, manifest, references) &&
	       blob_exists(store, config) && blob_exists(store, manifest);
}

int image_assembled(struct store *store, const struct assemble_request *request,
		    struct assembled_image *ret_image, struct error *err)
{
	struct assembled_image image = {0};
	struct descriptor config = {0};
	int r;

	if (!request->store || request->output_count > 0 || request->squash)
		return 0;
	r = make_config(store, request, &config, err);
	if (r <= 0)
		return r;
	r = make_manifest(request, &config, &image.manifest, err);
	if (r == 0)
		r = look_up(store, config.digest, image.manifest.digest,
			    request->references, err);
	if (r <= 0)
		return r;
	strcpy(image.id, config.digest);
	image_assemble_tell(store, request, image.id);
	*ret_image = image;
	return 1;
}
