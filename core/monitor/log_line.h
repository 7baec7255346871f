/*
 * One line of a log file, to and from JSON. Internal to the log's writer and
 * reader.
 *
 * Encoding follows docker's: ", \, LF and CR by their short escapes, other
 * control characters and < > & U+2028 U+2029 as \u00XX, bytes that are not
 * UTF-8 as \ufffd each, everything else as it is.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "core/monitor/log.h"

#define LOG_TEXT_MAX (16u << 10) /* bytes of output in one line of the log */
/* A whole encoded line is never longer than this (each byte six-fold). */
#define LOG_LINE_MAX (6 * LOG_TEXT_MAX + 160)

/* "2026-01-02T03:04:05.006Z" as Go's RFC3339Nano: no trailing zeros. */
#define LOG_TIME_MAX 40
void log_time_text(char ret_text[LOG_TIME_MAX], const struct timespec *time);
/* The same of a text by format_time(). */
void log_time_trim(char ret_text[LOG_TIME_MAX], const char *text);

/*
 * Writes the whole line, its "\n" included, to out (room for LOG_LINE_MAX and
 * the attributes); returns its length. length <= LOG_TEXT_MAX; newline: the
 * text ends a line. attributes: JSON, or NULL.
 */
size_t log_line_encode(char *out, const char *text, size_t length, bool newline,
		       int stream, const char *attributes,
		       const char *time_text);

/* The second last read, which the lines of a log share with many others. */
#define LOG_SECOND_LENGTH (sizeof("2026-01-02T03:04:05") - 1)
struct log_clock {
	char text[LOG_SECOND_LENGTH]; /* zeros: none yet */
	time_t second;
};

/*
 * Decodes a line without its "\n" to buffer, which has room for length bytes.
 * The entry's attributes point into the line, as long as it is of the form that
 * log_line_encode() writes.
 * clock: NULL or zeros at first. -EINVAL: not a log line.
 */
int log_line_decode(const char *line, size_t length, char *buffer,
		    struct log_clock *clock, struct log_entry *ret_entry);
/*
 * The time only, from the end of a line as log_line_encode() writes it.
 * -EINVAL: it is none, or one that only log_line_decode() understands.
 */
int log_line_time(const char *line, size_t length, struct log_clock *clock,
		  struct timespec *ret_time);
