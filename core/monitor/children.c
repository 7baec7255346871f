#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/proc.h"
#include "base/str.h"
#include "core/monitor/monitor.h"

#define STRAY_ROUNDS   64
#define KILLED_WAIT_MS 10000 /* it may have much memory to give back */

/*
 * Without the server of its root no program of the container can go on. The
 * server also ends, with success, when the container has ended and nobody uses
 * the root any more; that may come to us first.
 */
static void fuse_ended(struct monitor *monitor, int status)
{
	monitor->process.fuse_pid = 0;
	monitor->state.fuse_pid = 0;
	monitor->fuse_status = status;
	if (!monitor->ended)
		proc_pidfd_signal(monitor->process.pid_fd, SIGKILL);
}

void init_ended(struct monitor *monitor, int exit_code)
{
	monitor->ended = true;
	monitor->process.pid = 0;
	monitor->exit_code = exit_code;
	monitor->ran_ms = clock_ms() - monitor->launched_ms;
	loop_stop(monitor->loop, 0);
}

void children_reap(struct monitor *monitor)
{
	for (;;) {
		int status;
		pid_t pid = waitpid(-1, &status, WNOHANG | WUNTRACED);

		if (pid < 0 && errno == EINTR)
			continue;
		if (pid <= 0)
			return;
		if (WIFSTOPPED(status)) {
			helpers_continue(monitor, pid);
			if (pid == monitor->native.pid)
				kill(pid, SIGCONT);
			continue;
		}
		status = proc_status_code(status);
		if (pid == monitor->process.pid) {
			init_ended(monitor, status);
		} else if (helpers_ended(monitor, pid) ||
			   monitor_native_ended(monitor, pid)) {
			continue;
		} else if (pid == monitor->process.fuse_pid) {
			fuse_ended(monitor, status);
		} else {
			if (!probe_ended(monitor, pid, status))
				exec_ended(monitor, pid, status);
			monitor_settle_later(monitor);
		}
	}
}

/*
 * The shell's status of a child that was killed; negative when it cannot be
 * had, as a stopped debugger holds the dead (held.c).
 */
static int wait_for_killed(pid_t pid)
{
	cleanup_fd int fd = proc_pidfd_open(pid, 0);
	struct pollfd event = {.fd = fd, .events = POLLIN};
	int status;

	while (poll(&event, 1, KILLED_WAIT_MS) < 0 && errno == EINTR)
		;
	return waitpid(pid, &status, WNOHANG) == pid ? proc_status_code(status)
						     : -EBUSY;
}

/* Our children but the helpers: 1 when there was one. */
static bool kill_children(struct monitor *monitor)
{
	cleanup_free pid_t *pids = NULL;
	size_t count = proc_children(getpid(), &pids);
	bool found = false;

	for (size_t i = 0; i < count; i++) {
		pid_t pid = pids[i];
		int status;

		if (helpers_include(monitor, pid) ||
		    pid == monitor->native.pid ||
		    pid == monitor->process.fuse_pid)
			continue;
		kill(pid, SIGKILL);
		status = wait_for_killed(pid);
		if (status < 0)
			continue;
		if (!probe_ended(monitor, pid, status))
			exec_ended(monitor, pid, status);
		found = true;
	}
	return found;
}

void children_kill_strays(struct monitor *monitor)
{
	/* The children of those come to us in turn. */
	for (int i = 0; i < STRAY_ROUNDS; i++) {
		if (!kill_children(monitor))
			return;
	}
}
