/*
 * Unpacks one layer into a directory, alone, in the form that overlay wants of
 * a lower directory mounted by an unprivileged user (userxattr):
 *
 *   whiteout   a character device 0:0, which the kernel (5.8) lets anybody
 *              make; where the file system will not, an empty file with the
 *              xattr user.overlay.whiteout in a directory marked
 *              user.overlay.opaque=x (kernel 6.7)
 *   opaque     user.overlay.opaque=y
 *
 * Runs in the pinned user namespace as 0:0 with its capabilities. Owners that
 * have no ID there become 0 and are counted. Device nodes cannot be made there:
 * an empty file stands in and the device is written down. Extended attributes:
 * user.* (but overlay's and our own) and security.capability are kept, others
 * are counted; the overlay's would let an image forge its marks.
 *
 * The archive is hostile. Each name is cleaned (storage/store/layer_path.h) and
 * its parent is looked up by openat2(RESOLVE_IN_ROOT): links in it lead where
 * they would inside of a container, never out. The last name is never followed.
 * Nothing is executed, no name is looked up in the user database.
 *
 * Few system calls a file: it is made with the mode it is to have, and changes
 * owner and mode afterwards only where that is not enough (another owner than
 * 0:0, set-ID bits, a parent or an ACL that would hand something down). Some of
 * the parents last used stay open.
 *
 * Nothing is synced and a failure leaves what there is: the caller works in a
 * directory that it removes.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdint.h>

#include "base/error.h"
#include "storage/store/limits.h"
#include "storage/tar/tar.h"

struct unpack_result {
	uint64_t entries;
	uint64_t bytes;	   /* of regular files */
	uint64_t squashed; /* entries whose owner became 0 */
	/* Programs that are set-uid, set-gid or have capabilities. */
	uint64_t privileged;
	uint64_t xattrs_skipped;
	cJSON *devices;	  /* as in layer.json; caller's */
	uint64_t skipped; /* device nodes that were left out */
};

/* umask(0) is the caller's. Reads the archive to its end. */
int unpack_layer(struct tar_reader *reader, int root_fd,
		 const struct limits *limits, struct unpack_result *ret_result,
		 struct error *err);
/*
 * An archive into directory prefix ("/…") of a root that is in use: `moss cp`.
 * There are no marks, and names that would be ones are refused; the directory
 * itself stays as it is; a directory in the place of something else, or the
 * reverse, is ERROR_CONFLICT; device nodes are left out. The program of the
 * root may change everything at the same time: each look-up stays in the root.
 */
int unpack_into(struct tar_reader *reader, int root_fd, const char *prefix,
		const struct limits *limits, struct unpack_result *ret_result,
		struct error *err);
