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
	report_vertex(&builder->report, builder->finish_vertex, "internal",
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
			 struct output_result *ret_output, struct error *err)
{
	CLEANUP(wishes_release) struct wishes wishes = {0};
	struct output_request request = {
		.outputs = member_get(builder->request, "outputs"),
		.chain = &result->chain,
		.image = &result->image,
		.output_fd = builder->output_fd,
		.epoch = builder->epoch,
		.report = &builder->report,
		.vertex = builder->finish_vertex,
	};
	int r = read_wishes(builder->request, &wishes, err);

	if (r < 0)
		return r;
	image_add_labels(&result->image, wishes.labels);
	request.references = wishes.references;
	request.annotations = wishes.annotations;
	request.squash = wishes.squash;
	return output_write(&builder->engine->store, &request, ret_output, err);
}

/* ---- caches elsewhere ---- */

/* The target's stage and those it begins with; caller frees. */
static size_t *stages_of_target(const struct builder *builder,
				size_t *ret_count)
{
	const struct stages *stages = &builder->stages;
	size_t *list = xcalloc(stages->count, sizeof(*list));
	size_t count = 0;

	for (size_t stage = stages->target; stage != STAGE_NONE;
	     stage = stages->list[stage].base.stage)
		list[count++] = stage;
	*ret_count = count;
	return list;
}

/*
 * Before the image is made, or after it: where it is not to hold them. One that
 * is squashed has no layers of its steps.
 */
static int write_caches(struct builder *builder, bool into_image,
			struct stage_result *result, struct error *err)
{
	const struct cache_context context =
		builder_cache_context(builder, &builder->last_vertex);
	const cJSON *to = member_get(builder->request, "cacheTo");
	size_t count = 0;
	cleanup_free size_t *target = stages_of_target(builder, &count);
	const struct cache_steps steps = {
		.target = target,
		.target_count = count,
		.all = builder->stages.count,
	};

	if (into_image && cJSON_IsTrue(member_get(builder->request, "squash")))
		return 0;
	return into_image ? cache_inline(&context, to, &steps, &result->chain,
					 &result->image, err)
			  : cache_export(&context, to, &steps, &result->image,
					 err);
}

int finish(struct builder *builder, cJSON **ret_result, struct error *err)
{
	cleanup_stage_result struct stage_result result = {0};
	cleanup_json cJSON *answer = json_object();
	struct output_result output = {0};
	int r = stage_result_read(&builder->work, builder->stages.target,
				  &result, err);

	if (r < 0)
		return r;
	report_started(&builder->report, builder->finish_vertex);
	r = write_caches(builder, true, &result, err);
	if (r == 0)
		r = write_outputs(builder, &result, &output, err);
	report_completed(&builder->report, builder->finish_vertex,
			 r < 0 ? err : NULL);
	if (r == 0)
		r = write_caches(builder, false, &result, err);
	if (r < 0)
		return r;
	if (output.stored)
		json_set_string(answer, "id", output.image.id);
	if (output.assembled)
		json_set_string(answer, "digest", output.image.manifest.digest);
	*ret_result = steal_ptr(&answer);
	return 0;
}
