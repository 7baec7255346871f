/*
 * A read-only look at the merged root of a container, running or not, or of an
 * image: for export, for copying out, for the builder's COPY --from. Or the
 * root of a container that does not run, and cannot be started meanwhile, to be
 * written to: for copying in.
 *
 * It is mounted in a mount namespace that the calling process makes for itself,
 * and so is what it is mounted on, a small tmpfs over the store's tmp/. The
 * host's namespace sees nothing of it, and whatever ends the process ends it: a
 * view has nothing to be cleaned up. The process must be in the pinned user
 * namespace; what it has open stays as it is, but paths below the store's tmp/
 * lead elsewhere afterwards. One view a process.
 *
 * A container's upper/ is read by the driver that wrote it. With overlay a view
 * of a running container is as it is now; files may change while they are read.
 * Of what a program has written through a FUSE root something may not have
 * reached upper/ (diff_flush_root() of storage/root/diff_layer.h).
 *
 * The root is as hostile as who made it: look-ups in it go through
 * path_open_in_root().
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "storage/root/snapshot.h"
#include "storage/store/store.h"

struct view_request {
	struct store *store;
	char *const *diff_ids;	     /* lowest first; NULL: none */
	enum snapshot_driver driver; /* a container's; AUTO: whatever works */
	int directory_fd;	     /* a container's; -1: an image's root */
	/* The same, absolute: the root is to be written to. Else NULL. */
	const char *writable;
};

struct view {
	int root_fd;  /* the merged root, open for reading */
	pid_t server; /* of a FUSE root, else 0 */
};
#define VIEW_EMPTY            \
	{                     \
		.root_fd = -1 \
	}

int view_open(const struct view_request *request, struct view *ret_view,
	      struct error *err);
void view_close(struct view *view);

/*
 * Binds a file or directory of the host's over destination in the view: a
 * volume. 0 when there is no such place, or no such source; 1 when it was done.
 */
int view_bind(const struct view *view, const char *source,
	      const char *destination, bool read_only, struct error *err);
/* From now on the root itself, without what is bound over it. */
int view_set_read_only(const struct view *view, struct error *err);
