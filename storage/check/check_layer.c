/* One layer, packed and unpacked: check_layer() of storage/check/check.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "storage/check/check.h"
#include "storage/check/check_tree.h"
#include "storage/store/blob.h"
#include "storage/store/layer.h"
#include "storage/tar/hash.h"
#include "storage/tar/stream.h"

static const char blob_advice[] =
	"pull or load the image again; --repair removes this one";
static const char tree_advice[] = "--repair unpacks the layer again";

struct reading {
	struct check *check;
	struct check_layer *layer;
	struct hash packed;
	struct hash unpacked;
	struct job_meter meter;
	char id[DIGEST_SHORT_MAX];
	uint64_t read;
	char **differences; /* of the tree, kept until the blob is judged */
	unsigned int difference_count;
};

static void reading_release(struct reading *reading)
{
	hash_release(&reading->packed);
	hash_release(&reading->unpacked);
	strv_free(reading->differences);
}

static void blame_blob(struct check *check, struct check_layer *layer,
		       const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static void blame_blob(struct check *check, struct check_layer *layer,
		       const char *format, ...)
{
	char text[ERROR_MESSAGE_MAX];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	layer->blob_bad = true;
	for (size_t i = 0; i < layer->user_count; i++)
		check_finding(check, check->images[layer->users[i]].manifest,
			      layer->what, blob_advice, "%s", text);
	for (size_t i = 0; layer->records && layer->records[i]; i++)
		check_cache_finding(check, layer->records[i], layer->what,
				    text);
}

static void blame_tree(void *data, const char *path, const char *what)
{
	struct reading *reading = data;

	if (++reading->difference_count <= CHECK_TREE_MAX)
		strv_push_take(
			&reading->differences,
			xasprintf("\"%.128s\" %s", *path ? path : "/", what));
}

/* What a bad blob says about the tree says nothing. */
static void tell_differences(struct reading *reading)
{
	struct check_layer *layer = reading->layer;
	unsigned int more = 0;

	if (layer->blob_bad || !reading->differences)
		return;
	layer->tree_bad = true;
	for (size_t i = 0; reading->differences[i]; i++)
		check_finding(reading->check, layer->diff_id, layer->what,
			      tree_advice, "%s", reading->differences[i]);
	if (reading->difference_count > CHECK_TREE_MAX)
		more = reading->difference_count - CHECK_TREE_MAX;
	if (more > 0)
		check_finding(reading->check, layer->diff_id, layer->what,
			      tree_advice, "%u more differences", more);
}

static int tap_packed(void *data, const void *bytes, size_t length,
		      struct error *err)
{
	struct reading *reading = data;

	hash_update(&reading->packed, bytes, length);
	reading->read += length;
	job_progress(reading->check->job, &reading->meter, reading->id,
		     "Checking", reading->read, reading->layer->blob.size);
	return 0;
}

static int tap_unpacked(void *data, const void *bytes, size_t length,
			struct error *err)
{
	hash_update(&((struct reading *)data)->unpacked, bytes, length);
	return 0;
}

static int open_tree(struct reading *reading, cJSON **ret_json)
{
	const struct store *store = &reading->check->job->store;
	const char *hex = digest_hex(reading->layer->diff_id);
	cleanup_free char *marker = xasprintf("%s/" LAYER_MARKER, hex);
	cleanup_free char *diff = xasprintf("%s/" LAYER_DIFF, hex);
	struct error error = {0};
	int fd = -1;

	if (!layer_exists(store, reading->layer->diff_id)) {
		blame_tree(reading, "/", "is not unpacked");
		return -ENOENT;
	}
	if (json_read_at(store->layers_fd, marker, ret_json, &error) < 0) {
		blame_tree(reading, LAYER_MARKER, "cannot be read");
		return -EINVAL;
	}
	fd = openat(store->layers_fd, diff,
		    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		blame_tree(reading, LAYER_DIFF, "cannot be opened");
	return fd;
}

/* Compares the tree, if there is one; reads the stream to its end. */
static int read_unpacked(struct reading *reading, struct stream *stream,
			 struct error *err)
{
	cleanup_tar_reader struct tar_reader *reader = NULL;
	cleanup_json cJSON *json = NULL;
	char name[STAGE_NAME_MAX];
	cleanup_fd int scratch_fd = -1;
	cleanup_fd int root_fd = open_tree(reading, &json);

	if (root_fd < 0)
		return stream_drain(stream, err);
	scratch_fd = stage_new_file(&reading->check->stage, name, NULL);
	reader = tar_reader_new(stream_tar_source, stream);
	return check_tree(
		&(const struct check_tree){
			.reader = reader,
			.root_fd = root_fd,
			.scratch_fd = scratch_fd,
			.devices = cJSON_GetObjectItemCaseSensitive(json,
								    "devices"),
			.report = blame_tree,
			.data = reading,
		},
		err);
}

static int read_packed(struct reading *reading, struct stream *packed,
		       struct error *err)
{
	cleanup_stream struct stream *stream = NULL;
	enum compression compression;
	int r;

	if (reading->check->quick)
		return stream_drain(packed, err);
	r = stream_detect(stream_borrowed(packed), &stream, &compression, err);
	if (r == 0)
		r = stream_unpacked(steal_ptr(&stream), compression,
				    &reading->check->job->store.limits, &stream,
				    err);
	if (r < 0)
		return r;
	stream = stream_tapped(stream, tap_unpacked, reading);
	return read_unpacked(reading, stream, err);
}

/* The digests, after all was read; an error of the reading comes second. */
static void judge(struct reading *reading, struct stream *packed, int result,
		  const struct error *error)
{
	struct check_layer *layer = reading->layer;
	struct check *check = reading->check;
	char digest[DIGEST_TEXT_MAX];

	if (stream_drain(packed, NULL) < 0) {
		blame_blob(check, layer, "cannot be read: %s", error->message);
		return;
	}
	hash_digest(&reading->packed, digest);
	if (!str_equal(digest, layer->blob.digest)) {
		blame_blob(check, layer, "the blob holds %s", digest);
		return;
	}
	if (result < 0) {
		blame_blob(check, layer, "cannot be unpacked: %s",
			   error->message);
		return;
	}
	if (check->quick)
		return;
	hash_digest(&reading->unpacked, digest);
	if (!str_equal(digest, layer->diff_id))
		blame_blob(check, layer,
			   "unpacked it is %s, not its diff ID %s", digest,
			   layer->diff_id);
}

static void read_layer(struct reading *reading, int fd)
{
	cleanup_stream struct stream *packed = NULL;
	struct check *check = reading->check;
	struct check_layer *layer = reading->layer;
	struct error error = {0};
	int r;

	packed = stream_tapped(stream_from_fd(fd, layer->blob.digest),
			       tap_packed, reading);
	r = hash_init(&reading->packed, &error);
	if (r == 0)
		r = hash_init(&reading->unpacked, &error);
	if (r == 0)
		r = read_packed(reading, packed, &error);
	if (reading->unpacked.context)
		judge(reading, packed, r, &error);
	pthread_mutex_lock(&check->lock);
	check->bytes += reading->read;
	pthread_mutex_unlock(&check->lock);
}

void check_layer(struct check *check, struct check_layer *layer)
{
	CLEANUP(reading_release)
	struct reading reading = {.check = check, .layer = layer};
	struct error error = {0};
	uint64_t size = 0;
	int fd = blob_open(&check->job->store, layer->blob.digest, &size,
			   &error);

	digest_short(reading.id, layer->blob.digest);
	if (fd < 0) {
		blame_blob(check, layer, "%s", error.message);
	} else if (size != layer->blob.size) {
		close_fd(&fd);
		blame_blob(check, layer, "the blob has %llu bytes, not %llu",
			   (unsigned long long)size,
			   (unsigned long long)layer->blob.size);
	} else {
		read_layer(&reading, fd);
	}
	if (check->quick && !layer->blob_bad &&
	    !layer_exists(&check->job->store, layer->diff_id))
		blame_tree(&reading, "/", "is not unpacked");
	tell_differences(&reading);
	job_status(check->job, reading.id, "Checked");
}
