/* Which compression a stream has, and what lies in it: storage/tar/stream.h. */
#include "storage/tar/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "storage/store/limits.h"
#include "storage/store/oci.h"

#define MAGIC_MAX 6 /* bytes */

static const struct magic {
	enum compression compression;
	const char *name;
	const char *bytes;
	size_t length;
} magics[] = {
	{COMPRESSION_GZIP, "gzip", "\x1f\x8b", 2},
	{COMPRESSION_BZIP2, "bzip2", "BZh", 3},
	{COMPRESSION_XZ, "xz",
	 "\xfd"
	 "7zXZ\0",
	 6},
	{COMPRESSION_ZSTD, "zstd", "\x28\xb5\x2f\xfd", 4},
};

/* A skippable frame of zstd, whose first byte's lower half is free. */
#define SKIPPABLE_FIRST 0x50
#define SKIPPABLE_REST	"\x2a\x4d\x18"

const char *compression_name(enum compression compression)
{
	for (size_t i = 0; i < ARRAY_SIZE(magics); i++) {
		if (magics[i].compression == compression)
			return magics[i].name;
	}
	return "none";
}

static enum compression detect(const unsigned char *first, size_t length)
{
	for (size_t i = 0; i < ARRAY_SIZE(magics); i++) {
		if (length >= magics[i].length &&
		    memcmp(first, magics[i].bytes, magics[i].length) == 0)
			return magics[i].compression;
	}
	if (length > strlen(SKIPPABLE_REST) &&
	    (first[0] & 0xf0) == SKIPPABLE_FIRST &&
	    memcmp(first + 1, SKIPPABLE_REST, strlen(SKIPPABLE_REST)) == 0)
		return COMPRESSION_ZSTD;
	return COMPRESSION_NONE;
}

/* Guards against a few bytes that become a disk full of zeros. */
struct guarded_stream {
	struct stream stream;
	struct stream *input;
	uint64_t floor;
	uint64_t ratio;
	uint64_t packed;
	uint64_t unpacked;
};

static ssize_t guarded_next(struct stream *stream, const void **ret_bytes,
			    struct error *err)
{
	struct guarded_stream *self = (struct guarded_stream *)stream;
	ssize_t length = stream_next(self->input, ret_bytes, err);

	if (length <= 0)
		return length;
	self->unpacked += (uint64_t)length;
	if (self->unpacked > self->floor &&
	    self->unpacked / self->ratio > self->packed) {
		err_set(err, ERROR_INVALID,
			"compressed data unpacks to more than %llu times its "
			"size",
			(unsigned long long)self->ratio);
		return limits_hint(LIMIT_UNPACK_RATIO, err);
	}
	return length;
}

static void guarded_free(struct stream *stream)
{
	struct guarded_stream *self = (struct guarded_stream *)stream;

	stream_free(self->input);
	free(self);
}

static int count_packed(void *data, const void *bytes, size_t length,
			struct error *err)
{
	struct guarded_stream *self = data;

	self->packed += length;
	return 0;
}

int stream_detect(struct stream *input, struct stream **ret_stream,
		  enum compression *ret_compression, struct error *err)
{
	unsigned char first[MAGIC_MAX];
	size_t length = 0;
	int r = stream_peek(input, first, sizeof(first), &length, ret_stream,
			    err);

	if (r < 0)
		return r;
	*ret_compression = detect(first, length);
	return 0;
}

static int unpack(struct stream *input, enum compression compression,
		  struct stream **ret_stream, struct error *err)
{
	if (compression == COMPRESSION_GZIP)
		return stream_gunzip(input, ret_stream, err);
	if (compression == COMPRESSION_ZSTD)
		return stream_unzstd(input, ret_stream, err);
	return stream_through_archive(input, compression, ret_stream, err);
}

int stream_unpacked(struct stream *input, enum compression compression,
		    const struct limits *limits, struct stream **ret_stream,
		    struct error *err)
{
	struct guarded_stream *guarded;
	int r;

	if (compression == COMPRESSION_NONE) {
		*ret_stream = input;
		return 0;
	}
	guarded = xcalloc(1, sizeof(*guarded));
	guarded->stream = (struct stream){guarded_next, guarded_free};
	guarded->floor = limits->unpack_floor;
	guarded->ratio = limits->unpack_ratio;
	input = stream_tapped(input, count_packed, guarded);
	r = unpack(input, compression, &guarded->input, err);
	if (r < 0) {
		free(guarded);
		return r;
	}
	return stream_ahead(&guarded->stream, ret_stream, err);
}

const char *layer_media_type(enum compression compression)
{
	switch (compression) {
	case COMPRESSION_NONE:
		return OCI_LAYER_TAR;
	case COMPRESSION_ZSTD:
		return OCI_LAYER_ZSTD;
	case COMPRESSION_GZIP:
	case COMPRESSION_BZIP2:
	case COMPRESSION_XZ:
		break;
	}
	/* OCI has no bzip2 and no xz: those are kept as gzip. */
	return OCI_LAYER_GZIP;
}
