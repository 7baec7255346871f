/*
 * Text for a terminal. What it holds can be an image's, a container's or a
 * peer's choosing, so that nothing of it may steer the terminal.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

/* Bytes of the UTF-8 character at text, *ret_code its number; 0: it is none. */
size_t text_character(const char *text, unsigned int *ret_code);
/* False for what is no character, and for zero. */
bool text_append_character(struct str *text, unsigned int code);

enum text_case {
	TEXT_LOWER,
	TEXT_UPPER,
	TEXT_TITLE, /* the first letter of each word */
};
char *text_change_case(const char *text, enum text_case to); /* caller frees */

/*
 * A copy with control characters (C0, DEL, C1) and bytes that are not UTF-8
 * written as "\xNN". Newlines and tabs stay, unless one_line. Caller frees.
 */
char *text_printable(const char *text, bool one_line);

/* Columns that a printable text takes. */
size_t text_width(const char *text);

/* The first columns of text, with "…" for the last one where it is longer. */
char *text_cut(const char *text, size_t columns);

/* As Go's %q: in double quotes, with escapes. Caller frees. */
char *text_quote(const char *text);

/*
 * A JSON text with its members on lines of their own, indented. Nothing else
 * changes, neither the order nor how a number is written; what is no JSON comes
 * out as something. Caller frees.
 */
char *text_indent_json(const char *text, const char *indent);
