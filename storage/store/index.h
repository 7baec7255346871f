/*
 * The store's index.json: which images there are and what they are called.
 *
 * One descriptor an image and name; the name is the full reference in the
 * annotation org.opencontainers.image.ref.name. An image with two names has two
 * descriptors with the same digest, one without any has one descriptor without
 * the annotation. What other tools put there (nested indexes, artifacts, short
 * names) is kept as it is.
 *
 * Reading needs the store's lock shared, read-change-write needs it exclusive.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "storage/store/manifest.h"
#include "storage/store/store.h"

int index_read(const struct store *store, cJSON **ret_index, struct error *err);
int index_write(const struct store *store, const cJSON *index,
		struct error *err);

/* The "manifests" array; index_read() has checked that it is one. */
cJSON *index_entries(const cJSON *index);
/* Borrowed annotation as it stands, NULL when there is none. */
const char *index_entry_name(const cJSON *entry);
/* The full reference of the entry's name, NULL without; caller frees. */
char *index_entry_reference(const cJSON *entry);
/* Borrowed; NULL for an entry without a valid digest. */
const char *index_entry_digest(const cJSON *entry);
bool index_entry_is_removed(const cJSON *entry);
uint64_t index_entry_size(const cJSON *entry); /* unpacked, 0: unknown */

/* Digest that a registry's name led to (ANNOTATION_DIGEST), and of the blob
   that lists the referrers; borrowed, NULL without. */
const char *index_entry_origin(const cJSON *entry);
const char *index_entry_referrers(const cJSON *entry);
/* Says no more that the index of that digest is kept with it. */
void index_entry_forget(cJSON *entry, const char *digest);
/* When its name was given, RFC 3339; borrowed, NULL when it is not known. */
const char *index_entry_tagged(const cJSON *entry);

/* The entry called `full`, or NULL. */
cJSON *index_find_reference(const cJSON *index, const char *full);
/* The first shown entry for that manifest, or NULL. */
cJSON *index_find_manifest(const cJSON *index, const char *digest);

/*
 * Makes `full` (NULL: no name) mean the manifest, as docker does: the image
 * that had the name before stays, by its repository's digest for it if it came
 * from a registry, otherwise nameless if it was its last.
 */
void index_set(cJSON *index, const char *full,
	       const struct descriptor *manifest, uint64_t unpacked_size);
/* Notes both for the entry called `full`; NULL: none, as for what came from no
   registry. */
void index_set_origin(cJSON *index, const char *full, const char *origin,
		      const char *referrers);
/* Takes the name off; the image stays, nameless if it was its last. */
void index_unset(cJSON *index, const char *full);
/* Drops every entry of that manifest. */
void index_drop(cJSON *index, const char *digest);
/* Leaves one hidden entry of that manifest. */
void index_hide(cJSON *index, const char *digest);
