/*
 * What the images cost: the bytes of blobs and of unpacked layers, each counted
 * once however many images share it. Layers count what their files hold
 * (layer.json), so that nothing but directories and small files is read.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "storage/store/image.h"

struct usage_image {
	char *id;	 /* as in image_list() */
	uint64_t size;	 /* all of its blobs and layers */
	uint64_t shared; /* those that another image has, too */
};

struct usage {
	struct usage_image *images;
	size_t count;
	/* All blobs and layers, garbage included, but for what only the build
	   cache has (storage/store/build_cache.h). */
	uint64_t total;
	/* Of these, what cannot go: needed by an image that a container uses,
	   or by work in progress. */
	uint64_t needed;
};

int usage_read(struct store *store, image_in_use in_use, void *data,
	       struct usage *ret_usage, struct error *err);
void usage_release(struct usage *usage);
