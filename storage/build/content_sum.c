#include "storage/build/content_sum.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"

#define READ_SIZE (4 * CONTENT_PIECE)

static bool is_zero(const unsigned char *bytes, size_t length)
{
	return length == 0 ||
	       (bytes[0] == 0 && memcmp(bytes, bytes + 1, length - 1) == 0);
}

static void put_number(struct content_sum *sum, uint64_t number)
{
	unsigned char bytes[8];

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (unsigned char)(number >> (56 - 8 * i));
	hash_update(&sum->hash, bytes, sizeof(bytes));
}

static void put_piece(struct content_sum *sum, uint64_t piece,
		      const unsigned char *bytes)
{
	uint64_t left = sum->size - piece * CONTENT_PIECE;
	size_t length = left < CONTENT_PIECE ? (size_t)left : CONTENT_PIECE;

	if (is_zero(bytes, length))
		return;
	put_number(sum, piece);
	hash_update(&sum->hash, bytes, length);
}

static void put_gathered(struct content_sum *sum)
{
	if (!sum->touched)
		return;
	put_piece(sum, sum->piece, sum->buffer);
	memset(sum->buffer, 0, CONTENT_PIECE);
	sum->touched = false;
}

/* Who reads whole pieces needs no buffer. */
static void gather(struct content_sum *sum, size_t in,
		   const unsigned char *bytes, size_t length)
{
	if (!sum->buffer)
		sum->buffer = xcalloc(1, CONTENT_PIECE);
	memcpy(sum->buffer + in, bytes, length);
	sum->touched = true;
}

int content_sum_begin(struct content_sum *sum, uint64_t size, struct error *err)
{
	hash_release(&sum->hash);
	if (sum->touched)
		memset(sum->buffer, 0, CONTENT_PIECE);
	sum->touched = false;
	sum->size = size;
	sum->piece = 0;
	return hash_init(&sum->hash, err);
}

void content_sum_end(struct content_sum *sum,
		     unsigned char ret_digest[HASH_SIZE])
{
	put_gathered(sum);
	put_number(sum, sum->size);
	hash_finish(&sum->hash, ret_digest);
}

void content_sum_release(struct content_sum *sum)
{
	hash_release(&sum->hash);
	free(sum->buffer);
	sum->buffer = NULL;
}

void content_seen(void *data, uint64_t offset, const void *bytes, size_t length)
{
	struct content_sum *sum = data;
	const unsigned char *at = bytes;

	if (offset >= sum->size)
		return;
	if (length > sum->size - offset)
		length = (size_t)(sum->size - offset);
	while (length > 0) {
		uint64_t piece = offset / CONTENT_PIECE;
		size_t in = (size_t)(offset % CONTENT_PIECE);
		size_t part = CONTENT_PIECE - in;

		if (part > length)
			part = length;
		if (piece != sum->piece)
			put_gathered(sum);
		sum->piece = piece;
		if (in == 0 &&
		    (part == CONTENT_PIECE || offset + part == sum->size)) {
			put_piece(sum, piece, at);
		} else {
			gather(sum, in, at, part);
		}
		at += part;
		offset += part;
		length -= part;
	}
}

/* Where data goes on, at a piece's beginning; size: nowhere. */
static uint64_t next_data(int fd, uint64_t offset, uint64_t size)
{
	off_t found = lseek(fd, (off_t)offset, SEEK_DATA);
	uint64_t start;

	if (found < 0)
		return errno == ENXIO ? size : offset;
	start = (uint64_t)found - (uint64_t)found % CONTENT_PIECE;
	return start > offset ? start : offset;
}

static int read_file(struct content_sum *sum, int fd, unsigned char *buffer)
{
	uint64_t offset = 0;

	while (offset < sum->size) {
		uint64_t left = sum->size - offset;
		size_t part = left < READ_SIZE ? (size_t)left : READ_SIZE;
		ssize_t got = pread(fd, buffer, part, (off_t)offset);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		content_seen(sum, offset, buffer, (size_t)got);
		offset += (uint64_t)got;
		/* Asked for each buffer of a large file; others have one. */
		if (offset < sum->size)
			offset = next_data(fd, offset, sum->size);
	}
	return 0;
}

int content_sum_file(struct content_sum *sum, int fd, uint64_t size,
		     unsigned char ret_digest[HASH_SIZE], struct error *err)
{
	cleanup_free unsigned char *buffer =
		xcalloc(1, size < READ_SIZE ? (size_t)size + 1 : READ_SIZE);
	int r = content_sum_begin(sum, size, err);

	if (r < 0)
		return r;
	r = read_file(sum, fd, buffer);
	if (r < 0)
		return err_number(err, r, "cannot read it");
	content_sum_end(sum, ret_digest);
	return 0;
}
