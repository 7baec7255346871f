/*
 * The files of a log by their number: 0 is container.log, 1 the one before,
 * container.log.1, or packed container.log.1.gz. Where both are, as a crash
 * leaves them, the plain one counts; what packs them is compress.c. A kill in
 * the middle of a rotation leaves one number free, until the next one.
 *
 * Numbers move with each rotation, so a file is known by its inode and birth
 * time. A packed one is another file to the kernel; it tells whom it comes from
 * in the comment of an empty gzip member at its beginning, which gunzip passes
 * over. Internal to the log's writer and reader and to compress.c.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define LOG_NAME	  "container.log"
#define LOG_FILE_NAME_MAX (sizeof(LOG_NAME) + sizeof(".2147483647.gz"))
#define LOG_PACK_HEAD_MAX 96

struct log_id {
	uint64_t inode;	 /* 0: no file */
	int64_t born_ns; /* 0 where the file system does not tell */
};

bool log_id_equal(const struct log_id *a, const struct log_id *b);
void log_file_name(char ret_name[LOG_FILE_NAME_MAX], int index, bool packed);
/* Of the plain file; inode 0 when there is none. */
struct log_id log_file_plain_id(int directory_fd, int index);
/* Of the file, plain or packed; inode 0 when there is none. */
struct log_id log_file_id(int directory_fd, int index);
/*
 * Its descriptor for reading at any place, or 0 when there is none. What is
 * packed is unpacked, by gzip(1), to a file without a name.
 */
int log_file_open(int directory_fd, int index, struct log_id *ret_id,
		  struct error *err);
/* What a packed file begins with; its length. */
size_t log_pack_head(char out[LOG_PACK_HEAD_MAX], const struct log_id *id);
