#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/proc.h"
#include "base/str.h"
#include "core/monitor/monitor.h"

#define ROUNDS_MAX    16
#define PROCESSES_MAX 4096
#define PATH_TEXT_MAX 64

/* A process below the monitor. */
struct found {
	pid_t pid;
	uint64_t start;
	bool is_of_probe;
};

struct hunt {
	pid_t probe;
	struct found *list; /* parents before their children */
	size_t count;
};

static void meet(struct hunt *hunt, bool parent_is_of_probe, pid_t pid)
{
	struct found *found = &hunt->list[hunt->count];
	cleanup_fd int pid_fd = proc_pidfd_open(pid, 0);
	struct proc_status status;
	char path[PATH_TEXT_MAX];

	snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	if (pid_fd < 0 || hunt->count >= PROCESSES_MAX ||
	    proc_status_read(path, &status) < 0)
		return;
	found->start = status.start;
	found->pid = pid;
	found->is_of_probe = parent_is_of_probe || pid == hunt->probe ||
			     status.session == hunt->probe;
	hunt->count++;
	/* Its children are looked for next; it is to have no more of them. */
	if (found->is_of_probe)
		(void)proc_pidfd_signal(pid_fd, SIGSTOP);
}

static void look_below(struct hunt *hunt, pid_t parent, bool is_of_probe)
{
	cleanup_free pid_t *pids = NULL;
	size_t count = proc_children(parent, &pids);

	for (size_t i = 0; i < count; i++)
		meet(hunt, is_of_probe, pids[i]);
}

/* True when there was one to be killed. */
static bool run_round(struct hunt *hunt)
{
	bool killed = false;

	hunt->count = 0;
	look_below(hunt, getpid(), false);
	for (size_t i = 0; i < hunt->count; i++)
		look_below(hunt, hunt->list[i].pid, hunt->list[i].is_of_probe);
	for (size_t i = 0; i < hunt->count; i++) {
		const struct found *found = &hunt->list[i];
		cleanup_fd int pid_fd = -1;

		if (!found->is_of_probe)
			continue;
		pid_fd = proc_open(found->pid, found->start);
		if (pid_fd >= 0 && proc_pidfd_signal(pid_fd, SIGKILL) == 0)
			killed = true;
	}
	return killed;
}

void probe_kill(pid_t probe)
{
	struct hunt hunt = {.probe = probe};

	/* One more entry, for the one that is looked at. */
	hunt.list = xcalloc(PROCESSES_MAX + 1, sizeof(*hunt.list));
	/* Until nobody is left; who dies slowly is met again later. */
	for (int i = 0; i < ROUNDS_MAX && run_round(&hunt); i++)
		;
	free(hunt.list);
}
