/*
 * What the files of a context digest to, so that a build in which nothing has
 * changed opens none of them.
 *
 * A digest is believed for a file whose path, device, inode, size, time of
 * modification and time of change, in nanoseconds, are those that it had when
 * it was read. Nobody can set a time of change but by setting the clock. One
 * that is less than STAT_CACHE_SETTLED_MS before the reading, or after it, is
 * not noted: a kernel's clock of files moves in ticks, and what is written
 * later in the tick has the same time. A program that writes by a mapping which
 * it keeps is seen late, as by make(1) and git(1).
 *
 * On disk, one file a context: STORE/build/stat/HEX, where HEX is the SHA-256
 * of its path, device and inode; beside them `lock`, held while one is written.
 * The file is a header and slots, sorted by their key:
 *
 *   magic, count, the first bytes of the slots' SHA-256
 *   key (of the path), dev, ino, size, mtime, ctime, day (last used), digest
 *
 * in the machine's own order of bytes. It is written whole under a temporary
 * name, without fsync(2): what does not check, or is cut short, is an empty
 * cache. It is read into memory and not mapped, so that a file that somebody
 * shortens kills nobody. Saving puts together what others have saved meanwhile.
 *
 * Limits: STAT_CACHE_SLOTS_MAX files a context, those not used the longest go
 * first; what is not used for STAT_CACHE_DAYS goes in any case; and of more
 * than STAT_CACHE_FILES_MAX contexts the cache that was written first.
 */
#pragma once

#include <stdbool.h>
#include <sys/stat.h>

#include "base/error.h"
#include "storage/tar/hash.h"

#define STAT_CACHE_DIRECTORY  "build/stat" /* in the store */
#define STAT_CACHE_SETTLED_MS 50
#define STAT_CACHE_SLOTS_MAX  (256u << 10)
#define STAT_CACHE_FILES_MAX  64u
#define STAT_CACHE_DAYS	      30

struct stat_cache;

/*
 * The cache of the context root_fd, whose absolute path is `path`. store_fd is
 * the store's root and stays the caller's. Never NULL: empty when there is
 * nothing to be read.
 */
struct stat_cache *stat_cache_open(int store_fd, int root_fd, const char *path);
void stat_cache_free(struct stat_cache *cache);
void cleanup_stat_cache_function(struct stat_cache **cache);
#define cleanup_stat_cache CLEANUP(cleanup_stat_cache_function)

/* path: below the context. */
bool stat_cache_find(struct stat_cache *cache, const char *path,
		     const struct stat *st, unsigned char ret_sum[HASH_SIZE]);
/* st: as it was after stat_cache_open() and before the file was read. */
void stat_cache_put(struct stat_cache *cache, const char *path,
		    const struct stat *st, const unsigned char sum[HASH_SIZE]);
/* Writes down what is new; without, it is forgotten. */
int stat_cache_save(struct stat_cache *cache, struct error *err);
