#include "storage/job/sink.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/str.h"

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
	gzip_writer_free(sink->gzip);
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

int sink_tap_gzip(void *data, const void *bytes, size_t length,
		  struct error *err)
{
	struct sink *sink = data;

	if (!sink->gzip)
		sink->gzip = gzip_writer_new();
	return gzip_write(sink->gzip, bytes, length, false, sink_tap, sink,
			  err);
}

int sink_finish(struct sink *sink, const char *known, struct error *err)
{
	int r = sink->gzip ? gzip_write(sink->gzip, "", 0, true, sink_tap, sink,
					err)
			   : 0;

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
