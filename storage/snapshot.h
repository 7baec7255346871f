/*
 * A container's root file system: read-only layers below a writable directory,
 * joined by a driver.
 *
 *   overlay         the kernel's, with userxattr
 *   fuse-overlayfs  the program of that name; also shifts IDs (--userns=auto,
 *                   keep-id), which the kernel's overlay cannot do unprivileged
 *
 * Directory of a snapshot (the container's): upper/, work/ (fresh at each
 * mount), merged/ (mount point). The driver is chosen at creation by probing
 * (cached per boot) and recorded by the caller; a forced one that cannot work
 * is an error that says why.
 *
 * Mounting happens inside the container's mount namespace, by its first
 * process, before pivot_root: nothing is ever mounted on the host.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "storage/store.h"

enum snapshot_driver {
	SNAPSHOT_AUTO = 0,
	SNAPSHOT_OVERLAY,
	SNAPSHOT_FUSE_OVERLAYFS,
};

int snapshot_driver_from_name(const char *name,
			      enum snapshot_driver *ret_driver,
			      struct error *err);
const char *snapshot_driver_name(enum snapshot_driver driver);

/*
 * What works here. wanted AUTO: the first that does; `shifted` asks for one
 * that can shift IDs. cache_fd: directory to remember the probe's answer (keyed
 * by kernel release and the store's file system), -1 for none. Needs the pinned
 * user namespace. ret_reasons, when not NULL: one line a driver for `moss
 * info`.
 */
int snapshot_choose(struct store *store, enum snapshot_driver wanted,
		    bool shifted, int cache_fd,
		    enum snapshot_driver *ret_driver, char **ret_reasons,
		    struct error *err);

struct snapshot {
	enum snapshot_driver driver;
	struct store *store;
	char *const *diff_ids; /* lowest first */
	int directory_fd;      /* the container's directory */
	bool is_volatile;      /* overlay's volatile: --rm only */
	bool read_only;
	/* "inside:outside:count:…" for fuse-overlayfs, NULL: not shifted */
	const char *uid_mapping;
	const char *gid_mapping;
};

/* Makes upper, a fresh work and merged; in the pinned namespace, before start.
 */
int snapshot_prepare(const struct snapshot *snapshot, struct error *err);

/*
 * Step one, in the container's new user and mount namespace, before pivot_root:
 * mounts the root on directory/merged. For a FUSE driver it opens /dev/fuse and
 * mounts it, and returns the descriptor (>= 0) that the server needs in
 * *ret_fuse_fd; -1 otherwise. Must not allocate much: it runs in a forked
 * child.
 */
int snapshot_mount(const struct snapshot *snapshot, int *ret_fuse_fd,
		   struct error *err);
/*
 * Step two for FUSE drivers, by the monitor: starts the server on fuse_fd (it
 * dies with the caller). Returns its PID.
 */
int snapshot_serve(const struct snapshot *snapshot, int fuse_fd, int userns_fd,
		   struct error *err);

/* Removes upper, work, merged. The mount is gone with its namespace. */
int snapshot_remove(const struct snapshot *snapshot, struct error *err);
