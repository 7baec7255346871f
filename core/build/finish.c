#include "core/build/finish.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "core/build/output.h"
#include "core/build/result.h"
#include "core/engine/members.h"

int finish_begin(struct builder *builder, struct error *err)
{
	const cJSON *outputs = member_get(builder->request, "outputs");
	int r = output_check(outputs, err);

	builder->finish_vertex = ++builder->last_vertex;
	progress_vertex(&builder->progress, builder->finish_vertex, "internal",
			"exporting to image");
	return r;
}

/* What the command line says of the image. */
struct wishes {
	char **references;
	char **annotations;
	char **labels;
	bool squash;
};

static void wishes_release(struct wishes *wishes)
{
	strv_free(wishes->references);
	strv_free(wishes->annotations);
	strv_free(wishes->labels);
}

static int read_wishes(const cJSON *request, struct wishes *wishes,
		       struct error *err)
{
	int r = json_get_strv(request, "request", "references",
			      &wishes->references, err);

	if (r >= 0)
		r = json_get_strv(request, "request", "annotations",
				  &wishes->annotations, err);
	if (r >= 0)
		r = json_get_strv(request, "request", "labels", &wishes->labels,
				  err);
	if (r >= 0)
		r = json_get_bool(request, "request", "squash", &wishes->squash,
				  err);
	return r < 0 ? r : 0;
}

static int write_outputs(struct builder *builder, struct stage_result *result,
			 char **ret_id, struct error *err)
{
	CLEANUP(wishes_release) struct wishes wishes = {0};
	struct output_request request = {
		.outputs = member_get(builder->request, "outputs"),
		.chain = &result->chain,
		.image = &result->image,
		.output_fd = builder->output_fd,
		.epoch = builder->epoch,
		.progress = &builder->progress,
		.vertex = builder->finish_vertex,
	};
	int r = read_wishes(builder->request, &wishes, err);

	if (r < 0)
		return r;
	image_add_labels(&result->image, wishes.labels);
	request.references = wishes.references;
	request.annotations = wishes.annotations;
	request.squash = wishes.squash;
	return output_write(&builder->engine->store, &request, ret_id, err);
}

int finish(struct builder *builder, cJSON **ret_result, struct error *err)
{
	cleanup_stage_result struct stage_result result = {0};
	cleanup_json cJSON *answer = json_object();
	cleanup_free char *id = NULL;
	int r = stage_result_read(&builder->work, builder->stages.target,
				  &result, err);

	if (r < 0)
		return r;
	progress_started(&builder->progress, builder->finish_vertex);
	r = write_outputs(builder, &result, &id, err);
	progress_completed(&builder->progress, builder->finish_vertex,
			   r < 0 ? err : NULL);
	if (r < 0)
		return r;
	if (id)
		json_set_string(answer, "id", id);
	*ret_result = steal_ptr(&answer);
	return 0;
}
