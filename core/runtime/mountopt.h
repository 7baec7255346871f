/*
 * Mount options as OCI and mount(8) write them, sorted by what the new mount
 * API does with them. Words that are not ours and not a bind mount's go to the
 * file system ("size=64m").
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "core/runtime/spec.h"

struct mount_options {
	/* MOUNT_ATTR_…: of the mount, of all below it too. */
	uint64_t set, clear;
	uint64_t set_recursive, clear_recursive;
	unsigned long propagation; /* MS_…, perhaps with MS_REC; 0: not given */
	bool bind, recursive;
	bool copy_up;	       /* bind: fill an empty volume */
	bool chown;	       /* bind: give it to the container's user */
	const char *subpath;   /* bind: what of the source; borrowed */
	const char *root_path; /* bind, layers: likewise, in that root */
	bool temporary;	       /* the mount point goes with it */
	bool layers;
	char **diff_ids; /* layers: one of these two */
	char **directories;
	bool temporary_copy_up; /* tmpfs: the same */
	const char **data;	/* borrowed words for the file system */
	size_t data_count;
};

/* Errors name the word: "[2]: …". */
int mount_options_parse(const struct spec_mount *mount,
			struct mount_options *ret_options, struct error *err);
void mount_options_release(struct mount_options *options);

/* "rslave" -> MS_SLAVE | MS_REC; 0 or -EINVAL. */
int mount_propagation(const char *word, unsigned long *ret_flags);
