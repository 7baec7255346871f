#include "cmd/build_progress.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cmd/build_ending.h"
#include "cmd/build_live.h"
#include "cmd/build_plain.h"
#include "cmd/build_steps.h"

#define TICK_MS 100 /* times of steps are shown so precisely */

/* Of the process that shows it. */
struct build_view {
	enum build_display display;
	bool colors;
	struct build_steps steps;
};

static bool want_colors(void)
{
	return str_empty(getenv("NO_COLOR"));
}

static enum progress_event feed(void *data, const char *line, int64_t now_ns,
				char **ret_text)
{
	struct build_view *view = data;
	CLEANUP(build_news_release) struct build_news news = {0};

	*ret_text = NULL;
	build_steps_feed(&view->steps, line, now_ns, &news);
	if (view->display == BUILD_DISPLAY_RAW) {
		*ret_text = xstrdup(line);
		return PROGRESS_STATUS;
	}
	if (view->display == BUILD_DISPLAY_PLAIN)
		*ret_text = build_plain_text(&view->steps, &news, now_ns);
	if (*ret_text)
		return PROGRESS_STATUS;
	return news.event == BUILD_NOTHING ? PROGRESS_NOTHING : PROGRESS_MOVED;
}

static char **lines(void *data, int64_t now_ns, size_t columns, size_t room)
{
	const struct build_view *view = data;
	const struct build_live live = {columns, room, view->colors};

	return build_live_lines(&view->steps, &live, now_ns);
}

static bool moving(void *data)
{
	const struct build_view *view = data;

	return build_steps_completed(&view->steps) < view->steps.count;
}

static void end(void *data, int64_t now_ns, char **ret_text)
{
	struct build_view *view = data;
	cleanup_free char *cancelled = NULL;
	cleanup_free char *ending = NULL;

	*ret_text = NULL;
	build_steps_end(&view->steps, now_ns);
	if (view->display == BUILD_DISPLAY_RAW ||
	    (view->display == BUILD_DISPLAY_QUIET && !view->steps.failed))
		return;
	if (view->display == BUILD_DISPLAY_PLAIN)
		cancelled = build_plain_end(&view->steps);
	ending = build_ending_text(&view->steps);
	if (cancelled && ending)
		*ret_text = xasprintf("%s\n%s", cancelled, ending);
	else
		*ret_text = steal_ptr(cancelled ? &cancelled : &ending);
}

static const struct progress_view build_view = {
	.feed = feed,
	.lines = lines,
	.moving = moving,
	.tick_ms = TICK_MS,
	.end = end,
};

int build_display_parse(const char *word, enum build_display *ret_display,
			struct error *err)
{
	static const struct {
		const char *word;
		enum build_display display;
	} words[] = {
		{"tty", BUILD_DISPLAY_LIVE},	{"plain", BUILD_DISPLAY_PLAIN},
		{"quiet", BUILD_DISPLAY_QUIET}, {"none", BUILD_DISPLAY_QUIET},
		{"rawjson", BUILD_DISPLAY_RAW},
	};
	bool terminal = progress_can_redraw(STDERR_FILENO);

	if (!word)
		word = getenv("BUILDKIT_PROGRESS");
	if (str_empty(word) || str_equal(word, "auto")) {
		*ret_display =
			terminal ? BUILD_DISPLAY_LIVE : BUILD_DISPLAY_PLAIN;
		return 0;
	}
	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (!str_equal(words[i].word, word))
			continue;
		if (words[i].display == BUILD_DISPLAY_LIVE && !terminal)
			return err_set(err, ERROR_INVALID,
				       "--progress=tty: standard error is not "
				       "a terminal whose lines can be redrawn");
		*ret_display = words[i].display;
		return 0;
	}
	return err_set(err, ERROR_INVALID,
		       "invalid progress type '%s': expected auto, plain, "
		       "quiet, rawjson or tty",
		       word);
}

void build_progress_open(enum build_display display,
			 struct progress *ret_progress)
{
	struct build_view view = {
		.display = display,
		.colors = want_colors(),
		.steps = {.colors = display != BUILD_DISPLAY_LIVE &&
				    want_colors()},
	};
	const struct progress_options options = {
		.fd = STDERR_FILENO,
		.quiet = display == BUILD_DISPLAY_QUIET,
		.plain = display != BUILD_DISPLAY_LIVE,
		.patient = true,
		.view = &build_view,
		.data = &view,
	};

	progress_open(&options, ret_progress);
}
