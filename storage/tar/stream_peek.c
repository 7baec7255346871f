/* The first bytes, looked at and put back: storage/tar/stream.h. */
#include "storage/tar/stream.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"

struct peeked_stream {
	struct stream stream;
	struct stream *input;
	size_t length;
	const char *rest; /* of the piece that the first bytes' end was in */
	size_t rest_length;
	int step;
	unsigned char first[];
};

static ssize_t peeked_next(struct stream *stream, const void **ret_bytes,
			   struct error *err)
{
	struct peeked_stream *self = (struct peeked_stream *)stream;

	while (self->step < 2) {
		bool first = self->step++ == 0;

		*ret_bytes = first ? (const void *)self->first : self->rest;
		if ((first ? self->length : self->rest_length) > 0)
			return (ssize_t)(first ? self->length
					       : self->rest_length);
	}
	return stream_next(self->input, ret_bytes, err);
}

static void peeked_free(struct stream *stream)
{
	struct peeked_stream *self = (struct peeked_stream *)stream;

	stream_free(self->input);
	free(self);
}

int stream_peek(struct stream *input, void *first, size_t size,
		size_t *ret_length, struct stream **ret_stream,
		struct error *err)
{
	struct peeked_stream *self = xcalloc(1, sizeof(*self) + size);

	self->stream = (struct stream){peeked_next, peeked_free};
	self->input = input;
	while (self->length < size) {
		size_t part = size - self->length;
		const void *bytes = NULL;
		ssize_t length = stream_next(input, &bytes, err);

		if (length < 0) {
			stream_free(&self->stream);
			return (int)length;
		}
		if (length == 0)
			break;
		if (part > (size_t)length)
			part = (size_t)length;
		memcpy(self->first + self->length, bytes, part);
		self->length += part;
		self->rest = (const char *)bytes + part;
		self->rest_length = (size_t)length - part;
	}
	memcpy(first, self->first, self->length);
	*ret_length = self->length;
	*ret_stream = &self->stream;
	return 0;
}
