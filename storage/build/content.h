/*
 * What COPY and ADD select in a directory, and what that digests to.
 *
 * The directory is a local context, as hostile as who wrote it and changing
 * while it is read, or the root of an image (owners). Nothing outside of it is
 * ever looked at: names are resolved one by one below root_fd, symbolic links
 * as if that were "/", and what was resolved is opened through no link at all.
 * Only regular files are opened, and never waited for.
 *
 *   pattern      a path from the root on, whether or not it begins with "/";
 *                "." is all of it. Without wildcards it has to be there:
 *                ERROR_NOT_FOUND otherwise. With wildcards (GLOB_PATH) it is
 *                each path that matches below the components in front of the
 *                first one, in order; none is fine. Nothing in a directory
 *                that matched is matched again
 *   source       what a pattern stands for. A link is followed, within the
 *                root, and keeps its own name. A directory stands for its
 *                contents; links in it are links
 *   --parents    the pattern begins at the root, or behind "/./", and what it
 *                matches (GLOB_IGNORE, through no link) comes with the
 *                directories above it: one source, whose top is the root or
 *                what is in front of the "/./"
 *   .dockerignore   what it leaves out is not there, for links on the way
 *                either; a directory that is left out is there for the sake of
 *                what "!" takes back in. Directories are not read without need
 *   --exclude    the same with paths below the source; of a source that is no
 *                directory, with its name
 *
 * Order is that of the patterns, then that of bytes, name by name; a directory
 * comes before what is in it. Hard links count as own files, a socket is an
 * empty file (BuildKit's stub), FIFOs and devices are what they are.
 *
 * The digest is the SHA-256, as 64 digits, of
 *
 *   "moss-content-1\0", then for each entry in order
 *   type         one of "fdlpcb" (file, directory, link, FIFO, device)
 *   name         of a source that is no directory, "" otherwise, then a NUL
 *   path         below the source, then a NUL
 *   mode         07777 of it, in octal, then a NUL; of a link 0
 *   owners only: uid ":" gid NUL, then for each extended attribute that a layer
 *                keeps, in order, name NUL length NUL value, then a NUL
 *   file         32 bytes, see content_sum; link: the target and a NUL;
 *   device       major ":" minor NUL
 *
 * so that times, sizes on disk, inodes and, of a context, owners and extended
 * attributes do not count: docker gives a context's files to root. Neither does
 * the mode of the context's own directory, which is 0755.
 *
 * content_sum is what a file's bytes digest to: the SHA-256 of each piece of
 * CONTENT_PIECE bytes that is not all zeros, behind its number as 8 bytes (big-
 * endian), and of the file's size at the end, likewise. Holes cost nothing,
 * and do not count.
 *
 * Memory: the paths selected, up to LAYER_NAMES_MAX bytes and TAR_ENTRIES_MAX
 * of them, and one descriptor a level.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/error.h"
#include "storage/build/ignore.h"
#include "storage/tar/tar.h"

struct stat_cache;
struct content_sum;

#define CONTENT_HEX_MAX 65
#define CONTENT_PIECE	(64u << 10)

struct content_request {
	int root_fd;
	char *const *patterns; /* NULL: nothing */
	struct ignore *ignore; /* .dockerignore; NULL: none */
	char *const *excludes; /* patterns as of struct ignore; NULL: none */
	bool parents;
	bool owners;		  /* an image's root: those count, too */
	struct stat_cache *cache; /* content_digest() asks and fills it; NULL */
};

struct content_entry {
	/*
	 * Of patterns. A source begins with the entry whose path is "", which
	 * is its only one unless it is a directory.
	 */
	size_t pattern;
	const char *name; /* the source's own, as the pattern says it: "b" of
			     "a/b"; "" of the root and of --parents */
	const char *path; /* below the source */
	/*
	 * What counts: of a context owners are 0, a socket is an empty file.
	 * Times are those of the file.
	 */
	struct stat st;
	const char *link; /* of a symbolic link; NULL */
	/* owners only, of files and directories, sorted; borrowed */
	struct tar_xattr *xattrs;
	size_t xattr_count;
	int fd; /* of a file, to be read with pread(2); -1: of anything else,
		   and of a socket */
	/*
	 * Of a file with an fd: the visitor tells content_seen() the bytes that
	 * it took, so that they, and no second look, are what is digested.
	 */
	struct content_sum *sum;
};

/* 0, or negative errno, which ends the walk. All in entry is borrowed. */
typedef int (*content_visit)(void *data, const struct content_entry *entry,
			     struct error *err);

/*
 * Bytes at offset, from front to back; those in between and up to st.st_size
 * are zeros, those beyond do not count. Has the form of a tar_tap
 * (tar_writer_tap() of storage/tar/tar_writer.h).
 */
void content_seen(void *sum, uint64_t offset, const void *bytes, size_t length);

/*
 * The digest alone. Files are read by two threads, those that the cache knows
 * not at all.
 */
int content_digest(const struct content_request *request,
		   char ret_hex[CONTENT_HEX_MAX], struct error *err);
/*
 * Shows all of it to visit. The digest is that of what was shown: a tree that
 * has changed since content_digest() has another one.
 */
int content_walk(const struct content_request *request, content_visit visit,
		 void *data, char ret_hex[CONTENT_HEX_MAX], struct error *err);
