/*
 * The store: everything moss keeps, below one data directory.
 *
 *   image/            an OCI image layout (image-layout.md): oci-layout,
 *                     index.json, blobs/sha256/HEX; readable by other tools
 *   layers/HEX/diff   one unpacked layer, HEX is its diff ID; in the overlay's
 *                     own form (whiteouts, opaque xattrs); immutable
 *   layers/HEX/layer.json  size on disk, blob digest, done marker: a layer
 *                     directory without it is a leftover of a crash
 *   containers/       core/engine's, see there
 *   volumes/NAME/     volume.json, _data
 *   tmp/              work in progress; removed when its owner's lock is free
 *   lock              shared while images are read or used, exclusive while the
 *                     index changes or garbage is removed
 *
 * All descriptors stay open for the store's life. Any number of processes may
 * have it open.
 */
#pragma once

#include "base/error.h"

struct store {
	int root_fd;
	int image_fd;
	int layers_fd;
	int volumes_fd;
	int tmp_fd;
	char *path; /* absolute, of the root */
};

/* Makes what is missing. path: absolute. */
int store_open(const char *path, struct store *ret_store, struct error *err);
void store_close(struct store *store);
