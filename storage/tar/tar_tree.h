/*
 * A directory tree as entries of a tar archive: what a layer of changes, an
 * export and a copy to standard output are made of.
 *
 * The tree may be hostile and may change while it is read: a container wrote
 * it, or is writing. Everything goes by descriptors, one directory level at a
 * time, never through a symbolic link; a name is opened and then looked at.
 * What vanishes or changes its kind meanwhile is left out, so a tree that
 * changes gives an archive that is whole but may miss something.
 *
 * Names of one directory are sorted by their bytes, times of access and change
 * are not written: an equal tree gives equal bytes. Of several links to a file
 * the first is written, the others point to it. Sockets, which tar has no word
 * for, are left out and counted, and so are extended attributes other than
 * those that a layer keeps (layer_keeps_xattr(), without the drivers' own).
 *
 * Memory: the names of the directories from the top to the present one
 * (TREE_NAMES_MAX) and, for files with several links, up to TREE_LINKS_MAX
 * paths; further links become copies. One descriptor a level.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/error.h"
#include "storage/tar/tar_writer.h"

#define TREE_NAMES_MAX (256ull << 20) /* bytes */
#define TREE_LINKS_MAX (1u << 20)

enum tree_answer {
	TREE_TAKE,
	TREE_LEAVE, /* it, and all below it */
};

/* What is about to be written. */
struct tree_item {
	int parent_fd;
	const char *name; /* in it */
	int fd;		  /* a file or directory open for reading, or -1 */
	const char *path; /* below the top of the walk */
	struct stat st;
	struct tar_entry entry; /* the hook may change it */
};

struct tree_hooks {
	/* TREE_TAKE, TREE_LEAVE or negative errno. May be NULL. */
	int (*on_item)(void *data, struct tree_item *item, struct error *err);
	/* A directory's entry was written, its contents follow. May be NULL. */
	int (*on_directory)(void *data, const struct tree_item *item,
			    struct error *err);
	void *data;
};

struct tree_request {
	struct tar_writer *writer; /* NULL: hooks only */
	const char *prefix;	   /* of names in the archive; NULL: none */
	bool enter_mounts; /* else a mount point is an empty directory */
	struct tree_hooks hooks;
};

struct tree_report {
	uint64_t entries;
	uint64_t bytes; /* of files' sizes */
	uint64_t sockets;
	uint64_t xattrs_skipped;
};

/* What is in directory top_fd (O_PATH will do), itself not. */
int tree_write(int top_fd, const struct tree_request *request,
	       struct tree_report *ret_report, struct error *err);
/*
 * One thing of any kind with all below it. Its name in the archive is the
 * prefix, which must not be NULL; name "." is dir_fd itself.
 */
int tree_write_one(int dir_fd, const char *name,
		   const struct tree_request *request,
		   struct tree_report *ret_report, struct error *err);
