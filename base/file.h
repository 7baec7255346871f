/*
 * Files that are whole or not there, locks, trees.
 *
 * Atomic write: a temporary name in the same directory, fsync, rename, fsync
 * of the directory. FILE_VOLATILE skips both fsyncs, for state that need not
 * outlive a power cut (a `--rm` container's). Temporary names start with
 * ".tmp-"; a crash leaves at most those.
 *
 * Locks are open file description locks (fcntl F_OFD_SETLK): they go with the
 * last descriptor, so a killed process leaves none, and they can be asked about
 * without being taken.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

#define FILE_VOLATILE (1u << 0)

/*
 * Reads all of path below dir_fd, at most max bytes (more is ERROR_INVALID).
 * *ret_data is NUL-terminated past its length; caller frees. ret_length may be
 * NULL.
 */
int file_read_at(int dir_fd, const char *path, size_t max, char **ret_data,
		 size_t *ret_length, struct error *err);
int file_read_fd(int fd, const char *name, size_t max, char **ret_data,
		 size_t *ret_length, struct error *err);
int file_write_atomic_at(int dir_fd, const char *path, const void *data,
			 size_t length, mode_t mode, unsigned int flags,
			 struct error *err);

/* write(2) until all is out; 0 or -errno. */
int write_all(int fd, const void *data, size_t length);
/* A /proc or /sys file: one write, no atomicity. */
int file_write_once_at(int dir_fd, const char *path, const char *text,
		       struct error *err);

enum lock_mode { LOCK_SHARED, LOCK_EXCLUSIVE };

/*
 * Opens (creating it, mode 0600) and locks path. Waits when wait is true;
 * otherwise -EAGAIN without an error text. Returns the fd that holds the lock.
 */
int lock_open_at(int dir_fd, const char *path, enum lock_mode mode, bool wait,
		 struct error *err);
/* Is anyone holding an exclusive lock? 1, 0, negative errno (-ENOENT: no file).
 */
int lock_is_held_at(int dir_fd, const char *path);

/*
 * Removes a directory tree (or a file) below dir_fd without following links and
 * without crossing mounts; makes directories writable on the way when it must.
 * A path that is not there is fine.
 */
int tree_remove_at(int dir_fd, const char *path, struct error *err);
/*
 * Gives a directory tree (or a file) below dir_fd to an owner, without
 * following links and without crossing mounts. Modes stay, but for set-ID bits,
 * which the kernel takes away.
 */
int tree_chown_at(int dir_fd, const char *path, uid_t uid, gid_t gid,
		  struct error *err);
/* Bytes allocated below path (512-byte blocks times 512), links counted once.
 */
int tree_size_at(int dir_fd, const char *path, uint64_t *ret_bytes,
		 struct error *err);
