#include "core/build/stages.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/nearest.h"
#include "base/str.h"
#include "core/build/named_contexts.h"
#include "core/build/run_mounts.h"
#include "storage/dockerfile/check.h"
#include "storage/dockerfile/expand.h"

/* What is known while the FROMs are read. */
struct scope {
	const struct stages_request *request;
	struct stages *stages;
};

/* What an image's name is looked up by: the ARGs in front, the platform's. */
static const char *lookup(const char *name, void *data)
{
	const struct scope *scope = data;
	const char *value = env_get(scope->stages->arguments, name);

	return value ? value : env_get(scope->request->platform_args, name);
}

static int expand(struct scope *scope, const char *word, char **ret_word,
		  struct error *err)
{
	const struct expand expand = {
		.escape = scope->request->dockerfile->escape,
		.lookup = lookup,
		.data = scope,
	};

	return expand_word(&expand, word, ret_word, err);
}

/* ARG before the first FROM: what is given, or its own value, or nothing. */
static int add_arguments(struct scope *scope,
			 const struct dockerfile_instruction *instruction,
			 struct error *err)
{
	for (size_t i = 0; instruction->words[i]; i++) {
		const char *word = instruction->words[i];
		const char *sign = strchr(word, '=');
		cleanup_free char *name = xstrndup(
			word, sign ? (size_t)(sign - word) : strlen(word));
		const char *given = env_get(scope->request->build_args, name);
		cleanup_free char *value = NULL;
		int r = 0;

		if (given)
			value = xstrdup(given);
		else if (sign)
			r = expand(scope, sign + 1, &value, err);
		if (r < 0)
			return r;
		if (value)
			env_set(&scope->stages->arguments, name, value);
	}
	return 0;
}

/* The stage of that name among the first `count`; STAGE_NONE: it is none. */
static size_t find_name(const struct stages *stages, size_t count,
			const char *name)
{
	while (count-- > 0) {
		if (stages->list[count].name &&
		    strcasecmp(stages->list[count].name, name) == 0)
			return count;
	}
	return STAGE_NONE;
}

/* By name or number. */
static size_t find_stage(const struct stages *stages, size_t count,
			 const char *text)
{
	size_t stage = find_name(stages, count, text);
	uint64_t number;

	if (stage == STAGE_NONE && parse_u64(text, &number) == 0 &&
	    number < count)
		stage = (size_t)number;
	return stage;
}

static bool is_number(const char *text)
{
	uint64_t number;

	return parse_u64(text, &number) == 0;
}

/* "from=X" of --mount; caller frees; NULL: there is none. */
static char *mount_source(const char *mount)
{
	cleanup_strv char **fields = strv_split(mount, ',');

	for (size_t i = 0; fields[i]; i++) {
		if (strncasecmp(fields[i], "from=", 5) == 0)
			return xstrdup(fields[i] + 5);
	}
	return NULL;
}

static void push_source(struct stage *stage, const struct stage_source *source)
{
	stage->sources = xrealloc(stage->sources, stage->source_count + 1,
				  sizeof(*stage->sources));
	stage->sources[stage->source_count++] = *source;
}

static int add_source(const struct stages *stages, struct stage *stage,
		      const struct dockerfile_instruction *instruction,
		      const char *from, struct error *err)
{
	size_t own = (size_t)(stage - stages->list);
	struct stage_source source = {
		.stage = find_stage(stages, own, from),
		.line = instruction->first_line,
	};

	if (strchr(from, '$'))
		return err_set(err, ERROR_INVALID,
			       "from=%.80s: variables are not possible here; "
			       "give the image a stage of its own: FROM %.80s "
			       "AS NAME",
			       from, from);
	if (!*from)
		return err_set(err, ERROR_INVALID,
			       "from= needs a stage or an image");
	/* Nothing is taken from it. */
	if (source.stage == STAGE_NONE && str_equal(from, "scratch"))
		return 0;
	if (source.stage == STAGE_NONE && is_number(from))
		return err_set(err, ERROR_INVALID,
			       "there is no stage %s before this one", from);
	if (stage->name && strcasecmp(stage->name, from) == 0)
		return err_set(err, ERROR_INVALID,
			       "stage %s cannot take files from itself", from);
	if (source.stage == STAGE_NONE)
		source.image = xstrdup(from);
	push_source(stage, &source);
	return 0;
}

/* What COPY --from and RUN --mount=from= take. */
static int add_sources(const struct stages *stages, struct stage *stage,
		       const struct dockerfile_instruction *instruction,
		       struct error *err)
{
	const char *from = instruction_flag(instruction, "from");
	const char *mount;
	size_t at = 0;
	int r = 0;

	/* A trigger's are those of whoever builds on it. */
	if (instruction->keyword == DOCKERFILE_COPY && from)
		return add_source(stages, stage, instruction, from, err);
	if (instruction->keyword != DOCKERFILE_RUN)
		return 0;
	while (r == 0 &&
	       (mount = instruction_next_flag(instruction, "mount", &at))) {
		cleanup_free char *source = mount_source(mount);

		if (source)
			r = add_source(stages, stage, instruction, source, err);
	}
	return r;
}

/* What it begins with by a name that is no stage's. */
static void set_image(const struct scope *scope, struct stage *stage,
		      const char *name)
{
	const char *context =
		named_context_find(scope->request->contexts, name);
	enum named_kind kind =
		context ? named_context_kind(context) : NAMED_IMAGE;

	stage->scratch = kind != NAMED_IMAGE || str_equal(name, "scratch");
	if (kind == NAMED_DIRECTORY)
		stage->directory = xstrdup(name);
	if (!stage->scratch)
		stage->base.image = xstrdup(name);
}

static int set_base(struct scope *scope, struct stage *stage,
		    const struct dockerfile_instruction *instruction,
		    struct error *err)
{
	const struct stages *stages = scope->stages;
	const char *platform = instruction_flag(instruction, "platform");
	cleanup_free char *name = NULL;
	int r = expand(scope, instruction->words[0], &name, err);

	if (r == 0 && platform)
		r = expand(scope, platform, &stage->platform, err);
	if (r < 0)
		return r;
	if (platform && !*stage->platform)
		return err_set(err, ERROR_INVALID,
			       "empty platform value from expression %.80s",
			       platform);
	if (!*name)
		return err_set(err, ERROR_INVALID,
			       "base name (%.80s) should not be blank: an ARG "
			       "before the first FROM has no value",
			       instruction->words[0]);
	stage->base.line = instruction->first_line;
	stage->base.stage =
		find_name(stages, (size_t)(stage - stages->list), name);
	if (stage->base.stage == STAGE_NONE)
		set_image(scope, stage, name);
	return 0;
}

/* A stage of a context's name is that context, whatever it was to be. */
static void replace_stage(const struct scope *scope, struct stage *stage)
{
	if (!stage->name ||
	    !named_context_find(scope->request->contexts, stage->name))
		return;
	stage->replaced = true;
	free(stage->base.image);
	stage->base.image = NULL;
	stage->base.stage = STAGE_NONE;
	set_image(scope, stage, stage->name);
}

static int begin_stage(struct scope *scope,
		       const struct dockerfile_instruction *instruction,
		       struct error *err)
{
	struct stages *stages = scope->stages;
	struct stage *stage;
	int r;

	stages->list = xrealloc(stages->list, stages->count + 1,
				sizeof(*stages->list));
	stage = &stages->list[stages->count++];
	*stage = (struct stage){
		.base.stage = STAGE_NONE,
		.instructions = instruction + 1,
		.line = instruction->first_line,
	};
	if (instruction->words[1])
		stage->name = xstrdup(instruction->words[2]);
	r = set_base(scope, stage, instruction, err);
	if (r == 0)
		replace_stage(scope, stage);
	return r;
}

static int read_instruction(struct scope *scope,
			    const struct dockerfile_instruction *instruction,
			    struct error *err)
{
	struct stages *stages = scope->stages;
	struct stage *stage;

	if (instruction->keyword == DOCKERFILE_FROM)
		return begin_stage(scope, instruction, err);
	if (stages->count == 0)
		return add_arguments(scope, instruction, err);
	stage = &stages->list[stages->count - 1];
	if (stage->replaced)
		return 0;
	stage->count++;
	return add_sources(stages, stage, instruction, err);
}

/* ---- directories ---- */

static int make_copy(struct stage *stage, struct error *err)
{
	static const char usual[] = "abcdefghijklmnopqrstuvwxyz"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
				    "0123456789._-/:@";
	cleanup_free char *text =
		xasprintf("COPY --from=%s . /", stage->directory);
	int r;

	if (stage->directory[strspn(stage->directory, usual)])
		return err_set(err, ERROR_INVALID,
			       "FROM %.80s: a stage cannot begin with a "
			       "context of that name",
			       stage->directory);
	r = dockerfile_parse(text, strlen(text), &stage->copy, NULL, err);
	if (r < 0)
		return r;
	stage->copy.instructions->first_line = stage->line;
	stage->copy.instructions->last_line = stage->line;
	return 0;
}

/* Its files are copied before all else. */
static int begin_with_directory(struct stage *stage, struct error *err)
{
	const struct stage_source source = {
		.stage = STAGE_NONE,
		.image = stage->directory,
		.line = stage->line,
	};
	int r = make_copy(stage, err);

	if (r < 0)
		return r;
	stage->own = xcalloc(stage->count + 1, sizeof(*stage->own));
	stage->own[0] = stage->copy.instructions[0];
	if (stage->count > 0)
		memcpy(stage->own + 1, stage->instructions,
		       stage->count * sizeof(*stage->own));
	stage->instructions = stage->own;
	stage->count++;
	push_source(stage, &source);
	stage->directory = NULL;
	return 0;
}

static int begin_with_directories(struct stages *stages, struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < stages->count; i++) {
		if (stages->list[i].directory)
			r = begin_with_directory(&stages->list[i], err);
	}
	return r;
}

/* Stages need only those before them. */
static void mark_needed(struct stages *stages)
{
	stages->list[stages->target].needed = true;
	for (size_t i = stages->target + 1; i-- > 0;) {
		const struct stage *stage = &stages->list[i];

		if (!stage->needed)
			continue;
		if (stage->base.stage != STAGE_NONE)
			stages->list[stage->base.stage].needed = true;
		for (size_t j = 0; j < stage->source_count; j++) {
			if (stage->sources[j].stage != STAGE_NONE)
				stages->list[stage->sources[j].stage].needed =
					true;
		}
	}
}

static bool is_later(const struct stages *stages, const struct stage *stage,
		     const char *name)
{
	size_t found =
		name ? find_name(stages, stages->count, name) : STAGE_NONE;

	return found != STAGE_NONE && found > (size_t)(stage - stages->list);
}

/* A stage that comes later is meant by its name, and is not there yet. */
static int check_order(const struct stages *stages, const struct stage *stage,
		       struct dockerfile_range *range, struct error *err)
{
	for (size_t i = 0; i < stage->source_count; i++) {
		const struct stage_source *source = &stage->sources[i];

		if (!is_later(stages, stage, source->image))
			continue;
		*range = (struct dockerfile_range){source->line, source->line};
		return err_set(err, ERROR_INVALID,
			       "line %u: cannot copy from stage \"%.80s\", it "
			       "needs to be defined before current stage",
			       source->line, source->image);
	}
	return 0;
}

/* What needs no variable is known to be wrong before anything is run, but where
   a relative target leads. */
static int check_mounts(const struct dockerfile_instruction *instruction,
			struct error *err)
{
	CLEANUP(run_mounts_release) struct run_mounts mounts = {0};
	cleanup_strv char **values = NULL;
	const char *value;
	size_t at = 0;

	if (instruction->keyword != DOCKERFILE_RUN)
		return 0;
	while ((value = instruction_next_flag(instruction, "mount", &at))) {
		if (!value[strcspn(value, "$\"'\\`")])
			strv_push(&values, value);
	}
	return values ? run_mounts_parse(values, NULL, "/somewhere", &mounts,
					 err)
		      : 0;
}

static int check_instructions(const struct stage *stage,
			      struct dockerfile_range *range, struct error *err)
{
	for (size_t i = 0; i < stage->count; i++) {
		const struct dockerfile_instruction *instruction =
			&stage->instructions[i];

		*range = (struct dockerfile_range){instruction->first_line,
						   instruction->last_line};
		if (check_mounts(instruction, err) < 0)
			return err_wrap(err, "line %u",
					instruction->first_line);
	}
	*range = (struct dockerfile_range){0};
	return 0;
}

static int check_needed(const struct stages *stages,
			struct dockerfile_range *range, struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < stages->count; i++) {
		const struct stage *stage = &stages->list[i];

		if (stage->needed)
			r = check_order(stages, stage, range, err);
		if (r == 0 && stage->needed)
			r = check_instructions(stage, range, err);
	}
	return r;
}

static int find_target(struct stages *stages, const char *target,
		       struct error *err)
{
	struct nearest nearest = {.text = target};
	cleanup_free char *question = NULL;

	stages->target = stages->count - 1;
	if (str_empty(target))
		return 0;
	stages->target = find_stage(stages, stages->count, target);
	if (stages->target != STAGE_NONE)
		return 0;
	for (size_t i = 0; i < stages->count; i++) {
		if (stages->list[i].name)
			nearest_try(&nearest, stages->list[i].name);
	}
	question = nearest_question(&nearest);
	return err_set(err, ERROR_NOT_FOUND,
		       "target stage \"%.80s\" could not be found%s", target,
		       question);
}

int stages_parse(const struct stages_request *request,
		 struct stages *ret_stages, struct dockerfile_range *ret_range,
		 struct error *err)
{
	const struct dockerfile *dockerfile = request->dockerfile;
	cleanup_stages struct stages stages = {0};
	struct scope scope = {request, &stages};
	int r;

	for (size_t i = 0; i < dockerfile->count; i++) {
		const struct dockerfile_instruction *instruction =
			&dockerfile->instructions[i];

		*ret_range = (struct dockerfile_range){instruction->first_line,
						       instruction->last_line};
		r = read_instruction(&scope, instruction, err);
		if (r < 0)
			return err_wrap(err, "line %u",
					instruction->first_line);
	}
	*ret_range = (struct dockerfile_range){0};
	r = find_target(&stages, request->target, err);
	if (r == 0)
		r = begin_with_directories(&stages, err);
	if (r < 0)
		return r;
	mark_needed(&stages);
	r = check_needed(&stages, ret_range, err);
	if (r < 0)
		return r;
	*ret_stages = stages;
	stages = (struct stages){0};
	return 0;
}

int stages_add_trigger(struct stages *stages, size_t stage,
		       const struct dockerfile_instruction *trigger,
		       struct error *err)
{
	struct dockerfile_range range;
	int r = add_sources(stages, &stages->list[stage], trigger, err);

	if (r < 0)
		return r;
	mark_needed(stages);
	return check_order(stages, &stages->list[stage], &range, err);
}

void stages_release(struct stages *stages)
{
	for (size_t i = 0; i < stages->count; i++) {
		struct stage *stage = &stages->list[i];

		free(stage->name);
		free(stage->platform);
		free(stage->base.image);
		for (size_t j = 0; j < stage->source_count; j++)
			free(stage->sources[j].image);
		free(stage->sources);
		free(stage->directory);
		dockerfile_release(&stage->copy);
		free(stage->own);
	}
	free(stages->list);
	strv_free(stages->arguments);
	*stages = (struct stages){0};
}

int dockerfile_check(const struct dockerfile *dockerfile,
		     struct dockerfile_range *ret_range, struct error *err)
{
	bool begun = false;

	for (size_t i = 0; i < dockerfile->count; i++) {
		const struct dockerfile_instruction *instruction =
			&dockerfile->instructions[i];
		int r = instruction_check(instruction, err);

		*ret_range = (struct dockerfile_range){instruction->first_line,
						       instruction->last_line};
		begun |= instruction->keyword == DOCKERFILE_FROM;
		if (r == 0 && !begun && instruction->keyword != DOCKERFILE_ARG)
			r = err_set(
				err, ERROR_INVALID,
				"%s before the first FROM: no build stage "
				"has begun",
				dockerfile_keyword_name(instruction->keyword));
		if (r < 0)
			return err_wrap(err, "line %u",
					instruction->first_line);
	}
	*ret_range = (struct dockerfile_range){0};
	if (!begun)
		return err_set(err, ERROR_INVALID,
			       "there is no FROM in it: no build stage");
	return 0;
}
