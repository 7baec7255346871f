#include "cmd/progress_screen.h"

#include <string.h>

#include "base/cleanup.h"
#include "cmd/text.h"

#define ERASE_LINE "\033[K"

void screen_release(struct screen *screen)
{
	strv_free(screen->lines);
	screen->lines = NULL;
}

/* To the line's start as well: what the user types is echoed there. */
static void move_up(size_t count, struct str *out)
{
	str_append_char(out, '\r');
	if (count > 0)
		str_appendf(out, "\033[%zuA", count);
}

/*
 * Erases so many lines from here, and returns here. One by one: at the top of
 * the screen, erasing all below makes some terminals (tmux) keep a copy.
 */
static void erase_down(size_t count, struct str *out)
{
	for (size_t i = 0; i < count; i++)
		str_append(out, ERASE_LINE "\n");
	move_up(count, out);
}

void screen_draw(struct screen *screen, char *const *lines, struct str *out)
{
	size_t old_count = strv_length(screen->lines);
	size_t count = strv_length(lines);
	size_t same = 0;

	while (same < count && same < old_count &&
	       str_equal(lines[same], screen->lines[same]))
		same++;
	if (same == count && same == old_count)
		return;
	move_up(old_count - same, out);
	for (size_t i = same; i < count; i++) {
		if (i >= old_count || !str_equal(lines[i], screen->lines[i]))
			str_appendf(out, "%s" ERASE_LINE, lines[i]);
		str_append_char(out, '\n');
	}
	if (count < old_count)
		erase_down(old_count - count, out);
	strv_free(screen->lines);
	screen->lines = strv_copy(lines);
}

static void erase_rows(struct screen *screen, size_t rows, struct str *out)
{
	if (rows == 0)
		return;
	move_up(rows, out);
	erase_down(rows, out);
	screen_release(screen);
}

void screen_erase(struct screen *screen, struct str *out)
{
	erase_rows(screen, strv_length(screen->lines), out);
}

void screen_keep(struct screen *screen)
{
	screen_release(screen);
}

/* Columns of a line, colours left out. */
static size_t line_width(const char *line)
{
	cleanup_str struct str plain = {0};

	while (*line) {
		size_t length = strcspn(line, "\033");

		str_append_bytes(&plain, line, length);
		line += length;
		line += strcspn(line, "m");
		line += *line == 'm';
	}
	return text_width(str_text(&plain));
}

void screen_resize(struct screen *screen, size_t height, size_t width,
		   struct str *out)
{
	size_t rows = 0;

	screen->height = height;
	screen->width = width;
	for (size_t i = 0; screen->lines && screen->lines[i]; i++) {
		size_t columns = line_width(screen->lines[i]);

		rows += columns > width ? (columns + width - 1) / width : 1;
	}
	erase_rows(screen, rows, out);
}
