/*
 * The lower end of a terminal as a list of lines that is redrawn in place. Each
 * call gives the bytes to write, and the cursor is always at the start of the
 * line below the last one. Lines are printable (cmd/text.h) but for colours
 * ("ESC [ numbers m") and narrower than the terminal: one that wrapped could
 * not be redrawn.
 */
#pragma once

#include <stddef.h>

#include "base/str.h"

struct screen {
	size_t height; /* of the terminal */
	size_t width;
	char **lines; /* as they are shown */
};

void screen_release(struct screen *screen);

/* Shows these lines in place of those before, writing what is different. */
void screen_draw(struct screen *screen, char *const *lines, struct str *out);
/* Takes the lines away. */
void screen_erase(struct screen *screen, struct str *out);
/* The lines stay where they are, and the next ones begin below them. */
void screen_keep(struct screen *screen);
/*
 * The terminal has another size. Most terminals break lines anew that are too
 * long now; the lines are taken away, to be drawn again.
 */
void screen_resize(struct screen *screen, size_t height, size_t width,
		   struct str *out);

#define SCREEN_HIDE_CURSOR "\033[?25l"
#define SCREEN_SHOW_CURSOR "\033[?25h"
