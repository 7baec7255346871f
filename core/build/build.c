#include "core/build/build.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/msg.h"
#include "base/str.h"
#include "core/build/handover.h"
#include "storage/transfer_run.h"

/* What is to be listened to while moss-build works. */
struct session {
	const struct build_options *options;
	pid_t pid;
	int question_fd;
	int signal_fd;
	bool canceled;
};

/* SIGINT and SIGTERM as a descriptor; *ret_before: to put back. */
static int take_signals(sigset_t *ret_before, struct error *err)
{
	sigset_t signals;
	int fd;

	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	if (sigprocmask(SIG_BLOCK, &signals, ret_before) < 0)
		return err_errno(err, "cannot block signals");
	fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
	if (fd < 0) {
		err_errno(err, "cannot wait for signals");
		sigprocmask(SIG_SETMASK, ret_before, NULL);
	}
	return fd < 0 ? err_return(err) : fd;
}

/* Who asks twice does not want to wait. */
static void on_signal(struct session *session)
{
	struct signalfd_siginfo info;

	if (read(session->signal_fd, &info, sizeof(info)) != sizeof(info))
		return;
	kill(session->pid, session->canceled ? SIGKILL : SIGTERM);
	session->canceled = true;
}

/* False when nobody asks any more. */
static bool on_question(struct session *session)
{
	const struct build_options *options = session->options;
	cleanup_json cJSON *question = NULL;
	cleanup_json cJSON *answer = json_object();
	cleanup_strv char **names = NULL;
	size_t no_fds = 0;

	if (msg_receive(session->question_fd, &question, NULL, &no_fds, NULL) <=
	    0)
		return false;
	if (json_get_strv(question, "question", "names", &names, NULL) < 0)
		return false;
	if (options->find_credentials && names) {
		cJSON *auths = options->find_credentials(names, options->data);

		if (auths)
			json_set(answer, "auths", auths);
	}
	return msg_send(session->question_fd, answer, NULL, 0, NULL) >= 0;
}

static void listen_until_end(struct session *session)
{
	struct pollfd polled[] = {
		{.fd = session->question_fd, .events = POLLIN},
		{.fd = session->signal_fd, .events = POLLIN},
	};

	for (;;) {
		if (poll(polled, ARRAY_SIZE(polled), -1) < 0 && errno != EINTR)
			return;
		if (polled[1].revents)
			on_signal(session);
		if (polled[0].revents && !on_question(session))
			return;
	}
}

static int run(struct engine *engine, struct session *session,
	       struct transfer *transfer, int far_fd, cJSON **ret_result,
	       struct error *err)
{
	struct transfer_process process;
	int r;

	transfer->question_fd = far_fd;
	r = transfer_start(&engine->store, transfer, &process, err);
	close_fd(&far_fd);
	if (r < 0)
		return r;
	session->pid = process.pid;
	listen_until_end(session);
	r = transfer_finish(&process, ret_result, err);
	if (r < 0 && session->canceled)
		return err_set(err, ERROR_GENERIC, "canceled");
	return r;
}

int build_run(struct engine *engine, const struct build_options *options,
	      cJSON **ret_result, struct error *err)
{
	cleanup_json cJSON *request = cJSON_Duplicate(options->request, true);
	struct transfer transfer = {
		.helper = "moss-build",
		.command = "build",
		.request = request,
		.input_fd = options->input_fd,
		.output_fd = options->output_fd,
		.progress_fd = options->progress_fd,
		.run_fd = engine->run_fd,
	};
	struct session session = {.options = options};
	cleanup_fd int question_fd = -1, signal_fd = -1;
	sigset_t before;
	int pair[2];
	int r;

	if (!request)
		str_oom();
	json_set(request, "engine", handover_json(engine));
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return err_errno(err, "cannot make a socket pair");
	question_fd = pair[0];
	signal_fd = take_signals(&before, err);
	if (signal_fd < 0) {
		close_fd(&pair[1]);
		return signal_fd;
	}
	session.question_fd = question_fd;
	session.signal_fd = signal_fd;
	r = run(engine, &session, &transfer, pair[1], ret_result, err);
	sigprocmask(SIG_SETMASK, &before, NULL);
	return r;
}
