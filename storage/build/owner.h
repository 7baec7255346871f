/*
 * --chown of COPY and ADD, and the owner of what WORKDIR makes: "user",
 * "user:group", by name or number. Names are those of the root's own
 * /etc/passwd and /etc/group, which are read inside of it, at most
 * OWNER_FILE_MAX bytes each; a number needs neither.
 *
 *   "name"       that user and its group
 *   "7"          7 and 7
 *   ":group"     0 and that group
 */
#pragma once

#include <stdint.h>

#include "base/error.h"

#define OWNER_FILE_MAX (10u << 20)

struct owner {
	uint32_t uid, gid;
};

/* root_fd -1: there is no such file. ERROR_NOT_FOUND for an unknown name. */
int owner_find(int root_fd, const char *text, struct owner *ret_owner,
	       struct error *err);
