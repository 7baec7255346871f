/*
 * What a container's first process and an exec'ed one have in common: the state
 * a child starts from, and the way into moss-init.
 */
#pragma once

#include <stdbool.h>

#include "core/runtime/spec.h"
#include "core/runtime/user.h"
#include "policy/seccomp.h"

struct launch {
	const struct spec_process *process;
	const struct seccomp_filter *filter;
	const struct seccomp_filter *notify; /* NULL: none */
	bool deny_tcp;
	bool init; /* moss-init stays */
	bool can_set_groups;
	struct user user;
	int stdio[3]; /* the terminal's slave, three times, with a terminal */
	int sync_fd;
	int program_fd;
};

/*
 * First of all in a forked child: dies with its parent, holds nothing of the
 * parent's but the descriptors in keep (any order, negative ones are skipped,
 * gets sorted), answers no signal, is in a session of its own. Missing stdio is
 * opened.
 */
int launch_begin(struct launch *launch, int *keep, size_t keep_count,
		 struct error *err);
/* The part of it that a process cloned by the joiner does not inherit. */
int launch_begin_sibling(struct error *err);
/* Nobody can look into the caller from now on. */
int launch_hide(struct error *err);
/*
 * Root of the container, if it has one; otherwise the caller stays the user it
 * is. Capabilities stay.
 */
int launch_become_root(const struct id_map *uids, const struct id_map *gids,
		       struct error *err);
/* Who the process will be; checks that the maps know it. */
int launch_find_user(struct launch *launch, int root_fd,
		     const struct id_map *uids, const struct id_map *gids,
		     struct error *err);
/*
 * SYNC_READY with has and fds as in protocol.h. The parent then gives the user
 * the pipes among its stdio: it may although they are not the container's.
 */
int launch_report_ready(const struct launch *launch, const struct id_map *uids,
			int has, const int *fds, size_t fd_count,
			struct error *err);
/* Returns only on failure, which is to be told over launch->sync_fd. */
int launch_exec(struct launch *launch, struct error *err);
