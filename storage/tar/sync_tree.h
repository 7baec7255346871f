/*
 * Puts trees on disk before something names them, waiting for little else.
 *
 * syncfs() waits for all that anybody has written to the file system: seconds
 * beside a program that writes much. fsync() of each file and directory waits
 * for these alone; several at once share the journal's commits and the disk's
 * flushes, and cost no more than a syncfs() does on a quiet machine. So, on
 * ext4 and XFS, up to SYNC_TREE_MOST files and directories are synced one by
 * one, after their writing was begun for all of them.
 *
 * The promise is the same: on return all of the trees is on disk: what files
 * hold, names, links, owners, modes and attributes. What cannot be opened to be
 * synced (symbolic links, devices) is in the journal of these file systems
 * ahead of the directory that names it. On file systems not known to keep that
 * order, with more files than that, and with a tree too deep, one syncfs() does
 * it.
 *
 * What others remove meanwhile is passed over; what they write may be on disk
 * or not.
 */
#pragma once

#include <stddef.h>

#include "base/error.h"

#define SYNC_TREE_MOST 1024

/*
 * Files or directories with all below them, by paths from dir_fd, in which
 * there are no links; what is not there is passed over. `what` names them in
 * messages: "the store /x".
 */
int sync_trees(int dir_fd, const char *const *paths, const char *what,
	       struct error *err);
