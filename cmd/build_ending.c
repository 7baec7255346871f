#include "cmd/build_ending.h"

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "cmd/member.h"
#include "cmd/text.h"

#define RULE "--------------------"

static void add_warnings(const struct build_steps *steps, struct str *text)
{
	size_t count = strv_length(steps->warnings);

	if (count == 0)
		return;
	str_appendf(text, "\n %zu warning%s found%s:\n", count,
		    count == 1 ? "" : "s",
		    steps->lint ? " (use --check to expand)" : "");
	for (size_t i = 0; i < count; i++)
		str_appendf(text, " - %s\n", steps->warnings[i]);
}

static void add_output(const struct build_step *step, struct str *text)
{
	cleanup_strv char **tail = build_step_tail(step, BUILD_TAIL, true);

	str_appendf(text, "------\n > %s:\n", step->name);
	if (step->tail_count > BUILD_TAIL)
		str_appendf(text, "... %zu lines before\n",
			    step->tail_count - BUILD_TAIL);
	for (size_t i = 0; tail && tail[i]; i++)
		str_appendf(text, "%s\n", tail[i]);
	str_append(text, "------\n");
}

/* Tabs are kept: they are the user's. */
static void add_line(const cJSON *failed, const cJSON *pair, struct str *text)
{
	const cJSON *number = cJSON_GetArrayItem(pair, 0);
	const char *line = cJSON_GetStringValue(cJSON_GetArrayItem(pair, 1));
	cleanup_free char *printable = text_printable(line ? line : "", false);
	int64_t at = cJSON_IsNumber(number) ? (int64_t)number->valuedouble : 0;
	bool hit = at >= number_of(failed, "line") &&
		   at <= number_of(failed, "last");

	str_appendf(text, " %3lld | %s %s\n", (long long)at,
		    hit ? ">>>" : "   ", printable);
}

void build_ending_excerpt(const cJSON *failed, struct str *text)
{
	const cJSON *excerpt = member_of(failed, "excerpt");
	cleanup_free char *file = text_printable(text_of(failed, "file"), true);
	const cJSON *pair;

	if (cJSON_GetArraySize(excerpt) == 0)
		return;
	str_appendf(text, "%s:%lld\n" RULE "\n", file,
		    (long long)number_of(failed, "line"));
	cJSON_ArrayForEach(pair, excerpt)
	{
		add_line(failed, pair, text);
	}
	str_append(text, RULE "\n");
}

static const struct build_step *failed_step(const struct build_steps *steps)
{
	int64_t vertex = number_of(steps->failed, "vertex");

	if (vertex > 0)
		return build_steps_find(steps, (unsigned int)vertex);
	for (size_t i = 0; i < steps->count; i++)
		if (steps->steps[i].error)
			return &steps->steps[i];
	return NULL;
}

char *build_ending_text(const struct build_steps *steps)
{
	cleanup_str struct str text = {0};
	const struct build_step *step = failed_step(steps);

	add_warnings(steps, &text);
	if (step)
		add_output(step, &text);
	if (steps->failed)
		build_ending_excerpt(steps->failed, &text);
	if (text.length == 0)
		return NULL;
	text.data[--text.length] = '\0';
	return str_steal(&text);
}
