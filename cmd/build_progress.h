/*
 * Shows what a build says (core/build/report.h) on standard error, in one of
 * docker's ways, by the process of cmd/progress.h:
 *
 *   tty      live steps, redrawn in place        build_live.h
 *   plain    numbered lines                      build_plain.h
 *   quiet    only what went wrong
 *   rawjson  the messages as they come
 *   auto     tty on a terminal, plain elsewhere
 *
 * All but rawjson end with build_ending.h. What an image or a command says is
 * printable text; only in plain lines it may have colours, unless NO_COLOR is
 * set.
 */
#pragma once

#include "base/error.h"
#include "cmd/progress.h"

enum build_display {
	BUILD_DISPLAY_LIVE,
	BUILD_DISPLAY_PLAIN,
	BUILD_DISPLAY_QUIET,
	BUILD_DISPLAY_RAW,
};

/*
 * word: of --progress, or NULL: BUILDKIT_PROGRESS in the environment, "auto"
 * where that is not set. ERROR_INVALID for another word, and for tty where
 * there is no terminal.
 */
int build_display_parse(const char *word, enum build_display *ret_display,
			struct error *err);

void build_progress_open(enum build_display display,
			 struct progress *ret_progress);
