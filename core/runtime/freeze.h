/*
 * Holds still a container's processes, by SIGSTOP, and lets go exactly those
 * that it has stopped: for a commit, and for a pause where there is no cgroup
 * to freeze.
 *
 * A container's processes are the descendants of their monitor, which adopts
 * orphans where no PID namespace does: those started by exec are among them,
 * and those in PID namespaces made inside. They are looked for along
 * /proc/PID/task/TID/children, from the monitor down, in rounds: what is
 * running is stopped, until two rounds in a row have met nobody new and nobody
 * who runs. A stopped process forks no more; a child that was missed because
 * its parent died while it was looked for shows under its new parent in the
 * next round. So a fork bomb is stopped, too; only a chain of processes, each
 * of which has a child and ends faster than /proc can be read, may get away,
 * and then it shows as running.
 *
 * It takes a time (FREEZE_TIMEOUT_MS, FREEZE_PROCESSES_MAX) or fails, with
 * everything let go again: a process that hangs in the kernel cannot be
 * stopped. The caller waits for as long.
 *
 * Who was stopped before stays so. Parents are stopped before their children
 * and let go after them, so that a shell sees no stopped job. A PID that was
 * given to somebody else meanwhile is not touched: parents and start times are
 * compared.
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"

#define FREEZE_TIMEOUT_MS    2000
#define FREEZE_PROCESSES_MAX 32768

struct freeze;

/* except: children of parent that stay as they are. */
int freeze_children(pid_t parent, const pid_t *except, size_t except_count,
		    struct freeze **ret_freeze, struct error *err);
/* NULL is fine. */
void freeze_thaw(struct freeze *freeze);
