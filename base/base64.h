/* Base64 with padding (RFC 4648, section 4). */
#pragma once

#include <stddef.h>

/* Caller frees. */
char *base64_encode(const void *bytes, size_t length);
/*
 * *ret_bytes is NUL-terminated past its length; caller frees. -EINVAL for
 * anything that base64_encode() would not have written.
 */
int base64_decode(const char *text, char **ret_bytes, size_t *ret_length);
