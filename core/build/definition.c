#include "core/build/definition.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "core/build/pull_progress.h"
#include "core/build/remote.h"
#include "storage/dockerfile/check.h"

#define DOCKERFILE_NAME "Dockerfile"

void definition_failed(const struct builder *builder,
		       const struct dockerfile_range *range,
		       unsigned int vertex, int exit_code)
{
	const struct report_failure failure = {
		.file = builder->file,
		.text = builder->text,
		.line = range->first_line,
		.last = range->last_line,
		.vertex = vertex,
		.exit_code = exit_code,
	};

	report_failed(&builder->report, &failure);
}

/* Where the Dockerfile is: one of the three, or the context's usual one. */
struct place {
	const char *path;    /* on the host */
	const char *context; /* in the context */
	const char *text;
};

static int find_place(const struct builder *builder, struct place *ret_place,
		      struct error *err)
{
	const cJSON *json = NULL;
	struct place place = {0};
	int r = json_get_object(builder->request, "request", "dockerfile",
				&json, err);

	if (r > 0)
		r = json_get_string(json, "dockerfile", "path", &place.path,
				    err);
	if (r >= 0)
		r = json_get_string(json, "dockerfile", "context",
				    &place.context, err);
	if (r >= 0)
		r = json_get_string(json, "dockerfile", "text", &place.text,
				    err);
	if (!place.path && !place.context && !place.text)
		place.context = DOCKERFILE_NAME;
	*ret_place = place;
	return r < 0 ? r : 0;
}

/* One that comes from elsewhere; a Dockerfile may come in its place. */
static int fetch_context(struct builder *builder, const cJSON *context,
			 char **ret_path, char **ret_dockerfile,
			 struct error *err)
{
	struct remote_request request = {
		.store = &builder->engine->store,
		.work = &builder->work,
		.input_fd = builder->input_fd,
	};
	const char *keep =
		env_get(builder->build_args, "BUILDKIT_CONTEXT_KEEP_GIT_DIR");
	struct pull_progress progress;
	int r;

	/* Anything else is no, as BuildKit has it. */
	if (keep && parse_bool(keep, &request.keep_git_dir) < 0)
		request.keep_git_dir = false;
	pull_progress_open(&builder->report, builder->last_vertex, &progress);
	request.progress_fd = progress.fd;
	r = remote_context(&request, context, ret_path, ret_dockerfile, err);
	pull_progress_close(&progress);
	return r;
}

/* The directory that COPY and ADD take from; NULL: there is none. */
static int find_context(struct builder *builder, char **ret_path,
			char **ret_dockerfile, struct error *err)
{
	const cJSON *json = NULL;
	const char *type = "none", *path = NULL;
	int r = json_get_object(builder->request, "request", "context", &json,
				err);

	if (r > 0)
		r = json_get_string(json, "context", "type", &type, err);
	if (r < 0 || str_equal(type, "none"))
		return r < 0 ? r : 0;
	if (!str_equal(type, "directory"))
		return fetch_context(builder, json, ret_path, ret_dockerfile,
				     err);
	r = json_get_string(json, "context", "path", &path, err);
	if (r == 0)
		return err_set(err, ERROR_INVALID,
			       "the request's context has no path");
	*ret_path = xstrdup(path);
	return r < 0 ? r : 0;
}

static int read_text(struct builder *builder, const struct place *place,
		     size_t *ret_length, struct error *err)
{
	if (place->text) {
		builder->file = xstrdup(DOCKERFILE_NAME);
		builder->text = xstrdup(place->text);
		*ret_length = strlen(place->text);
		return 0;
	}
	builder->file = xstrdup(place->path ? place->path : place->context);
	if (place->path)
		return context_read_file(place->path, &builder->text,
					 ret_length, err);
	return context_read_dockerfile(&builder->context, place->context,
				       &builder->text, ret_length, err);
}

/* The target's name, or that of the last stage. */
static void set_target_stage(struct builder *builder)
{
	static const char argument[] = "TARGETSTAGE";
	const struct dockerfile *dockerfile = &builder->dockerfile;
	const char *target = env_get(builder->build_args, argument);
	cleanup_free char *name = NULL;

	if (!target)
		target = builder_text(builder, "target");
	for (size_t i = dockerfile->count; i-- > 0 && str_empty(target);) {
		const struct dockerfile_instruction *from =
			&dockerfile->instructions[i];

		if (from->keyword != DOCKERFILE_FROM)
			continue;
		target = from->words[1] ? from->words[2] : "default";
	}
	name = xstrdup(target);
	for (char *c = name; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	env_set(&builder->platform_args, argument, name);
}

static int parse(struct builder *builder, size_t length,
		 struct dockerfile_range *ret_range, struct error *err)
{
	struct stages_request request = {
		.dockerfile = &builder->dockerfile,
		.build_args = builder->build_args,
		.target = builder_text(builder, "target"),
		.contexts = builder->contexts,
	};
	int r = dockerfile_parse(builder->text, length, &builder->dockerfile,
				 ret_range, err);

	if (r == 0)
		r = dockerfile_check(&builder->dockerfile, ret_range, err);
	if (r < 0)
		return r;
	set_target_stage(builder);
	request.platform_args = builder->platform_args;
	r = stages_parse(&request, &builder->stages, ret_range, err);
	/* An ARG before the first FROM may have one, where nobody else has. */
	if (r == 0 && builder->epoch < 0)
		r = builder_set_epoch(
			builder,
			env_get(builder->stages.arguments, "SOURCE_DATE_EPOCH"),
			err);
	return r;
}

/* ---- --build-arg ---- */

/* Does an ARG of the Dockerfile ask for it? */
static bool is_declared(const struct builder *builder, const char *name)
{
	const struct dockerfile *dockerfile = &builder->dockerfile;
	size_t length = strlen(name);

	for (size_t i = 0; i < dockerfile->count; i++) {
		char *const *words = dockerfile->instructions[i].words;

		if (dockerfile->instructions[i].keyword != DOCKERFILE_ARG)
			continue;
		for (size_t j = 0; words[j]; j++) {
			if (strncmp(words[j], name, length) == 0 &&
			    (words[j][length] == '\0' ||
			     words[j][length] == '='))
				return true;
		}
	}
	return false;
}

/* Names that a build heeds without an ARG. */
static bool is_predefined(const char *name)
{
	return builder_is_proxy(name) || str_starts(name, "BUILDKIT_") ||
	       str_equal(name, "SOURCE_DATE_EPOCH");
}

static void tell_unused(const struct builder *builder)
{
	char *const *given = builder->build_args;
	cleanup_strv char **unused = NULL;
	cleanup_free char *list = NULL, *text = NULL;

	for (size_t i = 0; given && given[i]; i++) {
		cleanup_free char *name =
			xstrndup(given[i], strcspn(given[i], "="));

		if (!is_declared(builder, name) && !is_predefined(name))
			strv_push(&unused, name);
	}
	if (!unused)
		return;
	list = strv_join(unused, " ");
	text = xasprintf("One or more build-args [%s] were not consumed", list);
	report_warning(&builder->report, 0, text);
}

int definition_read(struct builder *builder, struct error *err)
{
	struct dockerfile_range range = {0};
	struct place place;
	cleanup_free char *path = NULL;
	cleanup_free char *dockerfile = NULL;
	size_t length = 0;
	int r = find_place(builder, &place, err);

	if (r == 0)
		r = find_context(builder, &path, &dockerfile, err);
	/* It is all there is. */
	if (dockerfile)
		place = (struct place){.text = dockerfile};
	if (r == 0) {
		const struct context_request request = {
			.store = &builder->engine->store,
			.path = path,
			.dockerfile = place.context,
			.dockerfile_path = place.path,
		};

		r = context_open(&request, &builder->context, err);
	}
	if (r == 0)
		r = read_text(builder, &place, &length, err);
	if (r < 0)
		return r;
	r = parse(builder, length, &range, err);
	if (r == 0)
		tell_unused(builder);
	if (r == 0)
		return 0;
	definition_failed(builder, &range, 0, -1);
	return err_wrap(err, "%s", builder->file);
}
