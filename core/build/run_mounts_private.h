/* What the files of core/build/run_mounts*.c share. */
#pragma once

#include "base/str.h"
#include "core/build/room.h"
#include "core/build/run_mounts.h"

struct run_mounts_held {
	struct room room; /* of secrets and sockets */
	int *locks;	  /* of caches */
	size_t lock_count;
	pid_t *agents;
	size_t agent_count;
	size_t name_count;    /* of files in room */
	char *environment;    /* path of the file with the secrets' variables */
	struct str variables; /* its content */
};

/* Where a mount's files come from. ERROR_NOT_FOUND when nobody resolved it. */
int run_mount_source_of(const struct run_mounts_request *request,
			const struct run_mount *mount,
			const struct run_mount_source **ret_source,
			struct error *err);
/* The same below it: "" or "a/b". */
const char *run_mount_subpath(const struct run_mount *mount);

/*
 * run_mounts_cache.c. The directory behind a cache mount; number > 0: the
 * further ones of a private one.
 */
int run_mounts_cache_id(const struct run_mounts_request *request,
			const struct run_mount *mount, unsigned int number,
			char ret_id[ID_TEXT_MAX], struct error *err);
/* Takes all that the step names: held->locks, and in paths, one a mount, the
   absolute path of each one's data, which the caller frees. */
int run_mounts_take_caches(const struct run_mounts_request *request,
			   struct run_mounts_held *held, char **paths,
			   struct error *err);
