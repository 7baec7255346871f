/*
 * Digests as OCI writes them: "sha256:" and 64 lower-case hex digits. Nothing
 * else is used as a file name below blobs/ and layers/, so a digest that
 * passed the check here cannot lead anywhere else. This part only reads them;
 * computing one needs storage/tar/hash.h.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

#define DIGEST_PREFIX	"sha256:"
#define DIGEST_HEX	64
#define DIGEST_TEXT_MAX 72 /* with the final NUL */

bool digest_is_hex(const char *text, size_t length); /* lower-case only */
bool digest_is_valid(const char *digest);
/* 0 or ERROR_INVALID "WHAT: invalid digest …". */
int digest_check(const char *digest, const char *what, struct error *err);
/* The 64 digits of a valid one (borrowed). */
const char *digest_hex(const char *digest);
void digest_from_hex(char ret_digest[DIGEST_TEXT_MAX], const char *hex);

/* 12 digits for messages; holds for anything that is no digest as well. */
#define DIGEST_SHORT_MAX 13
void digest_short(char ret_text[DIGEST_SHORT_MAX], const char *digest);
