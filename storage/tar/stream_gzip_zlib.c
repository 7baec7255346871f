/*
 * gzip through zlib: what storage/tar/stream_gzip.c does, where there is no
 * ISA-L. zlib verifies each member's checksum and length, too, which
 * libarchive's reader does not.
 */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "storage/tar/stream.h"

#define OUTPUT_SIZE  (256u << 10)
#define GZIP_WRAPPER (16 + MAX_WBITS)

struct gzip_stream {
	struct stream stream;
	struct stream *input;
	z_stream z;
	bool in_member;
	bool ended; /* of the packed data; the input may go on */
	unsigned char output[OUTPUT_SIZE];
};

static void gzip_free(struct stream *stream)
{
	struct gzip_stream *self = (struct gzip_stream *)stream;

	inflateEnd(&self->z);
	stream_free(self->input);
	free(self);
}

static int damaged(const struct gzip_stream *self, struct error *err)
{
	return err_set(err, ERROR_CORRUPT, "damaged gzip data: %s",
		       self->z.msg ? self->z.msg : "unknown error");
}

/* Makes sure there is input; 0 at its end. */
static int fill(struct gzip_stream *self, struct error *err)
{
	const void *bytes = NULL;
	ssize_t length;

	if (self->z.avail_in > 0)
		return 1;
	length = stream_next(self->input, &bytes, err);
	if (length <= 0)
		return (int)length;
	self->z.next_in = (z_const Bytef *)(uintptr_t)bytes;
	self->z.avail_in = (uInt)length;
	return 1;
}

/*
 * Between members: 1 when another one begins. Something else after a member is
 * ignored, as gzip(1) does (tapes pad with zeros).
 */
static int next_member(struct gzip_stream *self, struct error *err)
{
	int r = fill(self, err);

	if (r <= 0)
		return r;
	if (*self->z.next_in != 0x1f) {
		self->z.avail_in = 0;
		return stream_drain(self->input, err);
	}
	if (inflateReset(&self->z) != Z_OK)
		return damaged(self, err);
	self->in_member = true;
	return 1;
}

static ssize_t gzip_next(struct stream *stream, const void **ret_bytes,
			 struct error *err)
{
	struct gzip_stream *self = (struct gzip_stream *)stream;

	self->z.next_out = self->output;
	self->z.avail_out = sizeof(self->output);
	while (!self->ended && self->z.avail_out > 0) {
		int r = self->in_member ? fill(self, err)
					: next_member(self, err);

		if (r < 0)
			return r;
		if (r == 0 && self->in_member)
			return err_set(err, ERROR_CORRUPT,
				       "truncated gzip data");
		if (r == 0) {
			self->ended = true;
			break;
		}
		r = inflate(&self->z, Z_NO_FLUSH);
		if (r == Z_STREAM_END)
			self->in_member = false;
		else if (r != Z_OK && r != Z_BUF_ERROR)
			return damaged(self, err);
	}
	*ret_bytes = self->output;
	return (ssize_t)(sizeof(self->output) - self->z.avail_out);
}

int stream_gunzip(struct stream *input, struct stream **ret_stream,
		  struct error *err)
{
	struct gzip_stream *self = xcalloc(1, sizeof(*self));

	self->stream = (struct stream){gzip_next, gzip_free};
	self->input = input;
	self->in_member = true;
	if (inflateInit2(&self->z, GZIP_WRAPPER) != Z_OK)
		str_oom();
	*ret_stream = &self->stream;
	return 0;
}
