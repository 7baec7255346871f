/*
 * Writes tar archives: ustar headers, with a pax extended header (POSIX.1-2001)
 * in front where ustar cannot say it: names that are too long, numbers that are
 * too big, times with a fraction, extended attributes (SCHILY.xattr, as docker
 * and GNU tar have it), sparse files (GNU.sparse 1.0). An entry goes in as
 * storage/tar/tar.h's reader hands it out, and comes out of that reader equal.
 *
 * The same entries give the same bytes: no names of users, no times of access
 * or change, a fixed order of records. Names are bytes; what character set they
 * are in is nobody's business.
 *
 * Bytes go to a sink as they are made, in pieces of any size. Memory is one
 * buffer, and for a sparse file its map (TAR_SPARSE_MAX pieces).
 *
 * A file is read while somebody may be changing it: what shrinks is filled up
 * with zeros, what grows is cut, so that the archive is whole in any case.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "storage/tar/tar.h"

/* Takes all of it, or fails. */
typedef int (*tar_sink)(void *data, const void *bytes, size_t length,
			struct error *err);

/*
 * Sees what tar_write_file() reads of a file before it is written, front to
 * back; what lies in between is a hole.
 */
typedef void (*tar_tap)(void *data, uint64_t offset, const void *bytes,
			size_t length);

struct tar_writer;

struct tar_writer *tar_writer_new(tar_sink sink, void *data);
void tar_writer_free(struct tar_writer *writer);
void cleanup_tar_writer_function(struct tar_writer **writer);
#define cleanup_tar_writer CLEANUP(cleanup_tar_writer_function)

struct stat;
/*
 * What stat(2) tells: all but path, link and extended attributes, which stay. A
 * socket, which no archive holds, is a file.
 */
void tar_entry_from_stat(struct tar_entry *entry, const struct stat *st);

/*
 * An entry; that of a file with a size has to be followed by exactly as many
 * bytes of data. A directory's path may end in "/" or not: it is written with
 * one. What the reader would not take (TAR_PATH_MAX, TAR_PAX_MAX) is
 * ERROR_INVALID and names the entry.
 */
int tar_write_entry(struct tar_writer *writer, const struct tar_entry *entry,
		    struct error *err);
int tar_write_data(struct tar_writer *writer, const void *bytes, size_t length,
		   struct error *err);
/*
 * A file's entry and its data, entry->size bytes from fd, whose offset is
 * moved. Holes are left out where that is worth it.
 */
int tar_write_file(struct tar_writer *writer, const struct tar_entry *entry,
		   int fd, struct error *err);
/* For the files from now on; NULL: none any more. */
void tar_writer_tap(struct tar_writer *writer, tar_tap tap, void *data);
/* The end of the archive. */
int tar_write_end(struct tar_writer *writer, struct error *err);

/* Bytes given to the sink so far. */
uint64_t tar_writer_bytes(const struct tar_writer *writer);

/*
 * Can an extended attribute be said? Its name may hold no "=", which ends it,
 * and an entry's attributes together have to fit into one header: *room is
 * what is left of it, TAR_XATTR_ROOM at first.
 */
#define TAR_XATTR_ROOM ((1u << 20) - (32u << 10))
bool tar_xattr_fits(const char *name, size_t length, size_t *room);
