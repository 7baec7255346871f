/* Build caches and images elsewhere, of storage/transfer_build.h. */
#include "base/json.h"
#include "storage/registry/registries.h"
#include "storage/transfer_build.h"
#include "storage/transfer_run.h"

static cJSON *place_json(const struct cache_place *place)
{
	cJSON *json = json_object();

	if (place->directory) {
		json_set_string(json, "directory", place->directory);
		return json;
	}
	json_set_string(json, "reference", place->reference);
	json_set(json, "endpoints",
		 registry_endpoints_to_json(place->endpoints));
	return json;
}

static int ask(struct store *store, const char *command, cJSON *request,
	       int progress_fd, cJSON **ret_result, struct error *err)
{
	const struct transfer transfer = {
		.command = command,
		.request = request,
		.input_fd = -1,
		.output_fd = -1,
		.progress_fd = progress_fd,
	};
	int r = transfer_run(store, &transfer, ret_result, err);

	transfer_wipe_secrets(request);
	return r;
}

int image_cache_read(struct store *store, const struct cache_place *place,
		     cJSON **ret_cache, struct error *err)
{
	cleanup_json cJSON *json = place_json(place);

	return ask(store, "cache-read", json, -1, ret_cache, err);
}

int image_cache_fetch(struct store *store, const struct cache_place *place,
		      const struct layer_ref *layer, const char *lease,
		      int progress_fd, struct error *err)
{
	cleanup_json cJSON *json = place_json(place);
	cleanup_json cJSON *result = NULL;

	json_set(json, "layer", layer_ref_json(layer));
	json_set_string(json, "lease", lease);
	return ask(store, "cache-fetch", json, progress_fd, &result, err);
}

int image_layout_read(struct store *store, const struct layout_image *image,
		      cJSON **ret_image, struct error *err)
{
	cleanup_json cJSON *json = json_object();

	json_set_string(json, "directory", image->directory);
	json_set_text(json, "tag", image->tag);
	json_set_text(json, "digest", image->digest);
	json_set_text(json, "platform", image->platform);
	return ask(store, "layout-read", json, -1, ret_image, err);
}
