/*
 * The build cache: what the steps of builds came to, each found by its key.
 *
 *   build/cache/HEX   a record; HEX is the key of the step, 64 digits
 *   build/lock        see build_cache_lock()
 *
 * A record is a JSON object and a newline for each time it was used:
 *
 *   {"diffId", "blob": {"digest", "mediaType", "size"},    or "empty": true
 *    "description", "created", "type"}
 *
 * diffId and blob are the layer that the step made, unpacked and packed; a step
 * that changed nothing is empty. description is the instruction, for people; it
 * must not hold secrets. The file's times: that of its last change is when it
 * was last used.
 *
 * What a record names is kept by the collector of garbage like what an image
 * names (storage/store/collect.h). When a record goes, its layer goes unless an
 * image, another record or work in progress has that, too.
 *
 * Damage. Nobody believes a record: without layer and blob in the store, the
 * blob of the size told, it is a miss, and the step runs again and replaces it.
 * That is why records are written without waiting for the disk: after a power
 * cut one is there, or not, or empty, and names a layer that was on disk before
 * it came into the store (storage/job/stage.h), or one that never arrived.
 * Removal and check take those away that cannot be read or name what is not
 * there.
 *
 * Records come under the store's lock, shared, and so are found; they go under
 * the exclusive one. The collector, which has that, sees no layer without lease
 * and without record in between.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cjson/cJSON.h>

#include "base/error.h"
#include "storage/store/layer.h"
#include "storage/store/store.h"

#define BUILD_DIR	"build"
#define BUILD_CACHE_DIR BUILD_DIR "/cache"

/* Bytes of a description; what is longer is cut. */
#define BUILD_CACHE_DESCRIPTION_MAX 512

enum build_cache_hit {
	BUILD_CACHE_MISS,
	BUILD_CACHE_LAYER,
	BUILD_CACHE_EMPTY, /* the step changed nothing */
};

/*
 * A build_cache_hit or an error. Layer and blob are leased in work: they stay
 * as long as that lives. Counts as a use. Takes the store's lock, shared.
 */
int build_cache_find(const struct store *store, const struct store_work *work,
		     const char *key, struct layer_ref *ret_layer,
		     struct error *err);

/*
 * Notes what a step came to, replacing what the key had. The layer is in the
 * store and leased by the caller. Takes the store's lock, shared.
 */
struct build_cache_entry {
	const struct layer_ref *layer; /* NULL: empty */
	const char *description;       /* "RUN make"; NULL: none */
};
int build_cache_put(const struct store *store, const char *key,
		    const struct build_cache_entry *entry, struct error *err);

/*
 * Whoever runs a step holds its lock from before it looks for a record until
 * after it wrote one, so that of builds side by side one runs it and the others
 * find it. Returns the descriptor that holds it; a killed process leaves none.
 * Not waiting, -EAGAIN without an error text when another build has it. No more
 * than one at a time for a process: two that wait for each other wait forever.
 * Never while holding the store's lock.
 */
int build_cache_lock(const struct store *store, const char *key, bool wait,
		     struct error *err);

/* ---- all of it: for the collector, du, prune and check ---- */

struct build_cache_record {
	char key[DIGEST_HEX + 1];
	bool empty;
	struct layer_ref layer; /* not of an empty one */
	char *description;	/* never NULL */
	char *created;		/* RFC 3339 */
	struct timespec last_used;
	uint64_t uses;
	uint64_t size; /* of the layer, unpacked and packed */

	/* Of build_cache_usage() only. */
	bool in_use;   /* work in progress leases it */
	bool in_image; /* an image has the layer, too */
	bool repeated; /* a record that goes after it has the layer, too */
};

struct build_cache {
	struct build_cache_record *records; /* by their keys */
	size_t count;
	char **broken; /* keys of those that cannot be read */
};
void build_cache_release(struct build_cache *cache);

/*
 * Which of two, last used and made at these times (RFC 3339), goes first when
 * there is too much: as qsort() asks. A build goes through its steps from first
 * to last, and the last ones can be found only by those before: of what was
 * used in the same minute the one made last goes first.
 */
int build_cache_order(const struct timespec *used, const char *created,
		      const struct timespec *other_used,
		      const char *other_created);

/* Under the store's lock, shared or exclusive. */
int build_cache_read(const struct store *store, struct build_cache *ret_cache,
		     struct error *err);
/* Are layer and blob there, as far as one sees without reading them? */
bool build_cache_record_is_whole(const struct store *store,
				 const struct build_cache_record *record);
/* With who else needs them. Takes the store's lock, shared. */
int build_cache_usage(const struct store *store, struct build_cache *ret_cache,
		      struct error *err);
/* The same, under the lock. */
int build_cache_judge(const struct store *store, const cJSON *index,
		      struct build_cache *cache, struct error *err);

/*
 * Removes the records of these keys but for those in use, and those that are
 * broken or name what is not there, whatever their keys; then what nothing
 * refers to any more. ret_bytes: what that gained. ret_removed: keys, caller
 * frees. Takes the store's lock, exclusively.
 */
int build_cache_remove(struct store *store, char *const *keys,
		       char ***ret_removed, uint64_t *ret_bytes,
		       struct error *err);
/* Of one record alone, under the exclusive lock. */
void build_cache_drop(const struct store *store, const char *key);
