/*
 * A record of the build cache as a file, for the other parts of
 * storage/store/build_cache.h, which tells its form.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "base/error.h"
#include "storage/store/build_cache.h"
#include "storage/store/digest.h"

/* Below store->root_fd. */
#define BUILD_RECORD_PATH_MAX (sizeof(BUILD_CACHE_DIR "/") + DIGEST_HEX)
/* Newlines that are counted; beyond, only the time is set. */
#define BUILD_RECORD_USES_MAX 16384u
/* Bytes of a file. */
#define BUILD_RECORD_FILE_MAX (BUILD_RECORD_USES_MAX + (16u << 10))

bool build_key_is_valid(const char *key);
void build_record_path(char ret_path[BUILD_RECORD_PATH_MAX], const char *key);

void build_record_release(struct build_cache_record *record);
/* Whether what it names is there is not asked. */
int build_record_read(const struct store *store, const char *key,
		      struct build_cache_record *ret_record, struct error *err);

/* size: of the layer, unpacked and packed. Caller owns. */
cJSON *build_record_json(const struct build_cache_entry *entry, uint64_t size);
int build_record_write(const struct store *store, const char *key,
		       const cJSON *json, struct error *err);
