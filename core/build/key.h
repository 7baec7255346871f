/*
 * The key of a step in the build cache (storage/store/build_cache.h): the
 * SHA-256 of everything that its result depends on, as named parts in the order
 * that they are added. Parts are told apart by their lengths, so that no two
 * different lists are the same bytes.
 *
 * What may not be guessed from a key (a secret) has no place in one either.
 */
#pragma once

#include <cjson/cJSON.h>

#include "base/error.h"
#include "storage/tar/hash.h"

#define KEY_HEX_MAX 65

struct key {
	struct hash hash;
};

#define cleanup_key CLEANUP(key_release)

/* step: what kind of step it is, "run". */
int key_begin(struct key *ret_key, const char *step, struct error *err);
void key_release(struct key *key);

/* text NULL is not the same as "". */
void key_add(struct key *key, const char *name, const char *text);
/* NULL is the same as an empty one. */
void key_add_strv(struct key *key, const char *name, char *const *texts);
/* As cJSON prints it: the order of members counts. NULL: there is none. */
void key_add_json(struct key *key, const char *name, const cJSON *json);

/* 64 digits; once, at the end. */
void key_finish(struct key *key, char ret_hex[KEY_HEX_MAX]);
