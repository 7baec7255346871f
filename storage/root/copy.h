/*
 * Copies directory trees with owners, modes, times, extended attributes, hard
 * links and holes: first contents of a volume, `moss cp`.
 *
 * Both trees may be hostile and may change at the same time: a container wrote
 * them, or is writing. Everything goes by descriptors, one directory level at a
 * time, never through a symbolic link; names are opened and then looked at,
 * never the other way round; a mount below the source is not entered. What
 * vanishes or changes its kind meanwhile is left out. So a copy may miss
 * something that was being changed, but reads nothing from outside the source
 * and writes nothing outside the target.
 *
 * Extended attributes: user.*, security.capability and POSIX ACLs; not those
 * in which overlay and fuse-overlayfs keep their own notes. Where the target's
 * file system has none they are left out. Devices (nobody could make one here)
 * and sockets are left out and counted.
 *
 * Limits: COPY_DEPTH_MAX levels; past COPY_LINKS_MAX files with several links
 * further ones become copies. Nothing is synced. On failure the target holds
 * what was copied until then, but no half file.
 */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

#define COPY_DEPTH_MAX 300 /* three descriptors each */
#define COPY_LINKS_MAX (1u << 20)

/*
 * What is in the target already gives way, as far as it is no directory; a
 * directory in the place of something else, or the reverse, is ERROR_CONFLICT.
 * Without it, it is left as it is.
 */
#define COPY_REPLACE (1u << 0)
/* copy_tree(): the target itself keeps its attributes. */
#define COPY_KEEP_TARGET (1u << 1)
/* No copy gets a set-user-ID or set-group-ID bit, or file capabilities. */
#define COPY_DROP_SETID (1u << 2)

struct copy_owner {
	uid_t uid;
	gid_t gid;
};

struct copy_request {
	unsigned int flags;
	const struct copy_owner *owner; /* of all copies; NULL: the source's */
};

struct copy_report {
	uint64_t entries; /* made, directories included */
	uint64_t bytes;	  /* of files; holes are not counted */
	uint64_t skipped; /* devices, sockets, mounts */
};

/*
 * What is in directory source_fd (O_PATH will do) to directory target_fd, which
 * gets the source's attributes too. ret_report may be NULL.
 */
int copy_tree(int source_fd, int target_fd, const struct copy_request *request,
	      struct copy_report *ret_report, struct error *err);
/*
 * One thing of any kind, with all below it; a directory is merged into one that
 * is there. Names are one component each.
 */
int copy_entry(int source_fd, const char *source_name, int target_fd,
	       const char *target_name, const struct copy_request *request,
	       struct copy_report *ret_report, struct error *err);
