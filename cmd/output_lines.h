/*
 * What a command of a build writes, as lines that may be shown: nothing in them
 * can move a cursor, and colours end with the line they began in. As on a
 * terminal a carriage return begins a line anew, and a tab goes on to the next
 * multiple of eight columns; other control characters and escape sequences are
 * left out. A sequence may come in pieces.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

#define OUTPUT_LINE_MAX 8192 /* bytes; a longer one becomes several */

enum output_state {
	OUTPUT_TEXT,
	OUTPUT_ESCAPE,	/* behind ESC */
	OUTPUT_CONTROL, /* behind ESC [ */
	OUTPUT_STRING,	/* a title and the like, up to BEL or ESC \ */
	OUTPUT_STRING_ESCAPE,
};

struct output_lines {
	bool colors;	 /* are kept */
	struct str line; /* what there is of it so far */
	struct str sequence;
	size_t columns;
	enum output_state state;
	bool returned; /* to the line's start: what comes replaces it */
	bool colored;
};

typedef void (*output_take)(void *data, const char *line);

void output_lines_release(struct output_lines *lines);
/* Each whole line, without its newline, goes to `take`. */
void output_lines_feed(struct output_lines *lines, const char *text,
		       output_take take, void *data);
/* The last line, when it has no newline. */
void output_lines_end(struct output_lines *lines, output_take take, void *data);
