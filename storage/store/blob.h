/*
 * Blobs of the store, image/blobs/sha256/HEX: manifests, configs and packed
 * layers. A blob is there whole or not at all: it is written elsewhere, its
 * digest checked, and renamed into place. Reading does not check the digest
 * again (saving does, storage/archive/save.c).
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "storage/store/store.h"

/* Below store->image_fd. */
#define BLOB_PATH_MAX 96
void blob_path(char ret_path[BLOB_PATH_MAX], const char *digest);

bool blob_exists(const struct store *store, const char *digest);
/* ERROR_CORRUPT when it is missing; ret_size may be NULL. */
int blob_open(const struct store *store, const char *digest, uint64_t *ret_size,
	      struct error *err);
int blob_read_json(const struct store *store, const char *digest,
		   cJSON **ret_json, struct error *err);
