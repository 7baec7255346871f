/*
 * proc_spawn() and proc_capture() of base/proc.h.
 *
 * The child shares the parent's memory and the parent stands still until the
 * child has executed its program or given up (CLONE_VM | CLONE_VFORK, as
 * posix_spawn does): no page table is copied, and the child reports what failed
 * by writing it to memory. So the child allocates nothing, and everything it
 * needs is prepared before. Signals stay blocked until the child has no
 * handler left that could run in the parent's memory.
 *
 * A child that joins a user namespace gets memory of its own: the change of
 * credentials can mark the shared memory, and thus the parent, undumpable.
 * The report is in a shared mapping for both.
 */
#include "base/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"

#define STACK_SIZE     (64u << 10)
#define FD_TARGET_MAX  1024
#define PATH_DEFAULT   "/usr/local/bin:/usr/bin:/bin"
#define STDERR_MAX     512
#define CLOSE_LOOP_MAX (1u << 20)

extern char **environ;

enum spawn_step {
	STEP_USERNS,
	STEP_SESSION,
	STEP_PARENT,
	STEP_FDS,
	STEP_EXEC,
};

static const char *const step_texts[] = {
	[STEP_USERNS] = "cannot join the user namespace for",
	[STEP_SESSION] = "cannot start a session for",
	[STEP_PARENT] = "lost the parent of",
	[STEP_FDS] = "cannot pass descriptors to",
	[STEP_EXEC] = "cannot execute",
};

struct report {
	enum spawn_step step;
	int number; /* 0: executed */
};

/* Everything the child needs. */
struct child {
	const struct spawn *spawn;
	const char *path;
	char *const *env;
	pid_t parent;
	struct spawn_fd *fds; /* sorted by `to`, 0-2 always listed */
	size_t fd_count;
	int fd_max; /* highest `to` */
	struct report *report;
};

static void fail(const struct child *child, enum spawn_step step, int number)
{
	child->report->step = step;
	child->report->number = number;
	_exit(127);
}

static void close_from_to(unsigned int first, unsigned int last)
{
	struct rlimit limit;
	unsigned int end = CLOSE_LOOP_MAX;

	if (first > last || syscall(SYS_close_range, first, last, 0) == 0)
		return;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < end)
		end = (unsigned int)limit.rlim_cur;
	for (unsigned int fd = first; fd <= last && fd < end; fd++)
		close((int)fd);
}

/*
 * Sources that lie where some target will be move out of the way first; then
 * each dup2() hits a number nobody needs any more.
 */
static int place_fds(const struct child *child)
{
	unsigned int next = 0;

	for (size_t i = 0; i < child->fd_count; i++) {
		struct spawn_fd *fd = &child->fds[i];

		if (fd->from == fd->to || fd->from > child->fd_max)
			continue;
		fd->from = fcntl(fd->from, F_DUPFD_CLOEXEC, child->fd_max + 1);
		if (fd->from < 0)
			return -errno;
	}
	for (size_t i = 0; i < child->fd_count; i++) {
		const struct spawn_fd *fd = &child->fds[i];
		int r = fd->from == fd->to ? fcntl(fd->to, F_SETFD, 0)
					   : dup2(fd->from, fd->to);

		if (r < 0)
			return -errno;
	}
	for (size_t i = 0; i < child->fd_count; i++) {
		unsigned int to = (unsigned int)child->fds[i].to;

		if (to > next)
			close_from_to(next, to - 1);
		next = to + 1;
	}
	close_from_to(next, UINT_MAX);
	return 0;
}

static void reset_signals(void)
{
	const struct sigaction action = {.sa_handler = SIG_DFL};
	sigset_t none;

	for (int i = 1; i < NSIG; i++)
		sigaction(i, &action, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
}

static int child_main(void *data)
{
	const struct child *child = data;
	const struct spawn *spawn = child->spawn;
	int r;

	if (spawn->userns_fd > 0 &&
	    syscall(SYS_setns, spawn->userns_fd, CLONE_NEWUSER) < 0)
		fail(child, STEP_USERNS, errno);
	if (spawn->new_session && setsid() < 0)
		fail(child, STEP_SESSION, errno);
	/* After the namespace, which clears it. */
	if (spawn->die_with_parent) {
		if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
			fail(child, STEP_PARENT, errno);
		if (getppid() != child->parent)
			fail(child, STEP_PARENT, ESRCH);
	}
	r = place_fds(child);
	if (r < 0)
		fail(child, STEP_FDS, -r);
	reset_signals();
	execve(child->path, spawn->argv, child->env);
	fail(child, STEP_EXEC, errno);
	return 127;
}

static int compare_fds(const void *a, const void *b)
{
	const struct spawn_fd *left = a;
	const struct spawn_fd *right = b;

	return (left->to > right->to) - (left->to < right->to);
}

/* The list with 0-2 filled up from null_fd, sorted, checked. Caller frees. */
static int plan_fds(const struct spawn *spawn, int null_fd,
		    struct child *ret_child)
{
	cleanup_free struct spawn_fd *fds =
		xcalloc(spawn->fd_count + 3, sizeof(*fds));
	size_t count = 0;

	for (int i = 0; i < 3; i++) {
		bool listed = false;

		for (size_t j = 0; j < spawn->fd_count; j++)
			listed |= spawn->fds[j].to == i;
		if (!listed)
			fds[count++] = (struct spawn_fd){null_fd, i};
	}
	for (size_t i = 0; i < spawn->fd_count; i++) {
		if (spawn->fds[i].from < 0 || spawn->fds[i].to < 0 ||
		    spawn->fds[i].to > FD_TARGET_MAX)
			return -EBADF;
		fds[count++] = spawn->fds[i];
	}
	qsort(fds, count, sizeof(*fds), compare_fds);
	for (size_t i = 1; i < count; i++) {
		if (fds[i].to == fds[i - 1].to)
			return -EINVAL;
	}
	ret_child->fd_max = fds[count - 1].to;
	ret_child->fd_count = count;
	ret_child->fds = steal_ptr(&fds);
	return 0;
}

/* A name without a slash is looked up in PATH. NULL when nobody has it. */
static char *find_program(const char *name)
{
	const char *search = getenv("PATH");
	cleanup_strv char **directories = NULL;

	if (strchr(name, '/'))
		return xstrdup(name);
	directories = strv_split(search ? search : PATH_DEFAULT, ':');
	for (size_t i = 0; directories[i]; i++) {
		cleanup_free char *path = NULL;
		struct stat st;

		if (!*directories[i])
			continue;
		path = xasprintf("%s/%s", directories[i], name);
		if (stat(path, &st) == 0 && S_ISREG(st.st_mode) &&
		    access(path, X_OK) == 0)
			return steal_ptr(&path);
	}
	return NULL;
}

/* Runs child_main() to its exec; the PID or -errno (of clone itself). */
static pid_t run_child(struct child *child, char *memory)
{
	int flags = CLONE_VFORK | SIGCHLD;
	sigset_t all;
	sigset_t mask;
	pid_t pid;

	if (child->spawn->userns_fd <= 0)
		flags |= CLONE_VM;
	child->report = (struct report *)memory;
	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, &mask);
	pid = clone(child_main, memory + STACK_SIZE, flags, child);
	if (pid < 0)
		pid = -errno;
	sigprocmask(SIG_SETMASK, &mask, NULL);
	return pid;
}

pid_t proc_spawn(const struct spawn *spawn, struct error *err)
{
	struct child child = {
		.spawn = spawn,
		.env = spawn->env ? spawn->env : environ,
		.parent = getpid(),
	};
	cleanup_free struct spawn_fd *fds = NULL;
	cleanup_free char *path = find_program(spawn->path);
	cleanup_fd int null_fd = -1;
	struct report report;
	char *memory;
	pid_t pid;
	int r;

	if (!path)
		return err_set(err, ERROR_NOT_FOUND,
			       "cannot execute %s: not found in PATH",
			       spawn->path);
	null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (null_fd < 0)
		return err_errno(err, "cannot open /dev/null");
	r = plan_fds(spawn, null_fd, &child);
	if (r < 0)
		return err_number(err, r, "cannot pass descriptors to %s",
				  path);
	fds = child.fds;
	child.path = path;

	memory = mmap(NULL, STACK_SIZE, PROT_READ | PROT_WRITE,
		      MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return err_errno(err, "cannot start %s", path);
	pid = run_child(&child, memory);
	report = *child.report;
	munmap(memory, STACK_SIZE);
	if (pid < 0)
		return err_number(err, pid, "cannot start %s", path);
	if (report.number == 0)
		return pid;
	proc_wait(pid);
	return err_number(err, report.number, "%s %s", step_texts[report.step],
			  path);
}

/* What proc_capture() gathers. */
struct capture {
	int out_fd;
	int err_fd;
	struct str out;
	struct str err;
	size_t max;
	bool overflow;
};

static void capture_release(struct capture *capture)
{
	close_fd(&capture->out_fd);
	close_fd(&capture->err_fd);
	str_release(&capture->out);
	str_release(&capture->err);
}

/* One read of a non-blocking pipe; closes it at its end. */
static bool drain(int *fd, struct str *text, size_t max, bool *ret_overflow)
{
	char buffer[4096];
	ssize_t length = read(*fd, buffer, sizeof(buffer));

	if (length < 0 && (errno == EAGAIN || errno == EINTR))
		return false;
	if (length <= 0) {
		close_fd(fd);
		return false;
	}
	if ((size_t)length > max - text->length) {
		length = (ssize_t)(max - text->length);
		*ret_overflow = true;
	}
	str_append_bytes(text, buffer, (size_t)length);
	return true;
}

/* Until both pipes end, the program is gone or stdout is too long. */
static void collect(struct capture *capture, int pid_fd)
{
	bool ignored = false;
	bool gone = false;

	while (!gone && !capture->overflow &&
	       (capture->out_fd >= 0 || capture->err_fd >= 0)) {
		struct pollfd fds[] = {
			{.fd = capture->out_fd, .events = POLLIN},
			{.fd = capture->err_fd, .events = POLLIN},
			{.fd = pid_fd, .events = POLLIN},
		};

		if (poll(fds, ARRAY_SIZE(fds), -1) < 0)
			continue;
		/* What it wrote before it ended is in the pipes by now; a
		 * grandchild may keep them open for ever. */
		gone = fds[2].revents != 0;
		if (fds[0].revents) {
			while (drain(&capture->out_fd, &capture->out,
				     capture->max, &capture->overflow) &&
			       !capture->overflow)
				;
		}
		if (fds[1].revents) {
			while (drain(&capture->err_fd, &capture->err,
				     STDERR_MAX, &ignored))
				;
		}
	}
}

/* Spawns with stdout and stderr in fresh pipes. */
static pid_t spawn_captured(const struct spawn *spawn, struct capture *capture,
			    struct error *err)
{
	cleanup_free struct spawn_fd *fds =
		xcalloc(spawn->fd_count + 2, sizeof(*fds));
	cleanup_fd int out_end = -1;
	cleanup_fd int err_end = -1;
	struct spawn copy = *spawn;
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_errno(err, "cannot make a pipe");
	capture->out_fd = ends[0];
	out_end = ends[1];
	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_errno(err, "cannot make a pipe");
	capture->err_fd = ends[0];
	err_end = ends[1];
	fcntl(capture->out_fd, F_SETFL, O_NONBLOCK);
	fcntl(capture->err_fd, F_SETFL, O_NONBLOCK);

	for (size_t i = 0; i < spawn->fd_count; i++)
		fds[i] = spawn->fds[i];
	fds[spawn->fd_count] = (struct spawn_fd){out_end, STDOUT_FILENO};
	fds[spawn->fd_count + 1] = (struct spawn_fd){err_end, STDERR_FILENO};
	copy.fds = fds;
	copy.fd_count = spawn->fd_count + 2;
	return proc_spawn(&copy, err);
}

static int capture_error(const struct spawn *spawn, struct capture *capture,
			 int status, struct error *err)
{
	const char *name = strrchr(spawn->path, '/');
	const char *line = str_text(&capture->err);

	name = name ? name + 1 : spawn->path;
	line += strspn(line, "\n");
	/* Most programs begin with their name themselves. */
	if (str_starts(line, name) && line[strlen(name)] == ':')
		return err_set(err, ERROR_GENERIC, "%.*s",
			       (int)strcspn(line, "\n"), line);
	if (*line)
		return err_set(err, ERROR_GENERIC, "%s: %.*s", name,
			       (int)strcspn(line, "\n"), line);
	if (status > 128)
		return err_set(err, ERROR_GENERIC, "%s was ended by %s", name,
			       signal_name(status - 128));
	return err_set(err, ERROR_GENERIC, "%s ended with status %d", name,
		       status);
}

int proc_capture(const struct spawn *spawn, size_t max, char **ret_stdout,
		 struct error *err)
{
	CLEANUP(capture_release)
	struct capture capture = {.out_fd = -1, .err_fd = -1, .max = max};
	cleanup_fd int pid_fd = -1;
	pid_t pid = spawn_captured(spawn, &capture, err);
	int status;

	if (pid < 0)
		return pid;
	/* Without one (never on kernels we know) the pipes' ends must do. */
	pid_fd = proc_pidfd_open(pid, 0);
	collect(&capture, pid_fd);
	if (capture.overflow)
		kill(pid, SIGKILL);
	close_fd(&capture.out_fd);
	close_fd(&capture.err_fd);
	status = proc_wait(pid);
	if (capture.overflow)
		return err_set(err, ERROR_INVALID,
			       "%s wrote more than %zu bytes", spawn->path,
			       max);
	if (status < 0)
		return err_number(err, status, "cannot wait for %s",
				  spawn->path);
	if (status != 0)
		return capture_error(spawn, &capture, status, err);
	*ret_stdout = str_steal(&capture.out);
	return 0;
}
