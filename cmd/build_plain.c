#include "cmd/build_plain.h"

#include "base/cleanup.h"
#include "base/str.h"

#define NS_PER_S 1000000000.0

static void begin_line(struct str *text, const struct build_step *step)
{
	str_appendf(text, "%s#%u ", text->length > 0 ? "\n" : "", step->vertex);
}

/* A step's name, with an empty line between it and what is before it. */
static void announce(struct build_steps *steps, struct build_step *step,
		     struct str *text)
{
	if (step->announced)
		return;
	step->announced = true;
	if (steps->announced)
		str_append_char(text, '\n');
	steps->announced = true;
	str_appendf(text, "#%u %s", step->vertex, step->name);
}

static void add_lines(const struct build_step *step, char *const *lines,
		      int64_t now_ns, struct str *text)
{
	for (size_t i = 0; lines && lines[i]; i++) {
		cleanup_free char *line =
			build_line_text(lines[i], now_ns - step->started_ns);

		begin_line(text, step);
		str_append(text, line);
	}
}

static void add_end(const struct build_step *step, struct str *text)
{
	/* It has been said that it is cached. */
	if (step->cached && !step->error)
		return;
	begin_line(text, step);
	if (step->error)
		str_appendf(text, "ERROR: %s", step->error);
	else if (step->cancelled)
		str_append(text, "CANCELED");
	else
		str_appendf(text, "DONE %.1fs",
			    (double)step->taken_ns / NS_PER_S);
}

char *build_plain_text(struct build_steps *steps, const struct build_news *news,
		       int64_t now_ns)
{
	cleanup_str struct str text = {0};
	cleanup_free char *status = NULL;

	if (!news->step || news->event == BUILD_NOTHING ||
	    news->event == BUILD_COUNT || news->event == BUILD_TOLD)
		return NULL;
	announce(steps, news->step, &text);
	add_lines(news->step, news->lines, now_ns, &text);
	if (news->event == BUILD_CACHED) {
		begin_line(&text, news->step);
		str_append(&text, "CACHED");
	} else if (news->event == BUILD_STATUS) {
		status = build_status_text(news->status, false);
		begin_line(&text, news->step);
		str_append(&text, status);
	} else if (news->event == BUILD_COMPLETED) {
		add_end(news->step, &text);
	}
	return text.length > 0 ? str_steal(&text) : NULL;
}

char *build_plain_end(struct build_steps *steps)
{
	cleanup_str struct str text = {0};

	for (size_t i = 0; i < steps->count; i++)
		if (steps->steps[i].cancelled)
			add_end(&steps->steps[i], &text);
	return text.length > 0 ? str_steal(&text) : NULL;
}
