/* stage_place() and stage_commit() of storage/job/stage.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "storage/job/stage.h"
#include "storage/store/blob.h"
#include "storage/store/collect.h"
#include "storage/store/image_entry.h"
#include "storage/store/index.h"
#include "storage/store/oci.h"
#include "storage/tar/sync_tree.h"

static int list_names(int dir_fd, char ***ret_names, struct error *err)
{
	cleanup_strv char **names = NULL;
	cleanup_dir DIR *dir = NULL;
	const struct dirent *entry;
	int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return err_errno(err, "cannot read the work directory");
	dir = fdopendir(fd);
	if (!dir) {
		close_fd(&fd);
		return err_errno(err, "cannot read the work directory");
	}
	while ((entry = readdir(dir))) {
		if (*entry->d_name != '.')
			strv_push(&names, entry->d_name);
	}
	*ret_names = steal_ptr(&names);
	return 0;
}

static int open_blobs(const struct stage *stage, struct error *err)
{
	int fd = openat(stage->store->image_fd, OCI_BLOBS,
			O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return fd >= 0 ? fd
		       : err_errno(err, "cannot open %s/image/" OCI_BLOBS,
				   stage->store->path);
}

/* A blob that appeared meanwhile has the same content. */
static int place_blob(struct stage *stage, int to_fd, const char *hex,
		      struct error *err)
{
	if (renameat(stage->blobs_fd, hex, to_fd, hex) < 0)
		return err_errno(err, "cannot store blob %s", hex);
	return 0;
}

/*
 * A layer that is whole stays, containers use it; another makes room, which
 * takes the store's exclusive lock.
 */
static int place_layer(struct stage *stage, const char *hex, struct error *err)
{
	cleanup_free char *old = xasprintf("old-%s", hex);
	const int to_fd = stage->store->layers_fd;
	char digest[DIGEST_TEXT_MAX];

	digest_from_hex(digest, hex);
	if (layer_exists(stage->store, digest))
		return 0;
	if (renameat(to_fd, hex, stage->work.fd, old) < 0 && errno != ENOENT)
		return err_errno(err, "cannot replace layer %s", hex);
	if (renameat(stage->layers_fd, hex, to_fd, hex) == 0)
		return 0;
	/* Somebody else's, placed a moment ago. */
	if ((errno == ENOTEMPTY || errno == EEXIST) &&
	    layer_exists(stage->store, digest))
		return 0;
	return err_errno(err, "cannot store layer %s", hex);
}

static int place_all(struct stage *stage, struct error *err)
{
	cleanup_strv char **blobs = NULL;
	cleanup_strv char **layers = NULL;
	cleanup_fd int to_fd = open_blobs(stage, err);
	int r = to_fd;

	if (r >= 0)
		r = list_names(stage->blobs_fd, &blobs, err);
	if (r >= 0)
		r = list_names(stage->layers_fd, &layers, err);
	for (size_t i = 0; r >= 0 && blobs && blobs[i]; i++)
		r = place_blob(stage, to_fd, blobs[i], err);
	for (size_t i = 0; r >= 0 && layers && layers[i]; i++)
		r = place_layer(stage, layers[i], err);
	if (r < 0)
		return r;
	/* Also what was placed before, by us or by others. */
	if (fsync(to_fd) < 0 && errno != EINVAL)
		return err_errno(err, "cannot sync the store's blobs");
	if (fsync(stage->store->layers_fd) < 0 && errno != EINVAL)
		return err_errno(err, "cannot sync the store's layers");
	return 0;
}

/* Is there something of that name, which is no whole layer? */
static bool is_broken(const struct store *store, const char *diff_id)
{
	return faccessat(store->layers_fd, digest_hex(diff_id), F_OK,
			 AT_SYMLINK_NOFOLLOW) == 0 &&
	       !layer_exists(store, diff_id);
}

static int place_leased(struct stage *stage, const char *blob,
			const char *diff_id, struct error *err)
{
	const char *blob_hex = digest_hex(blob);
	const char *layer_hex = digest_hex(diff_id);
	cleanup_fd int to_fd = open_blobs(stage, err);
	int r;

	if (to_fd < 0)
		return to_fd;
	r = store_work_lease(&stage->work, blob_hex, err);
	if (r == 0)
		r = store_work_lease(&stage->work, layer_hex, err);
	if (r == 0 && faccessat(stage->blobs_fd, blob_hex, F_OK, 0) == 0)
		r = place_blob(stage, to_fd, blob_hex, err);
	if (r == 0 && faccessat(stage->layers_fd, layer_hex, F_OK, 0) == 0)
		r = place_layer(stage, layer_hex, err);
	return r;
}

static int sync_staged(const struct stage *stage, const char *const *paths,
		       struct error *err)
{
	cleanup_free char *what = xasprintf("the store %s", stage->store->path);

	return sync_trees(stage->work.fd, paths, what, err);
}

static int sync_all(const struct stage *stage, struct error *err)
{
	static const char *const paths[] = {STAGE_BLOBS, STAGE_LAYERS, NULL};

	return sync_staged(stage, paths, err);
}

/* One layer and its packed form: others are still being written. */
static int sync_layer(const struct stage *stage, const char *blob,
		      const char *diff_id, struct error *err)
{
	cleanup_free char *blob_path =
		xasprintf(STAGE_BLOBS "/%s", digest_hex(blob));
	cleanup_free char *layer_path =
		xasprintf(STAGE_LAYERS "/%s", digest_hex(diff_id));
	const char *const paths[] = {blob_path, layer_path, NULL};

	return sync_staged(stage, paths, err);
}

int stage_place(struct stage *stage, const char *blob, const char *diff_id,
		struct error *err)
{
	cleanup_fd int lock_fd = -1;
	int r = sync_layer(stage, blob, diff_id, err);

	if (r < 0)
		return r;
	/* Names appear; they are taken away under the exclusive lock only. */
	lock_fd = store_lock(stage->store,
			     is_broken(stage->store, diff_id) ? LOCK_EXCLUSIVE
							      : LOCK_SHARED,
			     err);
	if (lock_fd < 0)
		return lock_fd;
	return place_leased(stage, blob, diff_id, err);
}

int stage_place_for(struct stage *stage, const char *work, const char *blob,
		    const char *diff_id, struct error *err)
{
	const char *hex[] = {digest_hex(blob), digest_hex(diff_id)};
	int r = 0;

	/* Before they are looked for, so that nobody takes them away then. */
	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(hex); i++)
		r = store_work_lease_for(stage->store, work, hex[i], err);
	return r < 0 ? r : stage_place(stage, blob, diff_id, err);
}

int stage_place_blobs_for(struct stage *stage, const char *work,
			  struct error *err)
{
	cleanup_strv char **blobs = NULL;
	cleanup_fd int to_fd = open_blobs(stage, err);
	cleanup_fd int lock_fd = -1;
	int r = to_fd < 0 ? to_fd : sync_all(stage, err);

	if (r == 0)
		r = list_names(stage->blobs_fd, &blobs, err);
	if (r < 0)
		return r;
	lock_fd = store_lock(stage->store, LOCK_SHARED, err);
	if (lock_fd < 0)
		return lock_fd;
	for (size_t i = 0; r == 0 && blobs && blobs[i]; i++) {
		r = store_work_lease_for(stage->store, work, blobs[i], err);
		if (r == 0)
			r = place_blob(stage, to_fd, blobs[i], err);
	}
	return r;
}

/* The manifest that the store has for that ID already, if any. */
static bool use_known_manifest(const struct stage *stage, const cJSON *index,
			       struct stage_image *image)
{
	const cJSON *entry;

	cJSON_ArrayForEach(entry, index_entries(index))
	{
		CLEANUP(manifest_release) struct manifest manifest = {0};
		struct descriptor descriptor;
		bool whole = true;

		if (index_entry_is_removed(entry) ||
		    image_entry_manifest(stage->store, entry, &manifest, NULL) <
			    0 ||
		    !str_equal(manifest.config.digest, image->id) ||
		    descriptor_parse(entry, "", &descriptor, NULL) < 0)
			continue;
		for (size_t i = 0; i < manifest.layer_count; i++)
			whole = whole && blob_exists(stage->store,
						     manifest.layers[i].digest);
		if (!whole || !blob_exists(stage->store, image->id))
			continue;
		image->manifest = descriptor;
		return true;
	}
	return false;
}

static void set_entries(cJSON *index, const struct stage_image *image)
{
	if (!image->references || !image->references[0])
		index_set(index, NULL, &image->manifest, image->size);
	for (size_t i = 0; image->references && image->references[i]; i++) {
		index_set(index, image->references[i], &image->manifest,
			  image->size);
		/* One that is loaded may have been pulled before. */
		if (!*image->origin)
			continue;
		index_set_origin(index, image->references[i], image->origin,
				 *image->referrers ? image->referrers : NULL);
	}
}

int stage_commit(struct stage *stage, struct stage_image *images, size_t count,
		 struct error *err)
{
	cleanup_json cJSON *index = NULL;
	cleanup_fd int lock_fd = -1;
	bool surplus = false;
	int r = sync_all(stage, err);

	if (r < 0)
		return r;
	lock_fd = store_lock(stage->store, LOCK_EXCLUSIVE, err);
	if (lock_fd < 0)
		return lock_fd;
	r = index_read(stage->store, &index, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < count; i++) {
		if (images[i].made_up &&
		    use_known_manifest(stage, index, &images[i]))
			surplus = true;
		set_entries(index, &images[i]);
	}
	r = place_all(stage, err);
	if (r < 0)
		return r;
	r = index_write(stage->store, index, err);
	if (r < 0 || !surplus)
		return r;
	/* The blobs that the made-up manifest would have needed. */
	return collect(stage->store, index, &stage->work, NULL, err);
}
