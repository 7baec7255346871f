/* --cache-from, of core/build/cache_transfer.h. */
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "core/build/cache_transfer.h"

static void source_release(struct cache_source *source)
{
	free(source->name);
	free(source->directory);
	free(source->reference);
	cJSON_Delete(source->auths);
	cJSON_Delete(source->records);
	layer_chain_release(&source->layers);
}

void cache_sources_release(struct cache_sources *sources)
{
	for (size_t i = 0; i < sources->count; i++)
		source_release(&sources->list[i]);
	free(sources->list);
	*sources = (struct cache_sources){0};
}

static struct engine_cache_place place_of(const struct cache_source *source)
{
	return (struct engine_cache_place){
		.directory = source->directory,
		.name = source->reference,
		.auths = source->auths,
	};
}

static int read_request(const cJSON *json, struct cache_source *source,
			struct error *err)
{
	const char *type = "";
	const char *where = NULL;
	bool local;
	int r = json_get_string(json, "cacheFrom", "type", &type, err);

	local = str_equal(type, "local");
	if (r >= 0)
		r = json_get_string(json, "cacheFrom", local ? "src" : "ref",
				    &where, err);
	if (r < 0)
		return r;
	if ((!local && !str_equal(type, "registry")) || str_empty(where))
		return err_set(err, ERROR_INVALID,
			       "cache source: expected type=local,src=DIR or "
			       "type=registry,ref=NAME");
	source->name = xstrdup(where);
	if (local)
		source->directory = xstrdup(where);
	else
		source->reference = xstrdup(where);
	return 0;
}

static int read_source(const struct cache_context *context,
		       struct cache_source *source, struct error *err)
{
	cleanup_json cJSON *cache = NULL;
	struct engine_cache_place place;
	int r = 0;

	if (source->reference && context->find_auths)
		r = context->find_auths(context->data, source->reference, false,
					&source->auths, err);
	place = place_of(source);
	if (r == 0)
		r = engine_cache_read(context->engine, &place, &cache, err);
	if (r == 0)
		r = layer_chain_from_json(json_member(cache, "layers"),
					  "layers", &source->layers, err);
	if (r < 0)
		return r;
	source->records =
		cJSON_DetachItemFromObjectCaseSensitive(cache, "records");
	return 0;
}

/* A step of its own, for a registry takes its time. */
static void open_source(const struct cache_context *context,
			struct cache_source *source)
{
	const struct report *report = context->report;
	unsigned int vertex = ++*context->last_vertex;
	cleanup_free char *name =
		xasprintf("importing cache manifest from %s", source->name);
	cleanup_free char *warning = NULL;
	struct error error = {0};

	report_vertex(report, vertex, "internal", name);
	report_started(report, vertex);
	if (read_source(context, source, &error) < 0) {
		warning = xasprintf("no cache from %s: %s", source->name,
				    error.message);
		report_warning(report, 0, warning);
	}
	report_completed(report, vertex, NULL);
}

int cache_sources_open(const struct cache_context *context, const cJSON *from,
		       struct cache_sources *ret_sources, struct error *err)
{
	cleanup_cache_sources struct cache_sources sources = {0};
	const cJSON *item;

	cJSON_ArrayForEach(item, from)
	{
		struct cache_source *source;
		int r;

		sources.list = xrealloc(sources.list, sources.count + 1,
					sizeof(*sources.list));
		source = &sources.list[sources.count++];
		*source = (struct cache_source){0};
		r = read_request(item, source, err);
		if (r < 0)
			return r;
		open_source(context, source);
	}
	*ret_sources = sources;
	sources = (struct cache_sources){0};
	return 0;
}

/* ---- looking up ---- */

static const cJSON *find_record(const struct cache_source *source,
				const char *key)
{
	const cJSON *record;

	cJSON_ArrayForEach(record, source->records)
	{
		const char *own = NULL;

		if (json_get_string(record, "", "key", &own, NULL) > 0 &&
		    str_equal(own, key))
			return record;
	}
	return NULL;
}

static int fetch(const struct cache_context *context,
		 const struct cache_source *source,
		 const struct layer_ref *layer, unsigned int vertex,
		 struct error *err)
{
	const struct engine_cache_place place = place_of(source);
	int64_t size = (int64_t)layer->blob.size;
	int r;

	report_status(context->report, vertex, layer->blob.digest, "importing",
		      0, size);
	r = engine_cache_fetch(context->engine, &place, layer,
			       context->work->name, -1, err);
	if (r == 0)
		report_status(context->report, vertex, layer->blob.digest,
			      "done", size, size);
	return r;
}

/* A build_cache_hit; what cannot be had is a miss and a warning. */
static int take(const struct cache_context *context,
		const struct cache_source *source, const cJSON *record,
		const char *key, unsigned int vertex,
		struct layer_ref *ret_layer, struct error *err)
{
	struct build_cache_entry entry = {0};
	struct error error = {0};
	int64_t index = 0;
	int r;

	(void)json_get_string(record, "", "description", &entry.description,
			      NULL);
	if (json_get_i64(record, "", "layer", &index, NULL) > 0) {
		/* Within bounds: engine_cache_read() has looked. */
		entry.layer = &source->layers.layers[index];
		r = fetch(context, source, entry.layer, vertex, &error);
		if (r < 0) {
			report_warning(context->report, 0, error.message);
			return BUILD_CACHE_MISS;
		}
	}
	r = build_cache_put(&context->engine->store, key, &entry, err);
	if (r < 0 || !entry.layer)
		return r < 0 ? r : BUILD_CACHE_EMPTY;
	*ret_layer = *entry.layer;
	return BUILD_CACHE_LAYER;
}

int cache_sources_find(const struct cache_sources *sources,
		       const struct cache_context *context, const char *key,
		       unsigned int vertex, struct layer_ref *ret_layer,
		       struct error *err)
{
	for (size_t i = 0; i < sources->count; i++) {
		const struct cache_source *source = &sources->list[i];
		const cJSON *record = find_record(source, key);
		int r = BUILD_CACHE_MISS;

		if (record)
			r = take(context, source, record, key, vertex,
				 ret_layer, err);
		if (r != BUILD_CACHE_MISS)
			return r;
	}
	return BUILD_CACHE_MISS;
}
