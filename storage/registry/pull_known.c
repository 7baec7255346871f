/* What the store has already of an image that is to be pulled. */
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "storage/registry/pull.h"
#include "storage/store/blob.h"
#include "storage/store/image_entry.h"
#include "storage/store/index.h"
#include "storage/store/layer.h"

/* Only a platform that was asked for by name must be the image's. */
static bool is_wanted(const struct pull_image *image, const cJSON *config)
{
	struct platform platform;

	return !image->pull->platform_given ||
	       (config_platform(config, image->what, &platform, NULL) == 0 &&
		platform_match(&image->pull->platform, &platform) > 0);
}

/* Everything that makes the image one, packed and unpacked. */
static bool is_whole(const struct pull_image *image,
		     const struct manifest *manifest)
{
	const struct store *store = image->stage.store;
	cleanup_strv char **diff_ids = NULL;
	cleanup_json cJSON *config = NULL;

	if (blob_read_json(store, manifest->config.digest, &config, NULL) < 0 ||
	    !is_wanted(image, config) ||
	    config_diff_ids(config, image->what, &diff_ids, NULL) < 0 ||
	    strv_length(diff_ids) != manifest->layer_count)
		return false;
	for (size_t i = 0; i < manifest->layer_count; i++) {
		if (!blob_exists(store, manifest->layers[i].digest) ||
		    !layer_exists(store, diff_ids[i]))
			return false;
	}
	return true;
}

/* Is `digest` the manifest that the wanted platform has in that index? */
static bool is_selected(const struct pull_image *image, const char *origin,
			const char *digest)
{
	const struct store *store = image->stage.store;
	char next[DIGEST_TEXT_MAX];

	strcpy(next, origin);
	for (int depth = 0; depth <= PULL_DEPTH_MAX; depth++) {
		cleanup_json cJSON *json = NULL;
		struct descriptor descriptor;

		if (str_equal(next, digest))
			return true;
		if (!blob_exists(store, next) ||
		    blob_read_json(store, next, &json, NULL) < 0 ||
		    document_kind(json) != DOCUMENT_INDEX ||
		    index_select(json, image->what, &image->pull->platform,
				 &descriptor, NULL) < 0)
			return false;
		strcpy(next, descriptor.digest);
	}
	return false;
}

static bool leads_to(const struct pull_image *image, const cJSON *entry,
		     const char *origin)
{
	const char *digest = index_entry_digest(entry);
	const char *noted = index_entry_origin(entry);

	if (!digest)
		return false;
	if (str_equal(origin, digest))
		return true;
	return str_equal(noted, origin) && is_selected(image, origin, digest);
}

int pull_is_known(struct pull_image *image, const char *origin,
		  char ret_id[DIGEST_TEXT_MAX], struct error *err)
{
	const struct store *store = image->stage.store;
	CLEANUP(manifest_release) struct manifest manifest = {0};
	cleanup_json cJSON *index = NULL;
	cleanup_fd int lock_fd = -1;
	const cJSON *entry;
	int r;

	lock_fd = store_lock(store, LOCK_SHARED, err);
	if (lock_fd < 0)
		return lock_fd;
	r = index_read(store, &index, err);
	if (r < 0)
		return r;
	entry = index_find_reference(index, image->full);
	if (!entry || !leads_to(image, entry, origin) ||
	    image_entry_manifest(store, entry, &manifest, NULL) < 0 ||
	    !is_whole(image, &manifest))
		return 0;
	strcpy(ret_id, manifest.config.digest);
	return 1;
}
