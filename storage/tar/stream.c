#include "storage/tar/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"

#define READ_SIZE (256u << 10)

ssize_t stream_next(struct stream *stream, const void **ret_bytes,
		    struct error *err)
{
	return stream->next(stream, ret_bytes, err);
}

void stream_free(struct stream *stream)
{
	if (stream)
		stream->free(stream);
}

void cleanup_stream_function(struct stream **stream)
{
	stream_free(*stream);
}

ssize_t stream_tar_source(void *stream, const void **ret_bytes,
			  struct error *err)
{
	return stream_next(stream, ret_bytes, err);
}

int stream_drain(struct stream *stream, struct error *err)
{
	const void *bytes;
	ssize_t length;

	do
		length = stream_next(stream, &bytes, err);
	while (length > 0);
	return (int)length;
}

/* ---- a descriptor ---- */

struct fd_stream {
	struct stream stream;
	int fd;
	bool may_wait; /* for whoever writes: a pipe, a terminal */
	char *name;
	char buffer[READ_SIZE];
};

static ssize_t fd_next(struct stream *stream, const void **ret_bytes,
		       struct error *err)
{
	struct fd_stream *self = (struct fd_stream *)stream;
	ssize_t length;

	do {
		if (self->may_wait)
			stream_wait_begin();
		length = read(self->fd, self->buffer, sizeof(self->buffer));
		if (self->may_wait)
			stream_wait_end();
	} while (length < 0 && errno == EINTR);
	if (length < 0)
		return err_errno(err, "cannot read %s", self->name);
	*ret_bytes = self->buffer;
	return length;
}

static void fd_free(struct stream *stream)
{
	struct fd_stream *self = (struct fd_stream *)stream;

	close_fd(&self->fd);
	free(self->name);
	free(self);
}

struct stream *stream_from_fd(int fd, const char *name)
{
	struct fd_stream *self = xcalloc(1, sizeof(*self));
	struct stat st;

	self->stream = (struct stream){fd_next, fd_free};
	self->fd = fd;
	self->may_wait = fstat(fd, &st) < 0 || !S_ISREG(st.st_mode);
	self->name = xstrdup(name);
	(void)!posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	return &self->stream;
}

/* ---- somebody else's stream ---- */

struct borrowed_stream {
	struct stream stream;
	struct stream *input;
};

static ssize_t borrowed_next(struct stream *stream, const void **ret_bytes,
			     struct error *err)
{
	return stream_next(((struct borrowed_stream *)stream)->input, ret_bytes,
			   err);
}

static void borrowed_free(struct stream *stream)
{
	free(stream);
}

struct stream *stream_borrowed(struct stream *input)
{
	struct borrowed_stream *self = xcalloc(1, sizeof(*self));

	self->stream = (struct stream){borrowed_next, borrowed_free};
	self->input = input;
	return &self->stream;
}

/* ---- a tap ---- */

struct tapped_stream {
	struct stream stream;
	struct stream *input;
	stream_tap tap;
	void *data;
};

static ssize_t tapped_next(struct stream *stream, const void **ret_bytes,
			   struct error *err)
{
	struct tapped_stream *self = (struct tapped_stream *)stream;
	ssize_t length = stream_next(self->input, ret_bytes, err);
	int r;

	if (length <= 0)
		return length;
	r = self->tap(self->data, *ret_bytes, (size_t)length, err);
	return r < 0 ? r : length;
}

static void tapped_free(struct stream *stream)
{
	struct tapped_stream *self = (struct tapped_stream *)stream;

	stream_free(self->input);
	free(self);
}

struct stream *stream_tapped(struct stream *input, stream_tap tap, void *data)
{
	struct tapped_stream *self = xcalloc(1, sizeof(*self));

	self->stream = (struct stream){tapped_next, tapped_free};
	self->input = input;
	self->tap = tap;
	self->data = data;
	return &self->stream;
}
