/*
 * Mounts of the type "layers" (spec.h): the root of an image, of a stage of a
 * build, or a directory of the host's whose files may be written to without
 * anything being changed. They are mounted as the container's own root is, from
 * its mount namespace (storage/root/snapshot.h), but always by the kernel's
 * overlay, whatever the root's driver: that reads layers on any file system. It
 * shifts no IDs, so the container must have those of the layers.
 *
 * In the container's directory:
 *
 *   mounts/N/       for the Nth mount: what a snapshot, or a view when it is
 *                   read-only, has on disk. Made anew at each start, which is
 *                   what throws away what was written
 *   mounts/points   the mount points that were made for mounts with the option
 *                   "temporary", each ended by a NUL: the path that it really
 *                   has below the root ("/run/secrets/id")
 *
 * The container's first process mounts each on its mounts/N/merged, as the
 * user, to whom the layers belong. From there it is cloned, the whole or a part
 * of it, to where it belongs; merged stays behind with the host's root.
 */
#pragma once

#include "base/error.h"
#include "core/runtime/mountopt.h"
#include "core/runtime/setup.h"

/* In the parent, before the child is made; nothing to do without such mounts.
 */
int layers_prepare(const struct runtime_request *request, struct error *err);

/* In the child, before it becomes root: mounts the Nth. Returns an O_PATH
   descriptor of its root. */
int layers_mount(const struct setup *setup, size_t index,
		 const struct mount_options *options, struct error *err);

/* A detached mount of root_fd, or of what the options say of it. */
int layers_clone(int root_fd, const struct mount_options *options);

/* mounts/points, in the child: opened, as the user, when a mount wants it; and
   told. */
int layers_open_points(struct setup *setup, struct error *err);
int layers_tell_point(const struct setup *setup, int target_fd,
		      struct error *err);
