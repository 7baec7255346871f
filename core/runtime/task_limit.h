/*
 * A limit of a container's processes and threads where it has no cgroup with
 * the controller for that.
 *
 * Since Linux 5.14 RLIMIT_NPROC counts the tasks of a user in a user namespace,
 * and each of them once more for whoever made the namespace, in the namespace
 * above, and so on upwards; there the limit is what RLIMIT_NPROC of the maker
 * was when it made the namespace (kernel/ucount.c). A container's user
 * namespace is made by the root of the pinned one, who makes those of the other
 * containers as well, so a limit there would be one of all of them together.
 * Hence a user namespace in between, with the same IDs as the pinned one and
 * for this container alone:
 *
 *   pinned ─► between: its root has a RLIMIT_NPROC of N ─► the container's
 *
 * Its root makes the container's namespace and ends, so that all that is
 * counted for it are the container's tasks, whichever user of the container or
 * of a namespace further down they belong to. Nothing in the container can get
 * out of the count, nor change the limit, and nobody else is counted. What is
 * exec'ed into the container is counted, too. The limit lasts as long as the
 * namespace: another one needs a new start.
 *
 * The one between, which the container's first process is made by, is counted
 * at that moment: the least limit is TASK_LIMIT_MIN.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>

#include "base/error.h"
#include "policy/idmap.h"

#define TASK_LIMIT_MIN 2

/* Does the kernel count like that? */
bool task_limit_is_possible(void);
/* The IDs of the namespace between: those that the caller knows, as they are.
 */
void task_limit_map(const struct id_map *own, struct id_map *ret_map);
/* By its root: the limit of namespaces that it makes, until it is restored. */
int task_limit_lower(int64_t limit, struct rlimit *ret_before,
		     struct error *err);
int task_limit_restore(const struct rlimit *before, struct error *err);
