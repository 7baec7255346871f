#include "core/build/coordinator.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/msg.h"
#include "base/proc.h"
#include "base/str.h"
#include "core/build/worker.h"

#define WORKERS_MAX 32 /* at a time */

struct staff {
	pid_t pid; /* 0: none, or it has ended */
	int fd;
	bool done;
	size_t waits_for; /* a stage, STAGE_NONE: it does not wait */
};

struct coordinator {
	const struct builder *builder;
	struct staff *staff; /* one a stage */
	size_t count;
	size_t working;
	size_t next; /* stage to be started */
	int signal_fd;
	sigset_t before;
};

static void end_worker(struct coordinator *coordinator, size_t stage)
{
	struct staff *staff = &coordinator->staff[stage];

	close_fd(&staff->fd);
	if (staff->pid > 0) {
		(void)proc_wait(staff->pid);
		coordinator->working--;
	}
	staff->pid = 0;
}

/* What they have started dies with them. */
static void kill_workers(struct coordinator *coordinator)
{
	for (size_t i = 0; i < coordinator->count; i++) {
		if (coordinator->staff[i].pid > 0)
			kill(coordinator->staff[i].pid, SIGKILL);
	}
	for (size_t i = 0; i < coordinator->count; i++)
		end_worker(coordinator, i);
}

static void coordinator_release(struct coordinator *coordinator)
{
	kill_workers(coordinator);
	free(coordinator->staff);
	close_fd(&coordinator->signal_fd);
	sigprocmask(SIG_SETMASK, &coordinator->before, NULL);
}

/* ---- starting ---- */

static _Noreturn void begin_worker(const struct coordinator *coordinator,
				   size_t stage, int socket_fd, pid_t parent)
{
	sigset_t none;

	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(1);
	for (size_t i = 0; i < coordinator->count; i++) {
		if (coordinator->staff[i].fd >= 0)
			close(coordinator->staff[i].fd);
	}
	worker_main(coordinator->builder, stage, socket_fd);
}

static int start_worker(struct coordinator *coordinator, size_t stage,
			struct error *err)
{
	struct staff *staff = &coordinator->staff[stage];
	pid_t parent = getpid();
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(err, "cannot make a socket pair");
	staff->pid = fork();
	if (staff->pid == 0) {
		close(pair[0]);
		begin_worker(coordinator, stage, pair[1], parent);
	}
	close(pair[1]);
	if (staff->pid < 0) {
		staff->pid = 0;
		close(pair[0]);
		return err_errno(err, "cannot fork");
	}
	staff->fd = pair[0];
	coordinator->working++;
	return 0;
}

/*
 * In their order: stages need only those before them, so that the first of
 * those at work waits for none that is not started.
 */
static int start_workers(struct coordinator *coordinator, struct error *err)
{
	int r = 0;

	while (r == 0 && coordinator->next < coordinator->count &&
	       coordinator->working < WORKERS_MAX) {
		size_t stage = coordinator->next++;

		if (coordinator->builder->stages.list[stage].needed)
			r = start_worker(coordinator, stage, err);
	}
	return r;
}

/* ---- messages ---- */

static int answer(struct coordinator *coordinator, size_t stage,
		  struct error *err)
{
	cleanup_json cJSON *message = json_object();

	coordinator->staff[stage].waits_for = STAGE_NONE;
	return msg_send(coordinator->staff[stage].fd, message, NULL, 0, err);
}

/* A worker that was killed meanwhile is heard of by itself. */
static void tell_waiting(struct coordinator *coordinator, size_t done)
{
	for (size_t i = 0; i < coordinator->count; i++) {
		if (coordinator->staff[i].fd >= 0 &&
		    coordinator->staff[i].waits_for == done)
			(void)answer(coordinator, i, NULL);
	}
}

static int on_need(struct coordinator *coordinator, size_t stage, int64_t need,
		   struct error *err)
{
	if (need < 0 || (uint64_t)need >= coordinator->count)
		return err_set(err, ERROR_GENERIC,
			       "a worker asks for stage %lld", (long long)need);
	if (coordinator->staff[need].done)
		return answer(coordinator, stage, err);
	coordinator->staff[stage].waits_for = (size_t)need;
	return 0;
}

static int broke_off(const struct coordinator *coordinator, size_t stage,
		     struct error *err)
{
	cleanup_free char *name =
		builder_stage_name(coordinator->builder, stage);

	return err_set(err, ERROR_GENERIC,
		       "the process that built %s was killed or failed", name);
}

static int on_message(struct coordinator *coordinator, size_t stage,
		      struct error *err)
{
	struct staff *staff = &coordinator->staff[stage];
	cleanup_json cJSON *message = NULL;
	const cJSON *failure;
	int64_t need;
	size_t no_fds = 0;
	int r = msg_receive(staff->fd, &message, NULL, &no_fds, NULL);

	if (r <= 0)
		return broke_off(coordinator, stage, err);
	r = json_get_i64(message, "worker", "need", &need, err);
	if (r != 0)
		return r < 0 ? r : on_need(coordinator, stage, need, err);
	failure = json_member(message, "error");
	if (failure) {
		struct error error = {0};

		error_from_json(failure, &error);
		return err_copy(err, &error);
	}
	staff->done = true;
	end_worker(coordinator, stage);
	tell_waiting(coordinator, stage);
	return 0;
}

/*
 * Those at work alone: poll() refuses more entries than a process may have
 * descriptors, also where most of them are -1.
 */
static size_t collect(const struct coordinator *coordinator,
		      struct pollfd polled[WORKERS_MAX],
		      size_t stages[WORKERS_MAX])
{
	size_t count = 0;

	for (size_t i = 0; i < coordinator->count && count < WORKERS_MAX; i++) {
		if (coordinator->staff[i].fd < 0)
			continue;
		polled[count] = (struct pollfd){
			.fd = coordinator->staff[i].fd,
			.events = POLLIN,
		};
		stages[count++] = i;
	}
	return count;
}

static int wait_for_message(struct coordinator *coordinator, struct error *err)
{
	struct pollfd polled[WORKERS_MAX + 1];
	size_t stages[WORKERS_MAX];
	size_t count = collect(coordinator, polled, stages);
	int r = 0;

	polled[count] =
		(struct pollfd){.fd = coordinator->signal_fd, .events = POLLIN};
	if (poll(polled, count + 1, -1) < 0)
		return errno == EINTR
			       ? 0
			       : err_errno(err, "cannot wait for the stages");
	if (polled[count].revents)
		return err_set(err, ERROR_GENERIC, "canceled");
	for (size_t i = 0; r == 0 && i < count; i++) {
		if (polled[i].revents)
			r = on_message(coordinator, stages[i], err);
	}
	return r;
}

static int open_signals(sigset_t *ret_before, struct error *err)
{
	sigset_t signals;
	int fd;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGHUP);
	if (sigprocmask(SIG_BLOCK, &signals, ret_before) < 0)
		return err_errno(err, "cannot block signals");
	fd = signalfd(-1, &signals, SFD_CLOEXEC);
	return fd < 0 ? err_errno(err, "cannot wait for signals") : fd;
}

int coordinator_run(const struct builder *builder, struct error *err)
{
	CLEANUP(coordinator_release)
	struct coordinator coordinator = {
		.builder = builder,
		.count = builder->stages.count,
		.staff = xcalloc(builder->stages.count, sizeof(struct staff)),
	};
	int r = 0;

	for (size_t i = 0; i < coordinator.count; i++)
		coordinator.staff[i] =
			(struct staff){.fd = -1, .waits_for = STAGE_NONE};
	coordinator.signal_fd = open_signals(&coordinator.before, err);
	if (coordinator.signal_fd < 0)
		return coordinator.signal_fd;
	r = start_workers(&coordinator, err);
	while (r == 0 && coordinator.working > 0) {
		r = wait_for_message(&coordinator, err);
		if (r == 0)
			r = start_workers(&coordinator, err);
	}
	return r;
}
