/* All records at once: the second half of storage/store/build_cache.h. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "storage/store/blob.h"
#include "storage/store/build_cache_record.h"
#include "storage/store/collect.h"
#include "storage/store/image_entry.h"
#include "storage/store/image_removal.h"
#include "storage/store/index.h"

#define TOGETHER_SECONDS 60

void build_cache_release(struct build_cache *cache)
{
	for (size_t i = 0; i < cache->count; i++)
		build_record_release(&cache->records[i]);
	free(cache->records);
	strv_free(cache->broken);
	*cache = (struct build_cache){0};
}

static int compare_records(const void *a, const void *b)
{
	const struct build_cache_record *left = a;
	const struct build_cache_record *right = b;

	return strcmp(left->key, right->key);
}

static void push_record(struct build_cache *cache, size_t *room,
			const struct build_cache_record *record)
{
	if (cache->count == *room) {
		*room = *room ? *room * 2 : 64;
		cache->records = xrealloc(cache->records, *room,
					  sizeof(*cache->records));
	}
	cache->records[cache->count++] = *record;
}

int build_cache_read(const struct store *store, struct build_cache *ret_cache,
		     struct error *err)
{
	CLEANUP(build_cache_release) struct build_cache cache = {0};
	cleanup_dir DIR *dir = NULL;
	const struct dirent *entry;
	size_t room = 0;
	int fd = openat(store->root_fd, BUILD_CACHE_DIR,
			O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0 && errno == ENOENT) {
		*ret_cache = cache;
		return 0;
	}
	dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		err_errno(err, "cannot read %s/" BUILD_CACHE_DIR, store->path);
		close_fd(&fd);
		return err_return(err);
	}
	while ((entry = readdir(dir))) {
		struct build_cache_record record;

		if (!build_key_is_valid(entry->d_name))
			continue;
		if (build_record_read(store, entry->d_name, &record, NULL) == 0)
			push_record(&cache, &room, &record);
		else
			strv_push(&cache.broken, entry->d_name);
	}
	if (cache.count > 0)
		qsort(cache.records, cache.count, sizeof(*cache.records),
		      compare_records);
	*ret_cache = cache;
	cache = (struct build_cache){0};
	return 0;
}

int build_cache_order(const struct timespec *used, const char *created,
		      const struct timespec *other_used,
		      const char *other_created)
{
	const int64_t minute = used->tv_sec / TOGETHER_SECONDS;
	const int64_t other_minute = other_used->tv_sec / TOGETHER_SECONDS;

	if (minute != other_minute)
		return minute < other_minute ? -1 : 1;
	/* In UTC, with all digits: later texts are greater. */
	return strcmp(other_created, created);
}

/* ---- who else needs them ---- */

static int compare_texts(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void sort_texts(char **strv)
{
	if (strv)
		qsort(strv, strv_length(strv), sizeof(*strv), compare_texts);
}

static bool has_text(char *const *sorted, size_t count, const char *text)
{
	return count > 0 &&
	       bsearch(&text, sorted, count, sizeof(*sorted), compare_texts);
}

/* The diff IDs of all images, hidden ones as well; of a damaged one as many as
   can be told. */
static char **image_layers(const struct store *store, const cJSON *index)
{
	const cJSON *entry;
	char **layers = NULL;

	cJSON_ArrayForEach(entry, index_entries(index))
	{
		CLEANUP(manifest_release) struct manifest manifest = {0};
		cleanup_strv char **diff_ids = NULL;
		cleanup_json cJSON *config = NULL;

		if (!index_entry_digest(entry) ||
		    image_entry_manifest(store, entry, &manifest, NULL) < 0 ||
		    blob_read_json(store, manifest.config.digest, &config,
				   NULL) < 0 ||
		    config_diff_ids(config, "config", &diff_ids, NULL) < 0)
			continue;
		for (size_t i = 0; diff_ids && diff_ids[i]; i++)
			strv_push(&layers, diff_ids[i]);
	}
	sort_texts(layers);
	return layers;
}

static int compare_layers(const void *a, const void *b)
{
	const struct build_cache_record *left =
		*(struct build_cache_record *const *)a;
	const struct build_cache_record *right =
		*(struct build_cache_record *const *)b;
	int order = strcmp(left->layer.diff_id, right->layer.diff_id);

	/* The last to go comes first. */
	if (order == 0)
		order = build_cache_order(&right->last_used, right->created,
					  &left->last_used, left->created);
	return order != 0 ? order : strcmp(left->key, right->key);
}

static void mark_repeated(struct build_cache *cache)
{
	cleanup_free struct build_cache_record **sorted =
		xcalloc(cache->count + 1, sizeof(struct build_cache_record *));
	size_t count = 0;

	for (size_t i = 0; i < cache->count; i++)
		if (!cache->records[i].empty)
			sorted[count++] = &cache->records[i];
	qsort(sorted, count, sizeof(struct build_cache_record *),
	      compare_layers);
	for (size_t i = 1; i < count; i++)
		sorted[i]->repeated = str_equal(sorted[i]->layer.diff_id,
						sorted[i - 1]->layer.diff_id);
}

int build_cache_judge(const struct store *store, const cJSON *index,
		      struct build_cache *cache, struct error *err)
{
	cleanup_strv char **layers = NULL;
	cleanup_strv char **leases = NULL;
	size_t layer_count, lease_count;
	int r = store_leases(store, &leases, err);

	if (r < 0)
		return r;
	layers = image_layers(store, index);
	layer_count = strv_length(layers);
	lease_count = strv_length(leases);
	for (size_t i = 0; i < cache->count; i++) {
		struct build_cache_record *record = &cache->records[i];
		const char *diff_id = record->layer.diff_id;

		if (record->empty)
			continue;
		record->in_image = has_text(layers, layer_count, diff_id);
		record->in_use =
			has_text(leases, lease_count, digest_hex(diff_id));
	}
	mark_repeated(cache);
	return 0;
}

int build_cache_usage(const struct store *store, struct build_cache *ret_cache,
		      struct error *err)
{
	CLEANUP(build_cache_release) struct build_cache cache = {0};
	cleanup_json cJSON *index = NULL;
	cleanup_fd int lock_fd = store_lock(store, LOCK_SHARED, err);
	int r;

	if (lock_fd < 0)
		return lock_fd;
	r = build_cache_read(store, &cache, err);
	if (r == 0 && cache.count > 0)
		r = index_read(store, &index, err);
	if (r == 0 && cache.count > 0)
		r = build_cache_judge(store, index, &cache, err);
	if (r < 0)
		return r;
	*ret_cache = cache;
	cache = (struct build_cache){0};
	return 0;
}

/* ---- removal ---- */

void build_cache_drop(const struct store *store, const char *key)
{
	char path[BUILD_RECORD_PATH_MAX];

	build_record_path(path, key);
	unlinkat(store->root_fd, path, 0);
}

/* Keys of those that went. */
static char **drop_records(const struct store *store,
			   const struct build_cache *cache, char *const *keys)
{
	cleanup_strv char **sorted = strv_copy(keys);
	size_t count = strv_length(sorted);
	char **removed = NULL;

	sort_texts(sorted);
	for (size_t i = 0; i < cache->count; i++) {
		const struct build_cache_record *record = &cache->records[i];
		bool wanted = has_text(sorted, count, record->key);

		if ((!wanted || record->in_use) &&
		    build_cache_record_is_whole(store, record))
			continue;
		build_cache_drop(store, record->key);
		strv_push(&removed, record->key);
	}
	for (size_t i = 0; cache->broken && cache->broken[i]; i++) {
		build_cache_drop(store, cache->broken[i]);
		strv_push(&removed, cache->broken[i]);
	}
	return removed;
}

int build_cache_remove(struct store *store, char *const *keys,
		       char ***ret_removed, uint64_t *ret_bytes,
		       struct error *err)
{
	CLEANUP(build_cache_release) struct build_cache cache = {0};
	CLEANUP(collected_release) struct collected collected = {0};
	/* Released after the lock: trees take their time. */
	CLEANUP(store_work_release)
	struct store_work work = {.fd = -1, .lock_fd = -1};
	cleanup_strv char **removed = NULL;
	cleanup_json cJSON *index = NULL;
	cleanup_fd int lock_fd = -1;
	int r = removal_begin(store, &work, &lock_fd, &index, err);

	if (r == 0)
		r = build_cache_read(store, &cache, err);
	if (r == 0)
		r = build_cache_judge(store, index, &cache, err);
	if (r < 0)
		return r;
	removed = drop_records(store, &cache, keys);
	r = collect(store, index, &work, &collected, err);
	if (r < 0)
		return r;
	*ret_removed = steal_ptr(&removed);
	*ret_bytes = collected.bytes;
	return 0;
}
