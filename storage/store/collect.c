#include "storage/store/collect.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "storage/store/blob.h"
#include "storage/store/build_cache.h"
#include "storage/store/image_entry.h"
#include "storage/store/index.h"
#include "storage/store/layer.h"
#include "storage/store/oci.h"

#define INDEX_DEPTH_MAX 8

/* A set of HEX; sorted once all are in. */
struct marks {
	char (*hex)[DIGEST_HEX + 1];
	size_t count;
	size_t room;
};

struct collector {
	const struct store *store;
	struct marks blobs;
	struct marks layers;
	struct collected collected;
	bool blind; /* something could not be read */
};

static void marks_add(struct marks *marks, const char *hex)
{
	if (marks->count == marks->room) {
		marks->room = marks->room ? marks->room * 2 : 64;
		marks->hex =
			xrealloc(marks->hex, marks->room, sizeof(*marks->hex));
	}
	snprintf(marks->hex[marks->count++], DIGEST_HEX + 1, "%.64s", hex);
}

static int compare_hex(const void *a, const void *b)
{
	return memcmp(a, b, DIGEST_HEX);
}

static void marks_sort(struct marks *marks)
{
	if (marks->count > 0)
		qsort(marks->hex, marks->count, sizeof(*marks->hex),
		      compare_hex);
}

static bool marks_have(const struct marks *marks, const char *hex)
{
	return marks->count > 0 && bsearch(hex, marks->hex, marks->count,
					   sizeof(*marks->hex), compare_hex);
}

void collected_release(struct collected *collected)
{
	strv_free(collected->layers);
	*collected = (struct collected){0};
}

static void collector_release(struct collector *collector)
{
	collected_release(&collector->collected);
	free(collector->blobs.hex);
	free(collector->layers.hex);
}

static int mark_manifest(struct collector *collector, const cJSON *json,
			 const char *digest)
{
	CLEANUP(manifest_release) struct manifest manifest = {0};
	cleanup_strv char **diff_ids = NULL;
	cleanup_json cJSON *config = NULL;
	int r;

	r = manifest_parse(json, digest, &manifest, NULL);
	if (r < 0)
		return r;
	marks_add(&collector->blobs, digest_hex(manifest.config.digest));
	for (size_t i = 0; i < manifest.layer_count; i++)
		marks_add(&collector->blobs,
			  digest_hex(manifest.layers[i].digest));
	r = blob_read_json(collector->store, manifest.config.digest, &config,
			   NULL);
	if (r == 0)
		r = config_diff_ids(config, digest, &diff_ids, NULL);
	for (size_t i = 0; diff_ids && diff_ids[i]; i++)
		marks_add(&collector->layers, digest_hex(diff_ids[i]));
	return r;
}

/*
 * What other tools keep: whatever has a digest in it, in whatever place. cJSON
 * has limited the depth.
 */
static void mark_all_digests(struct collector *collector, const cJSON *json)
{
	const cJSON *child;

	if (cJSON_IsString(json) && digest_is_valid(json->valuestring))
		marks_add(&collector->blobs, digest_hex(json->valuestring));
	cJSON_ArrayForEach(child, json)
	{
		mark_all_digests(collector, child);
	}
}

static void mark_document(struct collector *collector, const char *digest,
			  int depth)
{
	cleanup_json cJSON *json = NULL;
	const cJSON *child;

	marks_add(&collector->blobs, digest_hex(digest));
	if (blob_read_json(collector->store, digest, &json, NULL) < 0 ||
	    depth > INDEX_DEPTH_MAX) {
		collector->blind = true;
		return;
	}
	if (document_kind(json) == DOCUMENT_MANIFEST) {
		if (mark_manifest(collector, json, digest) < 0) {
			mark_all_digests(collector, json);
			collector->blind = true;
		}
		return;
	}
	mark_all_digests(collector, json);
	cJSON_ArrayForEach(child, index_entries(json))
	{
		const char *nested = index_entry_digest(child);

		/* Of an index some platforms only may be here. */
		if (nested && blob_exists(collector->store, nested))
			mark_document(collector, nested, depth + 1);
	}
}

/* Kept for what they tell; the manifests in them have entries of their own. */
static void mark_origin(struct collector *collector, const cJSON *entry)
{
	const char *digests[] = {index_entry_origin(entry),
				 index_entry_referrers(entry)};

	for (size_t i = 0; i < ARRAY_SIZE(digests); i++)
		if (digests[i])
			marks_add(&collector->blobs, digest_hex(digests[i]));
}

/* What the records of the build cache name. */
static int mark_build_cache(struct collector *collector, struct error *err)
{
	CLEANUP(build_cache_release) struct build_cache cache = {0};
	int r = build_cache_read(collector->store, &cache, err);

	for (size_t i = 0; i < cache.count; i++) {
		const struct layer_ref *layer = &cache.records[i].layer;

		if (cache.records[i].empty)
			continue;
		marks_add(&collector->layers, digest_hex(layer->diff_id));
		marks_add(&collector->blobs, digest_hex(layer->blob.digest));
	}
	return r;
}

static int mark(struct collector *collector, const cJSON *index,
		struct error *err)
{
	cleanup_strv char **leases = NULL;
	const cJSON *entry;
	int r;

	cJSON_ArrayForEach(entry, index_entries(index))
	{
		const char *digest = index_entry_digest(entry);

		if (digest)
			mark_document(collector, digest, 0);
		else
			collector->blind = true;
		mark_origin(collector, entry);
	}
	r = mark_build_cache(collector, err);
	if (r == 0)
		r = store_leases(collector->store, &leases, err);
	if (r < 0)
		return r;
	for (size_t i = 0; leases && leases[i]; i++) {
		marks_add(&collector->blobs, leases[i]);
		marks_add(&collector->layers, leases[i]);
	}
	marks_sort(&collector->blobs);
	marks_sort(&collector->layers);
	return 0;
}

static int open_entries(int dir_fd, const char *path, DIR **ret_dir)
{
	int fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return -errno;
	*ret_dir = fdopendir(fd);
	if (*ret_dir)
		return 0;
	close_fd(&fd);
	return -ENOMEM;
}

static bool is_hex_name(const char *name)
{
	return strlen(name) == DIGEST_HEX && digest_is_hex(name, DIGEST_HEX);
}

static int sweep_blobs(struct collector *collector, struct error *err)
{
	cleanup_dir DIR *dir = NULL;
	const struct dirent *entry;
	int r = open_entries(collector->store->image_fd, OCI_BLOBS, &dir);

	if (r < 0)
		return err_number(err, r, "cannot read image/" OCI_BLOBS);
	while ((entry = readdir(dir))) {
		struct stat st = {0};

		if (!is_hex_name(entry->d_name) ||
		    marks_have(&collector->blobs, entry->d_name))
			continue;
		(void)fstatat(dirfd(dir), entry->d_name, &st,
			      AT_SYMLINK_NOFOLLOW);
		if (unlinkat(dirfd(dir), entry->d_name, 0) < 0 &&
		    errno != ENOENT)
			return err_errno(err, "cannot remove blob %s",
					 entry->d_name);
		collector->collected.bytes += (uint64_t)st.st_size;
	}
	return 0;
}

static bool is_temporary(const char *name)
{
	return str_starts(name, ".tmp-");
}

/* What a writer left there; none is at work while we have the lock. */
static void sweep_temporaries(int dir_fd, const char *path)
{
	cleanup_dir DIR *dir = NULL;
	const struct dirent *entry;

	if (open_entries(dir_fd, path, &dir) < 0)
		return;
	while ((entry = readdir(dir))) {
		if (is_temporary(entry->d_name))
			unlinkat(dirfd(dir), entry->d_name, 0);
	}
}

/* One without a marker is a rest of which nobody knows the size. */
static uint64_t layer_bytes(const struct store *store, const char *digest)
{
	struct layer layer;
	uint64_t bytes = 0;

	if (layer_read(store, digest, &layer, NULL) == 0)
		return layer.size;
	(void)tree_size_at(store->layers_fd, digest_hex(digest), &bytes, NULL);
	return bytes;
}

static int sweep_layers(struct collector *collector,
			const struct store_work *work, struct error *err)
{
	cleanup_dir DIR *dir = NULL;
	const struct dirent *entry;
	int r = open_entries(collector->store->layers_fd, ".", &dir);

	if (r < 0)
		return err_number(err, r, "cannot read layers");
	while ((entry = readdir(dir))) {
		char digest[DIGEST_TEXT_MAX];
		uint64_t bytes;

		if (!is_hex_name(entry->d_name) ||
		    marks_have(&collector->layers, entry->d_name))
			continue;
		digest_from_hex(digest, entry->d_name);
		bytes = layer_bytes(collector->store, digest);
		if (renameat(dirfd(dir), entry->d_name, work->fd,
			     entry->d_name) < 0 &&
		    errno != ENOENT)
			return err_errno(err, "cannot remove layer %s",
					 entry->d_name);
		strv_push(&collector->collected.layers, digest);
		collector->collected.bytes += bytes;
	}
	return 0;
}

int collect(const struct store *store, const cJSON *index,
	    const struct store_work *work, struct collected *ret_collected,
	    struct error *err)
{
	CLEANUP(collector_release)
	struct collector collector = {
		.store = store,
	};
	int r;

	sweep_temporaries(store->image_fd, ".");
	sweep_temporaries(store->root_fd, BUILD_CACHE_DIR);
	r = mark(&collector, index, err);
	if (r == 0 && !collector.blind) {
		r = sweep_blobs(&collector, err);
		if (r == 0)
			r = sweep_layers(&collector, work, err);
	}
	if (ret_collected) {
		collector.collected.blind = collector.blind;
		*ret_collected = collector.collected;
		collector.collected = (struct collected){0};
	}
	return r;
}

void leftovers_release(struct leftovers *leftovers)
{
	strv_free(leftovers->paths);
	leftovers->paths = NULL;
}

/* What of a directory no mark keeps; marks NULL: its temporary files. */
static int add_leftovers(struct leftovers *leftovers, int dir_fd,
			 const char *path, const char *shown,
			 const struct marks *marks, struct error *err)
{
	cleanup_dir DIR *dir = NULL;
	const struct dirent *entry;
	int r = open_entries(dir_fd, path, &dir);

	if (r < 0)
		return err_number(err, r, "cannot read %s", shown);
	while ((entry = readdir(dir))) {
		if (marks ? is_hex_name(entry->d_name) &&
				    !marks_have(marks, entry->d_name)
			  : is_temporary(entry->d_name))
			strv_push_take(
				&leftovers->paths,
				xasprintf("%s/%s", shown, entry->d_name));
	}
	return 0;
}

int collect_leftovers(const struct store *store, const cJSON *index,
		      struct leftovers *ret_leftovers, struct error *err)
{
	CLEANUP(collector_release)
	struct collector collector = {
		.store = store,
	};
	CLEANUP(leftovers_release) struct leftovers leftovers = {0};
	int r = mark(&collector, index, err);

	if (r == 0)
		r = add_leftovers(&leftovers, store->image_fd, ".", "image",
				  NULL, err);
	if (r == 0 && !collector.blind)
		r = add_leftovers(&leftovers, store->image_fd, OCI_BLOBS,
				  "image/" OCI_BLOBS, &collector.blobs, err);
	if (r == 0 && !collector.blind)
		r = add_leftovers(&leftovers, store->layers_fd, ".", "layers",
				  &collector.layers, err);
	if (r < 0)
		return r;
	*ret_leftovers = leftovers;
	leftovers = (struct leftovers){0};
	return 0;
}
