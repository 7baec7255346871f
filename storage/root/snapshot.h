/*
 * A container's root file system: read-only layers below a writable directory,
 * joined by a driver.
 *
 *   overlay         the kernel's, with userxattr
 *   fuse-overlayfs  the program of that name, version 1; slower, but works
 *                   where the kernel's does not, and for a container whose IDs
 *                   are not those of the layers (--userns=auto, keep-id, nomap)
 *
 * Directory of a snapshot (the container's): upper/, work/ (fresh at each
 * mount), merged/ (mount point), none/ (an empty layer, for an image without
 * any), fuse.log (what the FUSE server complained about).
 *
 * The driver is chosen when the container is made, by really mounting
 * (snapshot_choose), and recorded by the caller: an upper/ that one driver
 * wrote must never be given to the other. Both read layers in the overlay's
 * form: whiteouts are character devices 0:0, an opaque directory has
 * user.overlay.opaque=y. overlay writes its upper/ in that form too.
 * fuse-overlayfs writes the same whiteouts, but marks an opaque directory with
 * user.fuseoverlayfs.opaque=y and, inside it, a file ".wh..wh..opq" and a
 * whiteout ".wh..opq"; other xattrs user.fuseoverlayfs.* are its own as well.
 * Where no device 0:0 can be made, it writes and reads a file ".wh.NAME" in
 * place of a whiteout.
 *
 * Mounting happens inside the container's mount namespace, by its first
 * process, before pivot_root: nothing is ever mounted on the host. Layers reach
 * the kernel as descriptors, so 500 fit, any path will do, and the container's
 * /proc/mounts shows none of the host's.
 *
 * With FUSE the order is, P being the monitor in the pinned namespace and C the
 * container's first process:
 *
 *   C  snapshot_mount(): opens /dev/fuse, mounts, sends the descriptor to P
 *      (SCM_RIGHTS), closes its own and waits for P
 *   P  snapshot_serve(): starts the server; closes its descriptor, for as long
 *      as anyone else holds one a dead server blocks the container for ever
 *      instead of giving it ENOTCONN; tells C
 *   C  opens the root by path (O_PATH), takes its identity, and looks at the
 *      root once: FUSE refuses whoever has no ID in its namespace (EOVERFLOW).
 *      When the look fails P asks snapshot_explain() why
 *
 * /dev/fuse must be opened in the namespace that mounts, but it may be served
 * from another one: IDs in requests are the container's own numbers. The server
 * stays in the pinned namespace and takes them as its own: a file that is
 * 33:33 in a layer is 33:33 in the container whatever its map says, and what
 * the container gives to 33 lies on disk as 33 of the pinned namespace, as
 * every layer has it. So a shift needs no options and a commit no
 * translation. IDs outside the container's map show as nobody.
 * Being in the parent namespace also keeps the server, which has the host's
 * file system, out of reach of a container's root with the host's PIDs.
 *
 * A crash leaves the directory's parts for snapshot_prepare() to take up or
 * snapshot_remove() to remove, never a mount.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "storage/store/store.h"

enum snapshot_driver {
	SNAPSHOT_AUTO = 0,
	SNAPSHOT_OVERLAY,
	SNAPSHOT_FUSE_OVERLAYFS,
};

/* "" and "auto" are AUTO. */
int snapshot_driver_from_name(const char *name,
			      enum snapshot_driver *ret_driver,
			      struct error *err);
const char *snapshot_driver_name(enum snapshot_driver driver);

/*
 * What works here. wanted AUTO: the first that does; `shifted` asks for one
 * that can shift IDs. cache_fd: directory to remember a success (keyed by
 * kernel release, the store's file system and the program), -1 for none; a
 * failure is tried anew each time. Needs the pinned user namespace and one
 * thread. ret_reasons, when not NULL: one line a driver for `moss info`; then
 * all drivers are tried and "none works" is no error but *ret_driver AUTO,
 * unless one was wanted.
 */
int snapshot_choose(struct store *store, enum snapshot_driver wanted,
		    bool shifted, int cache_fd,
		    enum snapshot_driver *ret_driver, char **ret_reasons,
		    struct error *err);

/* A read-only look at the layers, for storage/root/view.h. */
struct snapshot_view {
	/* Directory with merged/ to mount on, two empty ones, none/ and more/,
	   and room for fuse.log. */
	int place_fd;
	bool with_upper; /* upper/ is one more layer, on top */
};

#define SNAPSHOT_DIRECTORIES_MAX 4

struct snapshot {
	enum snapshot_driver driver;
	struct store *store;
	char *const *diff_ids; /* lowest first; NULL: none */
	/* overlay: directories of the host's instead, absolute, lowest first,
	   at most SNAPSHOT_DIRECTORIES_MAX; NULL: no. */
	char *const *directories;
	int directory_fd; /* the container's directory */
	bool is_volatile; /* nothing is synced to disk: --rm only */
	/*
	 * The root will be made read-only by the caller: it is still mounted
	 * writable, as mount points must be made in it first. What is written
	 * then is worth no syncing.
	 */
	bool read_only;
	const struct snapshot_view *view; /* NULL: to be written to */
};

/* Makes upper, a fresh work and merged; in the pinned namespace, before start.
   Of a view what its place must have. */
int snapshot_prepare(const struct snapshot *snapshot, struct error *err);

/*
 * Step one, in the container's new user and mount namespace, before its
 * identity changes and with the host's /proc and /dev still there: mounts the
 * root on directory/merged. A descriptor from before the mount namespace was
 * made belongs to the host's mounts, so directory and layers are reached by
 * their paths (as /proc knows them), for which the process must still be the
 * user; for the same reason the mounted root is to be opened by path, not from
 * directory_fd. For a FUSE driver returns in *ret_fuse_fd the descriptor
 * (>= 0) that the server needs; -1 otherwise. No mount option forbids set-uid
 * programs; device nodes the kernel ignores anyway. Changes and restores the
 * working directory.
 */
int snapshot_mount(const struct snapshot *snapshot, int *ret_fuse_fd,
		   struct error *err);
/*
 * Step two for FUSE drivers, by the monitor in the pinned namespace: starts the
 * server on fuse_fd, which stays the caller's. The server dies with the caller
 * and ends by itself with the mount. Returns its PID, a child of the caller.
 */
int snapshot_serve(const struct snapshot *snapshot, int fuse_fd,
		   struct error *err);
/*
 * *err is why a look at the root failed. Has the server ended (without reaping
 * it)? Then *err becomes what it said and the result is negative; 0 when it
 * runs, with *err as it was. Waits a little for its end when *err is ENOTCONN.
 */
int snapshot_explain(const struct snapshot *snapshot, pid_t server,
		     struct error *err);

/* Removes all that is named above. The mount is gone with its namespace. */
int snapshot_remove(const struct snapshot *snapshot, struct error *err);
