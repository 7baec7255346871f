/*
 * Processes: spawning programs with exactly the descriptors they are meant to
 * have, names that say the stage ("moss: monitor web"), identities that outlive
 * PID reuse (PID + start time), pidfds.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

/* What /proc/PID/stat says. */
struct proc_status {
	char state; /* 'R', 'Z' … */
	pid_t parent, session;
	unsigned long flags;
	uint64_t start;	 /* clock ticks since boot */
	int exit_status; /* as waitpid(2)'s, of one that ends or has ended */
};

/* directory: "/proc/PID", or a thread's. -ESRCH: it has gone. */
int proc_status_read(const char *directory, struct proc_status *ret_status);
/* Clock ticks since boot. */
int proc_start_time(pid_t pid, uint64_t *ret_ticks);
/* True when pid runs and started at start_time; zombies count as gone. */
bool proc_is_alive(pid_t pid, uint64_t start_time);
/* pidfd of exactly that process, or -ESRCH. */
int proc_open(pid_t pid, uint64_t start_time);
/* The bare system calls, apart from the names <sys/pidfd.h> took later. */
int proc_pidfd_open(pid_t pid, unsigned int flags);
int proc_pidfd_signal(int pid_fd, int signal);

/*
 * Sets what ps(1) shows: writes over the argv area (as far as it reaches) and
 * PR_SET_NAME (15 bytes). proc_name_init() first, from main().
 */
void proc_name_init(int argc, char **argv);
void proc_name_set(const char *format, ...)
	__attribute__((format(printf, 1, 2)));

#define PROC_TREE_MAX 32768
/*
 * PIDs of the children of all of parent's threads, in no order; none when it
 * cannot be looked at. Caller frees. At most PROC_TREE_MAX + 1 of them.
 */
size_t proc_children(pid_t parent, pid_t **ret_pids);
/*
 * PIDs of all descendants of parent, ascending; not of the `except` among its
 * children, and of theirs. Who comes or goes meanwhile may be among them or
 * not.
 */
int proc_tree(pid_t parent, const pid_t *except, size_t except_count,
	      pid_t **ret_pids, size_t *ret_count, struct error *err);

/* One descriptor of the caller's to be number `to` in the child. */
struct spawn_fd {
	int from;
	int to;
};

struct spawn {
	const char *path; /* absolute, or a name looked up in PATH */
	char *const *argv;
	char *const *env;	    /* NULL: the caller's */
	const struct spawn_fd *fds; /* everything else is closed; 0-2 default
				       to /dev/null when not listed */
	size_t fd_count;
	bool new_session;     /* setsid */
	bool die_with_parent; /* PDEATHSIG SIGKILL */
	int userns_fd;	      /* joined before exec when > 0 */
};

/* Returns the PID; reports exec failure through *err. Signal mask is emptied.
 */
pid_t proc_spawn(const struct spawn *spawn, struct error *err);
/*
 * The same, as a child of nobody: a process in between ends at once. Its PID.
 */
pid_t proc_spawn_orphan(const struct spawn *spawn, struct error *err);
/*
 * Runs function in a process of its own that shares our memory and our
 * descriptors while we stand still, and returns its result: for what changes a
 * process for good, such as joining a network namespace, when only its effects
 * are wanted. It must not change credentials. What it opens is ours.
 */
int proc_call(int (*function)(void *data, struct error *err), void *data,
	      struct error *err);
/* waitpid, EINTR retried; returns the shell's status (128 + signal) or -errno.
 */
int proc_wait(pid_t pid);
/* Spawn, collect stdout (at most max bytes) and stderr's first line, wait. */
int proc_capture(const struct spawn *spawn, size_t max, char **ret_stdout,
		 struct error *err);

/* Shell status of a waitpid/siginfo status word. */
int proc_status_code(int wait_status);

/*
 * The path of a helper program: the directory of the running moss when it is
 * there (an uninstalled build), LIBEXECDIR otherwise. Caller frees; NULL and
 * *err when neither has it. MOSS_LIBEXEC in the environment wins.
 */
char *proc_helper_path(const char *name, struct error *err);

/* Signal number of "TERM", "SIGTERM", "15", "RTMIN+3"; negative on nonsense. */
int signal_from_name(const char *name);
const char *signal_name(int signal); /* "SIGTERM"; "SIG?" for unknown */
