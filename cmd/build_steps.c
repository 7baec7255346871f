#include "cmd/build_steps.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "cmd/member.h"
#include "cmd/text.h"
#include "storage/store/digest.h"

#define NS_PER_S 1000000000.0

static void step_release(struct build_step *step)
{
	free(step->name);
	free(step->error);
	for (size_t i = 0; i < step->status_count; i++) {
		free(step->statuses[i].id);
		free(step->statuses[i].status);
	}
	free(step->statuses);
	for (size_t i = 0; i < ARRAY_SIZE(step->output); i++)
		output_lines_release(&step->output[i]);
	for (size_t i = 0; i < BUILD_TAIL; i++)
		free(step->tail[i].text);
}

void build_steps_release(struct build_steps *steps)
{
	for (size_t i = 0; i < steps->count; i++)
		step_release(&steps->steps[i]);
	free(steps->steps);
	strv_free(steps->warnings);
	cJSON_Delete(steps->failed);
	*steps = (struct build_steps){0};
}

void build_news_release(struct build_news *news)
{
	strv_free(news->lines);
	*news = (struct build_news){0};
}

static struct build_step *find(const struct build_steps *steps,
			       unsigned int vertex)
{
	for (size_t i = 0; i < steps->count; i++)
		if (steps->steps[i].vertex == vertex)
			return &steps->steps[i];
	return NULL;
}

const struct build_step *build_steps_find(const struct build_steps *steps,
					  unsigned int vertex)
{
	return find(steps, vertex);
}

static struct build_step *add_step(struct build_steps *steps,
				   unsigned int vertex)
{
	struct build_step *step;

	if (steps->count == BUILD_STEPS_MAX)
		return NULL;
	steps->steps = xrealloc(steps->steps, steps->count + 1, sizeof(*step));
	step = &steps->steps[steps->count++];
	*step = (struct build_step){.vertex = vertex, .name = xstrdup("")};
	for (size_t i = 0; i < ARRAY_SIZE(step->output); i++)
		step->output[i].colors = steps->colors;
	return step;
}

static void start(struct build_steps *steps, struct build_step *step,
		  int64_t now_ns)
{
	if (step->place == 0)
		step->place = ++steps->places;
	step->started_ns = now_ns;
}

/* ---- what a step says ---- */

struct taking {
	struct build_step *step;
	int64_t now_ns;
	char ***lines;
};

static void take_line(void *data, const char *line)
{
	struct taking *taking = data;
	struct build_step *step = taking->step;
	struct build_line *slot = &step->tail[step->tail_count++ % BUILD_TAIL];

	free(slot->text);
	slot->text = xstrdup(line);
	slot->ns = taking->now_ns - step->started_ns;
	strv_push(taking->lines, line);
}

static void on_log(struct build_step *step, const cJSON *message,
		   int64_t now_ns, struct build_news *news)
{
	struct taking taking = {step, now_ns, &news->lines};
	bool error = number_of(message, "stream") == 2;

	output_lines_feed(&step->output[error], text_of(message, "log"),
			  take_line, &taking);
	news->event = news->lines ? BUILD_OUTPUT : BUILD_COUNT;
}

static struct build_status *status_of(struct build_step *step, const char *id)
{
	struct build_status *status;

	for (size_t i = 0; i < step->status_count; i++)
		if (str_equal(step->statuses[i].id, id))
			return &step->statuses[i];
	if (step->status_count == BUILD_STATUSES_MAX)
		return NULL;
	step->statuses = xrealloc(step->statuses, step->status_count + 1,
				  sizeof(*status));
	status = &step->statuses[step->status_count++];
	*status = (struct build_status){.id = xstrdup(id)};
	return status;
}

static void on_status(struct build_step *step, const cJSON *message,
		      struct build_news *news)
{
	cleanup_free char *id = text_printable(text_of(message, "id"), true);
	cleanup_free char *text =
		text_printable(text_of(message, "status"), true);
	struct build_status *status = status_of(step, id);

	if (!status)
		return;
	status->current = json_member(message, "current")
				  ? number_of(message, "current")
				  : -1;
	status->total = number_of(message, "total");
	news->status = status;
	news->event = BUILD_COUNT;
	if (str_equal(status->status, text))
		return;
	free(status->status);
	status->status = steal_ptr(&text);
	news->event = BUILD_STATUS;
}

/* What has no newline yet will not get one any more. */
static void end_output(struct build_step *step, int64_t now_ns, char ***lines)
{
	struct taking taking = {step, now_ns, lines};

	for (size_t i = 0; i < ARRAY_SIZE(step->output); i++)
		output_lines_end(&step->output[i], take_line, &taking);
}

static void on_completed(struct build_step *step, const cJSON *message,
			 int64_t now_ns, struct build_news *news)
{
	const char *error = text_of(message, "error");
	int64_t at = number_of(message, "completed");

	if (step->completed)
		return;
	end_output(step, now_ns, &news->lines);
	step->completed = true;
	if (step->started_at > 0 && at > step->started_at)
		step->taken_ns = at - step->started_at;
	if (*error)
		step->error = text_printable(error, true);
	news->event = BUILD_COMPLETED;
}

static void feed_step(struct build_steps *steps, const cJSON *message,
		      int64_t now_ns, struct build_news *news)
{
	unsigned int vertex = (unsigned int)number_of(message, "vertex");
	struct build_step *step = find(steps, vertex);

	if (!step)
		step = add_step(steps, vertex);
	if (!step)
		return;
	news->step = step;
	if (json_member(message, "name")) {
		free(step->name);
		step->name = text_printable(text_of(message, "name"), true);
		news->event = BUILD_TOLD;
		return;
	}
	/* Whatever it says, it has begun. */
	if (step->place == 0)
		start(steps, step, now_ns);
	if (json_member(message, "started")) {
		start(steps, step, now_ns);
		step->started_at = number_of(message, "started");
		news->event = BUILD_STARTED;
	} else if (flag_of(message, "cached")) {
		step->cached = true;
		news->event = BUILD_CACHED;
	} else if (json_member(message, "log")) {
		on_log(step, message, now_ns, news);
	} else if (json_member(message, "status")) {
		on_status(step, message, news);
	} else if (json_member(message, "completed")) {
		on_completed(step, message, now_ns, news);
	}
}

/* ---- what the build says ---- */

static void on_warning(struct build_steps *steps, const cJSON *message)
{
	int64_t line = number_of(message, "line");
	cleanup_free char *text =
		text_printable(text_of(message, "warning"), true);
	char *warning =
		line > 0 ? xasprintf("%s (line %lld)", text, (long long)line)
			 : xstrdup(text);

	steps->lint |= line > 0;
	if (strv_contains(steps->warnings, warning) ||
	    strv_length(steps->warnings) == BUILD_WARNINGS_MAX)
		free(warning);
	else
		strv_push_take(&steps->warnings, warning);
}

void build_steps_feed(struct build_steps *steps, const char *line,
		      int64_t now_ns, struct build_news *ret_news)
{
	cleanup_json cJSON *message = NULL;

	*ret_news = (struct build_news){0};
	if (json_parse(line, strlen(line), "progress", &message, NULL) < 0)
		return;
	if (steps->opened_ns == 0)
		steps->opened_ns = now_ns;
	if (json_member(message, "vertex")) {
		feed_step(steps, message, now_ns, ret_news);
	} else if (json_member(message, "warning")) {
		on_warning(steps, message);
		ret_news->event = BUILD_TOLD;
	} else if (cJSON_IsObject(json_member(message, "failed"))) {
		cJSON_Delete(steps->failed);
		steps->failed = cJSON_DetachItemFromObjectCaseSensitive(
			message, "failed");
		ret_news->event = BUILD_TOLD;
	}
}

void build_steps_end(struct build_steps *steps, int64_t now_ns)
{
	steps->ended = true;
	for (size_t i = 0; i < steps->count; i++) {
		struct build_step *step = &steps->steps[i];
		cleanup_strv char **lines = NULL;

		if (!build_step_running(step))
			continue;
		end_output(step, now_ns, &lines);
		step->taken_ns = now_ns - step->started_ns;
		step->completed = true;
		step->cancelled = true;
	}
}

/* ---- questions ---- */

bool build_step_running(const struct build_step *step)
{
	return step->place > 0 && !step->completed;
}

int64_t build_step_ns(const struct build_step *step, int64_t now_ns)
{
	return build_step_running(step) ? now_ns - step->started_ns
					: step->taken_ns;
}

size_t build_steps_completed(const struct build_steps *steps)
{
	size_t count = 0;

	for (size_t i = 0; i < steps->count; i++)
		count += steps->steps[i].completed;
	return count;
}

char *build_line_text(const char *text, int64_t ns)
{
	return xasprintf("%.3f %s", (double)ns / NS_PER_S, text);
}

char **build_step_tail(const struct build_step *step, size_t count, bool times)
{
	size_t kept =
		step->tail_count < BUILD_TAIL ? step->tail_count : BUILD_TAIL;
	char **lines = NULL;
	char **last;
	size_t length;

	for (size_t i = step->tail_count - kept; i < step->tail_count; i++) {
		const struct build_line *line = &step->tail[i % BUILD_TAIL];

		strv_push_take(&lines,
			       times ? build_line_text(line->text, line->ns)
				     : xstrdup(line->text));
	}
	for (size_t i = 0; i < ARRAY_SIZE(step->output); i++)
		if (step->output[i].line.length > 0)
			strv_push(&lines, str_text(&step->output[i].line));
	length = strv_length(lines);
	if (length <= count)
		return lines;
	last = strv_copy(lines + length - count);
	strv_free(lines);
	return last;
}

/* Digests in it as lists show them: a line has room for more than one. */
static char *shorten(const char *id)
{
	static const char algorithm[] = "sha256:";
	static const char hex[] = "0123456789abcdef";
	struct str text = {0};

	while (*id) {
		const char *digest = strstr(id, algorithm);
		size_t skipped = digest ? (size_t)(digest - id) : strlen(id);

		str_append_bytes(&text, id, skipped);
		id += skipped;
		if (!digest)
			break;
		id += strlen(algorithm);
		skipped = strspn(id, hex);
		str_append(&text, algorithm);
		str_append_bytes(&text, id,
				 skipped == DIGEST_HEX ? DIGEST_SHORT_MAX - 1
						       : skipped);
		id += skipped;
	}
	return str_steal(&text);
}

char *build_status_text(const struct build_status *status, bool brief)
{
	cleanup_free char *id =
		brief ? shorten(status->id) : xstrdup(status->id);
	cleanup_free char *done = format_bytes(
		status->current > 0 ? (uint64_t)status->current : 0);
	cleanup_free char *all =
		format_bytes(status->total > 0 ? (uint64_t)status->total : 0);
	const char *space = *status->status && *id ? " " : "";
	bool is_done = str_equal(status->status, "done");
	cleanup_free char *text =
		xasprintf("%s%s%s", is_done ? id : status->status, space,
			  is_done ? status->status : id);

	if (!brief || status->current < 0)
		return steal_ptr(&text);
	if (status->total <= 0)
		return xasprintf("%s %s", text, done);
	return xasprintf("%s %s / %s", text, done, all);
}
