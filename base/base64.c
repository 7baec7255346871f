#include "base/base64.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
			     "abcdefghijklmnopqrstuvwxyz0123456789+/";

char *base64_encode(const void *bytes, size_t length)
{
	const unsigned char *at = bytes;
	char *text = xcalloc((length + 2) / 3 * 4 + 1, 1);
	char *out = text;

	for (size_t left = length; left > 0;) {
		size_t count = left < 3 ? left : 3;
		uint32_t group = (uint32_t)at[0] << 16;

		if (count > 1)
			group |= (uint32_t)at[1] << 8;
		if (count > 2)
			group |= at[2];
		for (size_t i = 0; i < 4; i++)
			*out++ = i > count ? '='
					   : digits[group >> (18 - 6 * i) & 63];
		at += count;
		left -= count;
	}
	return text;
}

/* Four characters, of which the last two may be padding: bytes, or -1. */
static int decode_group(const char *text, char *out)
{
	uint32_t group = 0;
	int pads = (text[3] == '=') + (text[3] == '=' && text[2] == '=');

	for (int i = 0; i < 4; i++) {
		const char *digit = i < 4 - pads && text[i]
					    ? strchr(digits, text[i])
					    : NULL;

		if (!digit && i < 4 - pads)
			return -1;
		group = group << 6 | (digit ? (uint32_t)(digit - digits) : 0);
	}
	/* What the padding cuts off is zero, or two texts were one value. */
	if (group & ((1u << 8 * pads) - 1))
		return -1;
	for (int i = 0; i < 3 - pads; i++)
		out[i] = (char)(group >> (16 - 8 * i));
	return 3 - pads;
}

int base64_decode(const char *text, char **ret_bytes, size_t *ret_length)
{
	size_t length = strlen(text);
	cleanup_free char *bytes = xcalloc(length / 4 * 3 + 1, 1);
	size_t count = 0;

	if (length % 4 != 0)
		return -EINVAL;
	for (size_t i = 0; i < length; i += 4) {
		int part = decode_group(text + i, bytes + count);

		if (part < 0 || (part < 3 && i + 4 < length))
			return -EINVAL;
		count += (size_t)part;
	}
	*ret_bytes = steal_ptr(&bytes);
	*ret_length = count;
	return 0;
}
