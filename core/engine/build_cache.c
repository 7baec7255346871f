#include "core/engine/build_cache.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "core/engine/build_cache_list.h"
#include "core/engine/members.h"
#include "storage/store/image_event.h"

/* ---- what is shown ---- */

static cJSON *item_json(const struct cached *item)
{
	cJSON *json = json_object();
	char text[TIME_TEXT_MAX];
	char id[CACHED_ID_MAX];

	cached_id(id, item->key);
	format_time(text, &item->last_used);
	json_set_string(json, "ID", id);
	json_set_string(json, "Type", item->type);
	json_set_string(json, "Description", item->description);
	json_set_bool(json, "InUse", item->in_use);
	json_set_bool(json, "Shared", item->shared);
	json_set_i64(json, "Size", (int64_t)item->size);
	json_set_string(json, "CreatedAt", item->created);
	json_set_string(json, "LastUsedAt", text);
	json_set_i64(json, "UsageCount", (int64_t)item->uses);
	return json;
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

static bool matches(const cJSON *filters, const struct cached *item)
{
	char id[CACHED_ID_MAX];

	cached_id(id, item->key);
	return has_part(member_get(filters, "id"), id) &&
	       has_value(member_get(filters, "type"), item->type) &&
	       has_value(member_get(filters, "description"),
			 item->description) &&
	       has_truth(member_get(filters, "shared"), item->shared) &&
	       has_truth(member_get(filters, "private"), !item->shared) &&
	       has_truth(member_get(filters, "inuse"), item->in_use);
}

int engine_build_cache_list(struct engine *engine, const cJSON *filters,
			    cJSON **ret_json, struct error *err)
{
	CLEANUP(cached_list_release) struct cached_list list = {0};
	cJSON *json;
	int r = cached_list_read(engine, true, &list, err);

	if (r < 0)
		return r;
	json = json_array();
	for (size_t i = 0; i < list.count; i++)
		if (matches(filters, &list.items[i]))
			json_push(json, item_json(&list.items[i]));
	*ret_json = json;
	return 0;
}

/* ---- removal ---- */

/* It has no labels: who asks for one does not mean it. */
static bool may_go(const struct engine_prune *prune, const struct cached *item)
{
	if (item->in_use || (!prune->all && item->shared))
		return false;
	if (prune->labels && prune->labels[0])
		return false;
	if (prune->has_until && item->last_used.tv_sec >= prune->until)
		return false;
	return matches(prune->cache_filters, item);
}

/* What is to go: results and directories. */
struct chosen {
	char **results;
	char **mounts;
};

static void chosen_release(struct chosen *chosen)
{
	strv_free(chosen->results);
	strv_free(chosen->mounts);
}

/*
 * All that may, or with a number of bytes to be kept no more than it takes, and
 * nothing that gains nothing.
 */
static void choose(const struct cached_list *list,
		   const struct engine_prune *prune, struct chosen *chosen)
{
	const uint64_t kept = (uint64_t)prune->cache_kept;
	uint64_t total = cached_list_size(list);

	for (size_t i = 0; i < list->count; i++) {
		const struct cached *item = &list->items[i];

		if (kept > 0 && total <= kept)
			break;
		if (!may_go(prune, item) || (kept > 0 && item->shared))
			continue;
		strv_push(item->is_mount ? &chosen->mounts : &chosen->results,
			  item->key);
		total -= item->shared ? 0 : item->size;
	}
}

/* What went, as docker tells it. */
struct outcome {
	cJSON *deleted;
	cJSON *errors;
	uint64_t bytes;
};

static void outcome_release(struct outcome *outcome)
{
	cJSON_Delete(outcome->deleted);
	cJSON_Delete(outcome->errors);
}

static void tell_deleted(struct outcome *outcome, const char *key)
{
	char id[CACHED_ID_MAX];

	cached_id(id, key);
	json_push_string(outcome->deleted, id);
}

static int remove_results(struct engine *engine, char *const *keys,
			  struct outcome *outcome, struct error *err)
{
	cleanup_strv char **removed = NULL;
	uint64_t bytes = 0;
	int r = build_cache_remove(&engine->store, keys, &removed, &bytes, err);

	if (r < 0)
		return r;
	for (size_t i = 0; removed && removed[i]; i++)
		tell_deleted(outcome, removed[i]);
	outcome->bytes += bytes;
	return 0;
}

/* One that a build took into use meanwhile stays, which is no failure. */
static void remove_mount(struct engine *engine, const char *id,
			 struct outcome *outcome)
{
	struct error problem = {0};
	uint64_t bytes = 0;

	if (cache_mount_remove(&engine->store, id, &bytes, &problem) == 0) {
		tell_deleted(outcome, id);
		outcome->bytes += bytes;
	} else if (problem.kind != ERROR_CONFLICT &&
		   problem.kind != ERROR_NOT_FOUND) {
		json_push_string(outcome->errors, problem.message);
	}
}

static int prune_list(struct engine *engine, const struct cached_list *list,
		      const struct engine_prune *prune, struct outcome *outcome,
		      struct error *err)
{
	CLEANUP(chosen_release) struct chosen chosen = {0};
	int r = 0;

	outcome->deleted = json_array();
	outcome->errors = json_array();
	choose(list, prune, &chosen);
	if (chosen.results || list->results.broken)
		r = remove_results(engine, chosen.results, outcome, err);
	for (size_t i = 0; r == 0 && chosen.mounts && chosen.mounts[i]; i++)
		remove_mount(engine, chosen.mounts[i], outcome);
	return r;
}

int engine_build_prune(struct engine *engine, const struct engine_prune *prune,
		       cJSON **ret_json, struct error *err)
{
	CLEANUP(cached_list_release) struct cached_list list = {0};
	CLEANUP(outcome_release) struct outcome outcome = {0};
	cJSON *json, *moss;
	int r = cached_list_read(engine, true, &list, err);

	if (r == 0)
		r = prune_list(engine, &list, prune, &outcome, err);
	if (r < 0)
		return r;
	json = json_object();
	moss = json_object();
	json_set(json, "CachesDeleted", steal_ptr(&outcome.deleted));
	json_set_i64(json, "SpaceReclaimed", (int64_t)outcome.bytes);
	json_set(moss, "Errors", steal_ptr(&outcome.errors));
	json_set(json, "Moss", moss);
	event_write_prune(&engine->store, EVENT_BUILDER,
			  (int64_t)outcome.bytes);
	*ret_json = json;
	return 0;
}

static int trim(struct engine *engine, struct error *err)
{
	CLEANUP(cached_list_release) struct cached_list list = {0};
	CLEANUP(outcome_release) struct outcome outcome = {0};
	struct engine_prune prune = {.all = true};
	uint64_t limit = 0;
	uint64_t size;
	int r = cached_list_read(engine, cached_mounts_are_due(engine), &list,
				 err);

	if (r < 0)
		return r;
	size = cached_list_size(&list);
	r = cached_limit(engine, size, &limit, err);
	if (r < 0 || size <= limit)
		return r;
	prune.cache_kept = (int64_t)limit;
	return prune_list(engine, &list, &prune, &outcome, err);
}

int engine_build_cache_trim(struct engine *engine, struct error *err)
{
	struct timespec changed;
	int r;

	if (!cached_changed(engine, &changed))
		return 0;
	r = trim(engine, err);
	if (r == 0)
		cached_note_trimmed(engine, &changed);
	return r;
}
