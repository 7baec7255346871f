/*
 * Tar archives, as a stream of bytes that is read once from its beginning to
 * its end: v7, ustar, star's prefix, GNU (long names, base-256 numbers, old
 * sparse files) and pax (POSIX.1-2001, with the extended attributes of
 * SCHILY.xattr and LIBARCHIVE.xattr and GNU's sparse formats 0.0, 0.1, 1.0).
 *
 * pax's global headers must be well-formed and say nothing: docker's reader
 * ignores them, and one digest has to mean the same files everywhere.
 *
 * Names come as bytes, whatever their character set; this is why moss reads the
 * format itself. What is no name, a NUL byte say, or is beyond the limits of
 * storage/store/limits.h ends the reading with an error that tells the entry
 * and the offset. What the names mean is for the caller
 * (storage/store/layer_path.h).
 *
 * The source hands out its bytes in pieces of any size and keeps them valid
 * until it is asked again. The reader takes all of it, the padding after the
 * last entry too, so that whoever computes a digest on the way sees every byte.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/error.h"

/* > 0: so many bytes at *ret_bytes; 0: end; negative errno. */
typedef ssize_t (*tar_source)(void *data, const void **ret_bytes,
			      struct error *err);

enum tar_type {
	TAR_FILE,
	TAR_DIRECTORY,
	TAR_SYMLINK,
	TAR_HARDLINK,
	TAR_CHAR,
	TAR_BLOCK,
	TAR_FIFO,
};

struct tar_xattr {
	char *name;
	void *value;
	size_t length;
};

#define TAR_ID_UNKNOWN UINT32_MAX /* negative or beyond 32 bits */

struct tar_entry {
	enum tar_type type;
	char *path;  /* as written */
	char *link;  /* target of a link, "" otherwise */
	mode_t mode; /* 07777 */
	uint32_t uid;
	uint32_t gid;
	uint64_t size; /* of the file, holes included */
	struct timespec mtime;
	uint32_t device_major;
	uint32_t device_minor;
	struct tar_xattr *xattrs;
	size_t xattr_count;
};

#define TAR_BLOCK_SIZE 512

struct tar_reader;

struct tar_reader *tar_reader_new(tar_source source, void *data);
/* So many headers of any kind, instead of TAR_ENTRIES_MAX. */
void tar_reader_limit(struct tar_reader *reader, uint64_t entries);
void tar_reader_free(struct tar_reader *reader);
void cleanup_tar_reader_function(struct tar_reader **reader);
#define cleanup_tar_reader CLEANUP(cleanup_tar_reader_function)

/* 1 and the next entry (borrowed until the next call), 0 at the end. */
int tar_next(struct tar_reader *reader, const struct tar_entry **ret_entry,
	     struct error *err);
/*
 * 1 and the next piece of the entry's data, at *ret_offset of the file, 0 when
 * there is no more; what lies between the pieces is a hole.
 */
int tar_data(struct tar_reader *reader, const void **ret_bytes,
	     size_t *ret_length, uint64_t *ret_offset, struct error *err);
