/*
 * A build on a terminal, as lines that are drawn anew time and again: what is
 * done, what runs and since when, with the last lines of its output.
 *
 *   [+] Building 1.2s (3/9)
 *    => CACHED [2/5] RUN apt-get update                                  0.0s
 *    => [3/5] RUN make                                                   0.8s
 *    => => # gcc -c a.c
 */
#pragma once

#include <stdbool.h>

#include "cmd/build_steps.h"

#define BUILD_WINDOW 6 /* lines of the output of a step that runs */

struct build_live {
	size_t columns;
	size_t room; /* for so many lines */
	bool colors;
};

/*
 * strv, caller frees. Where there is less room than there is to show, first
 * what completed steps did is left out, then the oldest of them, then output of
 * those that run, what they do, and the oldest of them.
 */
char **build_live_lines(const struct build_steps *steps,
			const struct build_live *live, int64_t now_ns);
