/* pull_one() of storage/registry/pull.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "storage/job/layer_stage.h"
#include "storage/registry/pull.h"
#include "storage/store/index.h"

static void image_done(struct pull_image *image)
{
	stage_release(&image->stage);
	registry_document_release(&image->origin);
	registry_document_release(&image->document);
	registry_document_release(&image->referrers);
	manifest_release(&image->manifest);
	strv_free(image->diff_ids);
	free(image->config_text);
	free(image->what);
	free(image->familiar);
	free(image->full);
}

/* ---- referrers ---- */

/* Asked for beside the layers; nobody misses them much. */
static void *ask_referrers(void *data)
{
	struct pull_image *image = data;
	cleanup_json cJSON *json = NULL;
	struct registry_document *document = &image->referrers;

	if (registry_get_referrers(image->pull->registry,
				   image->origin.descriptor.digest, document,
				   NULL) <= 0)
		return NULL;
	if (json_parse(document->text, document->descriptor.size, "referrers",
		       &json, NULL) < 0 ||
	    cJSON_GetArraySize(index_entries(json)) == 0)
		registry_document_release(document);
	return NULL;
}

/* ---- layers ---- */

static int open_layer(struct layer_source *source, struct stream **ret_stream,
		      struct error *err)
{
	const struct pull_image *image = source->data;

	return registry_open_blob(image->pull->registry, &source->expected,
				  ret_stream, err);
}

struct sources {
	struct layer_source *items;
	size_t count;
	char **whats;
};

static void sources_release(struct sources *sources)
{
	free(sources->items);
	strv_free(sources->whats);
}

static void make_sources(struct pull_image *image, struct sources *sources)
{
	size_t count = image->manifest.layer_count;

	sources->items = xcalloc(count + 1, sizeof(*sources->items));
	sources->count = count;
	for (size_t i = 0; i < count; i++)
		strv_push_take(&sources->whats,
			       xasprintf("%s: layer %zu (%s)", image->what,
					 i + 1,
					 image->manifest.layers[i].digest));
	for (size_t i = 0; i < count; i++) {
		struct layer_source *source = &sources->items[i];

		source->what = sources->whats[i];
		digest_short(source->id, image->manifest.layers[i].digest);
		source->expected = image->manifest.layers[i];
		source->diff_id = image->diff_ids[i];
		source->open = open_layer;
		source->data = image;
	}
}

static int fetch_layers(struct pull_image *image, uint64_t *ret_size,
			struct error *err)
{
	CLEANUP(sources_release) struct sources sources = {0};
	pthread_t thread;
	bool asking;
	int r;

	make_sources(image, &sources);
	asking = pthread_create(&thread, NULL, ask_referrers, image) == 0;
	r = layers_stage(image->pull->job, &image->stage, sources.items,
			 sources.count, image->pull->concurrent, ret_size, err);
	if (asking)
		pthread_join(thread, NULL);
	return r;
}

/* ---- the image ---- */

static int write_document(struct pull_image *image,
			  const struct registry_document *document,
			  struct error *err)
{
	struct descriptor written;

	return document->text ? stage_write_blob(&image->stage, document->text,
						 document->descriptor.size,
						 &written, err)
			      : 0;
}

static int write_blobs(struct pull_image *image, struct error *err)
{
	struct descriptor written;
	int r = write_document(image, &image->origin, err);

	if (r == 0)
		r = write_document(image, &image->document, err);
	if (r == 0)
		r = write_document(image, &image->referrers, err);
	if (r == 0)
		r = stage_write_blob(&image->stage, image->config_text,
				     image->manifest.config.size, &written,
				     err);
	return r;
}

static int commit(struct pull_image *image, uint64_t size, struct error *err)
{
	CLEANUP(stage_image_release)
	struct stage_image staged = {
		.manifest = image->document.text ? image->document.descriptor
						 : image->origin.descriptor,
		.size = size,
	};
	int r = write_blobs(image, err);

	if (r < 0)
		return r;
	strv_push(&staged.references, image->full);
	strcpy(staged.id, image->manifest.config.digest);
	strcpy(staged.origin, image->origin.descriptor.digest);
	if (image->referrers.text)
		strcpy(staged.referrers, image->referrers.descriptor.digest);
	return stage_commit(&image->stage, &staged, 1, err);
}

static int fetch(struct pull_image *image, struct pull_result *result,
		 struct error *err)
{
	uint64_t size = 0;
	int r = fetch_layers(image, &size, err);

	if (r == 0)
		r = commit(image, size, err);
	if (r < 0)
		return r;
	job_note_stage(image->pull->job, &image->stage);
	strcpy(result->id, image->manifest.config.digest);
	return 0;
}

int pull_one(struct pull *pull, const struct reference *reference,
	     struct pull_result *ret_result, struct error *err)
{
	CLEANUP(image_done)
	struct pull_image image = {
		.pull = pull,
		.reference = *reference,
		.stage = {.work = {.fd = -1, .lock_fd = -1},
			  .blobs_fd = -1,
			  .layers_fd = -1},
	};
	struct pull_result result = {0};
	int r;

	image.full = reference_full(reference);
	image.familiar = reference_familiar(reference);
	image.what = xasprintf("image %s", image.familiar);
	r = stage_open(&pull->job->store, &image.stage, err);
	if (r == 0)
		r = pull_resolve(&image, &result, err);
	if (r < 0)
		return r;
	result.up_to_date = r > 0;
	if (!result.up_to_date)
		r = fetch(&image, &result, err);
	if (r < 0)
		return r;
	job_status(pull->job, NULL, "Digest: %s", result.digest);
	*ret_result = result;
	return 0;
}
