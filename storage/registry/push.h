/*
 * moss-image push: an image of the store into a registry, as it is: the very
 * bytes of its manifest, config and packed layers, so that its digest is the
 * same there. Several layers go at once; the manifest goes last, when all that
 * it names is there.
 *
 * A blob is not sent when the registry has it, or takes it over from another
 * repository of its own (mounting): candidates are the names under which other
 * images with that layer are known here. What is sent is checked against its
 * digest on the way.
 *
 * The blobs are leased meanwhile, so that the image may be removed.
 */
#pragma once

#include "base/error.h"
#include "storage/job/job.h"
#include "storage/registry/registry.h"
#include "storage/store/manifest.h"
#include "storage/store/reference.h"
#include "storage/store/store.h"

#define PUSH_PARALLEL 5 /* blobs, when the request does not say */

struct push {
	struct job *job;
	struct registry *registry;
	struct store_work work; /* holds the leases */
	unsigned int concurrent;
	struct push_image *images;
	size_t count;
};

struct push_image {
	struct reference reference; /* with the tag */
	char *familiar;
	struct descriptor descriptor; /* of the manifest */
	struct manifest manifest;
	char **from; /* of each layer: a repository that may have it, or "" */
};

/* push_blobs.c: all that the manifest names. */
int push_blobs(struct push *push, const struct push_image *image,
	       struct error *err);
