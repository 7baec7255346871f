/*
 * The extended attributes of an open file or directory that a layer keeps
 * (storage/store/layer.h), as an archive's entry has them: sorted by name, each
 * small enough to be said (storage/tar/tar_writer.h).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "storage/tar/tar.h"

/*
 * 0 or negative errno. ret_skipped, which may be NULL, is how many more there
 * are that no layer keeps or that do not fit, the drivers' own aside.
 */
int tar_xattrs_read(int fd, struct tar_xattr **ret_xattrs, size_t *ret_count,
		    uint64_t *ret_skipped);
void tar_xattrs_free(struct tar_xattr *xattrs, size_t count);
/* Are there any that a layer keeps? */
bool tar_xattrs_any(int fd);
