/* Small words on top of the new mount API; errors are errno values. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

/* A detached copy of what is at path; recursive takes what is below along. */
int mount_clone(int dir_fd, const char *path, bool recursive);
/*
 * The same of "/proc/PID/root/PATH" in another container: the kernel copies a
 * mount only in the mount namespace it is in, so this goes there and back. The
 * user namespace must be ours, and the working directory is kept.
 */
int mount_clone_of_process(const char *path, bool recursive);
int mount_set(int fd, uint64_t set, uint64_t clear, unsigned long propagation,
	      bool recursive);
/* Puts a detached mount on the file or directory target_fd. */
int mount_attach(int fd, int target_fd);
/* The same on `name` in dir_fd, a directory that only we have written to. */
int mount_attach_at(int fd, int dir_fd, const char *name);
/*
 * A new file system, detached. options: "size=64m" or a word each. On failure
 * the kernel's own complaint, if it has one, is in *err.
 */
int mount_create(const char *type, const char *source,
		 const char *const *options, size_t option_count,
		 uint64_t attributes, struct error *err);
