/* Streams (storage/tar/stream.h) over bytes in memory, in pieces of any size.
 */
#pragma once

#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "storage/tar/stream.h"

struct memory_stream {
	struct stream stream;
	const unsigned char *bytes;
	size_t length;
	size_t piece;
	bool fails;	     /* at the end */
	unsigned char *copy; /* what was given last: of exactly that size, so
				that reading beyond it or later shows */
};

static inline ssize_t memory_stream_next(struct stream *stream,
					 const void **ret_bytes,
					 struct error *err)
{
	struct memory_stream *self = (struct memory_stream *)stream;
	size_t length = self->length < self->piece ? self->length : self->piece;

	free(self->copy);
	self->copy = NULL;
	if (length == 0)
		return self->fails ? err_set(err, ERROR_TIMEOUT, "no more") : 0;
	self->copy = malloc(length);
	if (!self->copy)
		abort();
	memcpy(self->copy, self->bytes, length);
	self->bytes += length;
	self->length -= length;
	*ret_bytes = self->copy;
	return (ssize_t)length;
}

static inline void memory_stream_free(struct stream *stream)
{
	free(((struct memory_stream *)stream)->copy);
	free(stream);
}

static inline struct stream *memory_stream(const void *bytes, size_t length,
					   size_t piece)
{
	struct memory_stream *self = xcalloc(1, sizeof(*self));

	self->stream = (struct stream){memory_stream_next, memory_stream_free};
	self->bytes = bytes;
	self->length = length;
	self->piece = piece;
	return &self->stream;
}

/* All of a stream, which is freed; 0 or its error. */
static inline int memory_read(struct stream *stream, struct str *out,
			      struct error *err)
{
	const void *bytes;
	ssize_t length;

	while ((length = stream_next(stream, &bytes, err)) > 0)
		str_append_bytes(out, bytes, (size_t)length);
	stream_free(stream);
	return (int)length;
}

/* Text that packs to about a third. */
static inline void memory_fill(struct str *out, size_t length)
{
	unsigned int state = 1;

	while (out->length < length) {
		char word[16];

		state = state * 1103515245u + 12345u;
		str_append_bytes(out, word,
				 (size_t)snprintf(word, sizeof(word), "%u ",
						  (state >> 16) % 5000));
	}
}
