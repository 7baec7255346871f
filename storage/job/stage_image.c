/* stage_lease_layers() and stage_write_image() of storage/job/stage.h. */
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "storage/job/stage.h"
#include "storage/store/image_make.h"
#include "storage/store/oci.h"

static int lease_layer(struct stage *stage, const char *blob,
		       const char *diff_id, const char *what, uint64_t *size,
		       struct error *err)
{
	struct layer layer;
	int r = stage_has_blob(stage, blob, err);

	if (r > 0)
		r = stage_has_layer(stage, diff_id, err);
	if (r == 0)
		return err_set(err, ERROR_CORRUPT,
			       "layer %s of %s is not in the store any more",
			       diff_id, what);
	if (r > 0)
		r = stage_read_layer(stage, diff_id, &layer, err);
	if (r < 0)
		return r;
	*size += layer.size;
	return 0;
}

int stage_lease_layers(struct stage *stage, const struct manifest *manifest,
		       char *const *diff_ids, const char *what, uint64_t *size,
		       struct error *err)
{
	int r = 0;

	if (manifest->layer_count != strv_length(diff_ids))
		return err_set(err, ERROR_CORRUPT,
			       "%s is damaged: it has %zu layers and %zu diff "
			       "IDs",
			       what, manifest->layer_count,
			       strv_length(diff_ids));
	for (size_t i = 0; r == 0 && i < manifest->layer_count; i++)
		r = lease_layer(stage, manifest->layers[i].digest, diff_ids[i],
				what, size, err);
	return r;
}

int stage_write_image(struct stage *stage, const cJSON *config,
		      struct manifest *manifest, char *const *annotations,
		      struct stage_image *image, struct error *err)
{
	cleanup_json cJSON *json = NULL;
	int r = stage_write_json(stage, config, OCI_CONFIG, &manifest->config,
				 err);

	if (r < 0)
		return r;
	json = image_make_manifest(manifest, annotations);
	r = stage_write_json(stage, json, OCI_MANIFEST, &image->manifest, err);
	if (r < 0)
		return r;
	strcpy(image->id, manifest->config.digest);
	return 0;
}
