/*
 * Path names that can be trusted: every look-up inside a tree that someone else
 * wrote (an image, a container) goes through openat2(RESOLVE_IN_ROOT), so that
 * no symbolic link and no ".." leads out of it.
 */
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include "base/error.h"

/*
 * Opens path inside the tree root_fd as if root_fd were "/". Returns an fd with
 * O_CLOEXEC set, or negative errno. Magic links are refused.
 */
int path_open_in_root(int root_fd, const char *path, int flags, mode_t mode);
/* A relative path that does not leave dir_fd on its way, by a link or "..":
   -EXDEV when it does. */
int path_open_beneath(int dir_fd, const char *path, int flags);
/* The same through no link at all, the last name included: -ELOOP, unless with
   O_PATH | O_NOFOLLOW. */
int path_open_exact(int dir_fd, const char *path, int flags);

/*
 * Makes path (all components) a directory inside root_fd, following symbolic
 * links within the root as the container itself would; new ones get mode.
 * Returns an O_PATH|O_DIRECTORY fd of the last component.
 */
int path_mkdirs_in_root(int root_fd, const char *path, mode_t mode,
			struct error *err);

/*
 * Makes sure a regular file (or anything else that is not a directory) exists
 * at path inside root_fd, to serve as a mount point. Returns an O_PATH fd.
 */
int path_touch_in_root(int root_fd, const char *path, mode_t mode,
		       struct error *err);

/* mkdir -p on the host's own tree; 0 when it is there. */
int path_mkdirs(const char *path, mode_t mode, struct error *err);
int path_mkdirs_at(int dir_fd, const char *path, mode_t mode,
		   struct error *err);

/* Lexical clean-up as Go's path.Clean: "/a//b/../c/" -> "/a/c". Caller frees.
 */
char *path_clean(const char *path);
char *path_join(const char *a, const char *b); /* cleaned; caller frees */

/* Text "/proc/self/fd/N" for calls that only take names. */
#define PATH_FD_MAX 32
void path_of_fd(char ret_path[PATH_FD_MAX], int fd);
