/*
 * What record*.c share.
 */
#pragma once

#include "core/monitor/record.h"

#define RECORD_MONITOR_LOCK   "lock"
#define RECORD_REMOVED_PREFIX "removed-"
#define RECORD_BURIED_NAME    "name"
#define RECORD_PATH_MAX	      128

/* From the store's root. */
void record_path(const struct store *store, const char *id,
		 char ret_path[RECORD_PATH_MAX]);
/*
 * Frees the name of a record renamed away, by moving the link into its
 * directory: to free a file's last block can wait for the disk (a text of 64
 * bytes is too long for an inode of ext4, and "discard" makes it tell the
 * disk), which the removal of the tree may do, but no client should.
 */
int record_name_bury(struct store *store, const char *name,
		     const struct record *record);

int record_sweep_names(struct store *store);
size_t record_count_names(struct store *store);
