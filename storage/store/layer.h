/*
 * Unpacked layers, layers/HEX with HEX the digits of the diff ID:
 *
 *   diff/        the tree, in the overlay's own form
 *   layer.json   {"diffId", "blob", "size", "entries", "squashed",
 *                 "privileged", "devices"}
 *
 * blob is the packed layer the tree came from, size the bytes of its files,
 * squashed counts the files whose owner has no ID here and became 0, privileged
 * the programs that gain privileges (set-uid, set-gid, capabilities), devices
 * lists the nodes that could not be made ({"path","type","major","minor"}): an
 * empty file stands in their place.
 *
 * A layer is made below tmp/ and renamed here when it is whole and on disk, so
 * one with a layer.json is whole.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "base/error.h"
#include "storage/store/digest.h"
#include "storage/store/manifest.h"
#include "storage/store/store.h"

#define LAYER_DIFF   "diff"
#define LAYER_MARKER "layer.json"

struct layer {
	char diff_id[DIGEST_TEXT_MAX];
	char blob[DIGEST_TEXT_MAX];
	uint64_t size;
	uint64_t entries;
	uint64_t squashed;
	uint64_t privileged;
	struct timespec made; /* of its marker; by layer_read() only */
};

/* A layer as images and builds name it: unpacked and packed. */
struct layer_ref {
	char diff_id[DIGEST_TEXT_MAX];
	struct descriptor blob;
};

/* One system call. */
bool layer_exists(const struct store *store, const char *diff_id);
int layer_read(const struct store *store, const char *diff_id,
	       struct layer *ret_layer, struct error *err);
/* Writes the marker into dir_fd; devices (an array, may be NULL) is copied. */
int layer_write(int dir_fd, const struct layer *layer, const cJSON *devices,
		struct error *err);

/*
 * Extended attributes: a layer keeps what programs put into user.* and file
 * capabilities; those in which drivers and we keep our own notes are private
 * and never go in or out.
 */
bool layer_xattr_is_private(const char *name);
bool layer_keeps_xattr(const char *name);

/*
 * The "devices" of layer.json; caller frees. NULL when there are none.
 */
int layer_read_devices(const struct store *store, const char *diff_id,
		       cJSON **ret_devices, struct error *err);
