/* load_layer() of storage/load.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "storage/import.h"
#include "storage/load.h"
#include "storage/sink.h"

struct layer_load {
	struct load *load;
	const struct load_layer *request;
	struct load_file *file;	   /* of a tar, whose digest is known */
	struct sink sink;	   /* used when fd >= 0 */
	char id[DIGEST_SHORT_MAX]; /* for progress; "" while not known */
	struct job_meter meter;
	uint64_t read;
	uint64_t total;
	enum compression compression;
};

static void layer_load_release(struct layer_load *self)
{
	sink_release(&self->sink);
}

static int tap_progress(void *data, const void *bytes, size_t length,
			struct error *err)
{
	struct layer_load *self = data;

	self->read += length;
	job_progress(self->load->job, &self->meter, *self->id ? self->id : NULL,
		     "Loading layer", self->read, self->total);
	return 0;
}

static int check_blob(const struct load_layer *request, const char *digest,
		      uint64_t size, struct error *err)
{
	if (!request->expected)
		return 0;
	if (size != request->expected->size)
		return err_set(err, ERROR_CORRUPT,
			       "%s: wrong size: %llu bytes, not %llu",
			       request->what, (unsigned long long)size,
			       (unsigned long long)request->expected->size);
	if (!str_equal(digest, request->expected->digest))
		return err_set(err, ERROR_CORRUPT,
			       "%s: wrong digest: the file is %s, not %s",
			       request->what, digest,
			       request->expected->digest);
	return 0;
}

/* The file, wherever it is now. *ret_known: its digest is. */
static int open_file(struct layer_load *self, bool have_blob, bool *ret_known,
		     struct error *err)
{
	const struct load_layer *request = self->request;
	struct stat st;
	int fd;
	int r;

	if (have_blob) {
		*ret_known = true;
		fd = stage_open_blob(&self->load->stage,
				     request->expected->digest, err);
	} else {
		fd = load_files_open(&self->load->files, request->file,
				     &self->file, err);
		*ret_known = self->file != NULL;
	}
	if (fd < 0)
		return err_wrap(err, "%s", request->what);
	if (fstat(fd, &st) == 0)
		self->total = (uint64_t)st.st_size;
	r = self->file ? check_blob(request, self->file->digest,
				    self->file->size, err)
		       : 0;
	if (r < 0) {
		close_fd(&fd);
		return r;
	}
	return fd;
}

/*
 * The blob is taken from the stream where the file cannot become one by itself:
 * from a directory, and where OCI has no name for its compression.
 */
static int open_stream(struct layer_load *self, int fd, bool known,
		       struct stream **ret_stream, struct error *err)
{
	struct stage *stage = &self->load->stage;
	struct stream *stream = stream_from_fd(fd, self->request->file);
	bool repack;
	int r;

	stream = stream_tapped(stream, tap_progress, self);
	r = stream_detect(stream, &stream, &self->compression, err);
	if (r < 0)
		return r;
	repack = !self->request->expected &&
		 (self->compression == COMPRESSION_BZIP2 ||
		  self->compression == COMPRESSION_XZ);
	if (!known || repack) {
		r = sink_open(stage, &self->sink, err);
		if (r < 0) {
			stream_free(stream);
			return r;
		}
	}
	if (!known && !repack)
		stream = stream_tapped(stream, sink_tap, &self->sink);
	r = stream_unpacked(stream, self->compression, &stream, err);
	if (r < 0)
		return r;
	if (repack)
		stream = stream_tapped(stream, sink_tap_gzip, &self->sink);
	*ret_stream = stream;
	return 0;
}

/* Makes the blob one of the stage and describes it. */
static int keep_blob(struct layer_load *self, struct descriptor *ret_blob,
		     struct error *err)
{
	struct load_file *file = self->file;
	struct descriptor blob = {0};
	int r = 0;

	strcpy(blob.media_type, layer_media_type(self->compression));
	if (self->sink.fd >= 0) {
		r = sink_finish(&self->sink, NULL, err);
		if (r == 0)
			r = check_blob(self->request, self->sink.digest,
				       self->sink.size, err);
		if (r == 0)
			r = sink_keep(&self->sink, err);
		strcpy(blob.digest, self->sink.digest);
		blob.size = self->sink.size;
	} else if (file) {
		strcpy(blob.digest, file->digest);
		blob.size = file->size;
		if (*file->staged)
			r = stage_keep_blob(&self->load->stage, file->staged,
					    file->digest, err);
		if (r == 0)
			*file->staged = '\0';
	}
	if (r < 0)
		return r;
	*ret_blob = self->request->expected ? *self->request->expected : blob;
	return 0;
}

/*
 * Why a layer from a directory could not be read: most often its digest tells,
 * which is known here only when all of the file was seen.
 */
static void explain(struct layer_load *self, struct error *err)
{
	const struct load_layer *request = self->request;
	cleanup_stream struct stream *stream = NULL;
	CLEANUP(hash_release) struct hash hash = {NULL};
	char digest[DIGEST_TEXT_MAX];
	const void *bytes;
	uint64_t size = 0;
	ssize_t length;
	int fd;

	if (!request->expected || self->sink.fd < 0 ||
	    hash_init(&hash, NULL) < 0)
		return;
	fd = load_files_open(&self->load->files, request->file, NULL, NULL);
	if (fd < 0)
		return;
	stream = stream_from_fd(fd, request->file);
	while ((length = stream_next(stream, &bytes, NULL)) > 0) {
		hash_update(&hash, bytes, (size_t)length);
		size += (uint64_t)length;
	}
	hash_digest(&hash, digest);
	if (length == 0)
		check_blob(request, digest, size, err);
}

static int read_layer(struct layer_load *self, bool have_blob, bool have_layer,
		      struct descriptor *ret_blob, struct layer *ret_layer,
		      struct error *err)
{
	CLEANUP(stage_layer_release) struct stage_layer unpacked = {0};
	cleanup_stream struct stream *stream = NULL;
	struct stage *stage = &self->load->stage;
	struct stage_layer_request request = {
		.expected = self->request->diff_id,
		.what = self->request->what,
	};
	bool known = false;
	int fd = open_file(self, have_blob, &known, err);
	int r;

	if (fd < 0)
		return fd;
	r = open_stream(self, fd, known, &stream, err);
	if (r < 0)
		return err_wrap(err, "%s", self->request->what);
	request.stream = stream;
	r = have_layer ? stage_verify(stage, &request, err)
		       : stage_unpack(stage, &request, &unpacked, err);
	if (r < 0) {
		explain(self, err);
		return r;
	}
	r = keep_blob(self, ret_blob, err);
	if (r < 0)
		return r;
	if (have_layer)
		return stage_read_layer(stage, self->request->diff_id,
					ret_layer, err);
	strcpy(unpacked.layer.blob, ret_blob->digest);
	*ret_layer = unpacked.layer;
	return stage_keep_layer(stage, &unpacked, err);
}

int load_layer(struct load *load, const struct load_layer *request,
	       struct descriptor *ret_blob, struct layer *ret_layer,
	       struct error *err)
{
	CLEANUP(layer_load_release)
	struct layer_load self = {
		.load = load,
		.request = request,
		.sink = {.fd = -1},
	};
	const struct descriptor *expected = request->expected;
	const char *name = expected ? expected->digest : request->diff_id;
	bool have_layer = false;
	bool have_blob = false;
	int r;

	if (name)
		digest_short(self.id, name);
	if (expected) {
		r = stage_has_blob(&load->stage, expected->digest, err);
		if (r < 0)
			return r;
		have_blob = r > 0;
	}
	if (request->diff_id) {
		r = stage_has_layer(&load->stage, request->diff_id, err);
		if (r < 0)
			return r;
		have_layer = r > 0;
	}
	/* It was checked when it came here the first time. */
	if (have_blob && have_layer &&
	    stage_read_layer(&load->stage, request->diff_id, ret_layer, NULL) ==
		    0 &&
	    str_equal(ret_layer->blob, expected->digest)) {
		*ret_blob = *expected;
		return 0;
	}
	return read_layer(&self, have_blob, have_layer, ret_blob, ret_layer,
			  err);
}
