#include "core/engine/build_cache.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "core/engine/members.h"
#include "core/engine/settings.h"
#include "storage/store/build_cache.h"
#include "storage/store/image_event.h"

#define SECTION	   "build"
#define CACHE_SIZE "cache-size"

#define SIZE_MIN      (1ll << 20)
#define SIZE_MAX_CONF (1ll << 52) /* what JSON carries exactly */

/* docker's defaults. */
#define KEPT_BYTES    10000000000ull
#define KEPT_PERCENT  10u
#define LIMIT_BYTES   100000000000ull
#define LIMIT_PERCENT 80u
#define FREE_PERCENT  20u

#define ID_MAX		 26 /* docker's have 25 characters */
#define TOGETHER_SECONDS 60

const struct conf_key build_conf_keys[] = {
	{SECTION, CACHE_SIZE, CONF_BYTES, 0, SIZE_MIN, SIZE_MAX_CONF},
	{0},
};

/* ---- the list ---- */

static void make_id(char ret_id[ID_MAX], const char *key)
{
	snprintf(ret_id, ID_MAX, "%.25s", key);
}

static cJSON *record_json(const struct build_cache_record *record)
{
	cJSON *json = json_object();
	char text[TIME_TEXT_MAX];
	char id[ID_MAX];

	make_id(id, record->key);
	format_time(text, &record->last_used);
	json_set_string(json, "ID", id);
	json_set_string(json, "Type", "regular");
	json_set_string(json, "Description", record->description);
	json_set_bool(json, "InUse", record->in_use);
	json_set_bool(json, "Shared", record->in_image);
	json_set_i64(json, "Size",
		     record->repeated ? 0 : (int64_t)record->size);
	json_set_string(json, "CreatedAt", record->created);
	json_set_string(json, "LastUsedAt", text);
	json_set_i64(json, "UsageCount", (int64_t)record->uses);
	return json;
}

/*
 * The order of removal. A build goes through its steps from first to last, and
 * the last ones can be found only by those before: within a minute the one made
 * last goes first.
 */
static int compare_use(const void *a, const void *b)
{
	const struct build_cache_record *left = a;
	const struct build_cache_record *right = b;
	const int64_t left_used = left->last_used.tv_sec / TOGETHER_SECONDS;
	const int64_t right_used = right->last_used.tv_sec / TOGETHER_SECONDS;

	if (left_used != right_used)
		return left_used < right_used ? -1 : 1;
	/* RFC 3339 in UTC with all its digits: later texts are greater. */
	return strcmp(right->created, left->created);
}

static int read_cache(struct engine *engine, struct build_cache *ret_cache,
		      struct error *err)
{
	int r = build_cache_usage(&engine->store, ret_cache, err);

	if (r == 0 && ret_cache->count > 0)
		qsort(ret_cache->records, ret_cache->count,
		      sizeof(*ret_cache->records), compare_use);
	return r;
}

/* ---- filters ---- */

static bool has_value(const cJSON *values, const char *text)
{
	const cJSON *value;

	cJSON_ArrayForEach(value, values)
	{
		if (str_equal(item_string(value), text))
			return true;
	}
	return !values;
}

/* "inuse" alone is inuse=true. */
static bool has_truth(const cJSON *values, bool truth)
{
	const cJSON *value;

	cJSON_ArrayForEach(value, values)
	{
		const char *text = item_string(value);
		bool wanted = true;

		if ((str_empty(text) || parse_bool(text, &wanted) == 0) &&
		    wanted == truth)
			return true;
	}
	return !values;
}

static bool has_part(const cJSON *values, const char *text)
{
	const cJSON *value;

	cJSON_ArrayForEach(value, values)
	{
		const char *part = item_string(value);

		if (part && strstr(text, part))
			return true;
	}
	return !values;
}

static bool matches(const cJSON *filters,
		    const struct build_cache_record *record)
{
	char id[ID_MAX];

	make_id(id, record->key);
	return has_part(member_get(filters, "id"), id) &&
	       has_value(member_get(filters, "type"), "regular") &&
	       has_value(member_get(filters, "description"),
			 record->description) &&
	       has_truth(member_get(filters, "shared"), record->in_image) &&
	       has_truth(member_get(filters, "private"), !record->in_image) &&
	       has_truth(member_get(filters, "inuse"), record->in_use);
}

int engine_build_cache_list(struct engine *engine, const cJSON *filters,
			    cJSON **ret_json, struct error *err)
{
	CLEANUP(build_cache_release) struct build_cache cache = {0};
	cJSON *json;
	int r = read_cache(engine, &cache, err);

	if (r < 0)
		return r;
	json = json_array();
	for (size_t i = 0; i < cache.count; i++)
		if (matches(filters, &cache.records[i]))
			json_push(json, record_json(&cache.records[i]));
	*ret_json = json;
	return 0;
}

/* ---- removal ---- */

/* What it takes that no image has. */
static uint64_t own_size(const struct build_cache_record *record)
{
	return record->in_image || record->repeated ? 0 : record->size;
}

/* A record has no labels: who asks for one does not mean it. */
static bool may_go(const struct engine_prune *prune,
		   const struct build_cache_record *record)
{
	if (record->in_use || (!prune->all && record->in_image))
		return false;
	if (prune->labels && prune->labels[0])
		return false;
	if (prune->has_until && record->last_used.tv_sec >= prune->until)
		return false;
	return matches(prune->cache_filters, record);
}

/*
 * Keys of those that are to go: all that pass, or with a number of bytes to be
 * kept no more than it takes, and none that gains nothing.
 */
static char **choose(const struct build_cache *cache,
		     const struct engine_prune *prune)
{
	const uint64_t kept = (uint64_t)prune->cache_kept;
	uint64_t total = 0;
	char **keys = NULL;

	for (size_t i = 0; i < cache->count; i++)
		total += own_size(&cache->records[i]);
	for (size_t i = 0; i < cache->count; i++) {
		const struct build_cache_record *record = &cache->records[i];

		if (kept > 0 && total <= kept)
			break;
		if (!may_go(prune, record) || (kept > 0 && record->in_image))
			continue;
		strv_push(&keys, record->key);
		total -= own_size(record);
	}
	return keys;
}

static int prune_cache(struct engine *engine, const struct engine_prune *prune,
		       char ***ret_removed, uint64_t *ret_bytes,
		       struct error *err)
{
	CLEANUP(build_cache_release) struct build_cache cache = {0};
	cleanup_strv char **keys = NULL;
	int r = read_cache(engine, &cache, err);

	if (r < 0)
		return r;
	keys = choose(&cache, prune);
	if (!keys && !cache.broken)
		return 0;
	return build_cache_remove(&engine->store, keys, ret_removed, ret_bytes,
				  err);
}

int engine_build_prune(struct engine *engine, const struct engine_prune *prune,
		       cJSON **ret_json, struct error *err)
{
	cleanup_strv char **removed = NULL;
	cJSON *json, *deleted, *moss;
	uint64_t bytes = 0;
	int r = prune_cache(engine, prune, &removed, &bytes, err);

	if (r < 0)
		return r;
	json = json_object();
	deleted = json_array();
	moss = json_object();
	for (size_t i = 0; removed && removed[i]; i++) {
		char id[ID_MAX];

		make_id(id, removed[i]);
		json_push_string(deleted, id);
	}
	json_set(json, "CachesDeleted", deleted);
	json_set_i64(json, "SpaceReclaimed", (int64_t)bytes);
	json_set(moss, "Errors", json_array());
	json_set(json, "Moss", moss);
	event_write_prune(&engine->store, EVENT_BUILDER, (int64_t)bytes);
	*ret_json = json;
	return 0;
}

/* ---- the limit ---- */

static uint64_t percent_of(uint64_t bytes, unsigned int percent, uint64_t most)
{
	uint64_t part = bytes / 100 * percent;

	return part < most ? part : most;
}

/* used: what the cache takes now. */
static uint64_t default_limit(const struct statvfs *disk, uint64_t used)
{
	const uint64_t total = (uint64_t)disk->f_blocks * disk->f_frsize;
	const uint64_t available = (uint64_t)disk->f_bavail * disk->f_frsize;
	const uint64_t wanted = percent_of(total, FREE_PERCENT, UINT64_MAX);
	const uint64_t kept = percent_of(total, KEPT_PERCENT, KEPT_BYTES);
	uint64_t limit = percent_of(total, LIMIT_PERCENT, LIMIT_BYTES);

	if (available < wanted) {
		uint64_t missing = wanted - available;
		uint64_t left = used > missing ? used - missing : 0;

		limit = left < limit ? left : limit;
	}
	return limit > kept ? limit : kept;
}

static int read_limit(struct engine *engine, uint64_t used, uint64_t *ret_limit,
		      struct error *err)
{
	CLEANUP(conf_release) struct conf conf = {0};
	const struct conf_entry *entry;
	struct statvfs disk;
	int r = settings_read(engine, &conf, err);

	if (r < 0)
		return r;
	entry = conf_get(&conf, SECTION, NULL, CACHE_SIZE);
	if (entry) {
		*ret_limit = (uint64_t)entry->number;
		return 0;
	}
	if (fstatvfs(engine->store.root_fd, &disk) < 0)
		return err_errno(err, "cannot tell how large the disk of %s is",
				 engine->store.path);
	*ret_limit = default_limit(&disk, used);
	return 0;
}

int engine_build_cache_trim(struct engine *engine, struct error *err)
{
	CLEANUP(build_cache_release) struct build_cache cache = {0};
	cleanup_strv char **keys = NULL;
	cleanup_strv char **removed = NULL;
	struct engine_prune prune = {.all = true};
	uint64_t limit = 0;
	uint64_t bytes;
	uint64_t used = 0;
	int r = read_cache(engine, &cache, err);

	for (size_t i = 0; i < cache.count; i++)
		used += own_size(&cache.records[i]);
	if (r == 0)
		r = read_limit(engine, used, &limit, err);
	if (r < 0 || used <= limit)
		return r;
	prune.cache_kept = (int64_t)limit;
	keys = choose(&cache, &prune);
	if (!keys)
		return 0;
	return build_cache_remove(&engine->store, keys, &removed, &bytes, err);
}
