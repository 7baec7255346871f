/*
 * Making and joining namespaces, and who is who in them.
 *
 * A container's own namespaces are made by the one clone that makes its first
 * process. Joining (container:X, a path) takes a process between: the joiner
 * enters what has a path, the user namespace first, as that gives the rights
 * over the others, and then clones the container's process as its own sibling
 * (CLONE_PARENT): a PID namespace is entered only by children. Likewise the
 * process between the caller and a container whose tasks are counted
 * (task_limit.h), in a user namespace of its own. Who enters a running
 * container (exec) is born into its PID namespace and joins the rest itself.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "core/runtime/spec.h"

/* Flags of the namespaces that are to be new. */
uint64_t namespaces_new(const struct runtime_spec *spec);
bool namespaces_joins(const struct runtime_spec *spec);

struct namespaces_clone {
	uint64_t flags; /* CLONE_NEW…, CLONE_PARENT */
	int cgroup_fd;	/* > 0: born into that cgroup */
};
/* As fork(2): the PID, 0 in the child, negative errno. */
pid_t namespaces_clone(const struct namespaces_clone *clone, int *ret_pid_fd,
		       struct error *err);

/*
 * As namespaces_clone(), into the PID namespace of the process behind init_fd,
 * which is another than ours. That takes a process between, which is gone when
 * this returns: it shares the caller's memory, so that only one copy is made,
 * and is never in the container itself. The child is hidden (PR_SET_DUMPABLE)
 * from before it can be seen there.
 */
pid_t namespaces_clone_into(int init_fd, int cgroup_fd, int *ret_pid_fd,
			    struct error *err);

/* By the joiner. */
int namespaces_join(const struct runtime_spec *spec, struct error *err);
/* 1 when pid's PID namespace is not the caller's. */
int namespaces_has_own_pids(pid_t pid, struct error *err);
/* All of a process's namespaces that are not the caller's. */
int namespaces_join_process(pid_t pid, int pid_fd, struct error *err);
/*
 * After that: who was counted elsewhere when it was cloned is told here, as
 * fork(2) would have been, when the container may have no more processes.
 */
int namespaces_check_room(struct error *err);

/* By the parent: writes pid's maps; one group alone forbids setgroups(2). */
int namespaces_map(pid_t pid, const struct id_map *uids,
		   const struct id_map *gids, struct error *err);
/* The maps of a namespace that was there before: "self" or a PID. */
int namespaces_read_maps(const char *process, struct id_map *ret_uids,
			 struct id_map *ret_gids, struct error *err);
/* A group of ours that a container with these does not have, -1: it has all. */
int64_t namespaces_foreign_group(const struct id_map *container);
bool namespaces_can_set_groups(const struct id_map *gids);

/* Descriptor of pid's namespace: "user", "net" … */
int namespaces_open(pid_t pid, const char *name, struct error *err);
