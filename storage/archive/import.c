/*
 * moss-image import: one tar archive becomes an image of one layer, in one pass
 * over its bytes.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "storage/dockerfile/change.h"
#include "storage/job/job.h"
#include "storage/job/sink.h"
#include "storage/store/image_entry.h"
#include "storage/store/oci.h"

struct import {
	struct job *job;
	const char *source;
	struct stage stage;
	struct stage_image image;
	struct platform platform;
	cJSON *config; /* "config" of the image's config */
	struct sink sink;
	struct job_meter meter;
	uint64_t read;
	uint64_t total;
};

static void import_release(struct import *import)
{
	cJSON_Delete(import->config);
	stage_image_release(&import->image);
	sink_release(&import->sink);
	stage_release(&import->stage);
}

static const char *source_name(const struct import *import)
{
	return str_equal(import->source, "-") ? "standard input"
					      : import->source;
}

/* All that can be wrong before a byte is read. */
static int prepare(struct import *import, struct error *err)
{
	const char *reference = job_string(import->job, "reference");
	cleanup_strv char **changes = NULL;
	struct reference parsed;
	bool given;
	int r;

	import->config = json_object();
	if (reference) {
		r = image_check_new_reference(reference, &parsed, err);
		if (r < 0)
			return r;
		strv_push_take(&import->image.references,
			       reference_full(&parsed));
	}
	r = job_platform(import->job, &import->platform, &given, err);
	if (r < 0)
		return r;
	r = json_get_strv(import->job->request, "", "changes", &changes, err);
	for (size_t i = 0; r >= 0 && changes && changes[i]; i++)
		r = change_apply(import->config, changes[i], err);
	return r < 0 ? r : 0;
}

static int open_file(struct import *import, struct error *err)
{
	bool from_stdin = str_equal(import->source, "-");
	cleanup_fd int fd = -1;
	struct stat st;

	fd = from_stdin ? fcntl(JOB_INPUT, F_DUPFD_CLOEXEC, 3)
			: open(import->source, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_errno(err, "cannot open %s", source_name(import));
	if (S_ISDIR(st.st_mode)) {
		err_set(err, ERROR_INVALID, "%s is a directory",
			import->source);
		return err_hint(err, "tar -C %s -c . | moss import - NAME",
				import->source);
	}
	if (isatty(fd)) {
		err_set(err, ERROR_INVALID, "cannot import from a terminal");
		return err_hint(err, "redirect a tar archive to it, or name a "
				     "file");
	}
	if (S_ISREG(st.st_mode))
		import->total = (uint64_t)st.st_size;
	return steal_fd(&fd);
}

static int open_source(struct import *import, struct stream **ret_stream,
		       struct error *err)
{
	int fd;

	if (stream_is_url(import->source))
		return stream_from_url(import->source, ret_stream,
				       &import->total, err);
	fd = open_file(import, err);
	if (fd < 0)
		return fd;
	*ret_stream = stream_from_fd(fd, source_name(import));
	return 0;
}

static int tap_progress(void *data, const void *bytes, size_t length,
			struct error *err)
{
	struct import *import = data;

	import->read += length;
	job_progress(import->job, &import->meter, NULL, "Importing",
		     import->read, import->total);
	return 0;
}

/*
 * gzip and zstd are kept as they come. What is not packed, or packed in a way
 * that OCI has no name for, is kept as gzip: a push would send all of it. That
 * is done in a thread of its own, below the one that unpacks.
 */
static int build_stream(struct import *import, struct stream **ret_stream,
			enum compression *ret_compression, struct error *err)
{
	struct stream *stream = NULL;
	enum compression compression;
	bool kept;
	int r = open_source(import, &stream, err);

	if (r < 0)
		return r;
	stream = stream_tapped(stream, tap_progress, import);
	r = stream_detect(stream, &stream, &compression, err);
	if (r < 0)
		return r;
	kept = compression == COMPRESSION_GZIP ||
	       compression == COMPRESSION_ZSTD;
	if (kept)
		stream = stream_tapped(stream, sink_tap, &import->sink);
	r = stream_unpacked(stream, compression, &import->stage.store->limits,
			    &stream, err);
	if (r == 0 && !kept) {
		stream = stream_tapped(stream, sink_tap_gzip, &import->sink);
		r = stream_ahead(stream, &stream, err);
	}
	if (r < 0)
		return r;
	*ret_stream = stream;
	*ret_compression = kept ? compression : COMPRESSION_GZIP;
	return 0;
}

static int read_layer(struct import *import, struct descriptor *ret_blob,
		      struct layer *ret_layer, struct error *err)
{
	CLEANUP(stage_layer_release) struct stage_layer layer = {0};
	cleanup_stream struct stream *stream = NULL;
	struct stage_layer_request request = {0};
	enum compression compression;
	int r = build_stream(import, &stream, &compression, err);

	if (r < 0)
		return r;
	request.stream = stream;
	r = stage_unpack(&import->stage, &request, &layer, err);
	if (r < 0)
		return err_wrap(err, "cannot import %s", source_name(import));
	r = sink_finish(&import->sink, NULL, err);
	if (r == 0)
		r = sink_keep(&import->sink, err);
	if (r < 0)
		return r;
	strcpy(layer.layer.blob, import->sink.digest);
	r = stage_keep_layer(&import->stage, &layer, err);
	if (r < 0)
		return r;
	strcpy(ret_blob->media_type, layer_media_type(compression));
	strcpy(ret_blob->digest, import->sink.digest);
	ret_blob->size = import->sink.size;
	*ret_layer = layer.layer;
	return 0;
}

static cJSON *make_config(struct import *import, const struct layer *layer)
{
	const char *message = job_string(import->job, "message");
	cleanup_free char *comment =
		message ? xstrdup(message)
			: xasprintf("Imported from %s", import->source);
	char now[TIME_TEXT_MAX];
	cJSON *config = json_object();
	cJSON *rootfs = json_object();
	cJSON *diff_ids = json_array();
	cJSON *history = json_array();
	cJSON *step = json_object();

	format_now(now);
	json_set_string(config, "created", now);
	json_set_string(config, "architecture", import->platform.architecture);
	if (*import->platform.variant)
		json_set_string(config, "variant", import->platform.variant);
	json_set_string(config, "os", import->platform.os);
	json_set(config, "config", steal_ptr(&import->config));
	json_push_string(diff_ids, layer->diff_id);
	json_set_string(rootfs, "type", "layers");
	json_set(rootfs, "diff_ids", diff_ids);
	json_set(config, "rootfs", rootfs);
	json_set_string(step, "created", now);
	json_set_string(step, "comment", comment);
	json_push(history, step);
	json_set(config, "history", history);
	return config;
}

static int make_image(struct import *import, const struct layer *layer,
		      struct descriptor *blob, struct error *err)
{
	struct manifest manifest = {.layers = blob, .layer_count = 1};
	cleanup_json cJSON *config = make_config(import, layer);
	int r = stage_write_image(&import->stage, config, &manifest, NULL,
				  &import->image, err);

	if (r < 0)
		return r;
	import->image.size = layer->size;
	return stage_commit(&import->stage, &import->image, 1, err);
}

int import_run(struct job *job, struct error *err)
{
	CLEANUP(import_release)
	struct import import = {
		.job = job,
		.source = job_string(job, "source"),
		.stage = {.work = {.fd = -1, .lock_fd = -1},
			  .blobs_fd = -1,
			  .layers_fd = -1},
		.sink = {.fd = -1},
	};
	struct descriptor blob = {0};
	struct layer layer;
	int r;

	if (str_empty(import.source))
		return err_set(err, ERROR_INVALID,
			       "import: no source is given");
	r = prepare(&import, err);
	if (r == 0)
		r = stage_open(&job->store, &import.stage, err);
	if (r == 0)
		r = sink_open(&import.stage, &import.sink, err);
	if (r == 0)
		r = read_layer(&import, &blob, &layer, err);
	if (r == 0)
		r = make_image(&import, &layer, &blob, err);
	if (r < 0)
		return r;
	job_note_stage(job, &import.stage);
	json_set_string(job->result, "id", import.image.id);
	return 0;
}
