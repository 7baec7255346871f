#include "core/build/bases.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/msg.h"
#include "base/proc.h"
#include "base/str.h"
#include "core/build/definition.h"
#include "core/build/named_contexts.h"
#include "core/build/pull_progress.h"
#include "core/engine/members.h"
#include "storage/dockerfile/check.h"
#include "storage/dockerfile/dockerfile.h"
#include "storage/store/image.h"
#include "storage/transfer_build.h"

/* The platform that an image is wanted for; NULL: nobody said. */
static const char *wanted_platform(const struct builder *builder,
				   const char *platform)
{
	if (!str_empty(platform))
		return platform;
	platform = builder_text(builder, "platform");
	return str_empty(platform) ? NULL : platform;
}

const struct builder_image *bases_get(const struct builder *builder,
				      const char *name, const char *platform)
{
	for (size_t i = 0; i < builder->image_count; i++) {
		const struct builder_image *image = builder->images[i];

		if (str_equal(image->name, name) &&
		    str_equal(image->platform, platform))
			return image;
	}
	return NULL;
}

/* ---- pulling ---- */

int bases_ask_credentials(const struct builder *builder, const char *reference,
			  bool for_push, cJSON **ret_auths, struct error *err)
{
	cleanup_strv char **names = NULL;
	cleanup_json cJSON *question = json_object();
	cleanup_json cJSON *answer = NULL;
	size_t no_fds = 0;
	int r = engine_registry_names(builder->engine, reference, for_push,
				      &names, err);

	if (r < 0 || builder->question_fd < 0)
		return r;
	json_set_strv(question, "names", names);
	r = msg_send(builder->question_fd, question, NULL, 0, err);
	if (r >= 0)
		r = msg_receive(builder->question_fd, &answer, NULL, &no_fds,
				err);
	if (r > 0)
		*ret_auths = cJSON_DetachItemFromObjectCaseSensitive(answer,
								     "auths");
	return r < 0 ? r : 0;
}

static int pull(const struct builder *builder, const char *reference,
		const char *platform, unsigned int vertex, struct error *err)
{
	cleanup_json cJSON *auths = NULL;
	cleanup_json cJSON *result = NULL;
	struct pull_progress progress = {.fd = -1};
	struct engine_pull_request request = {
		.name = reference,
		.platform = platform,
	};
	int r = bases_ask_credentials(builder, reference, false, &auths, err);

	if (r < 0)
		return r;
	pull_progress_open(&builder->report, vertex, &progress);
	request.auths = auths;
	request.progress_fd = progress.fd;
	r = engine_image_pull(builder->engine, &request, &result, err);
	pull_progress_close(&progress);
	return r;
}

/* ---- finding ---- */

static const char *reference_of(const char *context, const char *name)
{
	return context && str_starts(context, NAMED_IMAGE_PREFIX)
		       ? context + strlen(NAMED_IMAGE_PREFIX)
		       : name;
}

/* An image that is here by its ID or a part of it is nobody's to pull. */
static bool must_pull(const struct builder *builder, const char *reference,
		      const char *platform)
{
	if (engine_image_serves(builder->engine, reference, platform) == 0)
		return true;
	return builder->pull && !str_starts(reference, DIGEST_PREFIX);
}

static int load(const struct builder *builder, const char *reference,
		struct builder_image *ret_image, struct error *err)
{
	CLEANUP(image_release) struct image image = {0};
	struct store *store = &builder->engine->store;
	int r = image_find(store, reference, &image, err);

	if (r >= 0)
		r = image_chain(store, &builder->work, image.id,
				&ret_image->chain, err);
	if (r < 0)
		return r;
	ret_image->config = steal_ptr(&image.config);
	return 0;
}

static int find(struct builder *builder, const char *name, const char *platform,
		unsigned int vertex, struct builder_image *ret_image,
		struct error *err)
{
	const char *context = named_context_find(builder->contexts, name);
	const char *reference = reference_of(context, name);
	const char *wanted = wanted_platform(builder, platform);
	int r = 0;

	ret_image->name = xstrdup(name);
	ret_image->platform = xstrdup(platform);
	if (context && str_starts(context, NAMED_LAYOUT_PREFIX))
		return named_context_load(builder, context, wanted, vertex,
					  ret_image, err);
	if (must_pull(builder, reference, wanted))
		r = pull(builder, reference, wanted, vertex, err);
	if (r < 0)
		return r;
	return load(builder, reference, ret_image, err);
}

static bool is_directory_context(const struct builder *builder,
				 const char *name)
{
	const char *context = named_context_find(builder->contexts, name);

	return context && named_context_kind(context) == NAMED_DIRECTORY;
}

void bases_free(struct builder_image *image)
{
	free(image->name);
	free(image->platform);
	cJSON_Delete(image->config);
	layer_chain_release(&image->chain);
	free(image);
}

static struct builder_image *new_image(struct builder *builder)
{
	struct builder_image *image = xcalloc(1, sizeof(*image));

	builder->images = xrealloc(builder->images, builder->image_count + 1,
				   sizeof(*builder->images));
	builder->images[builder->image_count++] = image;
	return image;
}

/* A step of its own, "load metadata", as the pull takes its time. */
static int add(struct builder *builder, const struct stage_source *source,
	       const char *platform, struct error *err)
{
	const struct dockerfile_range range = {source->line, source->line};
	struct builder_image *image;
	cleanup_free char *name = NULL;
	unsigned int vertex;
	int r;

	if (bases_get(builder, source->image, platform))
		return 0;
	image = new_image(builder);
	vertex = ++builder->last_vertex;
	name = xasprintf("[internal] load metadata for %s", source->image);
	report_vertex(&builder->report, vertex, "internal", name);
	report_started(&builder->report, vertex);
	r = find(builder, source->image, platform, vertex, image, err);
	if (r < 0)
		err_wrap(err, "%s", source->image);
	report_completed(&builder->report, vertex, r < 0 ? err : NULL);
	if (r < 0)
		definition_failed(builder, &range, vertex, -1);
	return r;
}

/* ---- ONBUILD ---- */

/* Of a base that is another stage: what that says, without what it inherits. */
static char **stage_triggers(const struct stage *stage)
{
	char **triggers = NULL;

	for (size_t i = 0; i < stage->count; i++) {
		const struct dockerfile_instruction *instruction =
			&stage->instructions[i];

		if (instruction->keyword == DOCKERFILE_ONBUILD)
			strv_push_take(&triggers,
				       dockerfile_trigger(instruction));
	}
	return triggers;
}

/* What is wrong with them is told when they are done. */
static int take_trigger(struct builder *builder, size_t index,
			const char *trigger, struct error *err)
{
	cleanup_dockerfile struct dockerfile dockerfile = {0};
	struct dockerfile_instruction *instruction;
	unsigned int line = builder->stages.list[index].line;
	const struct dockerfile_range range = {line, line};
	int r;

	if (dockerfile_parse(trigger, strlen(trigger), &dockerfile, NULL,
			     NULL) < 0)
		return 0;
	instruction = &dockerfile.instructions[0];
	if (instruction_check(instruction, NULL) < 0)
		return 0;
	instruction->first_line = line;
	r = stages_add_trigger(&builder->stages, index, instruction, err);
	if (r == 0)
		return 0;
	definition_failed(builder, &range, 0, -1);
	return err_wrap(err, "ONBUILD %s", trigger);
}

/* Those of the base, image or stage; an image in a stage's place has none. */
static int find_triggers(struct builder *builder, size_t index,
			 struct error *err)
{
	const struct stage *stage = &builder->stages.list[index];
	struct builder_stage *plan = &builder->plans[index];
	int r = 0;

	if (stage->base.stage != STAGE_NONE)
		plan->triggers = stage_triggers(
			&builder->stages.list[stage->base.stage]);
	else if (plan->image && !stage->replaced)
		plan->triggers = member_strv(
			member_get(plan->image->config, "config"), "OnBuild");
	for (size_t i = 0; r == 0 && plan->triggers && plan->triggers[i]; i++)
		r = take_trigger(builder, index, plan->triggers[i], err);
	return r;
}

static int find_source(struct builder *builder,
		       const struct stage_source *source, struct error *err)
{
	const struct dockerfile_range range = {source->line, source->line};
	int r;

	if (!is_directory_context(builder, source->image))
		return add(builder, source, NULL, err);
	r = named_context_fetch(builder, source->image, err);
	if (r < 0)
		definition_failed(builder, &range, builder->last_vertex, -1);
	return r;
}

static int find_stage(struct builder *builder, size_t index, struct error *err)
{
	const struct stage *stage = &builder->stages.list[index];
	struct builder_stage *plan = &builder->plans[index];
	int r = 0;

	if (stage->base.image) {
		r = add(builder, &stage->base, stage->platform, err);
		if (r == 0)
			plan->image = bases_get(builder, stage->base.image,
						stage->platform);
	}
	if (r == 0)
		r = find_triggers(builder, index, err);
	for (size_t i = 0; r == 0 && i < stage->source_count; i++) {
		if (stage->sources[i].image)
			r = find_source(builder, &stage->sources[i], err);
	}
	plan->found = r == 0;
	return r;
}

int bases_find(struct builder *builder, struct error *err)
{
	size_t i = 0;
	int r = 0;

	/* ONBUILD may need stages that were passed. */
	while (r == 0 && i < builder->stages.count) {
		bool wanted = builder->stages.list[i].needed &&
			      !builder->plans[i].found;

		if (wanted)
			r = find_stage(builder, i, err);
		i = wanted ? 0 : i + 1;
	}
	return r;
}
