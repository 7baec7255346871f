#include "core/build/report.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/str.h"

#define REPLACEMENT  "\xef\xbf\xbd" /* U+FFFD */
#define ELLIPSIS     "\xe2\x80\xa6"
#define TAIL_ROOM    256  /* for what follows a text in its line */
#define NAME_ROOM    1024 /* bytes of a name as it is written */
#define EXCERPT_ROOM 240  /* of a line of the Dockerfile */
#define NS_PER_S     1000000000LL

/* A pipe's reader gets lines of this length in one piece. */
_Static_assert(REPORT_LINE_MAX <= PIPE_BUF, "lines would be mixed up");

/* ---- texts ---- */

/* The character at bytes as JSON, and how many bytes it takes. */
static size_t escape(const unsigned char *bytes, size_t left, char ret_text[8])
{
	size_t length = utf8_length(bytes, left);

	if (length > 0) {
		memcpy(ret_text, bytes, length);
		ret_text[length] = '\0';
		return length;
	}
	if (bytes[0] >= 0x80 || bytes[0] == 0)
		strcpy(ret_text, REPLACEMENT);
	else if (bytes[0] == '\n')
		strcpy(ret_text, "\\n");
	else if (bytes[0] < 0x20 || bytes[0] == 0x7f)
		snprintf(ret_text, 8, "\\u%04x", bytes[0]);
	else if (bytes[0] == '"' || bytes[0] == '\\')
		snprintf(ret_text, 8, "\\%c", bytes[0]);
	else
		snprintf(ret_text, 8, "%c", bytes[0]);
	return 1;
}

/*
 * As much of a text as `line` may grow to `limit` bytes with, without quotes.
 * Returns how many bytes of it that were.
 */
static size_t append_text(struct str *line, const void *text, size_t length,
			  size_t limit)
{
	const unsigned char *bytes = text;
	size_t at = 0;

	while (at < length) {
		char escaped[8];
		size_t taken = escape(bytes + at, length - at, escaped);

		if (line->length + strlen(escaped) > limit)
			break;
		str_append(line, escaped);
		at += taken;
	}
	return at;
}

/* A member of a text that is cut where it needs more than `room` bytes. */
static void append_member(struct str *line, const char *key, const char *text,
			  size_t room)
{
	size_t length = strlen(text);

	str_appendf(line, ",\"%s\":\"", key);
	if (append_text(line, text, length, line->length + room) < length)
		str_append(line, ELLIPSIS);
	str_append_char(line, '"');
}

/* ---- lines ---- */

static void begin(struct str *line, unsigned int vertex)
{
	str_appendf(line, "{\"vertex\":%u", vertex);
}

static void end(const struct report *report, struct str *line)
{
	str_append(line, "}\n");
	if (report->fd >= 0)
		(void)write_all(report->fd, str_text(line), line->length);
}

static void append_now(struct str *line, const char *key)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	str_appendf(line, ",\"%s\":%lld", key,
		    (long long)now.tv_sec * NS_PER_S + now.tv_nsec);
}

void report_vertex(const struct report *report, unsigned int vertex,
		   const char *stage, const char *name)
{
	cleanup_str struct str line = {0};

	begin(&line, vertex);
	append_member(&line, "stage", stage, NAME_ROOM);
	append_member(&line, "name", name, NAME_ROOM);
	end(report, &line);
}

void report_started(const struct report *report, unsigned int vertex)
{
	cleanup_str struct str line = {0};

	begin(&line, vertex);
	append_now(&line, "started");
	end(report, &line);
}

void report_cached(const struct report *report, unsigned int vertex)
{
	cleanup_str struct str line = {0};

	begin(&line, vertex);
	str_append(&line, ",\"cached\":true");
	end(report, &line);
}

void report_completed(const struct report *report, unsigned int vertex,
		      const struct error *failure)
{
	cleanup_str struct str line = {0};

	begin(&line, vertex);
	append_now(&line, "completed");
	if (failure)
		append_member(&line, "error", failure->message,
			      REPORT_LINE_MAX - TAIL_ROOM);
	end(report, &line);
}

void report_status(const struct report *report, unsigned int vertex,
		   const char *id, const char *status, int64_t current,
		   int64_t total)
{
	cleanup_str struct str line = {0};

	begin(&line, vertex);
	append_member(&line, "id", id, NAME_ROOM);
	append_member(&line, "status", status, NAME_ROOM);
	if (current >= 0)
		str_appendf(&line, ",\"current\":%lld", (long long)current);
	if (total > 0)
		str_appendf(&line, ",\"total\":%lld", (long long)total);
	end(report, &line);
}

void report_warning(const struct report *report, unsigned int line_number,
		    const char *text)
{
	cleanup_str struct str line = {0};
	size_t length = strlen(text);

	str_append(&line, "{\"warning\":\"");
	if (append_text(&line, text, length, REPORT_LINE_MAX - TAIL_ROOM) <
	    length)
		str_append(&line, ELLIPSIS);
	str_append_char(&line, '"');
	if (line_number > 0)
		str_appendf(&line, ",\"line\":%u", line_number);
	end(report, &line);
}

/* ---- logs ---- */

static void log_bytes(const struct report *report,
		      const struct report_stream *stream, const char *bytes,
		      size_t length)
{
	while (length > 0) {
		cleanup_str struct str line = {0};
		size_t taken;

		begin(&line, stream->vertex);
		str_append(&line, ",\"log\":\"");
		taken = append_text(&line, bytes, length,
				    REPORT_LINE_MAX - TAIL_ROOM);
		str_appendf(&line, "\",\"stream\":%d", stream->number);
		end(report, &line);
		bytes += taken;
		length -= taken;
	}
}

/* Bytes of the character that begins with this one; 1: of none. */
static size_t character_length(unsigned char first)
{
	return first < 0xc2 || first > 0xf4 ? 1
	       : first < 0xe0		    ? 2
	       : first < 0xf0		    ? 3
					    : 4;
}

/* The bytes at the end of a text that later ones may make a character. */
static size_t unfinished_length(const char *bytes, size_t length)
{
	for (size_t back = 1; back <= 3 && back <= length; back++) {
		unsigned char byte = (unsigned char)bytes[length - back];

		if ((byte & 0xc0) != 0x80)
			return character_length(byte) > back ? back : 0;
	}
	return 0;
}

void report_log(const struct report *report, struct report_stream *stream,
		const void *bytes, size_t length)
{
	cleanup_str struct str whole = {0};
	size_t held;

	str_append_bytes(&whole, stream->held, stream->held_length);
	str_append_bytes(&whole, bytes, length);
	held = unfinished_length(str_text(&whole), whole.length);
	memcpy(stream->held, str_text(&whole) + whole.length - held, held);
	stream->held_length = held;
	log_bytes(report, stream, str_text(&whole), whole.length - held);
}

void report_log_end(const struct report *report, struct report_stream *stream)
{
	log_bytes(report, stream, stream->held, stream->held_length);
	stream->held_length = 0;
}

/* ---- failures ---- */

static unsigned int count_lines(const char *text)
{
	unsigned int count = 0;

	for (; *text; text += *text == '\n') {
		text += strcspn(text, "\n");
		count++;
	}
	return count;
}

void report_widen(const char *text, unsigned int *first, unsigned int *last)
{
	unsigned int count = count_lines(text);
	unsigned int wanted = *first == *last ? 4 : 2;

	for (unsigned int added = 0; added < wanted; added++) {
		if (*first > 1) {
			--*first;
			added++;
		}
		if (*last < count) {
			++*last;
			added++;
		}
	}
}

static void append_excerpt(struct str *line,
			   const struct report_failure *failure)
{
	const char *text = failure->text;
	unsigned int first = failure->line;
	unsigned int last = failure->last;
	const char *comma = "";

	report_widen(text, &first, &last);
	str_append(line, ",\"excerpt\":[");
	for (unsigned int number = 1; *text && number <= last; number++) {
		size_t length = strcspn(text, "\n");

		/* Of a very long instruction the beginning will do. */
		if (line->length + EXCERPT_ROOM > REPORT_LINE_MAX - TAIL_ROOM)
			break;
		if (number >= first) {
			str_appendf(line, "%s[%u,\"", comma, number);
			if (append_text(line, text, length,
					line->length + EXCERPT_ROOM) < length)
				str_append(line, ELLIPSIS);
			str_append(line, "\"]");
			comma = ",";
		}
		text += length + (text[length] == '\n');
	}
	str_append_char(line, ']');
}

void report_failed(const struct report *report,
		   const struct report_failure *failure)
{
	cleanup_str struct str line = {0};

	str_appendf(&line, "{\"failed\":{\"line\":%u,\"last\":%u",
		    failure->line, failure->last);
	append_member(&line, "file", failure->file, NAME_ROOM);
	if (failure->vertex > 0)
		str_appendf(&line, ",\"vertex\":%u", failure->vertex);
	if (failure->exit_code >= 0)
		str_appendf(&line, ",\"exit\":%d", failure->exit_code);
	if (failure->line > 0)
		append_excerpt(&line, failure);
	str_append_char(&line, '}');
	end(report, &line);
}
