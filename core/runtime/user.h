/*
 * Who a process in a container is: numbers from the container's own
 * /etc/passwd and /etc/group, by docker's rules.
 *
 *   "name", "uid"         primary group and supplementary groups of the entry;
 *                         a number without an entry has group 0
 *   "…:group", "…:gid"    that group alone
 *
 * The files belong to the image: they are read inside its root, at most
 * USER_FILE_MAX bytes, and a line without sense is skipped.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "core/runtime/spec.h"
#include "policy/idmap.h"

#define USER_FILE_MAX (4u << 20)

struct user {
	uint32_t uid, gid;
	uint32_t *groups;
	size_t group_count;
	char *home; /* never NULL after user_find() */
};

/* By process->user, or its uid, gid and groups; group_add comes on top. */
int user_find(int root_fd, const struct spec_process *process,
	      struct user *ret_user, struct error *err);
void user_release(struct user *user);

/* Every number exists in the container's user namespace, or an error that
   names the number and the map. */
int user_check_mapped(const struct user *user, const struct id_map *uids,
		      const struct id_map *gids, struct error *err);
