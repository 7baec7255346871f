/*
 * zstd (RFC 8878) through libzstd. Frames follow each other, skippable ones
 * among them, as zstd:chunked writes its table of contents; what is no frame is
 * an error. Checksums are verified where a frame has one.
 *
 * The window is what a frame makes us allocate: see ZSTD_WINDOW_MAX_LOG of
 * storage/store/limits.h.
 */
#include <stdlib.h>
#include <zstd.h>
#include <zstd_errors.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "storage/store/limits.h"
#include "storage/tar/stream.h"

#define OUTPUT_SIZE (256u << 10)

struct zstd_stream {
	struct stream stream;
	struct stream *input;
	ZSTD_DCtx *context;
	ZSTD_inBuffer in;
	bool in_frame;
	bool full;  /* the output was: more may come without input */
	bool ended; /* of the input */
	unsigned char output[OUTPUT_SIZE];
};

static void zstd_free(struct stream *stream)
{
	struct zstd_stream *self = (struct zstd_stream *)stream;

	ZSTD_freeDCtx(self->context);
	stream_free(self->input);
	free(self);
}

static int damaged(size_t code, struct error *err)
{
	if (ZSTD_getErrorCode(code) == ZSTD_error_frameParameter_windowTooLarge)
		return err_set(err, ERROR_UNSUPPORTED,
			       "zstd data with a window of more than %u MiB",
			       1u << (ZSTD_WINDOW_MAX_LOG - 20));
	return err_set(err, ERROR_CORRUPT, "damaged zstd data: %s",
		       ZSTD_getErrorName(code));
}

/* Makes sure there is input, or output to come; 0 at the end of both. */
static int fill(struct zstd_stream *self, struct error *err)
{
	const void *bytes = NULL;
	ssize_t length;

	if (self->full || self->in.pos < self->in.size)
		return 1;
	length = stream_next(self->input, &bytes, err);
	if (length <= 0)
		return (int)length;
	self->in = (ZSTD_inBuffer){.src = bytes, .size = (size_t)length};
	return 1;
}

static ssize_t zstd_next(struct stream *stream, const void **ret_bytes,
			 struct error *err)
{
	struct zstd_stream *self = (struct zstd_stream *)stream;
	ZSTD_outBuffer out = {.dst = self->output, .size = OUTPUT_SIZE};

	while (!self->ended && out.pos < out.size) {
		int r = fill(self, err);
		size_t left;

		if (r < 0)
			return r;
		if (r == 0 && self->in_frame)
			return err_set(err, ERROR_CORRUPT,
				       "truncated zstd data");
		if (r == 0) {
			self->ended = true;
			break;
		}
		left = ZSTD_decompressStream(self->context, &out, &self->in);
		if (ZSTD_isError(left))
			return damaged(left, err);
		/* 0: a frame is complete and all of it is in the output. */
		self->in_frame = left != 0;
		self->full = self->in_frame && out.pos == out.size;
	}
	*ret_bytes = self->output;
	return (ssize_t)out.pos;
}

int stream_unzstd(struct stream *input, struct stream **ret_stream,
		  struct error *err)
{
	struct zstd_stream *self = xcalloc(1, sizeof(*self));

	self->stream = (struct stream){zstd_next, zstd_free};
	self->input = input;
	self->context = ZSTD_createDCtx();
	if (!self->context)
		str_oom();
	ZSTD_DCtx_setParameter(self->context, ZSTD_d_windowLogMax,
			       ZSTD_WINDOW_MAX_LOG);
	*ret_stream = &self->stream;
	return 0;
}
