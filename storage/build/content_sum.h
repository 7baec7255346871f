/* What a file's bytes digest to: content_sum of storage/build/content.h. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "storage/build/content.h"
#include "storage/tar/hash.h"

struct content_sum {
	struct hash hash;
	uint64_t size;	       /* of the file */
	uint64_t piece;	       /* whose number this is, */
	unsigned char *buffer; /* gathers its bytes, CONTENT_PIECE */
	bool touched;	       /* some of them have come */
};

/* One at a time; may be begun again after its end. */
int content_sum_begin(struct content_sum *sum, uint64_t size,
		      struct error *err);
void content_sum_end(struct content_sum *sum,
		     unsigned char ret_digest[HASH_SIZE]);
void content_sum_release(struct content_sum *sum);

/*
 * Begin, all of the file, end. Zeros where it has become shorter than size. 0
 * or negative errno; err tells of a failure that is not the file's.
 */
int content_sum_file(struct content_sum *sum, int fd, uint64_t size,
		     unsigned char ret_digest[HASH_SIZE], struct error *err);
