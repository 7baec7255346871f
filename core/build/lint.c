#include "core/build/lint.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "core/engine/members.h"
#include "storage/dockerfile/lint.h"

#define OPTIONS_ARGUMENT "BUILDKIT_DOCKERFILE_CHECK"
#define PAGES		 "https://docs.docker.com/go/dockerfile/rule/"

/* What is shown of a long instruction, and of a long line. */
#define EXCERPT_LINES 40
#define EXCERPT_BYTES 240

bool lint_only(const struct builder *builder)
{
	return str_equal(builder_text(builder, "call"), "check");
}

/* Has the image that a stage begins with a SHELL? */
static bool has_shell(const struct builder *builder, size_t stage)
{
	const struct builder_image *image =
		builder->plans ? builder->plans[stage].image : NULL;

	return image &&
	       member_get(member_get(image->config, "config"), "Shell");
}

static int judge(const struct builder *builder, struct lint *ret_lint,
		 bool *ret_fail, struct error *err)
{
	const struct stages *stages = &builder->stages;
	const char *given = env_get(builder->build_args, OPTIONS_ARGUMENT);
	cleanup_free struct lint_stage *list = NULL;
	struct lint_request request = {
		.dockerfile = &builder->dockerfile,
		.arguments = stages->arguments,
		.platform_args = builder->platform_args,
	};
	int r = lint_options_parse(given ? given : builder->dockerfile.check,
				   &request.options, err);

	if (r < 0)
		return r;
	list = xcalloc(stages->count, sizeof(*list));
	for (size_t i = 0; i < stages->count; i++) {
		const struct stage *stage = &stages->list[i];

		list[i] = (struct lint_stage){
			.built = stage->needed && !stage->replaced,
			.shell = has_shell(builder, i),
			.base = stage->base.stage,
		};
	}
	request.stages = list;
	dockerfile_lint(&request, ret_lint);
	*ret_fail = request.options.error && ret_lint->count > 0;
	return 0;
}

/* "lint violation found for rules: A, B" */
static int fail(const struct lint *lint, struct error *err)
{
	cleanup_strv char **names = NULL;
	cleanup_free char *list = NULL;

	for (size_t i = 0; i < lint->count; i++) {
		if (!strv_contains(names, lint->warnings[i].rule))
			strv_push(&names, lint->warnings[i].rule);
	}
	list = strv_join(names, ", ");
	return err_set(err, ERROR_INVALID, "lint violation found for rules: %s",
		       list);
}

int lint_report(const struct builder *builder, struct error *err)
{
	CLEANUP(lint_release) struct lint lint = {0};
	bool fails = false;
	int r = judge(builder, &lint, &fails, err);

	for (size_t i = 0; i < lint.count; i++) {
		const struct lint_warning *warning = &lint.warnings[i];
		cleanup_free char *text =
			xasprintf("%s: %s", warning->rule, warning->text);

		report_warning(&builder->report, warning->range.first_line,
			       text);
	}
	return fails ? fail(&lint, err) : r;
}

/* ---- a check ---- */

static void add_excerpt(cJSON *json, const char *text,
			struct dockerfile_range range)
{
	cJSON *excerpt = json_array();
	unsigned int end;

	report_widen(text, &range.first_line, &range.last_line);
	end = range.last_line - range.first_line < EXCERPT_LINES
		      ? range.last_line
		      : range.first_line + EXCERPT_LINES;
	for (unsigned int line = 1; *text && line <= end; line++) {
		size_t length = strcspn(text, "\n");

		if (line >= range.first_line) {
			cleanup_free char *copy = xstrndup(
				text, length < EXCERPT_BYTES ? length
							     : EXCERPT_BYTES);
			cJSON *pair = json_array();

			json_push(pair, cJSON_CreateNumber(line));
			json_push_string(pair, copy);
			json_push(excerpt, pair);
		}
		text += length + (text[length] == '\n');
	}
	json_set(json, "excerpt", excerpt);
}

static cJSON *warning_json(const struct builder *builder,
			   const struct lint_warning *warning)
{
	cJSON *json = json_object();
	cleanup_free char *url = xasprintf(PAGES "%s/", warning->page);

	json_set_string(json, "rule", warning->rule);
	json_set_string(json, "url", url);
	json_set_string(json, "detail", warning->text);
	json_set_string(json, "file", builder->file);
	json_set_i64(json, "line", warning->range.first_line);
	json_set_i64(json, "last", warning->range.last_line);
	add_excerpt(json, builder->text, warning->range);
	return json;
}

int lint_result(const struct builder *builder, cJSON **ret_result,
		struct error *err)
{
	CLEANUP(lint_release) struct lint lint = {0};
	cJSON *warnings;
	bool fails = false;
	int r = judge(builder, &lint, &fails, err);

	if (r < 0)
		return r;
	*ret_result = json_object();
	warnings = json_array();
	for (size_t i = 0; i < lint.count; i++)
		json_push(warnings, warning_json(builder, &lint.warnings[i]));
	json_set(*ret_result, "warnings", warnings);
	return 0;
}
