/* Mending the store: the second half of storage/check/check.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "storage/check/check.h"
#include "storage/store/blob.h"
#include "storage/store/index.h"
#include "storage/store/layer.h"
#include "storage/store/oci.h"
#include "storage/tar/hash.h"
#include "storage/tar/stream.h"
#include "storage/tar/sync_tree.h"

#ifndef RENAME_EXCHANGE
#define RENAME_EXCHANGE (1 << 1)
#endif

/* ---- layers ---- */

static int unpack_again(struct check *check, const struct check_layer *layer,
			struct error *err)
{
	CLEANUP(stage_layer_release) struct stage_layer unpacked = {0};
	cleanup_stream struct stream *stream = NULL;
	struct stage_layer_request request = {
		.expected = layer->diff_id,
		.what = layer->what,
	};
	enum compression compression;
	int fd = blob_open(&check->job->store, layer->blob.digest, NULL, err);
	int r;

	if (fd < 0)
		return fd;
	r = stream_detect(stream_from_fd(fd, layer->blob.digest), &stream,
			  &compression, err);
	if (r == 0)
		r = stream_unpacked(steal_ptr(&stream), compression,
				    &check->job->store.limits, &stream, err);
	if (r < 0)
		return r;
	request.stream = stream;
	r = stage_unpack(&check->stage, &request, &unpacked, err);
	if (r < 0)
		return r;
	strcpy(unpacked.layer.blob, layer->blob.digest);
	return stage_keep_layer(&check->stage, &unpacked, err);
}

/*
 * In one step: whoever mounts the layer finds the old tree or the new one. The
 * old one goes with the work directory.
 */
static int exchange(struct check *check, const char *hex, struct error *err)
{
	static const char *const staged[] = {STAGE_LAYERS, NULL};
	const int from = check->stage.layers_fd;
	const int to = check->job->store.layers_fd;
	cleanup_fd int lock_fd = -1;
	int r;

	r = sync_trees(check->stage.work.fd, staged, "the store", err);
	if (r < 0)
		return r;
	lock_fd = store_lock(&check->job->store, LOCK_EXCLUSIVE, err);
	if (lock_fd < 0)
		return lock_fd;
	if (renameat2(from, hex, to, hex, RENAME_EXCHANGE) < 0 &&
	    (errno != ENOENT || renameat(from, hex, to, hex) < 0))
		return err_errno(err, "cannot replace layer %s", hex);
	if (fsync(to) < 0 && errno != EINVAL)
		return err_errno(err, "cannot sync the store's layers");
	return 0;
}

/* "web, db": running containers that have the layer; NULL: none. */
static char *running_users(const struct check *check, const char *diff_id)
{
	cleanup_strv char **names = NULL;
	const cJSON *container;

	cJSON_ArrayForEach(container, check->containers)
	{
		cleanup_strv char **layers = NULL;
		const char *name = "";
		bool running = false;

		(void)json_get_bool(container, "", "running", &running, NULL);
		(void)json_get_string(container, "", "name", &name, NULL);
		(void)json_get_strv(container, "", "layers", &layers, NULL);
		if (running && strv_contains(layers, diff_id))
			strv_push(&names, name);
	}
	return names ? strv_join(names, ", ") : NULL;
}

static void mend_layer(struct check *check, const struct check_layer *layer)
{
	cleanup_free char *users = running_users(check, layer->diff_id);
	struct error error = {0};
	int r = unpack_again(check, layer, &error);

	if (r == 0)
		r = exchange(check, digest_hex(layer->diff_id), &error);
	if (r < 0)
		check_settle(check, layer->diff_id, false,
			     "it could not be unpacked again: %s",
			     error.message);
	else if (users)
		check_settle(check, layer->diff_id, true,
			     "unpacked again; restart %.256s, which still "
			     "has the old one",
			     users);
	else
		check_settle(check, layer->diff_id, true, "unpacked again");
}

/* Was it mended already, from another blob? */
static bool is_done(const struct check *check, size_t index)
{
	for (size_t i = 0; i < index; i++) {
		const struct check_layer *layer = &check->layers[i];

		if (layer->tree_bad && !layer->blob_bad &&
		    str_equal(layer->diff_id, check->layers[index].diff_id))
			return true;
	}
	return false;
}

/* ---- images ---- */

/* A container that uses the image; NULL: none. */
static const char *image_user(const struct check *check, const char *id)
{
	const cJSON *container;

	cJSON_ArrayForEach(container, check->containers)
	{
		cleanup_strv char **images = NULL;
		const char *name = "?";

		(void)json_get_strv(container, "", "images", &images, NULL);
		(void)json_get_string(container, "", "name", &name, NULL);
		if (*id && strv_contains(images, id))
			return name;
	}
	return NULL;
}

static void drop_image(struct check *check, const struct check_image *image)
{
	const char *user = image_user(check, image->id);

	if (user && !check->force) {
		check_settle(check, image->manifest, false,
			     "container %.128s uses it: --force drops it "
			     "nevertheless",
			     user);
		return;
	}
	index_drop(check->index, image->manifest);
	check_settle(check, image->manifest, true, "%s dropped", image->name);
}

static void forget_origin(struct check *check, cJSON *entry)
{
	const char *digests[] = {index_entry_origin(entry),
				 index_entry_referrers(entry)};

	for (size_t i = 0; i < ARRAY_SIZE(digests); i++) {
		cleanup_free char *digest = NULL;

		if (!digests[i] || blob_exists(&check->job->store, digests[i]))
			continue;
		digest = xstrdup(digests[i]);
		index_entry_forget(entry, digest);
		check_settle(check, digest, true, "forgotten");
	}
}

/* Entries without a digest, and what they say about indexes that are gone. */
static void mend_entries(struct check *check)
{
	cJSON *entries = index_entries(check->index);
	cJSON *next;

	for (cJSON *entry = entries->child; entry; entry = next) {
		next = entry->next;
		if (index_entry_digest(entry))
			forget_origin(check, entry);
		else
			cJSON_Delete(
				cJSON_DetachItemViaPointer(entries, entry));
	}
	check_settle(check, "entry", true, "dropped");
}

static int mend_index(struct check *check, struct error *err)
{
	cleanup_fd int lock_fd = -1;
	int r;

	lock_fd = store_lock(&check->job->store, LOCK_EXCLUSIVE, err);
	if (lock_fd < 0)
		return lock_fd;
	cJSON_Delete(steal_ptr(&check->index));
	r = index_read(&check->job->store, &check->index, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < check->image_count; i++) {
		if (check->images[i].lost)
			drop_image(check, &check->images[i]);
	}
	mend_entries(check);
	return index_write(&check->job->store, check->index, err);
}

int check_repair(struct check *check, struct error *err)
{
	int r;

	for (size_t i = 0; i < check->layer_count; i++) {
		const struct check_layer *layer = &check->layers[i];

		if (layer->tree_bad && !layer->blob_bad && !is_done(check, i))
			mend_layer(check, layer);
	}
	if (cJSON_GetArraySize(check->findings) == 0)
		return 0;
	r = mend_index(check, err);
	return r < 0 ? r : check_cache_repair(check, err);
}

/* ---- the index, from what the blobs hold ---- */

/* Of the layers that are unpacked. */
static uint64_t unpacked_size(const struct store *store, const char *config)
{
	cleanup_strv char **diff_ids = NULL;
	cleanup_json cJSON *json = NULL;
	uint64_t size = 0;

	if (blob_read_json(store, config, &json, NULL) < 0 ||
	    config_diff_ids(json, config, &diff_ids, NULL) < 0)
		return 0;
	for (size_t i = 0; diff_ids && diff_ids[i]; i++) {
		struct layer layer;

		if (layer_read(store, diff_ids[i], &layer, NULL) == 0)
			size += layer.size;
	}
	return size;
}

/* 1 and its descriptor when the blob is a manifest of an image. */
static int read_manifest(const struct store *store, const char *hex,
			 struct descriptor *ret_descriptor, uint64_t *ret_size)
{
	CLEANUP(manifest_release) struct manifest manifest = {0};
	cleanup_json cJSON *json = NULL;
	cleanup_free char *text = NULL;
	struct descriptor descriptor = {.media_type = OCI_MANIFEST};
	const char *media_type = NULL;
	char digest[DIGEST_TEXT_MAX];
	cleanup_fd int fd = -1;
	size_t length = 0;
	uint64_t size = 0;

	digest_from_hex(descriptor.digest, hex);
	fd = blob_open(store, descriptor.digest, &size, NULL);
	if (fd < 0 || size > JSON_FILE_MAX ||
	    file_read_fd(fd, hex, JSON_FILE_MAX, &text, &length, NULL) < 0 ||
	    hash_bytes(text, length, digest, NULL) < 0 ||
	    !str_equal(digest, descriptor.digest) ||
	    json_parse(text, length, hex, &json, NULL) < 0 ||
	    document_kind(json) != DOCUMENT_MANIFEST ||
	    manifest_parse(json, hex, &manifest, NULL) < 0 ||
	    !blob_exists(store, manifest.config.digest))
		return 0;
	for (size_t i = 0; i < manifest.layer_count; i++) {
		if (!blob_exists(store, manifest.layers[i].digest))
			return 0;
	}
	if (json_get_string(json, hex, "mediaType", &media_type, NULL) > 0)
		snprintf(descriptor.media_type, MEDIA_TYPE_MAX, "%s",
			 media_type);
	descriptor.size = length;
	*ret_descriptor = descriptor;
	*ret_size = unpacked_size(store, manifest.config.digest);
	return 1;
}

static int find_images(const struct store *store, cJSON *index,
		       struct error *err)
{
	cleanup_dir DIR *dir = NULL;
	const struct dirent *entry;
	int fd = openat(store->image_fd, OCI_BLOBS,
			O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	dir = fd >= 0 ? fdopendir(fd) : NULL;
	if (!dir)
		return err_errno(err, "cannot read image/" OCI_BLOBS);
	while ((entry = readdir(dir))) {
		struct descriptor descriptor;
		uint64_t size;

		if (strlen(entry->d_name) == DIGEST_HEX &&
		    digest_is_hex(entry->d_name, DIGEST_HEX) &&
		    read_manifest(store, entry->d_name, &descriptor, &size) > 0)
			index_set(index, NULL, &descriptor, size);
	}
	return 0;
}

int check_repair_index(struct check *check, struct error *err)
{
	cleanup_json cJSON *index = json_object();
	cleanup_fd int lock_fd = -1;
	int r;

	json_set_i64(index, "schemaVersion", 2);
	json_set_string(index, "mediaType", OCI_INDEX);
	json_set(index, "manifests", json_array());
	lock_fd = store_lock(&check->job->store, LOCK_EXCLUSIVE, err);
	if (lock_fd < 0)
		return lock_fd;
	r = find_images(&check->job->store, index, err);
	if (r == 0)
		r = index_write(&check->job->store, index, err);
	if (r < 0)
		return r;
	check_settle(check, OCI_INDEX_FILE, true,
		     "written anew, with %d images without a name",
		     cJSON_GetArraySize(index_entries(index)));
	return 0;
}
