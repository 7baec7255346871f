/*
 * Garbage: blobs and layers that no image of the index, no record of the build
 * cache, no lease of work in progress and no crash-safe rule keeps. Mark and
 * sweep over the whole store, so that what a crash left anywhere goes as well.
 *
 * An entry keeps its manifest with config and layers, and the documents that
 * tell where its name led to (storage/store/oci.h).
 *
 * Cautious where it cannot see: with an entry of the index that cannot be read
 * to its end, no blob and no layer is removed until that entry is.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "storage/store/store.h"

struct collected {
	char **layers;	/* diff IDs of the layers that went */
	uint64_t bytes; /* of blobs and layers */
	bool blind;	/* an image could not be read: nothing went */
};
void collected_release(struct collected *collected);

/*
 * Under the exclusive lock, after index has been written. Blobs are unlinked;
 * layers are moved into work, whose release (after the lock) removes their
 * trees, which takes time. ret_collected may be NULL; it is filled on failure,
 * too, as far as it went.
 */
int collect(const struct store *store, const cJSON *index,
	    const struct store_work *work, struct collected *ret_collected,
	    struct error *err);

/* What collect() would remove. */
struct leftovers {
	char **paths; /* below the store's root */
};
void leftovers_release(struct leftovers *leftovers);
/* Under the lock, shared or exclusive. */
int collect_leftovers(const struct store *store, const cJSON *index,
		      struct leftovers *ret_leftovers, struct error *err);
