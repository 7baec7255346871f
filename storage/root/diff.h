/*
 * What a container has changed, read straight from its upper/ directory, with
 * no walk over the layers below (only opaque directories are looked up there):
 * as a layer (image-spec, layer.md) for
 * `commit` and the builder, or told one by one for `diff`.
 *
 *   on disk (storage/root/snapshot.h)                        in the layer
 *   device 0:0, or the overlay's xattr whiteout;        .wh.NAME
 *     with fuse-overlayfs also a file .wh.NAME
 *   user.overlay.opaque=y; with fuse-overlayfs also     .wh..wh..opq
 *     its own xattr, or a file .wh..wh..opq
 *   everything else                                     itself
 *
 * An opaque mark over nothing is left out: fuse-overlayfs marks every directory
 * that it makes.
 *
 * Owners go out as they lie on disk: those numbers are the layers'. A directory
 * that is there only because something in it changed keeps the attributes it
 * has. The root itself is not written: each container gets its own.
 *
 * What the runtime makes to mount something on it is left out, as docker, which
 * makes it in a layer of its own, does: /proc, /sys, /dev, empty, and empty
 * files /etc/hosts, /etc/hostname and /etc/resolv.conf. A directory that is
 * there for their sake alone goes too, if it looks like the one below or, where
 * there is none, like one that the runtime made. Mount points of volumes and
 * the working directory stay, as with docker. Those of a step of a build do not
 * (mount_points), as with BuildKit: for a mount that only the step has. What
 * the program put into such a directory before something was mounted there, or
 * into one that leads to it, is a change like any other.
 *
 * With overlay a program may have made a file called .wh.something, which no
 * layer can hold: it is left out and counted. See storage/tar/tar_tree.h for
 * what else is, and for what a hostile tree can do.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "storage/root/snapshot.h"
#include "storage/store/store.h"
#include "storage/tar/tar_tree.h"
#include "storage/tar/tar_writer.h"

struct diff_request {
	enum snapshot_driver driver; /* that wrote upper/ */
	const struct store *store;
	char *const *diff_ids; /* of the layers below; NULL: none */
	bool has_epoch;
	int64_t epoch; /* no entry is younger; seconds since 1970 */
	/* Made by the runtime to mount something on, "run/secrets"; NULL: none.
	   See diff_read_mount_points(). */
	char *const *mount_points;
};

struct diff_report {
	struct tree_report tree;
	uint64_t whiteouts; /* opaque marks included */
	uint64_t unnamable; /* .wh.something that is no whiteout */
};

/* Writes entries, not the archive's end. Nothing changed: there are none. */
int diff_write(int upper_fd, const struct diff_request *request,
	       struct tar_writer *writer, struct diff_report *ret_report,
	       struct error *err);

enum diff_kind {
	DIFF_ENTRY,   /* new or changed; item tells what it is */
	DIFF_REMOVED, /* path is gone; item has no use */
	DIFF_OPAQUE,  /* all that was in path before is gone */
};
/* path: relative, without a slash in front. Negative errno ends the walk. */
typedef int (*diff_visit)(void *data, enum diff_kind kind, const char *path,
			  const struct tree_item *item, struct error *err);
/* In order; a directory comes before what is in it. */
int diff_walk(int upper_fd, const struct diff_request *request,
	      diff_visit visit, void *data, struct error *err);

/*
 * mounts/points in a container's directory (core/runtime/layers.h), as
 * mount_points has them. NULL when there is none; caller frees.
 */
int diff_read_mount_points(int directory_fd, char ***ret_points,
			   struct error *err);
