/*
 * A short cut for builds whose steps were all in the cache: an image that would
 * be made of them is found to be there, under all its names, without the
 * helper, which would write the very same blobs and wait for the disk.
 */
#pragma once

#include "base/error.h"
#include "storage/store/store.h"
#include "storage/transfer_build.h"

/*
 * 1: image_assemble() of this request would change nothing; it is told as made
 * (events). 0: it is to be called.
 */
int image_assembled(struct store *store, const struct assemble_request *request,
		    struct assembled_image *ret_image, struct error *err);
