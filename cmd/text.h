/*
 * Text for a terminal. What it holds can be an image's, a container's or a
 * peer's choosing, so that nothing of it may steer the terminal.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

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
