#include "storage/job/stage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "storage/store/blob.h"
#include "storage/tar/unpack.h"

static int make_directory(int dir_fd, const char *name, mode_t mode,
			  struct error *err)
{
	int fd;

	if (mkdirat(dir_fd, name, mode) < 0)
		return err_errno(err, "cannot make directory %s", name);
	fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? err_errno(err, "cannot open directory %s", name) : fd;
}

int stage_open(struct store *store, struct stage *ret_stage, struct error *err)
{
	CLEANUP(stage_release)
	struct stage stage = {
		.store = store,
		.work = {.fd = -1, .lock_fd = -1},
		.blobs_fd = -1,
		.layers_fd = -1,
	};
	int r = store_work_new(store, &stage.work, err);

	if (r < 0)
		return r;
	stage.blobs_fd = make_directory(stage.work.fd, STAGE_BLOBS, 0700, err);
	if (stage.blobs_fd < 0)
		return stage.blobs_fd;
	stage.layers_fd =
		make_directory(stage.work.fd, STAGE_LAYERS, 0700, err);
	if (stage.layers_fd < 0)
		return stage.layers_fd;
	*ret_stage = stage;
	stage = (struct stage){
		.work = {.fd = -1, .lock_fd = -1},
		.blobs_fd = -1,
		.layers_fd = -1,
	};
	return 0;
}

void stage_release(struct stage *stage)
{
	close_fd(&stage->blobs_fd);
	close_fd(&stage->layers_fd);
	store_work_release(&stage->work);
}

static bool is_staged(int dir_fd, const char *digest)
{
	return faccessat(dir_fd, digest_hex(digest), F_OK, 0) == 0;
}

static int lease(struct stage *stage, const char *digest,
		 bool (*exists)(const struct store *store, const char *digest),
		 struct error *err)
{
	cleanup_fd int lock_fd = -1;
	int r;

	if (!exists(stage->store, digest))
		return 0;
	lock_fd = store_lock(stage->store, LOCK_SHARED, err);
	if (lock_fd < 0)
		return lock_fd;
	r = store_work_lease(&stage->work, digest_hex(digest), err);
	if (r < 0)
		return r;
	return exists(stage->store, digest);
}

int stage_has_blob(struct stage *stage, const char *digest, struct error *err)
{
	if (is_staged(stage->blobs_fd, digest))
		return 1;
	return lease(stage, digest, blob_exists, err);
}

int stage_has_layer(struct stage *stage, const char *diff_id, struct error *err)
{
	if (is_staged(stage->layers_fd, diff_id))
		return 1;
	return lease(stage, diff_id, layer_exists, err);
}

static void new_name(struct stage *stage, char ret_name[STAGE_NAME_MAX])
{
	snprintf(ret_name, STAGE_NAME_MAX, "new-%u",
		 atomic_fetch_add(&stage->next, 1));
}

int stage_new_file(struct stage *stage, char ret_name[STAGE_NAME_MAX],
		   struct error *err)
{
	int fd;

	new_name(stage, ret_name);
	fd = openat(stage->work.fd, ret_name,
		    O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
	return fd < 0 ? err_errno(err, "cannot make a file in the store") : fd;
}

int stage_keep_blob(struct stage *stage, const char *name, const char *digest,
		    struct error *err)
{
	if (renameat(stage->work.fd, name, stage->blobs_fd,
		     digest_hex(digest)) < 0)
		return err_errno(err, "cannot stage blob %s", digest);
	return 0;
}

int stage_write_blob(struct stage *stage, const void *bytes, size_t length,
		     struct descriptor *ret_descriptor, struct error *err)
{
	char name[STAGE_NAME_MAX];
	char digest[DIGEST_TEXT_MAX];
	cleanup_fd int fd = -1;
	int r = hash_bytes(bytes, length, digest, err);

	if (r < 0)
		return r;
	fd = stage_new_file(stage, name, err);
	if (fd < 0)
		return fd;
	r = write_all(fd, bytes, length);
	if (r < 0)
		return err_number(err, r, "cannot write blob %s", digest);
	strcpy(ret_descriptor->digest, digest);
	ret_descriptor->size = length;
	return stage_keep_blob(stage, name, digest, err);
}

int stage_write_json(struct stage *stage, const cJSON *json,
		     const char *media_type, struct descriptor *ret_descriptor,
		     struct error *err)
{
	cleanup_free char *text = json_print(json);

	snprintf(ret_descriptor->media_type, MEDIA_TYPE_MAX, "%s", media_type);
	if (strlen(text) > JSON_FILE_MAX)
		return err_set(err, ERROR_INVALID,
			       "the image's config is larger than %u bytes",
			       JSON_FILE_MAX);
	return stage_write_blob(stage, text, strlen(text), ret_descriptor, err);
}

int stage_open_blob(struct stage *stage, const char *digest, struct error *err)
{
	int fd = openat(stage->blobs_fd, digest_hex(digest),
			O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	return fd >= 0 ? fd : blob_open(stage->store, digest, NULL, err);
}

static int tap_hash(void *data, const void *bytes, size_t length,
		    struct error *err)
{
	hash_update(data, bytes, length);
	return 0;
}

static int check_diff_id(const struct stage_layer_request *request,
			 const char *diff_id, struct error *err)
{
	if (!request->expected || str_equal(request->expected, diff_id))
		return 0;
	return err_set(err, ERROR_CORRUPT,
		       "%s: wrong digest: the unpacked layer is %s, not %s",
		       request->what, diff_id, request->expected);
}

static int wrap(const struct stage_layer_request *request, struct error *err)
{
	return request->what ? err_wrap(err, "%s", request->what)
			     : err_return(err);
}

void stage_layer_release(struct stage_layer *layer)
{
	cJSON_Delete(layer->devices);
	*layer = (struct stage_layer){0};
}

/* The digest of all that the archive's reader takes. */
static int unpack_hashed(const struct stage *stage,
			 const struct stage_layer_request *request, int root_fd,
			 struct unpack_result *ret_result,
			 char ret_digest[DIGEST_TEXT_MAX], struct error *err)
{
	CLEANUP(hash_release) struct hash hash = {NULL};
	cleanup_stream struct stream *tapped = NULL;
	cleanup_tar_reader struct tar_reader *reader = NULL;
	int r = hash_init(&hash, err);

	if (r < 0)
		return r;
	tapped = stream_tapped(stream_borrowed(request->stream), tap_hash,
			       &hash);
	reader = tar_reader_new(stream_tar_source, tapped);
	r = unpack_layer(reader, root_fd, &stage->store->limits, ret_result,
			 err);
	if (r < 0)
		return wrap(request, err);
	hash_digest(&hash, ret_digest);
	return 0;
}

int stage_unpack(struct stage *stage, const struct stage_layer_request *request,
		 struct stage_layer *ret_layer, struct error *err)
{
	CLEANUP(stage_layer_release) struct stage_layer layer = {0};
	struct unpack_result result = {0};
	cleanup_fd int dir_fd = -1;
	cleanup_fd int root_fd = -1;
	int r;

	new_name(stage, layer.name);
	dir_fd = make_directory(stage->work.fd, layer.name, 0755, err);
	if (dir_fd < 0)
		return dir_fd;
	root_fd = make_directory(dir_fd, LAYER_DIFF, 0755, err);
	if (root_fd < 0)
		return root_fd;
	r = unpack_hashed(stage, request, root_fd, &result, layer.layer.diff_id,
			  err);
	if (r < 0)
		return r;
	layer.devices = result.devices;
	layer.layer.size = result.bytes;
	layer.layer.entries = result.entries;
	layer.layer.squashed = result.squashed;
	layer.layer.privileged = result.privileged;
	r = check_diff_id(request, layer.layer.diff_id, err);
	if (r < 0)
		return r;
	atomic_fetch_add(&stage->squashed, result.squashed);
	atomic_fetch_add(&stage->xattrs_skipped, result.xattrs_skipped);
	*ret_layer = layer;
	layer = (struct stage_layer){0};
	return 0;
}

int stage_keep_layer(struct stage *stage, const struct stage_layer *layer,
		     struct error *err)
{
	const char *hex = digest_hex(layer->layer.diff_id);
	cleanup_fd int dir_fd = -1;
	int r;

	/* The same layer twice in one archive. */
	if (is_staged(stage->layers_fd, layer->layer.diff_id))
		return tree_remove_at(stage->work.fd, layer->name, err);
	dir_fd = openat(stage->work.fd, layer->name,
			O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir_fd < 0)
		return err_errno(err, "cannot open a staged layer");
	r = layer_write(dir_fd, &layer->layer, layer->devices, err);
	if (r < 0)
		return r;
	if (renameat(stage->work.fd, layer->name, stage->layers_fd, hex) == 0)
		return 0;
	/* Another thread was faster. */
	if (errno == ENOTEMPTY || errno == EEXIST)
		return tree_remove_at(stage->work.fd, layer->name, err);
	return err_errno(err, "cannot stage layer %s", layer->layer.diff_id);
}

int stage_verify(struct stage *stage, const struct stage_layer_request *request,
		 struct error *err)
{
	CLEANUP(hash_release) struct hash hash = {NULL};
	char diff_id[DIGEST_TEXT_MAX];
	const void *bytes;
	ssize_t length;
	int r = hash_init(&hash, err);

	if (r < 0)
		return r;
	while ((length = stream_next(request->stream, &bytes, err)) > 0)
		hash_update(&hash, bytes, (size_t)length);
	if (length < 0)
		return wrap(request, err);
	hash_digest(&hash, diff_id);
	return check_diff_id(request, diff_id, err);
}

int stage_read_layer(struct stage *stage, const char *diff_id,
		     struct layer *ret_layer, struct error *err)
{
	struct store staged = *stage->store;

	if (is_staged(stage->layers_fd, diff_id))
		staged.layers_fd = stage->layers_fd;
	return layer_read(&staged, diff_id, ret_layer, err);
}

void stage_image_release(struct stage_image *image)
{
	strv_free(image->references);
	*image = (struct stage_image){0};
}
