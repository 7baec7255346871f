/*
 * From an OCI configuration to a process in a container.
 *
 * The caller (a monitor) is single-threaded, in the pinned user namespace, and
 * becomes the parent of the container's first process.
 *
 *   runtime_create()  clones the child into its new namespaces, writes its
 *                     maps, answers its requests (FUSE server) while it builds
 *                     the root: setup.c tells the order and why. Returns when
 *                     the child stands before its last step, with the
 *                     descriptors the monitor needs (console, tap, namespaces).
 *   runtime_start()   lets it go. Returns after execve(2) succeeded, or with
 *                     the child's own struct error.
 *   runtime_exec()    a further process in a running container; the child is
 *                     the caller's too.
 *
 * The program that makes the last steps is moss-init (init/): static, without
 * libc, carried inside this library, executed from a sealed memfd, so that
 * nothing of the host can be reached or changed through /proc/PID/exe. The
 * child is non-dumpable from before it can be seen until then.
 *
 * On failure every process made here has been killed and reaped. A child is the
 * leader of its own session and dies with its parent (PDEATHSIG). The caller's
 * descriptors, locks among them, are closed in it at once, whatever their
 * flags.
 *
 * runtime_create() gives the caller, too, a new session keyring, the
 * container's (keyring.h): what runtime_exec() starts later inherits it from
 * the caller.
 *
 * Signals: the caller may block or ignore any; the program starts with none
 * blocked and none ignored. SIGCHLD may arrive for a short-lived helper, which
 * has been reaped here when the call returns.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "core/runtime/spec.h"
#include "net/netns.h"
#include "policy/seccomp.h"
#include "storage/root/snapshot.h"

struct runtime_request {
	const struct runtime_spec *spec;
	const struct snapshot *snapshot;     /* NULL: spec->root_path */
	const struct seccomp_filter *filter; /* code NULL: unconfined */
	/* One more, whose notifications go to notify_fd below; NULL: none. */
	const struct seccomp_filter *notify;
	bool deny_tcp; /* bind and connect of TCP, by Landlock */
	const struct netns_config *network; /* tap wanted; NULL: loopback only,
					       or  a joined/host namespace */
	/* The container's ends; ignored with a terminal. Stay the caller's.
	   -1: /dev/null. */
	int stdio[3];
	/* > 0: a cgroup v2 directory that the child is born into (and that is
	   the root of its cgroup namespace, when that is new). */
	int cgroup_fd;
	/* > 0: of its processes and threads (task_limit.h); at least
	   TASK_LIMIT_MIN, and only without namespaces to be joined. */
	int64_t task_limit;
};

struct runtime_process {
	pid_t pid; /* as the caller sees it */
	uint64_t start_time;
	int pid_fd;
	int console_fd; /* pty master, -1 without a terminal */
	int tap_fd;	/* -1: none */
	int userns_fd;
	int netns_fd;	/* -1: the caller's own */
	int notify_fd;	/* once it runs, if it was asked for; else -1 */
	pid_t fuse_pid; /* 0: none; a child of the caller */
	int sync_fd;	/* private: the conversation with the child */
};

int runtime_create(const struct runtime_request *request,
		   struct runtime_process *ret_process, struct error *err);
int runtime_start(struct runtime_process *process, struct error *err);
/* Closes descriptors; does not kill. NULL-safe, half-built is fine. */
void runtime_process_release(struct runtime_process *process);

struct runtime_exec_request {
	const struct spec_process *process;
	pid_t init_pid;
	int init_pid_fd;
	int cgroup_fd; /* > 0: born there; otherwise it follows init */
	const struct seccomp_filter *filter;
	const struct seccomp_filter *notify; /* as in runtime_create() */
	bool deny_tcp;
	int stdio[3];
};

/* Returns once the program runs. console_fd as in runtime_create(). */
int runtime_exec(const struct runtime_exec_request *request,
		 struct runtime_process *ret_process, struct error *err);
