#include "storage/sink.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/str.h"

#define GZIP_WRAPPER (16 + MAX_WBITS)
#define GZIP_LEVEL   2 /* three times the speed of 6 for a tenth in size */
#define GZIP_MEMORY  9
#define OUTPUT_SIZE  (64u << 10)

int sink_open(struct stage *stage, struct sink *ret_sink, struct error *err)
{
	struct sink sink = {.stage = stage, .fd = -1};
	int r = hash_init(&sink.hash, err);

	if (r < 0)
		return r;
	sink.fd = stage_new_file(stage, sink.name, err);
	if (sink.fd < 0) {
		hash_release(&sink.hash);
		return sink.fd;
	}
	*ret_sink = sink;
	return 0;
}

void sink_release(struct sink *sink)
{
	close_fd(&sink->fd);
	hash_release(&sink->hash);
	if (sink->gzip)
		deflateEnd(sink->gzip);
	free(sink->gzip);
	sink->gzip = NULL;
}

int sink_tap_plain(void *data, const void *bytes, size_t length,
		   struct error *err)
{
	struct sink *sink = data;
	int r = write_all(sink->fd, bytes, length);

	sink->size += length;
	if (r == 0)
		return 0;
	r = err_number(err, r, "cannot write to the store");
	if (err && err->kind == ERROR_NO_SPACE)
		err_hint(err, "free some space, or move the store with "
			      "MOSS_ROOT");
	return r;
}

int sink_tap(void *data, const void *bytes, size_t length, struct error *err)
{
	struct sink *sink = data;

	hash_update(&sink->hash, bytes, length);
	return sink_tap_plain(sink, bytes, length, err);
}

static int compress_some(struct sink *sink, const void *bytes, size_t length,
			 int flush, struct error *err)
{
	unsigned char output[OUTPUT_SIZE];
	int r;

	if (!sink->gzip) {
		sink->gzip = xcalloc(1, sizeof(*sink->gzip));
		if (deflateInit2(sink->gzip, GZIP_LEVEL, Z_DEFLATED,
				 GZIP_WRAPPER, GZIP_MEMORY,
				 Z_DEFAULT_STRATEGY) != Z_OK)
			str_oom();
	}
	sink->gzip->next_in = (z_const Bytef *)(uintptr_t)bytes;
	sink->gzip->avail_in = (uInt)length;
	do {
		sink->gzip->next_out = output;
		sink->gzip->avail_out = sizeof(output);
		deflate(sink->gzip, flush);
		r = sink_tap(sink, output,
			     sizeof(output) - sink->gzip->avail_out, err);
	} while (r == 0 && sink->gzip->avail_out == 0);
	return r;
}

int sink_tap_gzip(void *data, const void *bytes, size_t length,
		  struct error *err)
{
	return compress_some(data, bytes, length, Z_NO_FLUSH, err);
}

int sink_finish(struct sink *sink, const char *known, struct error *err)
{
	int r = sink->gzip ? compress_some(sink, NULL, 0, Z_FINISH, err) : 0;

	if (r < 0)
		return r;
	if (known)
		strcpy(sink->digest, known);
	else
		hash_digest(&sink->hash, sink->digest);
	return 0;
}

int sink_keep(struct sink *sink, struct error *err)
{
	return stage_keep_blob(sink->stage, sink->name, sink->digest, err);
}
