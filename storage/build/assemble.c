/*
 * moss-layer assemble: the layers that a build made and what its instructions
 * said become an image, in the store, written out, or both. Nothing is to be
 * seen of an image that is only written out: its config and manifest stay in
 * the stage, its layers are leased.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "storage/archive/save.h"
#include "storage/build/assembly.h"
#include "storage/job/confine.h"
#include "storage/job/job.h"
#include "storage/store/image_entry.h"
#include "storage/store/image_make.h"

static void assembly_release(struct assembly *assembly)
{
	layer_chain_release(&assembly->chain);
	strv_free(assembly->diff_ids);
	manifest_release(&assembly->manifest);
	strv_free(assembly->annotations);
	stage_image_release(&assembly->image);
	stage_release(&assembly->stage);
}

/* ---- the request ---- */

static int read_references(struct assembly *assembly, struct error *err)
{
	cleanup_strv char **names = NULL;
	int r = json_get_strv(assembly->job->request, "", "references", &names,
			      err);

	for (size_t i = 0; r >= 0 && names && names[i]; i++) {
		struct reference reference;

		r = image_check_new_reference(names[i], &reference, err);
		if (r >= 0)
			strv_push_take(&assembly->image.references,
				       reference_full(&reference));
	}
	return r < 0 ? r : 0;
}

void assembly_use_chain(struct assembly *assembly)
{
	const struct layer_chain *chain = &assembly->chain;
	struct manifest *manifest = &assembly->manifest;

	strv_free(assembly->diff_ids);
	assembly->diff_ids = layer_chain_diff_ids(chain);
	manifest_release(manifest);
	manifest->layers = xcalloc(chain->count + 1, sizeof(*manifest->layers));
	for (size_t i = 0; i < chain->count; i++)
		manifest->layers[i] = chain->layers[i].blob;
	manifest->layer_count = chain->count;
	manifest_use_oci_types(manifest);
}

static int read_request(struct assembly *assembly, struct error *err)
{
	const cJSON *request = assembly->job->request;
	int r = layer_chain_from_json(json_member(request, "chain"), "chain",
				      &assembly->chain, err);

	if (r >= 0)
		r = read_references(assembly, err);
	if (r >= 0)
		r = json_get_strv(request, "", "annotations",
				  &assembly->annotations, err);
	if (r >= 0)
		r = json_get_bool(request, "", "keep", &assembly->keep, err);
	if (r < 0)
		return r;
	assembly_use_chain(assembly);
	return 0;
}

/* ---- the image ---- */

static int read_times(struct assembly *assembly, struct timespec **ret_times,
		      struct error *err)
{
	size_t count = assembly->chain.count;
	cleanup_free struct timespec *times =
		xcalloc(count + 1, sizeof(*times));

	for (size_t i = 0; i < count; i++) {
		struct layer layer;
		int r = stage_read_layer(&assembly->stage,
					 assembly->diff_ids[i], &layer, err);

		if (r < 0)
			return r;
		times[i] = layer.made;
	}
	*ret_times = steal_ptr(&times);
	return 0;
}

static int make_image(struct assembly *assembly, struct error *err)
{
	const cJSON *request = assembly->job->request;
	cleanup_free struct timespec *times = NULL;
	cleanup_json cJSON *config = NULL;
	struct image_make make = {.epoch = -1, .diff_ids = assembly->diff_ids};
	int r = json_get_object(request, "", "image", &make.image, err);

	if (r == 0)
		return err_set(err, ERROR_INVALID,
			       "assemble: the request has no image");
	if (r > 0)
		r = json_get_i64(request, "", "epoch", &make.epoch, err);
	if (r >= 0)
		r = read_times(assembly, &times, err);
	if (r < 0)
		return r;
	make.times = times;
	r = image_make_config(&make, &config, err);
	if (r == 0)
		r = assembly_squash(assembly, config, err);
	if (r < 0)
		return r;
	return stage_write_image(&assembly->stage, config, &assembly->manifest,
				 assembly->annotations, &assembly->image, err);
}

/* ---- where it goes ---- */

static void add_blobs(struct save *save, const struct assembly *assembly)
{
	const struct manifest *manifest = &assembly->manifest;

	strv_push(&save->blobs, assembly->image.manifest.digest);
	strv_push(&save->blobs, manifest->config.digest);
	for (size_t i = 0; i < manifest->layer_count; i++) {
		if (!strv_contains(save->blobs, manifest->layers[i].digest))
			strv_push(&save->blobs, manifest->layers[i].digest);
	}
}

static int write_output(struct save *save, const cJSON *output,
			struct error *err)
{
	const char *type = NULL;
	const char *path = NULL;
	bool directory = false;
	int r = json_get_string(output, "outputs", "type", &type, err);

	if (r >= 0)
		r = json_get_string(output, "outputs", "path", &path, err);
	if (r >= 0)
		r = json_get_bool(output, "outputs", "directory", &directory,
				  err);
	if (r < 0)
		return r;
	save->oci_only = str_equal(type, "oci");
	if (!path)
		return save_to_fd(save, JOB_OUTPUT, "standard output", err);
	return directory ? save_to_layout(save, path, err)
			 : save_to_file(save, path, err);
}

static int write_outputs(struct assembly *assembly, struct error *err)
{
	struct saved_image image = {
		.manifest = assembly->image.manifest,
		.content = assembly->manifest,
		.references = assembly->image.references,
	};
	struct save save = {
		.job = assembly->job,
		.stage = &assembly->stage,
		.images = &image,
		.count = 1,
	};
	const cJSON *outputs = NULL;
	const cJSON *output;
	int r = json_get_array(assembly->job->request, "", "outputs", &outputs,
			       err);

	add_blobs(&save, assembly);
	cJSON_ArrayForEach(output, outputs)
	{
		if (r >= 0)
			r = write_output(&save, output, err);
	}
	strv_free(save.blobs);
	return r < 0 ? r : 0;
}

static bool writes_files(const struct job *job)
{
	const cJSON *output;

	cJSON_ArrayForEach(output, json_member(job->request, "outputs"))
	{
		if (json_member(output, "path"))
			return true;
	}
	return false;
}

int assemble_run(struct job *job, struct error *err)
{
	CLEANUP(assembly_release)
	struct assembly assembly = {
		.job = job,
		.stage = {.work = {.fd = -1, .lock_fd = -1},
			  .blobs_fd = -1,
			  .layers_fd = -1},
	};
	const char *lease = job_string(job, "lease");
	int r = read_request(&assembly, err);

	if (r < 0)
		return r;
	if (!writes_files(job))
		confine_writes(job->store.root_fd);
	r = stage_open(&job->store, &assembly.stage, err);
	if (r == 0)
		r = stage_lease_layers(&assembly.stage, &assembly.manifest,
				       assembly.diff_ids, "the image",
				       &assembly.image.size, err);
	if (r == 0)
		r = make_image(&assembly, err);
	if (r == 0)
		r = write_outputs(&assembly, err);
	if (r == 0 && lease)
		r = stage_place_blobs_for(&assembly.stage, lease, err);
	if (r == 0 && assembly.keep)
		r = stage_commit(&assembly.stage, &assembly.image, 1, err);
	if (r < 0)
		return r;
	json_set_string(job->result, "id", assembly.image.id);
	json_set(job->result, "manifest",
		 descriptor_json(&assembly.image.manifest));
	return 0;
}
