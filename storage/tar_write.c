#include <string.h>

#include "storage/tar_format.h"

#define OCTAL_MAX ((1ull << 33) - 1) /* 11 digits */

/* Zero-padded, with a NUL after it. */
static void set_octal(char *block, size_t offset, size_t size, uint64_t value)
{
	for (size_t i = size - 1; i > 0; i--) {
		block[offset + i - 1] = (char)('0' + (value & 7));
		value >>= 3;
	}
}

static void set_size(char *block, uint64_t value)
{
	if (value <= OCTAL_MAX) {
		set_octal(block, TAR_SIZE, value);
		return;
	}
	block[124] = (char)0x80;
	for (int i = 0; i < 8; i++)
		block[124 + 11 - i] = (char)(value >> (8 * i));
}

void tar_header(char ret_block[TAR_BLOCK_SIZE], const char *path,
		enum tar_type type, mode_t mode, uint64_t size, int64_t mtime)
{
	unsigned int sum = 0;

	memset(ret_block, 0, TAR_BLOCK_SIZE);
	memcpy(ret_block, path, strnlen(path, 100));
	set_octal(ret_block, TAR_MODE, mode);
	set_octal(ret_block, TAR_UID, 0);
	set_octal(ret_block, TAR_GID, 0);
	set_size(ret_block, size);
	set_octal(ret_block, TAR_MTIME, mtime > 0 ? (uint64_t)mtime : 0);
	ret_block[TAR_TYPEFLAG] = type == TAR_DIRECTORY ? '5' : '0';
	memcpy(ret_block + TAR_MAGIC, "ustar\00000", 8);
	/* The sum is made with blanks in its own place. */
	memset(ret_block + 148, ' ', 8);
	for (size_t i = 0; i < TAR_BLOCK_SIZE; i++)
		sum += (unsigned char)ret_block[i];
	set_octal(ret_block, 148, 7, sum);
	ret_block[154] = '\0';
}
