/*
 * Directories that outlive builds: RUN --mount=type=cache.
 *
 *   build/mounts/ID/data/       what the steps see
 *   build/mounts/ID/lock        held shared or exclusively while a step has it
 *   build/mounts/ID/init        held while data is being made
 *   build/mounts/ID/mount.json  {"description", "created"}
 *   build/mounts/ID/uses        a byte for each use
 *
 * ID, 64 hex digits, is the builder's: a hash of all that makes it another one.
 * data is made as data.new and renamed when it is whole; a crash leaves a
 * data.new that the next step makes anew. A lock goes with the process that
 * holds it, so that kill -9 of a build leaves nothing but the directory.
 *
 * Removal takes the lock exclusively and renames the directory to tmp/ before
 * it is removed; whoever waited for its lock makes a new one. What is in data
 * is the steps', of any owner, and as hostile as they are.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "base/error.h"
#include "base/file.h"
#include "base/str.h"
#include "storage/store/store.h"

#define CACHE_MOUNTS "build/mounts"

/* Makes data, which is empty, 0755 and ours, what it is to be at first. */
typedef int (*cache_mount_fill)(int data_fd, void *data, struct error *err);

struct cache_mount_request {
	const char *id;
	const char *description; /* for people: "/root/.cache" */
	enum lock_mode mode;
	bool wait;
	cache_mount_fill fill; /* may be NULL */
	void *data;
};
/*
 * Returns the descriptor that holds it and in *ret_path the absolute path of
 * data, caller frees. -EAGAIN without an error text when others have it and
 * wait is not set.
 */
int cache_mount_take(const struct store *store,
		     const struct cache_mount_request *request, char **ret_path,
		     struct error *err);

struct cache_mount {
	char id[ID_TEXT_MAX];
	char *description;
	char created[TIME_TEXT_MAX];
	struct timespec last_used;
	uint64_t uses, size; /* bytes */
	bool in_use;
};
/* In order of their IDs. */
int cache_mount_list(const struct store *store, struct cache_mount **ret_list,
		     size_t *ret_count, struct error *err);
void cache_mount_list_free(struct cache_mount *list, size_t count);
/* *ret_bytes: what that gained. ERROR_CONFLICT while a step has it,
   ERROR_NOT_FOUND when it is gone. */
int cache_mount_remove(const struct store *store, const char *id,
		       uint64_t *ret_bytes, struct error *err);
