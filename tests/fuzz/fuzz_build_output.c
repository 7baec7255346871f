/*
 * cmd/output_lines.h: whatever a step of a build
 * writes, in whatever pieces, what comes out at the other end moves no cursor,
 * and is the same lines however it was cut.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cmd/output_lines.h"
#include "cmd/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Printable, but for colours, which are closed at the end. */
static void check_line(void *data, const char *line)
{
	struct str *all = data;
	cleanup_str struct str plain = {0};
	cleanup_free char *printable = NULL;
	bool colored = false;

	str_appendf(all, "%s\n", line);
	while (*line) {
		size_t length = strcspn(line, "\033");

		str_append_bytes(&plain, line, length);
		line += length;
		if (*line == '\0')
			break;
		assert(line[1] == '[');
		line += 2 + strspn(line + 2, "0123456789;:");
		assert(*line++ == 'm');
		colored = true;
	}
	assert(!colored || str_ends(str_text(all), "\033[m\n"));
	printable = text_printable(str_text(&plain), true);
	assert(str_equal(printable, str_text(&plain)));
}

/* In pieces of so many bytes, which are no characters cut apart. */
static char *lines_of(const char *text, size_t piece, bool colors)
{
	CLEANUP(output_lines_release)
	struct output_lines lines = {.colors = colors};
	struct str all = {0};

	while (*text) {
		size_t length = strnlen(text, piece);
		cleanup_free char *bytes = NULL;

		while (((unsigned char)text[length] & 0xc0) == 0x80)
			length++;
		bytes = xstrndup(text, length);
		output_lines_feed(&lines, bytes, check_line, &all);
		text += length;
	}
	output_lines_end(&lines, check_line, &all);
	return str_steal(&all);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	cleanup_free char *text =
		xstrndup((const char *)data, size < 4096 ? size : 4096);

	for (int colors = 0; colors < 2; colors++) {
		cleanup_free char *whole = lines_of(text, 4096, colors);
		cleanup_free char *bytes = lines_of(text, 1, colors);
		cleanup_free char *pieces = lines_of(text, 7, colors);

		assert(str_equal(whole, bytes));
		assert(str_equal(whole, pieces));
	}
	return 0;
}
