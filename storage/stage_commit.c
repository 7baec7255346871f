/* stage_commit() of storage/stage.h. */
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
#include "storage/blob.h"
#include "storage/collect.h"
#include "storage/image_entry.h"
#include "storage/index.h"
#include "storage/oci.h"
#include "storage/stage.h"

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

/* A blob that appeared meanwhile has the same content. */
static int place_blobs(struct stage *stage, struct error *err)
{
	cleanup_strv char **names = NULL;
	cleanup_fd int to_fd = -1;
	int r = list_names(stage->blobs_fd, &names, err);

	if (r < 0)
		return r;
	to_fd = openat(stage->store->image_fd, OCI_BLOBS,
		       O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (to_fd < 0)
		return err_errno(err, "cannot open %s/image/" OCI_BLOBS,
				 stage->store->path);
	for (size_t i = 0; names && names[i]; i++) {
		if (renameat(stage->blobs_fd, names[i], to_fd, names[i]) < 0)
			return err_errno(err, "cannot store blob %s", names[i]);
	}
	if (names && fsync(to_fd) < 0 && errno != EINVAL)
		return err_errno(err, "cannot sync the store's blobs");
	return 0;
}

/* A layer that is whole stays, containers use it; another makes room. */
static int place_layers(struct stage *stage, struct error *err)
{
	cleanup_strv char **names = NULL;
	const int to_fd = stage->store->layers_fd;
	int r = list_names(stage->layers_fd, &names, err);

	if (r < 0)
		return r;
	for (size_t i = 0; names && names[i]; i++) {
		char digest[DIGEST_TEXT_MAX];
		cleanup_free char *old = xasprintf("old-%s", names[i]);

		digest_from_hex(digest, names[i]);
		if (layer_exists(stage->store, digest))
			continue;
		if (renameat(to_fd, names[i], stage->work.fd, old) < 0 &&
		    errno != ENOENT)
			return err_errno(err, "cannot replace layer %s",
					 names[i]);
		if (renameat(stage->layers_fd, names[i], to_fd, names[i]) < 0)
			return err_errno(err, "cannot store layer %s",
					 names[i]);
	}
	if (names && fsync(to_fd) < 0 && errno != EINVAL)
		return err_errno(err, "cannot sync the store's layers");
	return 0;
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
	for (size_t i = 0; image->references && image->references[i]; i++)
		index_set(index, image->references[i], &image->manifest,
			  image->size);
}

int stage_commit(struct stage *stage, struct stage_image *images, size_t count,
		 struct error *err)
{
	cleanup_json cJSON *index = NULL;
	cleanup_fd int lock_fd = -1;
	bool surplus = false;
	int r;

	/* Thousands of files at once, rather than an fsync of each. */
	if (syncfs(stage->work.fd) < 0)
		return err_errno(err, "cannot sync the store %s",
				 stage->store->path);
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
	r = place_blobs(stage, err);
	if (r == 0)
		r = place_layers(stage, err);
	if (r < 0)
		return r;
	r = index_write(stage->store, index, err);
	if (r < 0 || !surplus)
		return r;
	/* The blobs that the made-up manifest would have needed. */
	return collect(stage->store, index, &stage->work, NULL, err);
}
