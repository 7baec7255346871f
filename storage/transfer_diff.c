#include <stdlib.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "storage/transfer_build.h"
#include "storage/transfer_run.h"

int image_layer_diff(struct store *store,
		     const struct layer_diff_request *request,
		     struct layer_ref *ret_layer, struct error *err)
{
	cleanup_strv char **diff_ids = layer_chain_diff_ids(request->chain);
	cleanup_json cJSON *json = json_object();
	cleanup_json cJSON *result = NULL;
	struct transfer transfer = {
		.helper = "moss-layer",
		.command = "layer-diff",
		.request = json,
		.input_fd = -1,
		.output_fd = -1,
		.progress_fd = request->progress_fd,
	};
	const cJSON *layer = NULL;
	int r;

	json_set_string(json, "directory", request->directory);
	json_set_string(json, "driver", snapshot_driver_name(request->driver));
	json_set_strv(json, "diffIds", diff_ids);
	json_set_string(json, "lease", request->lease);
	json_set_i64(json, "epoch", request->epoch);
	r = transfer_run(store, &transfer, &result, err);
	if (r >= 0)
		r = json_get_object(result, "result", "layer", &layer, err);
	if (r <= 0)
		return r;
	r = layer_ref_from_json(layer, "result.layer", ret_layer, err);
	return r < 0 ? r : 1;
}
