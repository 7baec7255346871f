#include "core/runtime/parent.h"

#include <errno.h>
#include <linux/magic.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/proc.h"
#include "core/runtime/sync.h"

#define AWAIT_STEP_MS 50
#define AWAIT_STEPS   200 /* ten seconds */

static int reap(pid_t pid)
{
	int status = 0;
	pid_t found;

	do
		found = waitpid(pid, &status, 0);
	while (found < 0 && errno == EINTR);
	return found < 0 ? 0 : status;
}

int parent_refuse(const struct sync_message *message, const int *fds,
		  size_t count, struct error *err)
{
	for (size_t i = 0; i < count; i++)
		close(fds[i]);
	return err_number(err, EBADMSG, "unexpected packet %u", message->type);
}

int parent_adopt(struct runtime_process *process, struct error *err)
{
	struct sync_message message;
	int fds[SYNC_FDS_MAX];
	size_t count = 0;
	int r = sync_receive(process->sync_fd, &message, fds, &count, err);

	if (r == 0)
		r = parent_child_died(process, err);
	if (r > 0 &&
	    (message.type != SYNC_CHILD || count != 1 || message.value <= 0))
		return parent_refuse(&message, fds, count, err);
	if (r < 0) {
		for (size_t i = 0; i < count; i++)
			close(fds[i]);
		return r;
	}
	/* It has nothing left to do but to exit. */
	reap(process->pid);
	close_fd(&process->pid_fd);
	process->pid = message.value;
	process->pid_fd = fds[0];
	return 0;
}

/*
 * A pipe is the user's who runs moss, but the program must be able to open
 * /dev/stdout anew, whoever it is. Files with a name, FIFOs too, are the
 * caller's and stay so.
 */
static void give_pipe(int fd, uid_t owner)
{
	struct statfs fs;
	struct stat st;

	if (fd >= 0 && fstat(fd, &st) == 0 && S_ISFIFO(st.st_mode) &&
	    st.st_uid != owner && fstatfs(fd, &fs) == 0 &&
	    fs.f_type == PIPEFS_MAGIC && fchown(fd, owner, (gid_t)-1) < 0)
		return; /* the program may not need it */
}

int parent_take_ready(struct runtime_process *process,
		      const struct sync_message *message, int *fds,
		      size_t count, const int stdio[3], struct error *err)
{
	const struct {
		int flag;
		int *fd;
	} places[] = {
		{SYNC_HAS_CONSOLE, &process->console_fd},
		{SYNC_HAS_TAP, &process->tap_fd},
	};
	size_t taken = 0;

	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		if ((message->value & places[i].flag) && taken < count)
			*places[i].fd = fds[taken++];
		else if (message->value & places[i].flag)
			return err_number(err, EBADMSG,
					  "a descriptor is missing");
	}
	while (taken < count)
		close(fds[taken++]);
	for (size_t i = 0; stdio && i < 3; i++)
		give_pipe(stdio[i], message->owner);
	return 1;
}

static bool is_stopped(pid_t pid)
{
	siginfo_t info = {0};

	return waitid(P_PID, (id_t)pid, &info, WSTOPPED | WNOHANG | WNOWAIT) ==
		       0 &&
	       info.si_pid == pid;
}

int parent_await(const struct runtime_process *process, struct error *err)
{
	for (int i = 0; i < AWAIT_STEPS; i++) {
		if (sync_is_readable(process->sync_fd, AWAIT_STEP_MS))
			return 0;
		if (is_stopped(process->pid))
			return err_set(err, ERROR_CONFLICT,
				       "a program in the container stopped the "
				       "new process during its set-up");
	}
	return err_set(err, ERROR_TIMEOUT,
		       "the new process did not get through its set-up in %d "
		       "seconds",
		       AWAIT_STEP_MS * AWAIT_STEPS / 1000);
}

/* The one packet that may come after SYNC_START: 1 and it was taken. */
static int take_notify(struct runtime_process *process,
		       const struct sync_message *message, int *fds,
		       size_t count, struct error *err)
{
	if (message->type == SYNC_NOTIFY && count == 1 &&
	    process->notify_fd < 0) {
		process->notify_fd = fds[0];
		return 1;
	}
	for (size_t i = 0; i < count; i++)
		close(fds[i]);
	return err_number(err, EBADMSG, "unexpected packet %u", message->type);
}

/* 0 when the program runs. */
static int await_program(struct runtime_process *process, bool impatient,
			 bool was_told, struct error *err)
{
	int r;

	do {
		struct sync_message message;
		int fds[SYNC_FDS_MAX];
		size_t count = 0;

		r = impatient ? parent_await(process, err) : 0;
		if (r < 0)
			return r;
		r = sync_receive(process->sync_fd, &message, fds, &count, err);
		if (r > 0)
			r = take_notify(process, &message, fds, count, err);
	} while (r > 0);
	if (r == -ECONNRESET || (r == 0 && !was_told))
		return parent_child_died(process, err);
	return r;
}

struct parent_order parent_send_start(const struct runtime_process *process)
{
	struct parent_order order = {0};

	order.sent =
		sync_send(process->sync_fd, SYNC_START, 0, NULL, 0, &order.err);
	return order;
}

int parent_start(struct runtime_process *process, bool impatient,
		 struct error *err)
{
	const struct parent_order order = parent_send_start(process);

	return parent_await_start(process, impatient, &order, err);
}

int parent_await_start(struct runtime_process *process, bool impatient,
		       const struct parent_order *order, struct error *err)
{
	int r;

	/* It waits for ever for what it did not get; but one that is gone has
	 * said why. */
	if (order->sent < 0 && !sync_is_readable(process->sync_fd, 0))
		r = err_copy(err, &order->err);
	else
		r = await_program(process, impatient, order->sent >= 0, err);
	if (r < 0) {
		parent_abort(process);
		return r;
	}
	close_fd(&process->sync_fd);
	return 0;
}

int parent_child_died(struct runtime_process *process, struct error *err)
{
	int status;

	/* End of file also comes when it only closed the socket. */
	proc_pidfd_signal(process->pid_fd, SIGKILL);
	status = reap(process->pid);
	process->pid = 0;
	if (WIFSIGNALED(status))
		return err_set(err, ERROR_GENERIC,
			       "the process was killed during its set-up (%s)",
			       signal_name(WTERMSIG(status)));
	return err_set(err, ERROR_GENERIC,
		       "the process ended during its set-up (code %d)",
		       WEXITSTATUS(status));
}

void parent_abort(struct runtime_process *process)
{
	if (process->pid > 0) {
		proc_pidfd_signal(process->pid_fd, SIGKILL);
		reap(process->pid);
	}
	process->pid = 0;
	if (process->fuse_pid > 0) {
		kill(process->fuse_pid, SIGKILL);
		reap(process->fuse_pid);
	}
	process->fuse_pid = 0;
	runtime_process_release(process);
}

void runtime_process_release(struct runtime_process *process)
{
	if (!process)
		return;
	close_fd(&process->pid_fd);
	close_fd(&process->console_fd);
	close_fd(&process->tap_fd);
	close_fd(&process->userns_fd);
	close_fd(&process->netns_fd);
	close_fd(&process->notify_fd);
	close_fd(&process->sync_fd);
}
