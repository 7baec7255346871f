/*
 * Config and manifest of an image that is made here of layers that are there
 * (image-spec, config.md and manifest.md). The same layers and the same words
 * give the same bytes and so the same image ID: members are sorted by their
 * names, whichever order they came in, and no clock is asked.
 *
 * Times of the history, as BuildKit fills them in: an entry that has none gets
 * the epoch if there is one. Else one that made a layer gets that layer's time,
 * and others that of the new layer before them; in front of the first new layer
 * they get its time, and where there is none at all the last that is told.
 * "created" is the last entry's, or the epoch. Nothing has a time: none has.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdint.h>
#include <time.h>

#include "base/error.h"
#include "storage/store/manifest.h"

struct image_make {
	const cJSON *image; /* a whole config without "created" and "rootfs" */
	char *const *diff_ids;	      /* lowest first; NULL: none */
	const struct timespec *times; /* when each of the layers was made */
	int64_t epoch;		      /* seconds since 1970; -1: none */
};

/* ERROR_INVALID when the history tells of fewer or more layers. */
int image_make_config(const struct image_make *make, cJSON **ret_config,
		      struct error *err);
/* annotations: "KEY=VALUE"; NULL: none. Caller owns. */
cJSON *image_make_manifest(const struct manifest *manifest,
			   char *const *annotations);
