#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/str.h"
#include "core/monitor/log.h"
#include "core/monitor/log_file.h"
#include "core/monitor/log_line.h"

#define BATCH_SIZE (64u << 10)

/* The unfinished line of a stream. */
struct line {
	char *text; /* LOG_TEXT_MAX, NULL while empty */
	size_t length;
	bool split; /* a part of it was written, with the time below */
	char time[LOG_TIME_MAX];
};

struct log_writer {
	int directory_fd;
	int fd; /* -1: disabled */
	struct log_options options;
	int64_t size; /* of the file, whole lines */
	struct line lines[2];
	struct time_formatter formatter;
	char time[LOG_TIME_MAX]; /* of the present write */
	char *batch;		 /* BATCH_SIZE + LOG_LINE_MAX + attributes */
	size_t batched;
	bool rotated; /* log_writer_has_rotated() */
};

static int open_file(struct log_writer *writer, struct error *err)
{
	struct stat st;
	char last;
	int fd;

	fd = openat(writer->directory_fd, LOG_NAME,
		    O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (fd < 0)
		return err_errno(err, "cannot open %s", LOG_NAME);
	writer->fd = fd;
	if (fstat(fd, &st) < 0)
		return err_errno(err, "cannot open %s", LOG_NAME);
	writer->size = st.st_size;
	/* Torn by a crash: ended here, so that the next line is whole. */
	if (st.st_size > 0 && pread(fd, &last, 1, st.st_size - 1) == 1 &&
	    last != '\n' && write(fd, "\n", 1) == 1)
		writer->size++;
	return 0;
}

int log_writer_open(int directory_fd, const struct log_options *options,
		    struct log_writer **ret_writer, struct error *err)
{
	struct log_writer *writer = xcalloc(1, sizeof(*writer));
	int r;

	writer->directory_fd = directory_fd;
	writer->options = *options;
	writer->fd = -1;
	if (!options->disabled) {
		r = open_file(writer, err);
		if (r < 0) {
			log_writer_close(writer);
			return r;
		}
	}
	*ret_writer = writer;
	return 0;
}

/* A batch goes out whole or, as when the disk is full, not at all. */
static int write_batch(struct log_writer *writer, struct error *err)
{
	size_t length = writer->batched;
	int r;

	writer->batched = 0;
	if (length == 0)
		return 0;
	if (writer->fd < 0) {
		r = open_file(writer, err);
		if (r < 0)
			return r;
	}
	r = write_all(writer->fd, writer->batch, length);
	if (r < 0) {
		if (ftruncate(writer->fd, writer->size) < 0)
			return err_errno(err, "cannot repair %s", LOG_NAME);
		return err_number(err, r, "cannot write %s", LOG_NAME);
	}
	writer->size += (int64_t)length;
	return 0;
}

/* One file to the next number, in place of what has that, plain or packed. */
static int shift(const struct log_writer *writer, int index, bool packed,
		 struct error *err)
{
	char from[LOG_FILE_NAME_MAX];
	char to[LOG_FILE_NAME_MAX];

	log_file_name(from, index, packed);
	log_file_name(to, index + 1, packed);
	if (renameat(writer->directory_fd, from, writer->directory_fd, to) == 0)
		return 0;
	if (errno == ENOENT &&
	    (unlinkat(writer->directory_fd, to, 0) == 0 || errno == ENOENT))
		return 0;
	return err_errno(err, "cannot rotate %s", from);
}

static bool is_free(const struct log_writer *writer, int index)
{
	char plain[LOG_FILE_NAME_MAX], packed[LOG_FILE_NAME_MAX];

	log_file_name(plain, index, false);
	log_file_name(packed, index, true);
	return faccessat(writer->directory_fd, plain, F_OK,
			 AT_SYMLINK_NOFOLLOW) < 0 &&
	       faccessat(writer->directory_fd, packed, F_OK,
			 AT_SYMLINK_NOFOLLOW) < 0;
}

/*
 * container.log → .1 → .2 …, up to a number that is free; there is none: the
 * last one goes. The highest is first, so that who is killed on the way leaves
 * one gap, over which readers step, and which the next rotation fills.
 */
static int rotate(struct log_writer *writer, struct error *err)
{
	int free_one = 1;
	int r = write_batch(writer, err);

	while (free_one < writer->options.max_file - 1 &&
	       !is_free(writer, free_one))
		free_one++;
	for (int i = free_one - 1;
	     r >= 0 && i >= 0 && i < writer->options.max_file - 1; i--) {
		if (writer->options.compress && i > 0)
			r = shift(writer, i, true, err);
		if (r >= 0)
			r = shift(writer, i, false, err);
	}
	if (r < 0)
		return r;
	writer->rotated = true;
	/* Not truncated: who follows it can still read the end. */
	if (writer->options.max_file == 1 &&
	    unlinkat(writer->directory_fd, LOG_NAME, 0) < 0 && errno != ENOENT)
		return err_errno(err, "cannot rotate %s", LOG_NAME);
	close_fd(&writer->fd);
	return open_file(writer, err);
}

static int put_line(struct log_writer *writer, int stream, const char *text,
		    size_t length, bool newline, struct error *err)
{
	struct line *line = &writer->lines[stream - 1];
	int r = 0;

	if (writer->options.max_size > 0 &&
	    writer->size + (int64_t)writer->batched >= writer->options.max_size)
		r = rotate(writer, err);
	else if (writer->batched >= BATCH_SIZE)
		r = write_batch(writer, err);
	if (!writer->batch) {
		const char *attributes = writer->options.attributes;

		writer->batch =
			xrealloc(NULL,
				 BATCH_SIZE + LOG_LINE_MAX +
					 (attributes ? strlen(attributes) : 0),
				 1);
	}
	/* The parts of a line share the time of the first. */
	if (!line->split)
		memcpy(line->time, writer->time, sizeof(line->time));
	line->split = !newline;
	writer->batched += log_line_encode(
		writer->batch + writer->batched, text, length, newline, stream,
		writer->options.attributes, line->time);
	return r;
}

static void keep(struct line *line, const char *text, size_t length)
{
	if (length == 0)
		return;
	if (!line->text)
		line->text = xrealloc(NULL, LOG_TEXT_MAX, 1);
	memcpy(line->text + line->length, text, length);
	line->length += length;
}

/* Writes what is kept of the line, then text. */
static int put_kept(struct log_writer *writer, int stream, const char *text,
		    size_t length, bool newline, struct error *err)
{
	struct line *line = &writer->lines[stream - 1];
	int r;

	if (line->length == 0)
		return put_line(writer, stream, text, length, newline, err);
	keep(line, text, length);
	r = put_line(writer, stream, line->text, line->length, newline, err);
	free(line->text);
	line->text = NULL;
	line->length = 0;
	return r;
}

static bool is_continuation(char byte)
{
	return ((unsigned char)byte & 0xc0) == 0x80;
}

/* Where to split before a byte, so that no UTF-8 character is torn. */
static size_t split_at(const char *text, size_t room)
{
	size_t at = room;

	while (at > 0 && room - at < 3 && is_continuation(text[at]))
		at--;
	return is_continuation(text[at]) ? room : at;
}

int log_writer_write(struct log_writer *writer, int stream, const void *data,
		     size_t length, struct error *err)
{
	struct line *line = &writer->lines[stream - 1];
	const char *text = data;
	struct timespec now;
	int first = 0;
	int r = 0;

	if (writer->options.disabled)
		return 0;
	clock_gettime(CLOCK_REALTIME, &now);
	log_time_trim(writer->time,
		      format_time_again(&writer->formatter, &now));
	while (length > 0) {
		size_t room = LOG_TEXT_MAX - line->length;
		size_t seen = length <= room ? length : room + 1;
		const char *end = memchr(text, '\n', seen);
		size_t part;

		if (end) {
			part = (size_t)(end - text);
			r = put_kept(writer, stream, text, part, true, err);
			part++;
		} else if (seen > room) {
			part = split_at(text, room);
			r = put_kept(writer, stream, text, part, false, err);
		} else {
			part = length;
			keep(line, text, part);
		}
		if (r < 0 && first == 0)
			first = r;
		text += part;
		length -= part;
	}
	r = write_batch(writer, err);
	return first < 0 ? first : r;
}

int log_writer_flush(struct log_writer *writer, struct error *err)
{
	int r = 0;

	for (int stream = 1; stream <= 2; stream++) {
		if (writer->lines[stream - 1].length == 0)
			continue;
		r = put_kept(writer, stream, "", 0, false, err);
		if (r < 0)
			break;
	}
	if (r < 0)
		return r;
	return write_batch(writer, err);
}

const char *log_writer_unfinished(const struct log_writer *writer, int stream,
				  size_t *ret_length)
{
	const struct line *line = &writer->lines[stream - 1];

	*ret_length = line->length;
	return line->text;
}

bool log_writer_has_rotated(struct log_writer *writer)
{
	bool rotated = writer->rotated;

	writer->rotated = false;
	return rotated;
}

void log_writer_settle(struct log_writer *writer)
{
	if (!writer || writer->batched > 0)
		return;
	free(writer->batch);
	writer->batch = NULL;
}

void log_writer_close(struct log_writer *writer)
{
	if (!writer)
		return;
	close_fd(&writer->fd);
	for (size_t i = 0; i < ARRAY_SIZE(writer->lines); i++)
		free(writer->lines[i].text);
	free(writer->batch);
	free(writer);
}
