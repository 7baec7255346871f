/* SHA-256, for helper programs only (libcrypto). */
#pragma once

#include <stddef.h>

#include "base/error.h"
#include "storage/store/digest.h"

struct hash {
	struct evp_md_ctx_st *context;
};

int hash_init(struct hash *hash, struct error *err);
void hash_release(struct hash *hash);
void hash_update(struct hash *hash, const void *bytes, size_t length);
/* Once, at the end. */
void hash_digest(struct hash *hash, char ret_digest[DIGEST_TEXT_MAX]);
/* The same as bytes. */
#define HASH_SIZE 32
void hash_finish(struct hash *hash, unsigned char ret_bytes[HASH_SIZE]);
/* All at once. */
int hash_bytes(const void *bytes, size_t length,
	       char ret_digest[DIGEST_TEXT_MAX], struct error *err);
