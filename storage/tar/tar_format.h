/* What the parts of the tar reader share; nobody else includes it. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "storage/tar/tar.h"

/* Fields of a header block: offset and size. */
#define TAR_NAME	  0, 100
#define TAR_MODE	  100, 8
#define TAR_UID		  108, 8
#define TAR_GID		  116, 8
#define TAR_SIZE	  124, 12
#define TAR_MTIME	  136, 12
#define TAR_CHECKSUM	  148, 8
#define TAR_TYPEFLAG	  156
#define TAR_LINKNAME	  157, 100
#define TAR_MAGIC	  257
#define TAR_DEVMAJOR	  329, 8
#define TAR_DEVMINOR	  337, 8
#define TAR_PREFIX	  345, 155
#define TAR_PREFIX_STAR	  345, 131
#define TAR_STAR_MAGIC	  508
#define TAR_GNU_SPARSE	  386 /* 4 pairs of 12 + 12 */
#define TAR_GNU_EXTENDED  482
#define TAR_GNU_REAL_SIZE 483, 12

struct tar_piece {
	uint64_t offset;
	uint64_t length;
};

/* A sparse file's data: pieces in order, the rest is a hole. */
struct tar_map {
	struct tar_piece *pieces;
	size_t count;
	size_t room;
};

void tar_map_release(struct tar_map *map);
/* -E2BIG beyond the limit. */
int tar_map_add(struct tar_map *map, uint64_t offset, uint64_t length);
/* In order, inside of file_size, as long as data_size together? */
bool tar_map_is_valid(const struct tar_map *map, uint64_t file_size,
		      uint64_t data_size);

/* What an extended header says; absent members are NULL or false. */
struct tar_pax {
	char *path;
	char *link;
	bool has_size;
	uint64_t size;
	bool has_uid;
	uint32_t uid;
	bool has_gid;
	uint32_t gid;
	bool has_mtime;
	struct timespec mtime;
	struct tar_xattr *xattrs;
	size_t xattr_count;
	/* GNU.sparse.* */
	char *sparse_name;
	bool has_sparse_size;
	uint64_t sparse_size;
	bool sparse_in_data; /* format 1.0 */
	bool is_sparse;
	bool has_sparse_offset; /* format 0.0: half a pair */
	uint64_t sparse_offset;
	struct tar_map map;
};

void tar_pax_release(struct tar_pax *pax);
/* Reads all records; on failure *ret_what says what is wrong. -EINVAL. */
int tar_pax_parse(struct tar_pax *pax, const char *text, size_t length,
		  const char **ret_what);

/* A numeric field, octal or base-256. 0 or -EINVAL. */
int tar_number(const char *block, size_t offset, size_t size,
	       int64_t *ret_value);
/* Decimal digits up to end; 0 or -EINVAL. */
int tar_decimal(const char *text, size_t length, uint64_t *ret_value);
