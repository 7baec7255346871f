/*
 * Where COPY and ADD put things: a root file system, and on top of it the layer
 * that is being written.
 *
 * The root below is read only and may be as hostile as who made it; what is
 * looked up in it is looked up as in a chroot, and nothing in it is opened but
 * directories. What the layer has so far hides what is below, so a path means
 * here what it will mean in the finished image.
 *
 *   resolved path   "srv/www": from the root on, "" the root itself, with all
 *                   symbolic links followed and no "." or "..". Only
 *                   target_resolve() makes them of what a Dockerfile or an
 *                   archive says; the end of one need not exist yet
 *
 * A layer must name each directory that something is put into, and what it says
 * of the directory replaces what is below: one that is there already is written
 * with the attributes it has; one that is missing is made. The root itself is
 * never written.
 *
 * Times are clamped to the epoch. A directory that is made for the sake of what
 * is put into it has that one's time, so that the same sources give the same
 * layer.
 *
 * Names that begin with ".wh." mean removal in a layer and are refused.
 *
 * Memory: each path that was written (TAR_ENTRIES_MAX, LAYER_NAMES_MAX bytes).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "storage/tar/tar_writer.h"

struct target;

struct target_options {
	int root_fd; /* -1: there is nothing below. Borrowed */
	struct tar_writer *writer;
	uint32_t uid, gid; /* of directories that are made */
	int64_t epoch;	   /* seconds; -1: none */
};

enum target_kind {
	TARGET_NOTHING,
	TARGET_DIRECTORY,
	TARGET_LINK,
	TARGET_OTHER,
};

struct target *target_new(const struct target_options *options);
void target_free(struct target *target);
void cleanup_target_function(struct target **target);
#define cleanup_target CLEANUP(cleanup_target_function)

/* Entries written so far. */
uint64_t target_entries(const struct target *target);

/*
 * path: absolute or not, from resolved path base on ("": the root). The last
 * name is followed as well when it is a link and follow says so. Caller frees.
 */
int target_resolve(struct target *target, const char *base, const char *path,
		   bool follow, char **ret_resolved, struct error *err);
/* What is at a resolved path: an enum target_kind, or negative errno. */
int target_look(struct target *target, const char *resolved, struct error *err);
/*
 * Makes what is missing of a directory, all with that mode. 1 when something
 * was made, 0 when it was there, ERROR_CONFLICT when something else is in the
 * way.
 */
int target_mkdirs(struct target *target, const char *resolved, mode_t mode,
		  const struct timespec *mtime, struct error *err);

/*
 * How a directory in the place of something else, or the reverse, is taken:
 * refused, as COPY does, or as an archive's, which wins.
 */
enum target_conflict { TARGET_REFUSE, TARGET_REPLACE };
/*
 * Writes entry, whose path is a resolved one, into a directory that is there.
 * Of a file with a size the data follow: from fd, or, with fd -1, by the
 * caller's tar_write_data(). The entry's time is clamped in place.
 */
int target_put(struct target *target, struct tar_entry *entry, int fd,
	       enum target_conflict conflict, struct error *err);
/*
 * Of what was written to this layer and is no directory, so that a hard link
 * may lead there: which entry it was, from 1 on, which tells whether it is
 * still the same. 0: there is none.
 */
uint64_t target_file_number(const struct target *target, const char *resolved);
