/* image_assemble() of storage/transfer_build.h. */
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "storage/store/image_event.h"
#include "storage/store/reference.h"
#include "storage/transfer_build.h"
#include "storage/transfer_run.h"

static cJSON *outputs_json(const struct assemble_request *request)
{
	cJSON *array = json_array();

	for (size_t i = 0; i < request->output_count; i++) {
		const struct assemble_output *output = &request->outputs[i];
		cJSON *json = json_object();

		json_set_string(json, "type",
				output->docker ? "docker" : "oci");
		json_set_text(json, "path", output->path);
		json_set_bool(json, "directory", output->directory);
		json_push(array, json);
	}
	return array;
}

/* docker tells of the image first, then of each of its names. */
void image_assemble_tell(struct store *store,
			 const struct assemble_request *request, const char *id)
{
	image_event(store, "create", id, NULL, NULL);
	for (size_t i = 0; request->references && request->references[i]; i++) {
		cleanup_free char *name = NULL;
		struct reference reference;

		if (reference_parse(request->references[i], &reference, NULL) <
		    0)
			continue;
		name = reference_familiar(&reference);
		image_event(store, "tag", id, NULL, name);
	}
}

static cJSON *request_json(const struct assemble_request *request)
{
	cJSON *json = json_object();

	json_set(json, "chain", layer_chain_json(request->chain));
	json_set(json, "image", cJSON_Duplicate(request->image, true));
	json_set_strv(json, "annotations", request->annotations);
	json_set_i64(json, "epoch", request->epoch);
	if (request->squash)
		json_set_i64(json, "squashAbove",
			     (int64_t)request->base_layers);
	return json;
}

static int read_result(const cJSON *result, struct assembled_image *ret_image,
		       struct error *err)
{
	struct assembled_image image = {0};
	const char *id = "";
	int r = json_get_string(result, "result", "id", &id, err);

	if (r >= 0)
		r = digest_check(id, "result", err);
	if (r >= 0)
		r = descriptor_parse(json_member(result, "manifest"), "result",
				     &image.manifest, err);
	if (r < 0)
		return r;
	strcpy(image.id, id);
	*ret_image = image;
	return 0;
}

static int run(struct store *store, cJSON *json,
	       const struct assemble_request *request,
	       struct assembled_image *ret_image, struct error *err)
{
	const struct transfer transfer = {
		.helper = "moss-layer",
		.command = "assemble",
		.request = json,
		.input_fd = -1,
		.output_fd = request->output_fd,
		.progress_fd = request->progress_fd,
	};
	cleanup_json cJSON *result = NULL;
	int r = transfer_run(store, &transfer, &result, err);

	return r < 0 ? r : read_result(result, ret_image, err);
}

int image_assemble(struct store *store, const struct assemble_request *request,
		   struct assembled_image *ret_image, struct error *err)
{
	cleanup_json cJSON *json = request_json(request);
	int r;

	json_set_strv(json, "references", request->references);
	json_set_bool(json, "keep", request->store);
	json_set(json, "outputs", outputs_json(request));
	r = run(store, json, request, ret_image, err);
	if (r == 0 && request->store)
		image_assemble_tell(store, request, ret_image->id);
	return r;
}

int image_assemble_leased(struct store *store,
			  const struct assemble_request *request,
			  const char *lease, struct assembled_image *ret_image,
			  struct error *err)
{
	cleanup_json cJSON *json = request_json(request);

	json_set_string(json, "lease", lease);
	return run(store, json, request, ret_image, err);
}
