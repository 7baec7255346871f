/*
 * The build cache kept elsewhere: --cache-to writes what the steps of a build
 * came to, into a directory or a registry, --cache-from finds it there.
 *
 * It is an OCI image, so that any registry takes it, in a directory an OCI
 * image layout. Its layers are those that steps made; which step made which is
 * told in its config (BUILD_CACHE_MEMBER of storage/transfer_build.h). inline:
 * the built image's own config tells it of the image's layers.
 *
 *   "cacheTo"    {"type":"local","dest"} | {"type":"registry","ref"} |
 *                {"type":"inline"}, with "mode": "min", the steps of the target
 *                and the stages it begins with, or "max", all
 *   "cacheFrom"  {"type":"local","src"} | {"type":"registry","ref"}
 *
 * What is written: a directory that has a cache is added to, and its old layers
 * stay there; a name in a registry is given to the new cache.
 *
 * What is read: the records before anything is built, a layer when a step has
 * its key. All digests are checked. But that a key has that layer is the word
 * of whoever could write there: whom one would not pull images from, one does
 * not take a cache from. A source that cannot be read is a warning.
 *
 * Keys that a build used are noted in its work, "keys-N" for stage N, a JSON
 * object a line: {"key", "description"}.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "core/build/image.h"
#include "core/build/report.h"
#include "core/engine/engine.h"
#include "storage/store/build_cache.h"
#include "storage/store/store.h"
#include "storage/transfer_build.h"

struct cache_context {
	struct engine *engine;
	const struct store_work *work; /* of the build */
	const struct report *report;
	unsigned int *last_vertex; /* counts those that are made here */
	/* Credentials for a reference, the caller's to free; NULL: none. */
	int (*find_auths)(const void *data, const char *reference,
			  bool for_push, cJSON **ret_auths, struct error *err);
	const void *data;
};

/* ---- --cache-from ---- */

struct cache_source {
	char *name;	 /* for people */
	char *directory; /* or */
	char *reference;
	cJSON *auths;
	cJSON *records;
	struct layer_chain layers;
};

struct cache_sources {
	struct cache_source *list;
	size_t count;
};

#define cleanup_cache_sources CLEANUP(cache_sources_release)

void cache_sources_release(struct cache_sources *sources);
/* sources: the request's "cacheFrom"; NULL: none. */
int cache_sources_open(const struct cache_context *context, const cJSON *from,
		       struct cache_sources *ret_sources, struct error *err);
/*
 * A build_cache_hit, as build_cache_find(), which has missed: what is found is
 * in the store's cache then, and leased. vertex: of the step.
 */
int cache_sources_find(const struct cache_sources *sources,
		       const struct cache_context *context, const char *key,
		       unsigned int vertex, struct layer_ref *ret_layer,
		       struct error *err);

/* ---- --cache-to ---- */

/* Whether its step was run or was in the cache. One process a stage. */
int cache_note(const struct store_work *work, size_t stage, const char *key,
	       const char *description, struct error *err);

struct cache_steps {
	const size_t *target; /* the target's stage, and those it begins with */
	size_t target_count;
	size_t all; /* stages there are */
};
/* to: the request's "cacheTo"; NULL: none. Before the image is assembled, whose
   layers it tells of: they must not be squashed. */
int cache_inline(const struct cache_context *context, const cJSON *to,
		 const struct cache_steps *steps,
		 const struct layer_chain *chain, struct image_draft *image,
		 struct error *err);
/* The others; image: says for which platform it was built. */
int cache_export(const struct cache_context *context, const cJSON *to,
		 const struct cache_steps *steps,
		 const struct image_draft *image, struct error *err);
