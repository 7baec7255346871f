/*
 * Streams of bytes that are pulled: each stage asks the one below it for the
 * next piece and passes on a pointer, so data is copied only where a stage
 * makes new bytes.
 *
 *   file | URL  →  tap (digest, blob)  →  decompressor  →  tap (diff ID)  → tar
 *
 * A piece is valid until the next one is asked for. A stage owns the one below
 * it. The decompressor reads its input to the very end, whatever follows the
 * packed data, so that a tap below it sees every byte.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "storage/store/limits.h"

struct stream {
	/* > 0: bytes at *ret_bytes; 0: end; negative errno. */
	ssize_t (*next)(struct stream *stream, const void **ret_bytes,
			struct error *err);
	void (*free)(struct stream *stream);
};

ssize_t stream_next(struct stream *stream, const void **ret_bytes,
		    struct error *err);
void stream_free(struct stream *stream);
void cleanup_stream_function(struct stream **stream);
#define cleanup_stream CLEANUP(cleanup_stream_function)
/* tar_source over a stream. */
ssize_t stream_tar_source(void *stream, const void **ret_bytes,
			  struct error *err);
/* Reads the rest. */
int stream_drain(struct stream *stream, struct error *err);

/* The input without owning it: freeing this stage leaves the input as it is. */
struct stream *stream_borrowed(struct stream *input);

/* Takes fd. name is for messages. */
struct stream *stream_from_fd(int fd, const char *name);
/*
 * http and https only, also after redirects; FETCH_* of storage/store/limits.h.
 * The answer's status is checked here, its body is read as it is asked for.
 * *ret_total: Content-Length, 0 when unknown.
 */
int stream_from_url(const char *url, struct stream **ret_stream,
		    uint64_t *ret_total, struct error *err);
bool stream_is_url(const char *source);

/* Sees each piece on its way; -errno ends the stream. */
typedef int (*stream_tap)(void *data, const void *bytes, size_t length,
			  struct error *err);
struct stream *stream_tapped(struct stream *input, stream_tap tap, void *data);

/*
 * Copies up to size bytes of the beginning to first, less where there are fewer
 * in all; *ret_stream begins with them again. Takes input, also on failure.
 */
int stream_peek(struct stream *input, void *first, size_t size,
		size_t *ret_length, struct stream **ret_stream,
		struct error *err);

enum compression {
	COMPRESSION_NONE,
	COMPRESSION_GZIP,
	COMPRESSION_BZIP2,
	COMPRESSION_XZ,
	COMPRESSION_ZSTD,
};

const char *compression_name(enum compression compression);

/* The OCI media type of a layer packed like that. */
const char *layer_media_type(enum compression compression);
/*
 * Looks at the first bytes; *ret_stream begins with them again. Takes input,
 * also on failure.
 */
int stream_detect(struct stream *input, struct stream **ret_stream,
		  enum compression *ret_compression, struct error *err);
/*
 * Takes input, also on failure. The limits on its growth are copied. The
 * input and the decompressor run in a thread of their own, and so do the taps
 * below them.
 */
int stream_unpacked(struct stream *input, enum compression compression,
		    const struct limits *limits, struct stream **ret_stream,
		    struct error *err);

/* The stages that stream_unpacked() puts in; they take input, always. */
int stream_gunzip(struct stream *input, struct stream **ret_stream,
		  struct error *err);
int stream_unzstd(struct stream *input, struct stream **ret_stream,
		  struct error *err);
/* bzip2 and xz. */
int stream_through_archive(struct stream *input, enum compression compression,
			   struct stream **ret_stream, struct error *err);
int stream_ahead(struct stream *input, struct stream **ret_stream,
		 struct error *err);

/*
 * Around a system call that may wait for long, where nothing is held that would
 * be missed: a thread that stream_ahead() made may be ended there.
 */
void stream_wait_begin(void);
void stream_wait_end(void);
