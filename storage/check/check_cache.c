/* The build cache: its part of storage/check/check.h. */
#include "storage/check/check.h"

#include "base/cleanup.h"
#include "base/str.h"
#include "storage/store/build_cache.h"

static const char advice[] = "--repair forgets it, the step runs again";

static char *name_of(const char *key)
{
	return xasprintf("build cache %.12s", key);
}

void check_cache_finding(struct check *check, const char *key, const char *what,
			 const char *text)
{
	check_finding(check, key, what, advice, "%s", text);
}

static int plan_record(struct check *check,
		       const struct build_cache_record *record,
		       struct error *err)
{
	const struct layer_ref *ref = &record->layer;
	cleanup_free char *name = name_of(record->key);
	cleanup_free char *owner = xasprintf("%s: layer", name);
	struct check_layer *layer;
	int r;

	if (record->empty)
		return 0;
	r = store_work_lease(&check->stage.work, digest_hex(ref->blob.digest),
			     err);
	if (r == 0)
		r = store_work_lease(&check->stage.work,
				     digest_hex(ref->diff_id), err);
	if (r < 0)
		return r;
	layer = check_add_layer(check, owner, &ref->blob, ref->diff_id);
	strv_push(&layer->records, record->key);
	return 0;
}

int check_cache_plan(struct check *check, struct error *err)
{
	CLEANUP(build_cache_release) struct build_cache cache = {0};
	int r = build_cache_read(&check->job->store, &cache, err);

	for (size_t i = 0; r == 0 && i < cache.count; i++)
		r = plan_record(check, &cache.records[i], err);
	if (r < 0)
		return r;
	for (size_t i = 0; cache.broken && cache.broken[i]; i++) {
		cleanup_free char *name = name_of(cache.broken[i]);

		check_cache_finding(check, cache.broken[i], name,
				    "the record cannot be read");
	}
	check->broken_records = steal_ptr(&cache.broken);
	return 0;
}

static void forget(struct check *check, char *const *keys)
{
	for (size_t i = 0; keys && keys[i]; i++) {
		build_cache_drop(&check->job->store, keys[i]);
		check_settle(check, keys[i], true, "forgotten");
	}
}

int check_cache_repair(struct check *check, struct error *err)
{
	cleanup_fd int lock_fd =
		store_lock(&check->job->store, LOCK_EXCLUSIVE, err);

	if (lock_fd < 0)
		return lock_fd;
	forget(check, check->broken_records);
	for (size_t i = 0; i < check->layer_count; i++)
		if (check->layers[i].blob_bad)
			forget(check, check->layers[i].records);
	return 0;
}
