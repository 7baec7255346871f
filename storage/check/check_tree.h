/*
 * Is an unpacked layer what its archive says? The archive is read once, to its
 * end (so that whoever computes digests on the way sees all of it): files are
 * compared byte by byte as they come, everything else at the end, against the
 * tree that the archive makes (storage/tar/tree_model.h):
 *
 *   type, mode, owner as it is mapped here, size, content (holes too), target
 *   of a link, extended attributes, which names are hard links of each other,
 *   whiteouts and opaque marks in either of their forms (storage/tar/unpack.h),
 *   the devices of layer.json; and that there is nothing else.
 *
 * Times are not: an honest tree that was copied may have lost them. Nor is the
 * content of a file with several names one of which a later entry of the same
 * archive takes: when its bytes pass, the name leads to that entry's file.
 * Tools write no such archives.
 *
 * Runs in the pinned user namespace as 0:0, as the unpacker did. Only reads,
 * but for a scratch file, which tells whether an attribute that is missing
 * could have been kept.
 */
#pragma once

#include <cjson/cJSON.h>

#include "base/error.h"
#include "storage/tar/tar.h"

/* path: "etc/passwd", "" for the root; what: "is missing". */
typedef void (*check_tree_report)(void *data, const char *path,
				  const char *what);

struct check_tree {
	struct tar_reader *reader;
	int root_fd;
	int scratch_fd; /* a file of ours in the same file system; -1: none */
	const cJSON *devices; /* of layer.json */
	check_tree_report report;
	void *data;
};

/*
 * 0 when the archive could be read to its end, whatever was reported. An error
 * is the archive's: damaged, or nothing that could be unpacked.
 */
int check_tree(const struct check_tree *check, struct error *err);
