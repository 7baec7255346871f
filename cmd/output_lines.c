#include "cmd/output_lines.h"

#include <string.h>

#include "base/cleanup.h"
#include "cmd/text.h"

#define ESC	     0x1b
#define BEL	     0x07
#define TAB_COLUMNS  8
#define SEQUENCE_MAX 64 /* bytes of a colour's; what is longer is none */
#define COLOR_RESET  "\033[m"

void output_lines_release(struct output_lines *lines)
{
	str_release(&lines->line);
	str_release(&lines->sequence);
	*lines = (struct output_lines){0};
}

static void start_line(struct output_lines *lines)
{
	str_clear(&lines->line);
	lines->columns = 0;
	lines->returned = false;
	lines->colored = false;
}

static void give_line(struct output_lines *lines, output_take take, void *data)
{
	if (lines->colored)
		str_append(&lines->line, COLOR_RESET);
	take(data, str_text(&lines->line));
	start_line(lines);
}

/* Whole characters; columns: those that they take. */
static void add_text(struct output_lines *lines, const char *bytes,
		     size_t length, size_t columns)
{
	if (lines->returned)
		start_line(lines);
	lines->columns += columns;
	str_append_bytes(&lines->line, bytes, length);
}

static void add_character(struct output_lines *lines, const char *bytes,
			  size_t length)
{
	cleanup_free char *character = xstrndup(bytes, length);

	add_text(lines, bytes, length, text_width(character));
}

static void add_tab(struct output_lines *lines)
{
	if (lines->returned)
		start_line(lines);
	do {
		str_append_char(&lines->line, ' ');
	} while (++lines->columns % TAB_COLUMNS);
}

/* Only "ESC [ numbers m" is a colour. */
static void add_color(struct output_lines *lines)
{
	const char *numbers = str_text(&lines->sequence);

	if (!lines->colors || lines->sequence.length > SEQUENCE_MAX ||
	    strspn(numbers, "0123456789;:") != lines->sequence.length)
		return;
	if (lines->returned)
		start_line(lines);
	str_appendf(&lines->line, "\033[%sm", numbers);
	lines->colored = true;
}

/* ---- sequences ---- */

static void on_escape(struct output_lines *lines, unsigned char byte)
{
	str_clear(&lines->sequence);
	if (byte == '[')
		lines->state = OUTPUT_CONTROL;
	else if (strchr("]PX^_", byte))
		lines->state = OUTPUT_STRING;
	else if (byte < 0x20 || byte > 0x2f) /* ESC ( B has one more */
		lines->state = OUTPUT_TEXT;
}

static void on_control(struct output_lines *lines, unsigned char byte)
{
	if (byte >= 0x20 && byte <= 0x3f) {
		if (lines->sequence.length <= SEQUENCE_MAX)
			str_append_char(&lines->sequence, (char)byte);
		return;
	}
	if (byte == 'm')
		add_color(lines);
	lines->state = OUTPUT_TEXT;
}

/* True: the byte belongs to a sequence. */
static bool in_sequence(struct output_lines *lines, unsigned char byte)
{
	/* A line's end ends whatever was left open. */
	if (lines->state == OUTPUT_TEXT || byte == '\n') {
		lines->state = OUTPUT_TEXT;
		return false;
	}
	if (byte == ESC) {
		lines->state = lines->state == OUTPUT_STRING
				       ? OUTPUT_STRING_ESCAPE
				       : OUTPUT_ESCAPE;
		return true;
	}
	switch (lines->state) {
	case OUTPUT_ESCAPE:
		on_escape(lines, byte);
		break;
	case OUTPUT_CONTROL:
		on_control(lines, byte);
		break;
	case OUTPUT_STRING:
		if (byte == BEL)
			lines->state = OUTPUT_TEXT;
		break;
	case OUTPUT_STRING_ESCAPE:
		if (byte == '\\')
			lines->state = OUTPUT_TEXT;
		else
			on_escape(lines, byte);
		break;
	case OUTPUT_TEXT:
		break;
	}
	return true;
}

/* ---- lines ---- */

static void on_character(struct output_lines *lines, const char *bytes,
			 size_t length, unsigned int code)
{
	if (code == ESC)
		lines->state = OUTPUT_ESCAPE;
	else if (code == '\r')
		lines->returned = true;
	else if (code == '\t')
		add_tab(lines);
	else if (code >= 0x20 && (code < 0x7f || code >= 0xa0))
		add_character(lines, bytes, length);
}

/* Almost everything: printable ASCII, up to a line's greatest length. */
static size_t plain_length(const struct output_lines *lines, const char *text)
{
	size_t length = 0;

	if (lines->state != OUTPUT_TEXT)
		return 0;
	while (text[length] >= 0x20 && text[length] < 0x7f &&
	       length < OUTPUT_LINE_MAX)
		length++;
	return length;
}

void output_lines_feed(struct output_lines *lines, const char *text,
		       output_take take, void *data)
{
	while (*text) {
		size_t length = plain_length(lines, text);
		unsigned int code = 0;

		if (length > 0) {
			add_text(lines, text, length, length);
		} else if (in_sequence(lines, (unsigned char)*text)) {
			length = 1;
		} else {
			length = text_character(text, &code);
			if (code == '\n')
				give_line(lines, take, data);
			else
				on_character(lines, text, length, code);
		}
		if (lines->line.length >= OUTPUT_LINE_MAX)
			give_line(lines, take, data);
		/* What is no character is left out. */
		text += length > 0 ? length : 1;
	}
}

void output_lines_end(struct output_lines *lines, output_take take, void *data)
{
	lines->state = OUTPUT_TEXT;
	if (lines->line.length > 0)
		give_line(lines, take, data);
}
