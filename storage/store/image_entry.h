/*
 * Entries of the store's index as images, for the modules that change the index
 * themselves (removal, load, save) and hold the store's lock.
 */
#pragma once

#include <cjson/cJSON.h>

#include "base/error.h"
#include "storage/store/image.h"
#include "storage/store/manifest.h"
#include "storage/store/reference.h"

/* Borrows the entry from index. Errors as image_find(). */
int image_find_entry(const struct store *store, const cJSON *index,
		     const char *name, const cJSON **ret_entry,
		     struct error *err);
int image_entry_manifest(const struct store *store, const cJSON *entry,
			 struct manifest *ret_manifest, struct error *err);
int image_from_entry(const struct store *store, const cJSON *index,
		     const cJSON *entry, struct image *ret_image,
		     struct error *err);
/* As image_list(). */
void image_list_of_index(const struct store *store, const cJSON *index,
			 struct image **ret_images, size_t *ret_count);
/* A name that an image may be given: no digest, not "sha256". */
int image_check_new_reference(const char *text, struct reference *ret_reference,
			      struct error *err);
