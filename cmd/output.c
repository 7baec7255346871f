#include "cmd/command.h"

#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cmd/text.h"

bool output_color(void)
{
	return isatty(STDOUT_FILENO) && str_empty(getenv("NO_COLOR")) &&
	       !str_equal(getenv("TERM"), "dumb");
}

/* Messages can carry bytes of an image's or a peer's choosing: none of them may
   steer the terminal. */
static void print_printable(FILE *file, const char *text)
{
	cleanup_free char *plain = text_printable(text, false);

	fputs(plain, file);
}

/* In one piece: processes that work side by side share the terminal. */
void report_error(const struct error *err)
{
	cleanup_free char *message = text_printable(err->message, false);
	cleanup_free char *hint = text_printable(err->hint, false);

	fflush(stdout);
	fprintf(stderr, "moss: %s\n%s%s", message, hint, *hint ? "\n" : "");
}

void report_warning(const char *format, ...)
{
	cleanup_free char *text = NULL;
	va_list arguments;

	va_start(arguments, format);
	if (vasprintf(&text, format, arguments) < 0)
		text = NULL;
	va_end(arguments);
	if (!text)
		return;
	fflush(stdout);
	fputs("WARNING: ", stderr);
	print_printable(stderr, text);
	fputc('\n', stderr);
}

int command_fail(struct context *context, const struct error *err)
{
	(void)context;
	report_error(err);
	return error_meaning(err->kind)->exit_code;
}

void output_broken_pipe(void)
{
	sigset_t mask;

	sigemptyset(&mask);
	sigaddset(&mask, SIGPIPE);
	signal(SIGPIPE, SIG_DFL);
	sigprocmask(SIG_UNBLOCK, &mask, NULL);
	raise(SIGPIPE);
	_exit(128 + SIGPIPE);
}

#define COLUMN_MIN 10 /* columns, the blanks behind it included */

void table_add(struct table *table, char **row)
{
	/* A cell is one line, whatever a hostile value holds. */
	for (size_t c = 0; row[c]; c++) {
		char *plain = text_printable(row[c], true);

		free(row[c]);
		row[c] = plain;
	}
	table->rows =
		xrealloc(table->rows, table->count + 1, sizeof(*table->rows));
	table->rows[table->count++] = row;
}

void table_print(const struct table *table)
{
	const size_t min = table->column_min ? table->column_min : COLUMN_MIN;
	cleanup_free size_t *widths = NULL;
	size_t columns = 0;

	for (size_t r = 0; r < table->count; r++) {
		size_t length = strv_length(table->rows[r]);

		if (length > columns) {
			widths = xrealloc(widths, length, sizeof(*widths));
			memset(widths + columns, 0,
			       (length - columns) * sizeof(*widths));
			columns = length;
		}
		for (size_t c = 0; c < length; c++) {
			size_t width = text_width(table->rows[r][c]);

			if (width > widths[c])
				widths[c] = width;
		}
	}
	for (size_t r = 0; r < table->count; r++) {
		char **row = table->rows[r];

		for (size_t c = 0; row[c]; c++) {
			size_t width =
				widths[c] + 3 > min ? widths[c] + 3 : min;
			size_t pad = width - text_width(row[c]);

			fputs(row[c], stdout);
			if (row[c + 1])
				printf("%*s", (int)pad, "");
		}
		putchar('\n');
	}
}

void table_release(struct table *table)
{
	for (size_t r = 0; r < table->count; r++)
		strv_free(table->rows[r]);
	free(table->rows);
	*table = (struct table){0};
}
