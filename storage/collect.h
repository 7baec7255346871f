/*
 * Garbage: blobs and layers that no image of the index, no lease of work in
 * progress and no crash-safe rule keeps. Mark and sweep over the whole store,
 * so that what a crash left anywhere goes as well.
 *
 * Cautious where it cannot see: with an entry of the index that cannot be read
 * to its end, no blob and no layer is removed until that entry is.
 */
#pragma once

#include <cjson/cJSON.h>

#include "base/error.h"
#include "storage/store.h"

/*
 * Under the exclusive lock, after index has been written. Blobs are unlinked;
 * layers are moved into work, whose release (after the lock) removes their
 * trees, which takes time. *ret_layers: diff IDs of the layers removed, may be
 * NULL, caller frees.
 */
int collect(const struct store *store, const cJSON *index,
	    const struct store_work *work, char ***ret_layers,
	    struct error *err);
