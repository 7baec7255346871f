#include "storage/job/layer_stage.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "storage/job/sink.h"
#include "storage/tar/flusher.h"
#include "storage/tar/hash.h"
#include "storage/tar/parallel.h"

struct task {
	struct job *job;
	struct flusher *flusher;
	struct stage *stage;
	struct layer_source *source;
	bool have_blob;
	bool have_layer;
	/* While it streams. */
	struct hash hash; /* of the packed bytes, unless it is known */
	struct sink sink; /* their file, when fd >= 0 */
	struct job_meter meter;
	uint64_t read;
	enum compression compression;
	bool repacked;
};

struct batch {
	struct task *tasks; /* of what is missing */
	size_t count;
};

static bool has_digest(const struct layer_source *source)
{
	return *source->expected.digest;
}

static void say(struct task *task, const char *status)
{
	if (!task->source->status)
		job_status(task->job, task->source->id, "%s", status);
}

static int check_size(const struct layer_source *source, uint64_t size,
		      struct error *err)
{
	if (!has_digest(source) || size == source->expected.size)
		return 0;
	return err_set(err, ERROR_CORRUPT,
		       "%s: wrong size: %llu bytes, not %llu", source->what,
		       (unsigned long long)size,
		       (unsigned long long)source->expected.size);
}

static int check_blob(const struct layer_source *source, uint64_t size,
		      const char *digest, struct error *err)
{
	int r = check_size(source, size, err);

	if (r < 0 || !has_digest(source) ||
	    str_equal(digest, source->expected.digest))
		return r;
	return err_set(err, ERROR_CORRUPT,
		       "%s: wrong digest: the file is %s, not %s", source->what,
		       digest, source->expected.digest);
}

static const char *progress_word(const struct task *task)
{
	if (task->source->status)
		return task->source->status;
	return task->have_blob ? "Extracting" : "Downloading";
}

/* Sees every packed byte first. */
static int tap_packed(void *data, const void *bytes, size_t length,
		      struct error *err)
{
	struct task *task = data;
	struct layer_source *source = task->source;
	int r = job_check_cancelled(task->job, err);

	if (r < 0)
		return r;
	if (task->hash.context)
		hash_update(&task->hash, bytes, length);
	task->read += length;
	if (has_digest(source) && task->read > source->expected.size)
		return err_set(err, ERROR_CORRUPT,
			       "wrong size: more than %llu bytes",
			       (unsigned long long)source->expected.size);
	job_progress(task->job, &task->meter, *source->id ? source->id : NULL,
		     progress_word(task), task->read, source->total);
	return 0;
}

static int tap_unpacked(void *data, const void *bytes, size_t length,
			struct error *err)
{
	flusher_add(data, length);
	return 0;
}

/* *ret_stream gives the packed bytes and takes their digest on the way. */
static int open_packed(struct task *task, struct stream **ret_stream,
		       struct error *err)
{
	struct layer_source *source = task->source;
	struct stream *stream = NULL;
	int r = 0;

	if (!task->have_blob && !source->staged)
		r = hash_init(&task->hash, err);
	if (r < 0)
		return r;
	if (task->have_blob) {
		r = stage_open_blob(task->stage, source->expected.digest, err);
		if (r >= 0)
			stream = stream_from_fd(r, source->expected.digest);
	} else {
		r = source->open(source, &stream, err);
	}
	if (r < 0)
		return err_wrap(err, "%s", source->what);
	if (source->total == 0)
		source->total = source->expected.size;
	*ret_stream = stream_tapped(stream, tap_packed, task);
	return 0;
}

/*
 * The stages above the packed bytes. Their blob is written on the way where it
 * is not here, in whichever form it is kept.
 */
static int open_unpacked(struct task *task, struct stream *packed,
			 struct stream **ret_stream, struct error *err)
{
	const struct layer_source *source = task->source;
	struct stream *stream = NULL;
	int r;

	r = stream_detect(stream_borrowed(packed), &stream, &task->compression,
			  err);
	if (r < 0)
		return r;
	task->repacked = (source->repack || !has_digest(source)) &&
			 (task->compression == COMPRESSION_BZIP2 ||
			  task->compression == COMPRESSION_XZ);
	if (task->repacked || task->hash.context) {
		r = sink_open(task->stage, &task->sink, err);
		if (r < 0) {
			stream_free(stream);
			return r;
		}
	}
	if (task->sink.fd >= 0 && !task->repacked)
		stream = stream_tapped(stream, sink_tap_plain, &task->sink);
	r = stream_unpacked(stream, task->compression,
			    &task->stage->store->limits, &stream, err);
	if (r < 0)
		return r;
	if (task->repacked)
		stream = stream_tapped(stream, sink_tap_gzip, &task->sink);
	*ret_stream = stream_tapped(stream, tap_unpacked, task->flusher);
	return 0;
}

/* Makes the packed layer a blob of the stage and describes it. */
static int keep_blob(struct task *task, struct error *err)
{
	struct layer_source *source = task->source;
	struct descriptor blob = source->expected;
	char digest[DIGEST_TEXT_MAX];
	int r = 0;

	if (task->hash.context) {
		hash_digest(&task->hash, digest);
		r = check_blob(source, task->read, digest, err);
	}
	if (r == 0 && task->sink.fd >= 0) {
		r = sink_finish(&task->sink, task->repacked ? NULL : digest,
				err);
		if (r == 0)
			r = sink_keep(&task->sink, err);
		strcpy(blob.digest, task->sink.digest);
		blob.size = task->sink.size;
	} else if (r == 0 && !task->have_blob) {
		r = stage_keep_blob(task->stage, source->staged, blob.digest,
				    err);
	}
	if (r < 0)
		return r;
	if (!*blob.media_type)
		strcpy(blob.media_type, layer_media_type(task->compression));
	source->blob = blob;
	return 0;
}

/*
 * Why a layer could not be read: most often its digest tells, which is known
 * only when all of it was seen. *err stays what it is otherwise.
 */
static int explain(struct task *task, struct stream *packed, struct error *err)
{
	char digest[DIGEST_TEXT_MAX];
	struct error ignored = {0};

	if (!task->hash.context || !has_digest(task->source) ||
	    stream_drain(packed, &ignored) < 0)
		return err_return(err);
	hash_digest(&task->hash, digest);
	check_blob(task->source, task->read, digest, err);
	return err_return(err);
}

/* The bytes may be bad, as opposed to the disk or the server. */
static bool is_damage(const struct error *error)
{
	return error->kind == ERROR_CORRUPT || error->kind == ERROR_INVALID;
}

static int stream_once(struct task *task, struct stage_layer *unpacked,
		       struct error *err)
{
	cleanup_stream struct stream *packed = NULL;
	struct stream *stream = NULL;
	struct stage_layer_request request = {
		.expected = task->source->diff_id,
		.what = task->source->what,
	};
	int r = open_packed(task, &packed, err);

	if (r < 0)
		return r;
	r = open_unpacked(task, packed, &stream, err);
	if (r < 0)
		return err_wrap(err, "%s", task->source->what);
	request.stream = stream;
	r = task->have_layer
		    ? stage_verify(task->stage, &request, err)
		    : stage_unpack(task->stage, &request, unpacked, err);
	/* Its thread may wait for a server. */
	if (r < 0 && !is_damage(err))
		atomic_store(&task->job->cancelled, true);
	stream_free(stream);
	if (r < 0 && is_damage(err))
		return explain(task, packed, err);
	return r;
}

/* Makes what was unpacked one of the stage's layers. */
static int keep_layer(struct task *task, struct stage_layer *unpacked,
		      struct error *err)
{
	struct layer_source *source = task->source;

	if (task->have_layer)
		return stage_read_layer(task->stage, source->diff_id,
					&source->layer, err);
	strcpy(unpacked->layer.blob, source->blob.digest);
	source->layer = unpacked->layer;
	return stage_keep_layer(task->stage, unpacked, err);
}

static int run_task(void *data, size_t index, struct error *err)
{
	CLEANUP(stage_layer_release) struct stage_layer unpacked = {0};
	struct batch *batch = data;
	struct task *task = &batch->tasks[index];
	struct layer_source *source = task->source;
	int r = stream_once(task, &unpacked, err);

	if (r == 0)
		r = keep_blob(task, err);
	if (r == 0)
		r = keep_layer(task, &unpacked, err);
	if (r == 0 && !source->status)
		r = stage_place(task->stage, source->blob.digest,
				source->layer.diff_id, err);
	hash_release(&task->hash);
	sink_release(&task->sink);
	if (r < 0)
		return r;
	say(task, "Pull complete");
	return 0;
}

/*
 * What there is of it already. 1: all, and what belongs together: it was
 * checked when it came here the first time.
 */
static int look_up(struct task *task, struct error *err)
{
	struct layer_source *source = task->source;
	int r;

	if (has_digest(source)) {
		r = stage_has_blob(task->stage, source->expected.digest, err);
		if (r < 0)
			return r;
		task->have_blob = r > 0;
	}
	if (source->diff_id) {
		r = stage_has_layer(task->stage, source->diff_id, err);
		if (r < 0)
			return r;
		task->have_layer = r > 0;
	}
	/* Without a media type it is to be seen what it is. */
	if (!*source->expected.media_type || !task->have_blob ||
	    !task->have_layer ||
	    stage_read_layer(task->stage, source->diff_id, &source->layer,
			     NULL) < 0 ||
	    !str_equal(source->layer.blob, source->expected.digest))
		return 0;
	source->blob = source->expected;
	return 1;
}

static struct layer_source *find_same(struct layer_source *sources,
				      size_t index)
{
	const struct layer_source *wanted = &sources[index];

	for (size_t i = 0; has_digest(wanted) && i < index; i++) {
		struct layer_source *source = &sources[i];

		if (str_equal(source->expected.digest,
			      wanted->expected.digest) &&
		    source->expected.size == wanted->expected.size &&
		    str_equal(source->diff_id, wanted->diff_id))
			return source;
	}
	return NULL;
}

/* Fills the batch with what is to be done. */
static int plan(struct job *job, struct stage *stage,
		struct layer_source *sources, size_t count,
		struct flusher *flusher, struct batch *batch, struct error *err)
{
	for (size_t i = 0; i < count; i++) {
		struct task *task = &batch->tasks[batch->count];
		int r;

		if (find_same(sources, i))
			continue;
		*task = (struct task){
			.job = job,
			.flusher = flusher,
			.stage = stage,
			.source = &sources[i],
			.sink = {.fd = -1},
		};
		r = look_up(task, err);
		if (r < 0)
			return r;
		say(task, r > 0 ? "Already exists" : "Pulling fs layer");
		if (r == 0)
			batch->count++;
	}
	return 0;
}

int layers_stage(struct job *job, struct stage *stage,
		 struct layer_source *sources, size_t count,
		 unsigned int parallel, uint64_t *ret_unpacked_size,
		 struct error *err)
{
	cleanup_free struct task *tasks = xcalloc(count + 1, sizeof(*tasks));
	struct batch batch = {.tasks = tasks};
	struct parallel work = {
		.run = run_task,
		.data = &batch,
		.threads = parallel,
		.cancelled = &job->cancelled,
	};
	uint64_t size = 0;
	struct flusher flusher;
	int r = plan(job, stage, sources, count, &flusher, &batch, err);

	if (r < 0)
		return r;
	for (size_t i = parallel; i < batch.count; i++)
		say(&batch.tasks[i], "Waiting");
	work.count = batch.count;
	flusher_start(&flusher, stage->work.fd);
	r = parallel_run(&work, err);
	flusher_stop(&flusher);
	if (r < 0)
		return r;
	for (size_t i = 0; i < count; i++) {
		const struct layer_source *same = find_same(sources, i);

		if (same) {
			sources[i].blob = same->blob;
			sources[i].layer = same->layer;
		}
		size += sources[i].layer.size;
	}
	*ret_unpacked_size = size;
	return 0;
}
