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
 * names (storage/store/collect.h). A record is removed by build_cache_prune(),
 * with its layer unless an image or another record has that, too.
 *
 * Damage. Nobody believes a record: without layer and blob in the store, the
 * blob of the size told, it is a miss, and the step runs again and replaces it.
 * That is why records are written without waiting for the disk: after a power
 * cut one is there, or not, or empty, and names a layer that was on disk before
 * it came into the store (storage/job/stage.h), or one that never arrived.
 * Prune and check remove those that cannot be read or name what is not there.
 *
 * Records come and go under the store's lock: shared to find and to put, so
 * that the collector, which has it exclusively, sees no layer without lease and
 * without record in between.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "storage/store/layer.h"
#include "storage/store/store.h"

#define BUILD_DIR	"build"
#define BUILD_CACHE_DIR BUILD_DIR "/cache"

/* Characters of a description; what is longer is cut. */
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
