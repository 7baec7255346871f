#include "core/runtime/freeze.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/proc.h"
#include "base/str.h"

#define CHILDREN_TEXT_MAX (1u << 20)
#define ROUND_PAUSE_NS	  1000000
#define STOP_STEP_NS	  100000
#define STOP_STEPS	  50
#define ROUNDS_CLEAN	  2
#define PATH_TEXT_MAX	  64

struct process {
	pid_t pid;
	uint64_t start;
	bool is_ours; /* we have stopped it */
	bool is_dead; /* and waits to be reaped: for good */
};

struct freeze {
	struct process **list; /* parents before their children */
	size_t count;
	size_t room;
	void *known; /* tsearch(3) tree of the same */
};

struct hunt {
	struct freeze *freeze;
	pid_t parent;
	const pid_t *except;
	size_t except_count;
	int64_t deadline;
	pid_t *queue; /* of this round: whose children are to be looked for */
	size_t queue_count;
	size_t queue_room;
	bool is_clean; /* nobody ran in this round */
	pid_t running; /* the last one that did */
};

static bool is_stopped(char state)
{
	return state == 'T' || state == 't';
}

static bool is_dead(char state)
{
	return state == 'Z' || state == 'X';
}

static bool is_running(char state)
{
	return !is_stopped(state) && !is_dead(state);
}

static void queue_push(struct hunt *hunt, pid_t pid)
{
	if (hunt->queue_count == hunt->queue_room) {
		hunt->queue_room = hunt->queue_room ? hunt->queue_room * 2 : 64;
		hunt->queue = xrealloc(hunt->queue, hunt->queue_room,
				       sizeof(*hunt->queue));
	}
	hunt->queue[hunt->queue_count++] = pid;
}

static int compare(const void *a, const void *b)
{
	const struct process *left = a;
	const struct process *right = b;

	if (left->pid != right->pid)
		return left->pid < right->pid ? -1 : 1;
	return (left->start > right->start) - (left->start < right->start);
}

static struct process *find(const struct freeze *freeze, pid_t pid,
			    uint64_t start)
{
	const struct process key = {.pid = pid, .start = start};
	struct process *const *found = tfind(&key, &freeze->known, compare);

	return found ? *found : NULL;
}

static struct process *add(struct freeze *freeze, pid_t pid, uint64_t start)
{
	struct process *process = xcalloc(1, sizeof(*process));

	process->pid = pid;
	process->start = start;
	if (freeze->count == freeze->room) {
		freeze->room = freeze->room ? freeze->room * 2 : 64;
		freeze->list = xrealloc(freeze->list, freeze->room,
					sizeof(*freeze->list));
	}
	freeze->list[freeze->count++] = process;
	if (!tsearch(process, &freeze->known, compare))
		str_oom();
	return process;
}

/*
 * Of a process with all its threads: is one of them running ('R'), are they
 * stopped ('T') or dead ('Z')? When the first has ended it shows as a zombie
 * while the others go on.
 */
static char state_of_threads(pid_t pid)
{
	cleanup_dir DIR *dir = NULL;
	const struct dirent *entry;
	char path[PATH_TEXT_MAX];
	char state = 'Z';

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	dir = opendir(path);
	while (dir && (entry = readdir(dir))) {
		cleanup_free char *thread = NULL;
		struct proc_status status;

		if (entry->d_name[0] == '.')
			continue;
		thread = xasprintf("%s/%s", path, entry->d_name);
		if (proc_status_read(thread, &status) < 0 ||
		    is_dead(status.state))
			continue;
		if (is_running(status.state))
			return 'R';
		state = 'T';
	}
	return state;
}

static bool is_except(const struct hunt *hunt, pid_t parent, pid_t pid)
{
	for (size_t i = 0; parent == hunt->parent && i < hunt->except_count;
	     i++) {
		if (hunt->except[i] == pid)
			return true;
	}
	return false;
}

static bool is_over(const struct hunt *hunt)
{
	return clock_ms() > hunt->deadline;
}

/*
 * A parent that does not stand still yet is told that its child was stopped: a
 * shell would show the job as stopped. So before the children comes the parent.
 */
static void await_stop(pid_t pid)
{
	const struct timespec step = {.tv_nsec = STOP_STEP_NS};

	for (int i = 0; i < STOP_STEPS && state_of_threads(pid) == 'R'; i++)
		nanosleep(&step, NULL);
}

/* A child of parent, as it was listed. */
static int meet(struct hunt *hunt, pid_t parent, pid_t pid, struct error *err)
{
	cleanup_fd int pid_fd = -1;
	struct process *process;
	struct proc_status status;
	char path[PATH_TEXT_MAX];

	if (is_except(hunt, parent, pid))
		return 0;
	/*
	 * From here on it is this one that is spoken of. Has it gone, its
	 * children are somebody else's now: one more round.
	 */
	pid_fd = proc_pidfd_open(pid, 0);
	snprintf(path, sizeof(path), "/proc/%d", (int)pid);
	if (pid_fd < 0 || proc_status_read(path, &status) < 0 ||
	    status.parent != parent) {
		hunt->is_clean = false;
		return 0;
	}
	/* First of all: it may be about to have a child and to end. */
	if (is_running(status.state))
		(void)proc_pidfd_signal(pid_fd, SIGSTOP);
	process = find(hunt->freeze, pid, status.start);
	if (process && process->is_dead)
		return 0;
	if (!process) {
		if (hunt->freeze->count >= FREEZE_PROCESSES_MAX)
			return err_set(err, ERROR_CONFLICT,
				       "more than %d processes cannot be "
				       "stopped",
				       FREEZE_PROCESSES_MAX);
		process = add(hunt->freeze, pid, status.start);
		hunt->is_clean = false;
	}
	queue_push(hunt, pid);
	if (!is_running(status.state))
		status.state = state_of_threads(pid);
	process->is_dead = is_dead(status.state);
	if (!is_running(status.state))
		return 0;
	(void)proc_pidfd_signal(pid_fd, SIGSTOP);
	hunt->is_clean = false;
	hunt->running = pid;
	/* One that was stopped before and was continued is ours now. */
	process->is_ours = true;
	await_stop(pid);
	return 0;
}

/* The youngest first: who is busy having children and ending is among them. */
static int look_at_list(struct hunt *hunt, pid_t parent, char *text,
			struct error *err)
{
	size_t length = strlen(text);
	int r = 0;

	while (r == 0 && length > 0) {
		while (length > 0 && text[length - 1] == ' ')
			text[--length] = '\0';
		while (length > 0 && text[length - 1] != ' ')
			length--;
		if (!text[length])
			break;
		if (is_over(hunt)) {
			hunt->is_clean = false;
			break;
		}
		r = meet(hunt, parent, (pid_t)strtol(text + length, NULL, 10),
			 err);
	}
	return r;
}

/* Children of all threads of a process. */
static int look_below(struct hunt *hunt, pid_t parent, struct error *err)
{
	cleanup_dir DIR *dir = NULL;
	const struct dirent *entry;
	char path[PATH_TEXT_MAX];
	int r = 0;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)parent);
	dir = opendir(path);
	while (r == 0 && dir && (entry = readdir(dir))) {
		cleanup_free char *file = NULL;
		cleanup_free char *text = NULL;

		if (entry->d_name[0] == '.')
			continue;
		file = xasprintf("%s/%s/children", path, entry->d_name);
		if (file_read_at(AT_FDCWD, file, CHILDREN_TEXT_MAX, &text, NULL,
				 NULL) == 0)
			r = look_at_list(hunt, parent, text, err);
	}
	return r;
}

static int run_round(struct hunt *hunt, struct error *err)
{
	int r = 0;

	hunt->is_clean = true;
	hunt->queue_count = 0;
	queue_push(hunt, hunt->parent);
	for (size_t i = 0; r == 0 && i < hunt->queue_count; i++) {
		if (is_over(hunt)) {
			hunt->is_clean = false;
			break;
		}
		r = look_below(hunt, hunt->queue[i], err);
	}
	return r;
}

static int run_hunt(struct hunt *hunt, struct error *err)
{
	const struct timespec pause = {.tv_nsec = ROUND_PAUSE_NS};
	int clean = 0;

	while (clean < ROUNDS_CLEAN) {
		int r = run_round(hunt, err);

		if (r < 0)
			return r;
		clean = hunt->is_clean ? clean + 1 : 0;
		if (clean == 0 && is_over(hunt))
			return err_set(err, ERROR_TIMEOUT,
				       "its processes do not stop within %d "
				       "seconds (process %d)",
				       FREEZE_TIMEOUT_MS / 1000,
				       (int)hunt->running);
		/* A stop takes effect when the process leaves the kernel. */
		if (clean == 0)
			nanosleep(&pause, NULL);
	}
	return 0;
}

int freeze_children(pid_t parent, const pid_t *except, size_t except_count,
		    struct freeze **ret_freeze, struct error *err)
{
	struct hunt hunt = {
		.freeze = xcalloc(1, sizeof(*hunt.freeze)),
		.parent = parent,
		.except = except,
		.except_count = except_count,
		.deadline = clock_ms() + FREEZE_TIMEOUT_MS,
	};
	int r = run_hunt(&hunt, err);

	free(hunt.queue);
	if (r < 0) {
		freeze_thaw(hunt.freeze);
		return r;
	}
	*ret_freeze = hunt.freeze;
	return 0;
}

static void let_go(const struct process *process)
{
	cleanup_fd int pid_fd = -1;
	struct proc_status status;
	char path[PATH_TEXT_MAX];

	if (!process->is_ours)
		return;
	pid_fd = proc_pidfd_open(process->pid, 0);
	snprintf(path, sizeof(path), "/proc/%d", (int)process->pid);
	if (pid_fd >= 0 && proc_status_read(path, &status) == 0 &&
	    status.start == process->start)
		(void)proc_pidfd_signal(pid_fd, SIGCONT);
}

/* The processes themselves are freed through the list. */
static void keep(void *process)
{
}

void freeze_thaw(struct freeze *freeze)
{
	if (!freeze)
		return;
	tdestroy(freeze->known, keep);
	for (size_t i = freeze->count; i-- > 0;) {
		let_go(freeze->list[i]);
		free(freeze->list[i]);
	}
	free(freeze->list);
	free(freeze);
}
