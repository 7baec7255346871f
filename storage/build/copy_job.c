/*
 * layer-copy and copy-digest of moss-layer, layer-add and add-digest of
 * moss-image, see storage/transfer_build.h and storage/build/copy.h.
 */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "storage/build/copy.h"
#include "storage/job/confine.h"
#include "storage/job/layer_pack.h"

static int fetch(struct copy *copy, struct copy_input *input, struct error *err)
{
	if (input->kind == COPY_FROM_TEXT)
		return copy_text(copy, input, err);
	if (input->kind != COPY_FROM_URL)
		return 0;
	if (!copy->abilities)
		return err_set(err, ERROR_INVALID,
			       "layer-copy fetches no URLs");
	return copy->abilities->fetch_url(copy, input, err);
}

/* From here on what is hostile may be read. */
static int confine_and_fetch(struct copy *copy, struct error *err)
{
	int r = 0;

	confine_writes(copy->job->store.root_fd);
	for (size_t i = 0; r == 0 && i < copy->input_count; i++)
		r = fetch(copy, &copy->inputs[i], err);
	return r;
}

static int make_layer(struct copy *copy, struct error *err)
{
	struct job *job = copy->job;
	const char *lease = job_string(job, "lease");
	struct layer_ref ref = {0};
	struct layer layer;
	int r;

	if (!lease)
		return err_set(err, ERROR_INVALID,
			       "the request names no work to lease for");
	r = layer_pack(&copy->stage, copy_produce, copy, &ref.blob, &layer,
		       err);
	if (r > 0) {
		strcpy(ref.diff_id, layer.diff_id);
		r = stage_place_for(&copy->stage, lease, ref.blob.digest,
				    ref.diff_id, err);
		if (r == 0)
			json_set(job->result, "layer", layer_ref_json(&ref));
	}
	if (r < 0)
		return r;
	json_set_string(job->result, "content", copy->content);
	job_note_stage(job, &copy->stage);
	return 0;
}

int copy_layer_job(struct job *job, const struct copy_abilities *abilities,
		   struct error *err)
{
	CLEANUP(copy_release) struct copy copy = COPY_EMPTY;
	int r = copy_open(job, false, &copy, err);

	copy.abilities = abilities;
	if (r == 0)
		r = confine_and_fetch(&copy, err);
	return r < 0 ? r : make_layer(&copy, err);
}

static int digest_inputs(struct copy *copy, struct error *err)
{
	cleanup_strv char **contents = NULL;
	int r = 0;

	for (size_t i = 0; r == 0 && i < copy->input_count; i++) {
		const struct copy_input *input = &copy->inputs[i];
		struct content_request request;
		char hex[CONTENT_HEX_MAX];

		if (input->root_fd < 0 || input->kind == COPY_FROM_TEXT)
			continue;
		copy_content_request(copy, input, &request);
		r = content_digest(&request, hex, err);
		if (r == 0)
			strv_push(&contents, hex);
	}
	return r < 0 ? r : copy_join_content(contents, copy->content, err);
}

int copy_digest_job(struct job *job, const struct copy_abilities *abilities,
		    struct error *err)
{
	CLEANUP(copy_release) struct copy copy = COPY_EMPTY;
	int r = copy_open(job, true, &copy, err);

	copy.abilities = abilities;
	if (r == 0)
		r = confine_and_fetch(&copy, err);
	if (r == 0)
		r = digest_inputs(&copy, err);
	if (r < 0)
		return r;
	json_set_string(job->result, "content", copy.content);
	return 0;
}

int layer_copy_run(struct job *job, struct error *err)
{
	return copy_layer_job(job, NULL, err);
}

int copy_digest_run(struct job *job, struct error *err)
{
	return copy_digest_job(job, NULL, err);
}
