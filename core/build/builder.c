#include "core/build/builder.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "core/build/bases.h"
#include "core/build/coordinator.h"
#include "core/build/definition.h"
#include "core/build/finish.h"
#include "core/build/lint.h"

const char *builder_text(const struct builder *builder, const char *key)
{
	const char *text = NULL;

	(void)json_get_string(builder->request, "", key, &text, NULL);
	return text;
}

char *builder_stage_name(const struct builder *builder, size_t stage)
{
	const char *name = builder->stages.list[stage].name;

	return name ? xstrdup(name) : xasprintf("stage-%zu", stage);
}

bool builder_is_step(enum dockerfile_keyword keyword)
{
	return keyword == DOCKERFILE_RUN || keyword == DOCKERFILE_COPY ||
	       keyword == DOCKERFILE_ADD || keyword == DOCKERFILE_WORKDIR;
}

bool builder_is_proxy(const char *name)
{
	static const char *const names[] = {
		"HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY",
		"NO_PROXY",   "ALL_PROXY",
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		if (strcasecmp(name, names[i]) == 0)
			return true;
	}
	return false;
}

/* ---- the request ---- */

/* --build-arg wins also where no ARG is. */
static void set_platform_arg(struct builder *builder, const char *name,
			     const char *value)
{
	const char *given = env_get(builder->build_args, name);

	env_set(&builder->platform_args, name, given ? given : value);
}

static void set_platform_args(struct builder *builder, const char *prefix,
			      const struct platform *platform)
{
	const struct {
		const char *name, *value;
	} parts[] = {
		{"OS", platform->os},
		{"ARCH", platform->architecture},
		{"VARIANT", platform->variant},
	};
	cleanup_free char *whole = xasprintf("%sPLATFORM", prefix);
	char text[PLATFORM_TEXT_MAX];

	platform_text(text, platform);
	set_platform_arg(builder, whole, text);
	for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
		cleanup_free char *name =
			xasprintf("%s%s", prefix, parts[i].name);

		set_platform_arg(builder, name, parts[i].value);
	}
}

static int read_platform(struct builder *builder, struct error *err)
{
	const char *wanted = builder_text(builder, "platform");
	struct platform host;
	int r = 0;

	platform_host(&host);
	builder->platform = host;
	if (!str_empty(wanted))
		r = platform_parse(wanted, &builder->platform, err);
	if (r < 0)
		return r;
	set_platform_args(builder, "BUILD", &host);
	set_platform_args(builder, "TARGET", &builder->platform);
	return 0;
}

int builder_set_epoch(struct builder *builder, const char *text,
		      struct error *err)
{
	int64_t epoch;

	if (str_empty(text))
		return 0;
	if (parse_i64(text, &epoch) < 0 || epoch < 0)
		return err_set(err, ERROR_INVALID,
			       "SOURCE_DATE_EPOCH=%.80s: not a number of "
			       "seconds",
			       text);
	builder->epoch = epoch;
	return 0;
}

static int read_request(struct builder *builder, struct error *err)
{
	const cJSON *request = builder->request;
	int r;

	builder->epoch = -1;
	builder->network = "default";
	builder->contexts =
		cJSON_Duplicate(json_member(request, "buildContexts"), true);
	r = json_get_strv(request, "request", "buildArgs", &builder->build_args,
			  err);
	if (r >= 0)
		r = json_get_strv(request, "request", "noCacheFilter",
				  &builder->no_cache_filter, err);
	if (r >= 0)
		r = json_get_bool(request, "request", "noCache",
				  &builder->no_cache, err);
	if (r >= 0)
		r = json_get_bool(request, "request", "pull", &builder->pull,
				  err);
	if (r >= 0)
		r = json_get_i64(request, "request", "epoch", &builder->epoch,
				 err);
	if (r >= 0)
		r = json_get_string(request, "request", "network",
				    &builder->network, err);
	if (r >= 0)
		r = json_get_strv(request, "request", "allow", &builder->allow,
				  err);
	if (r >= 0)
		r = builder_set_epoch(
			builder,
			env_get(builder->build_args, "SOURCE_DATE_EPOCH"), err);
	return r < 0 ? r : read_platform(builder, err);
}

/* ---- vertices ---- */

static unsigned int count_steps(const struct builder *builder, size_t stage)
{
	const struct stage *from = &builder->stages.list[stage];
	char *const *triggers = builder->plans[stage].triggers;
	unsigned int count = 0;

	for (size_t i = 0; i < from->count; i++)
		count += builder_is_step(from->instructions[i].keyword);
	for (size_t i = 0; triggers && triggers[i]; i++) {
		cleanup_dockerfile struct dockerfile dockerfile = {0};

		if (dockerfile_parse(triggers[i], strlen(triggers[i]),
				     &dockerfile, NULL, NULL) == 0 &&
		    dockerfile.count > 0)
			count += builder_is_step(
				dockerfile.instructions[0].keyword);
	}
	return count;
}

/* "[build 2/5] RUN make"; of the only stage without a name "[2/5] RUN make". */
static void tell_vertex(const struct builder *builder, size_t stage,
			unsigned int vertex, unsigned int number,
			const char *text)
{
	const struct builder_stage *plan = &builder->plans[stage];
	cleanup_free char *stage_name = builder_stage_name(builder, stage);
	bool alone =
		builder->stages.count == 1 && !builder->stages.list[stage].name;
	cleanup_free char *name =
		xasprintf("[%s%s%u/%u] %s", alone ? "" : stage_name,
			  alone ? "" : " ", number, plan->steps, text);

	report_vertex(&builder->report, vertex, stage_name, name);
}

static void number_steps(struct builder *builder, size_t stage)
{
	const struct stage *from = &builder->stages.list[stage];
	struct builder_stage *plan = &builder->plans[stage];
	unsigned int steps = count_steps(builder, stage);
	unsigned int number = 1;
	unsigned int vertex;

	plan->steps = steps + (plan->image != NULL);
	if (plan->image) {
		cleanup_free char *text =
			xasprintf("FROM %s", plan->image->name);

		plan->vertex = ++builder->last_vertex;
		tell_vertex(builder, stage, plan->vertex, number++, text);
	}
	plan->first_step = vertex = builder->last_vertex;
	for (size_t i = 0; plan->triggers && plan->triggers[i]; i++) {
		cleanup_dockerfile struct dockerfile dockerfile = {0};
		const char *text = plan->triggers[i];

		if (dockerfile_parse(text, strlen(text), &dockerfile, NULL,
				     NULL) == 0 &&
		    dockerfile.count > 0 &&
		    builder_is_step(dockerfile.instructions[0].keyword))
			tell_vertex(builder, stage, ++vertex, number++, text);
	}
	for (size_t i = 0; i < from->count; i++) {
		if (builder_is_step(from->instructions[i].keyword))
			tell_vertex(builder, stage, ++vertex, number++,
				    from->instructions[i].text);
	}
	builder->last_vertex = plan->first_step + steps;
}

/* ---- caches elsewhere ---- */

static int find_auths(const void *builder, const char *reference, bool for_push,
		      cJSON **ret_auths, struct error *err)
{
	return bases_ask_credentials(builder, reference, for_push, ret_auths,
				     err);
}

struct cache_context builder_cache_context(const struct builder *builder,
					   unsigned int *last_vertex)
{
	return (struct cache_context){
		.engine = builder->engine,
		.work = &builder->work,
		.report = &builder->report,
		.last_vertex = last_vertex,
		.find_auths = find_auths,
		.data = builder,
	};
}

static int open_caches(struct builder *builder, struct error *err)
{
	const struct cache_context context =
		builder_cache_context(builder, &builder->last_vertex);

	if (builder->no_cache)
		return 0;
	return cache_sources_open(&context,
				  json_member(builder->request, "cacheFrom"),
				  &builder->cache_sources, err);
}

/* ---- all of it ---- */

static int read_definition(struct builder *builder, struct error *err)
{
	unsigned int vertex = ++builder->last_vertex;
	int r;

	report_vertex(&builder->report, vertex, "internal",
		      "[internal] load build definition");
	report_started(&builder->report, vertex);
	r = definition_read(builder, err);
	report_completed(&builder->report, vertex, r < 0 ? err : NULL);
	return r;
}

int builder_run(struct builder *builder, cJSON **ret_result, struct error *err)
{
	int r = read_request(builder, err);

	if (r == 0)
		r = store_work_new(&builder->engine->store, &builder->work,
				   err);
	if (r == 0)
		r = read_definition(builder, err);
	if (r == 0 && lint_only(builder))
		return lint_result(builder, ret_result, err);
	if (r < 0)
		return r;
	builder->plans =
		xcalloc(builder->stages.count, sizeof(*builder->plans));
	r = bases_find(builder, err);
	if (r == 0)
		r = lint_report(builder, err);
	if (r == 0)
		r = open_caches(builder, err);
	for (size_t i = 0; r == 0 && i < builder->stages.count; i++) {
		if (builder->stages.list[i].needed)
			number_steps(builder, i);
	}
	if (r == 0)
		r = finish_begin(builder, err);
	if (r == 0)
		r = coordinator_run(builder, err);
	if (r == 0)
		r = finish(builder, ret_result, err);
	return r;
}

void builder_release(struct builder *builder)
{
	for (size_t i = 0; builder->plans && i < builder->stages.count; i++)
		strv_free(builder->plans[i].triggers);
	for (size_t i = 0; i < builder->image_count; i++)
		bases_free(builder->images[i]);
	cJSON_Delete(builder->contexts);
	free(builder->plans);
	free(builder->images);
	stages_release(&builder->stages);
	dockerfile_release(&builder->dockerfile);
	context_release(&builder->context);
	strv_free(builder->build_args);
	strv_free(builder->platform_args);
	strv_free(builder->no_cache_filter);
	strv_free(builder->allow);
	cache_sources_release(&builder->cache_sources);
	free(builder->file);
	free(builder->text);
	store_work_release(&builder->work);
}
