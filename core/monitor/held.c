/*
 * The end of a container that somebody outside traces, a debugger most often.
 * The kernel tells a tracer first; while that one is stopped itself, we as the
 * parent hear nothing, and cannot reap:
 *
 *   init traced            init's pidfd is ready nevertheless;
 *   another one traced     init waits, inside the kernel, for the last process
 *                          of its PID namespace to be reaped. Once somebody
 *                          wants the end, we look whether all there is is dead.
 *
 * What is dead has left its files, namespaces and memory. So the container has
 * ended, with the code that /proc tells; the dead are reaped by whoever then is
 * their parent when the tracer goes on.
 */
#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/proc.h"
#include "base/str.h"
#include "core/monitor/monitor.h"

#define LOOK_MS	   100
#define IS_EXITING 0x4ul /* PF_EXITING, of <linux/sched.h> */

/* Every thread of it. or_exiting: being on the way is enough. */
static bool is_dead(pid_t pid, bool or_exiting)
{
	cleanup_free char *path = xasprintf("/proc/%d/task", (int)pid);
	cleanup_dir DIR *dir = opendir(path);
	const struct dirent *entry;

	if (!dir)
		return errno == ENOENT;
	while ((entry = readdir(dir))) {
		cleanup_free char *file = NULL;
		struct proc_status status;
		int r;

		if (entry->d_name[0] == '.')
			continue;
		file = xasprintf("%s/%s", path, entry->d_name);
		r = proc_status_read(file, &status);
		if (r == -ESRCH)
			continue;
		if (r < 0)
			return false;
		if (status.state == 'Z' || status.state == 'X')
			continue;
		if (!or_exiting || !(status.flags & IS_EXITING))
			return false;
	}
	return true;
}

/* What we and init are the parents of, without our helpers. */
static bool are_all_dead(const struct monitor *monitor)
{
	const pid_t helpers[] = {
		monitor->helpers[HELPER_UPLINK].uplink.pid,
		monitor->helpers[HELPER_PORTS].uplink.pid,
		monitor->process.fuse_pid,
	};
	cleanup_free pid_t *pids = NULL;
	size_t count = 0;
	bool found = false;

	if (!is_dead(monitor->process.pid, true))
		return false;
	if (proc_tree(getpid(), helpers, ARRAY_SIZE(helpers), &pids, &count,
		      NULL) < 0)
		return false;
	for (size_t i = 0; i < count; i++) {
		if (pids[i] == monitor->process.pid)
			found = true;
		else if (!is_dead(pids[i], false))
			return false;
	}
	return found;
}

static void end(struct monitor *monitor)
{
	cleanup_free char *file =
		xasprintf("/proc/%d", (int)monitor->process.pid);
	struct proc_status status = {.exit_status = SIGKILL};

	(void)proc_status_read(file, &status);
	init_ended(monitor, proc_status_code(status.exit_status));
}

static void on_dead(struct loop_source *source, int fd, uint32_t events,
		    void *data)
{
	struct monitor *monitor = data;

	children_reap(monitor);
	if (!monitor->ended)
		end(monitor);
	held_release(monitor);
}

static void on_look(struct loop_source *source, void *data)
{
	struct monitor *monitor = data;

	children_reap(monitor);
	if (monitor->ended)
		return;
	if (are_all_dead(monitor))
		end(monitor);
	else
		loop_timer_set(source, LOOK_MS);
}

int held_watch(struct monitor *monitor, struct error *err)
{
	return loop_add_fd(monitor->loop, monitor->process.pid_fd, EPOLLIN,
			   on_dead, monitor, &monitor->dead_source, err);
}

void held_expect_end(struct monitor *monitor)
{
	if (monitor->look_timer)
		loop_timer_set(monitor->look_timer, LOOK_MS);
	else
		/* Without, the end is only noticed later. */
		(void)loop_add_timer(monitor->loop, LOOK_MS, on_look, monitor,
				     &monitor->look_timer, NULL);
}

void held_release(struct monitor *monitor)
{
	loop_remove(monitor->dead_source);
	monitor->dead_source = NULL;
	loop_remove(monitor->look_timer);
	monitor->look_timer = NULL;
}
