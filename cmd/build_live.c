#include "cmd/build_live.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cmd/text.h"

#define NS_PER_S 1000000000.0
#define TIME_MIN 10 /* columns of a name below which no time is shown */

#define COLOR_DONE	"\033[34m"
#define COLOR_ERROR	"\033[31m"
#define COLOR_CANCELLED "\033[33m"
#define COLOR_OUTPUT	"\033[2m"
#define COLOR_RESET	"\033[m"

/* How much of a step is shown. */
struct part {
	const struct build_step *step;
	bool shown;	 /* its line */
	size_t statuses; /* the last ones */
	size_t window;
};

static int compare_places(const void *a, const void *b)
{
	unsigned int one = ((const struct part *)a)->step->place;
	unsigned int other = ((const struct part *)b)->step->place;

	return one < other ? -1 : one > other;
}

/* ---- which lines ---- */

/* Those that have started, in the order of their starts. */
static size_t collect(const struct build_steps *steps, struct part **ret_parts)
{
	struct part *parts = xcalloc(steps->count + 1, sizeof(*parts));
	size_t count = 0;

	for (size_t i = 0; i < steps->count; i++)
		if (steps->steps[i].place > 0)
			parts[count++].step = &steps->steps[i];
	qsort(parts, count, sizeof(*parts), compare_places);
	*ret_parts = parts;
	return count;
}

static size_t take(size_t wanted, size_t *spare)
{
	size_t taken = wanted < *spare ? wanted : *spare;

	*spare -= taken;
	return taken;
}

/* Of those that run, or do not, the last ones get a line each. */
static void share_lines(struct part *parts, size_t count, bool running,
			size_t *spare)
{
	for (size_t i = count; i-- > 0;)
		if (build_step_running(parts[i].step) == running)
			parts[i].shown = take(1, spare) == 1;
}

static void share_statuses(struct part *parts, size_t count, bool running,
			   size_t *spare)
{
	for (size_t i = count; i-- > 0;)
		if (parts[i].shown &&
		    build_step_running(parts[i].step) == running)
			parts[i].statuses =
				take(parts[i].step->status_count, spare);
}

static void share_windows(struct part *parts, size_t count, size_t *spare)
{
	for (size_t i = count; i-- > 0;) {
		cleanup_strv char **tail = NULL;

		if (!parts[i].shown || !build_step_running(parts[i].step))
			continue;
		tail = build_step_tail(parts[i].step, BUILD_WINDOW, false);
		parts[i].window = take(strv_length(tail), spare);
	}
}

/* What runs, and what it does, goes before what is done. */
static void share(struct part *parts, size_t count, size_t room)
{
	share_lines(parts, count, true, &room);
	share_statuses(parts, count, true, &room);
	share_windows(parts, count, &room);
	share_lines(parts, count, false, &room);
	share_statuses(parts, count, false, &room);
}

/* ---- a line ---- */

static char *colored(const struct build_live *live, const char *color,
		     char *text)
{
	char *whole;

	if (!live->colors || !*color)
		return text;
	whole = xasprintf("%s%s" COLOR_RESET, color, text);
	free(text);
	return whole;
}

static const char *color_of(const struct build_step *step)
{
	return step->error	 ? COLOR_ERROR
	       : step->cancelled ? COLOR_CANCELLED
	       : step->completed ? COLOR_DONE
				 : "";
}

/* The text at the left and the seconds at the right. */
static char *timed_line(const struct build_live *live, const char *text,
			int64_t ns)
{
	cleanup_free char *time = xasprintf(" %.1fs", (double)ns / NS_PER_S);
	size_t width = text_width(time);
	cleanup_free char *left = NULL;
	size_t pad;

	if (live->columns < width + TIME_MIN)
		return text_cut(text, live->columns);
	left = text_cut(text, live->columns - width);
	pad = live->columns - width - text_width(left);
	return xasprintf("%s%*s%s", left, (int)pad, "", time);
}

static char *step_line(const struct build_live *live,
		       const struct build_step *step, int64_t now_ns)
{
	const char *word = step->error	     ? "ERROR "
			   : step->cancelled ? "CANCELED "
			   : step->cached    ? "CACHED "
					     : "";
	cleanup_free char *text = xasprintf(" => %s%s", word, step->name);

	return colored(live, color_of(step),
		       timed_line(live, text, build_step_ns(step, now_ns)));
}

static void add_statuses(const struct build_live *live, const struct part *part,
			 char ***lines)
{
	const struct build_step *step = part->step;

	for (size_t i = step->status_count - part->statuses;
	     i < step->status_count; i++) {
		cleanup_free char *status =
			build_status_text(&step->statuses[i], true);
		cleanup_free char *text = xasprintf(" => => %s", status);

		strv_push_take(lines, colored(live, color_of(step),
					      text_cut(text, live->columns)));
	}
}

static void add_window(const struct build_live *live, const struct part *part,
		       char ***lines)
{
	cleanup_strv char **tail =
		build_step_tail(part->step, part->window, false);

	for (size_t i = 0; i < part->window && tail && tail[i]; i++) {
		cleanup_free char *text = xasprintf(" => => # %s", tail[i]);

		strv_push_take(lines, colored(live, COLOR_OUTPUT,
					      text_cut(text, live->columns)));
	}
}

static char *header(const struct build_steps *steps,
		    const struct build_live *live, int64_t now_ns)
{
	size_t completed = build_steps_completed(steps);
	int64_t passed = steps->opened_ns > 0 ? now_ns - steps->opened_ns : 0;
	bool finished =
		steps->ended && completed == steps->count && !steps->failed;
	cleanup_free char *text = xasprintf(
		"[+] Building %.1fs (%zu/%zu)%s", (double)passed / NS_PER_S,
		completed, steps->count, finished ? " FINISHED" : "");

	return text_cut(text, live->columns);
}

char **build_live_lines(const struct build_steps *steps,
			const struct build_live *live, int64_t now_ns)
{
	cleanup_free struct part *parts = NULL;
	size_t room = live->room > 0 ? live->room - 1 : 0;
	char **lines = NULL;
	size_t count;

	if (live->room == 0)
		return NULL;
	count = collect(steps, &parts);
	share(parts, count, room);
	strv_push_take(&lines, header(steps, live, now_ns));
	for (size_t i = 0; i < count; i++) {
		if (!parts[i].shown)
			continue;
		strv_push_take(&lines, step_line(live, parts[i].step, now_ns));
		add_statuses(live, &parts[i], &lines);
		add_window(live, &parts[i], &lines);
	}
	return lines;
}
