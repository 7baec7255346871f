/*
 * Container logs in docker's json-file form: one object a line,
 * {"log":"text\n","stream":"stdout","time":"RFC3339Nano"}, with "attrs" before
 * "time" when the log options ask for them (log_attributes.h); a line of output
 * over 16 KiB is split, its parts but the last without "\n". Rotation by
 * max-size and max-file: container.log, container.log.1 (older) …, which are
 * packed to container.log.1.gz when "compress" is asked for (log_file.h).
 *
 * The writer is the monitor's. A full disk loses lines, never half of one: what
 * was written of a batch is cut off again. A crash leaves at most a torn last
 * line, which the next writer ends and every reader skips, as it skips
 * whatever else is no log line.
 *
 * Readers open the files themselves and follow by inotify, across rotation: a
 * rotated file is known by its inode, so that nothing is read twice and a line
 * is missed only when its file was deleted before the reader came to it.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "base/error.h"

struct log_writer;
struct log_options {
	int64_t max_size; /* bytes, -1: no rotation */
	int max_file;	  /* >= 1 */
	bool compress;	  /* rotated files are packed (compress.c) */
	bool disabled;	  /* --log-driver none */
	char *attributes; /* log_attributes_make()'s; its owner's to free */
};
/*
 * HostConfig.LogConfig: Type "json-file", "local" (the same file, with limits
 * of its own), "none" or "" (json-file), Config
 * {"max-size":"10m","max-file":"3"} (powers of 1000, as docker's) and the
 * options of log_attributes.h, which are checked. NULL or JSON null: the
 * defaults. Unknown options and drivers are errors.
 */
int log_options_parse(const cJSON *log_config, struct log_options *ret_options,
		      struct error *err);
/* directory_fd and options->attributes stay the caller's and must outlive the
   writer. */
int log_writer_open(int directory_fd, const struct log_options *options,
		    struct log_writer **ret_writer, struct error *err);
/* stream: 1 or 2. Splits into lines; keeps an unfinished line until its end,
   16 KiB, or log_writer_flush(). */
int log_writer_write(struct log_writer *writer, int stream, const void *data,
		     size_t length, struct error *err);
int log_writer_flush(struct log_writer *writer, struct error *err);
/* What is kept of an unfinished line of stream; borrowed until the next call.
 */
const char *log_writer_unfinished(const struct log_writer *writer, int stream,
				  size_t *ret_length);
/* Were files rotated since the last call? */
bool log_writer_has_rotated(struct log_writer *writer);
/* Frees what it needs for writing only; NULL is fine. */
void log_writer_settle(struct log_writer *writer);
void log_writer_close(struct log_writer *writer);

struct log_entry {
	int stream;
	struct timespec time;
	const char *text; /* as written by the container, not NUL-free */
	size_t length;
	const char *attributes; /* a JSON object; NULL: the line has none */
	size_t attributes_length;
};
struct log_reader;
struct log_reader_options {
	int64_t tail;	       /* last n lines, -1: all */
	struct timespec since; /* 0: none */
	struct timespec until;
	bool follow;
};
int log_reader_open(int directory_fd, const struct log_reader_options *options,
		    struct log_reader **ret_reader, struct error *err);
/* 1 and an entry (valid until the next call), 0 at the end for now. */
int log_reader_next(struct log_reader *reader, struct log_entry *ret_entry,
		    struct error *err);
/* Readable when there may be more (inotify); -1: not following. That `until`
   has come is the caller's to know: an entry's time does not tell, as the clock
   is set back, too. */
int log_reader_fd(const struct log_reader *reader);
void log_reader_close(struct log_reader *reader);
