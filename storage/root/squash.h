/*
 * Several layers as one tree that does what they do one after the other, in the
 * overlay's form, for a layer to be made of it (storage/root/diff_layer.h).
 *
 * The layers' own trees are merged, lowest first, with no walk over those
 * below: what an upper one has takes the place of what a lower one had, what it
 * whites out goes. A whiteout stays only where a layer below has something of
 * that name, and a directory that took the place of anything is opaque: it
 * shows nothing of one below.
 *
 * Files are linked, not copied: the tree must lie in the store and must not be
 * written to. Names are looked up by descriptors, one level at a time, never
 * through a link. A crash leaves it to the work it lies in.
 */
#pragma once

#include "base/error.h"
#include "storage/store/store.h"

#define SQUASH_DEPTH_MAX 300 /* levels, of three descriptors each */

struct squash_request {
	const struct store *store;
	char *const *below;  /* diff IDs of the layers that stay */
	char *const *merged; /* of those that become one; lowest first */
};
/* Into an empty directory. */
int squash_layers(const struct squash_request *request, int target_fd,
		  struct error *err);
