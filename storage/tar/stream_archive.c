/* bzip2 and xz through libarchive's filters. */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "storage/tar/stream.h"

struct archive_stream {
	struct stream stream;
	struct stream *input;
	struct archive *archive;
	enum compression compression;
	bool started;
	bool ended;
	bool input_ended;
	struct error error; /* of the input, seen from within libarchive */
};

static void archive_stream_free(struct stream *stream)
{
	struct archive_stream *self = (struct archive_stream *)stream;

	archive_read_free(self->archive);
	stream_free(self->input);
	free(self);
}

static la_ssize_t read_input(struct archive *archive, void *data,
			     const void **ret_bytes)
{
	struct archive_stream *self = data;
	ssize_t length = stream_next(self->input, ret_bytes, &self->error);

	if (length == 0)
		self->input_ended = true;
	if (length < 0)
		archive_set_error(archive, EIO, "%s", self->error.message);
	return length < 0 ? ARCHIVE_FATAL : length;
}

static int damaged(const struct archive_stream *self, struct error *err)
{
	const char *why = archive_error_string(self->archive);

	if (self->error.kind != ERROR_NONE)
		return err_copy(err, &self->error);
	return err_set(err, ERROR_CORRUPT, "%s %s data: %s",
		       self->input_ended ? "truncated or damaged" : "damaged",
		       compression_name(self->compression),
		       why ? why : "unknown error");
}

/* 1 when there is data, 0 when there is none at all. */
static int start(struct archive_stream *self, struct error *err)
{
	struct archive_entry *entry;
	int r;

	self->started = true;
	r = archive_read_open(self->archive, self, NULL, read_input, NULL);
	if (r == ARCHIVE_OK)
		r = archive_read_next_header(self->archive, &entry);
	if (r == ARCHIVE_EOF)
		return 0;
	return r == ARCHIVE_OK ? 1 : damaged(self, err);
}

static ssize_t archive_stream_next(struct stream *stream,
				   const void **ret_bytes, struct error *err)
{
	struct archive_stream *self = (struct archive_stream *)stream;
	int r = self->started ? 1 : start(self, err);

	if (r < 0)
		return r;
	if (r == 0)
		self->ended = true;
	while (!self->ended) {
		la_int64_t offset;
		size_t length = 0;

		r = archive_read_data_block(self->archive, ret_bytes, &length,
					    &offset);
		if (r == ARCHIVE_EOF)
			self->ended = true;
		else if (r != ARCHIVE_OK)
			return damaged(self, err);
		else if (length > 0)
			return (ssize_t)length;
	}
	return stream_drain(self->input, err);
}

int stream_through_archive(struct stream *input, enum compression compression,
			   struct stream **ret_stream, struct error *err)
{
	struct archive_stream *self = xcalloc(1, sizeof(*self));
	int r = ARCHIVE_FATAL;

	self->stream =
		(struct stream){archive_stream_next, archive_stream_free};
	self->input = input;
	self->compression = compression;
	self->archive = archive_read_new();
	if (!self->archive)
		str_oom();
	if (compression == COMPRESSION_BZIP2)
		r = archive_read_support_filter_bzip2(self->archive);
	else if (compression == COMPRESSION_XZ)
		r = archive_read_support_filter_xz(self->archive);
	/* ARCHIVE_WARN: it would run a program instead. */
	if (r == ARCHIVE_OK)
		r = archive_read_support_format_raw(self->archive);
	if (r != ARCHIVE_OK) {
		stream_free(&self->stream);
		return err_set(err, ERROR_UNSUPPORTED,
			       "this libarchive cannot read %s data",
			       compression_name(compression));
	}
	*ret_stream = &self->stream;
	return 0;
}
