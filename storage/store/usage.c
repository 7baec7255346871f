#include "storage/store/usage.h"

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
#include "storage/store/digest.h"
#include "storage/store/image_entry.h"
#include "storage/store/index.h"
#include "storage/store/layer.h"
#include "storage/store/oci.h"

#define KEY_MAX (DIGEST_HEX + 2) /* 'b' or 'l', and HEX */
/* Owners that are no image of the list. */
#define HIDDEN SIZE_MAX	      /* an image that only a container still needs */
#define WORK   (SIZE_MAX - 1) /* in progress */
#define RECORD (SIZE_MAX - 2) /* of the build cache */

/* A blob or layer that is there. */
struct item {
	char key[KEY_MAX];
	uint64_t size;
};

/* One of those that have it. */
struct part {
	char key[KEY_MAX];
	size_t owner; /* index in usage.images, or HIDDEN, WORK, RECORD */
	bool needed;
};

struct counting {
	const struct store *store;
	struct item *items;
	size_t item_count;
	struct part *parts;
	size_t part_count;
	size_t part_room;
	struct usage usage;
};

void usage_release(struct usage *usage)
{
	for (size_t i = 0; i < usage->count; i++)
		free(usage->images[i].id);
	free(usage->images);
	*usage = (struct usage){0};
}

static void counting_release(struct counting *counting)
{
	free(counting->items);
	free(counting->parts);
	usage_release(&counting->usage);
}

static void make_key(char ret_key[KEY_MAX], char kind, const char *hex)
{
	snprintf(ret_key, KEY_MAX, "%c%.64s", kind, hex);
}

/* ---- what is there ---- */

static uint64_t item_size(const struct counting *counting, int dir_fd,
			  char kind, const char *name)
{
	char digest[DIGEST_TEXT_MAX];
	struct layer layer;
	struct stat st;
	uint64_t bytes = 0;

	if (kind == 'b')
		return fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0
			       ? (uint64_t)st.st_size
			       : 0;
	digest_from_hex(digest, name);
	if (layer_read(counting->store, digest, &layer, NULL) == 0)
		return layer.size;
	/* A rest of interrupted work. */
	(void)tree_size_at(dir_fd, name, &bytes, NULL);
	return bytes;
}

static int list_items(struct counting *counting, char kind, int dir_fd,
		      const char *path, struct error *err)
{
	cleanup_dir DIR *dir = NULL;
	const struct dirent *entry;
	size_t room = counting->item_count;
	int fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		close_fd(&fd);
		return err_errno(err, "cannot read the store's %s",
				 kind == 'b' ? "blobs" : "layers");
	}
	while ((entry = readdir(dir))) {
		struct item *item;

		if (strlen(entry->d_name) != DIGEST_HEX ||
		    !digest_is_hex(entry->d_name, DIGEST_HEX))
			continue;
		if (counting->item_count == room) {
			room = room ? room * 2 : 64;
			counting->items = xrealloc(counting->items, room,
						   sizeof(*counting->items));
		}
		item = &counting->items[counting->item_count++];
		make_key(item->key, kind, entry->d_name);
		item->size =
			item_size(counting, dirfd(dir), kind, entry->d_name);
		counting->usage.total += item->size;
	}
	return 0;
}

static int compare_items(const void *a, const void *b)
{
	return strcmp(((const struct item *)a)->key,
		      ((const struct item *)b)->key);
}

static uint64_t size_of(const struct counting *counting, const char *key)
{
	const struct item *item = NULL;
	struct item wanted;

	snprintf(wanted.key, sizeof(wanted.key), "%s", key);
	if (counting->item_count > 0)
		item = bsearch(&wanted, counting->items, counting->item_count,
			       sizeof(*counting->items), compare_items);
	return item ? item->size : 0;
}

/* ---- whose it is ---- */

static void add_part(struct counting *counting, char kind, const char *hex,
		     size_t owner, bool needed)
{
	struct part *part;

	if (counting->part_count == counting->part_room) {
		counting->part_room =
			counting->part_room ? counting->part_room * 2 : 64;
		counting->parts = xrealloc(counting->parts, counting->part_room,
					   sizeof(*counting->parts));
	}
	part = &counting->parts[counting->part_count++];
	make_key(part->key, kind, hex);
	part->owner = owner;
	part->needed = needed;
}

static void add_blob(struct counting *counting, const char *digest,
		     size_t owner, bool needed)
{
	if (digest)
		add_part(counting, 'b', digest_hex(digest), owner, needed);
}

static size_t owner_of(struct counting *counting, const char *id)
{
	struct usage *usage = &counting->usage;

	for (size_t i = 0; i < usage->count; i++)
		if (str_equal(usage->images[i].id, id))
			return i;
	usage->images = xrealloc(usage->images, usage->count + 1,
				 sizeof(*usage->images));
	usage->images[usage->count] = (struct usage_image){.id = xstrdup(id)};
	return usage->count++;
}

/* A damaged image has its manifest only, and the digest of that for an ID. */
static int add_entry(struct counting *counting, const cJSON *entry,
		     image_in_use in_use, void *data, struct error *err)
{
	CLEANUP(manifest_release) struct manifest manifest = {0};
	cleanup_json cJSON *config = NULL;
	cleanup_strv char **diff_ids = NULL;
	const char *digest = index_entry_digest(entry);
	const char *id = digest;
	size_t owner;
	int r;

	if (!digest)
		return 0;
	if (image_entry_manifest(counting->store, entry, &manifest, NULL) == 0)
		id = manifest.config.digest;
	r = in_use ? in_use(id, NULL, NULL, data) : 0;
	if (r < 0)
		return err_number(err, r,
				  "cannot tell whether image %s is used", id);
	owner = index_entry_is_removed(entry) ? HIDDEN : owner_of(counting, id);
	add_blob(counting, digest, owner, r > 0);
	add_blob(counting, index_entry_origin(entry), owner, r > 0);
	add_blob(counting, index_entry_referrers(entry), owner, r > 0);
	if (id == digest)
		return 0;
	add_blob(counting, manifest.config.digest, owner, r > 0);
	for (size_t i = 0; i < manifest.layer_count; i++)
		add_blob(counting, manifest.layers[i].digest, owner, r > 0);
	if (blob_read_json(counting->store, id, &config, NULL) < 0 ||
	    config_diff_ids(config, id, &diff_ids, NULL) < 0)
		return 0;
	for (size_t i = 0; diff_ids && diff_ids[i]; i++)
		add_part(counting, 'l', digest_hex(diff_ids[i]), owner, r > 0);
	return 0;
}

static int add_leases(struct counting *counting, struct error *err)
{
	cleanup_strv char **leases = NULL;
	int r = store_leases(counting->store, &leases, err);

	for (size_t i = 0; leases && leases[i]; i++) {
		add_part(counting, 'b', leases[i], WORK, true);
		add_part(counting, 'l', leases[i], WORK, true);
	}
	return r;
}

static int add_build_cache(struct counting *counting, struct error *err)
{
	CLEANUP(build_cache_release) struct build_cache cache = {0};
	int r = build_cache_read(counting->store, &cache, err);

	for (size_t i = 0; i < cache.count; i++) {
		const struct layer_ref *layer = &cache.records[i].layer;

		if (cache.records[i].empty)
			continue;
		add_blob(counting, layer->blob.digest, RECORD, false);
		add_part(counting, 'l', digest_hex(layer->diff_id), RECORD,
			 false);
	}
	return r;
}

/* ---- who shares it ---- */

static int compare_parts(const void *a, const void *b)
{
	const struct part *left = a;
	const struct part *right = b;
	int order = strcmp(left->key, right->key);

	if (order != 0)
		return order;
	return left->owner < right->owner ? -1 : left->owner > right->owner;
}

/* One blob or layer: the parts from first to before end. */
static void count_group(struct counting *counting, size_t first, size_t end)
{
	uint64_t size = size_of(counting, counting->parts[first].key);
	size_t owners = 0;
	bool of_image = false;
	bool of_record = false;
	bool needed = false;

	for (size_t i = first; i < end; i++) {
		const struct part *part = &counting->parts[i];

		if (part->owner < RECORD &&
		    (i == first || part->owner != part[-1].owner))
			owners++;
		of_image |= part->owner < RECORD || part->owner == HIDDEN;
		of_record |= part->owner == RECORD;
		needed = needed || part->needed;
	}
	/* What it takes is told with the record. */
	if (of_record && !of_image) {
		counting->usage.total -= size;
		return;
	}
	for (size_t i = first; i < end; i++) {
		const struct part *part = &counting->parts[i];
		struct usage_image *image;

		if (part->owner >= RECORD ||
		    (i > first && part->owner == part[-1].owner))
			continue;
		image = &counting->usage.images[part->owner];
		image->size += size;
		if (owners > 1)
			image->shared += size;
	}
	if (needed)
		counting->usage.needed += size;
}

static void count(struct counting *counting)
{
	size_t first = 0;

	if (counting->item_count > 0)
		qsort(counting->items, counting->item_count,
		      sizeof(*counting->items), compare_items);
	if (counting->part_count > 0)
		qsort(counting->parts, counting->part_count,
		      sizeof(*counting->parts), compare_parts);
	for (size_t i = 1; i <= counting->part_count; i++) {
		if (i < counting->part_count &&
		    str_equal(counting->parts[i].key,
			      counting->parts[first].key))
			continue;
		count_group(counting, first, i);
		first = i;
	}
}

int usage_read(struct store *store, image_in_use in_use, void *data,
	       struct usage *ret_usage, struct error *err)
{
	CLEANUP(counting_release) struct counting counting = {.store = store};
	cleanup_json cJSON *index = NULL;
	cleanup_fd int lock_fd = store_lock(store, LOCK_SHARED, err);
	const cJSON *entry;
	int r;

	if (lock_fd < 0)
		return lock_fd;
	r = index_read(store, &index, err);
	if (r == 0)
		r = list_items(&counting, 'b', store->image_fd, OCI_BLOBS, err);
	if (r == 0)
		r = list_items(&counting, 'l', store->layers_fd, ".", err);
	cJSON_ArrayForEach(entry, index_entries(index))
	{
		if (r == 0)
			r = add_entry(&counting, entry, in_use, data, err);
	}
	if (r == 0)
		r = add_leases(&counting, err);
	if (r == 0)
		r = add_build_cache(&counting, err);
	if (r < 0)
		return r;
	count(&counting);
	*ret_usage = counting.usage;
	counting.usage = (struct usage){0};
	return 0;
}
