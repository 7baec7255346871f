/*
 * moss run, create, start and attach: everything that ends in a container's
 * streams.
 */
#include "cmd/command.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "cmd/commands.h"
#include "cmd/container_options.h"
#include "cmd/credentials.h"
#include "cmd/egress_log.h"
#include "cmd/egress_option.h"
#include "cmd/limit_options.h"
#include "cmd/pulling.h"
#include "cmd/refused_options.h"
#include "cmd/stream.h"

#define EXIT_MOSS 125 /* moss itself failed */

/* clang-format off */
static const struct option run_only_options[] = {
	{'d', "detach", OPTION_FLAG, NULL, NULL, "Run container in background and print container ID", false},
	{0, "detach-keys", OPTION_STRING, NULL, NULL, "Override the key sequence for detaching a container", false},
	{0, "sig-proxy", OPTION_FLAG, NULL, "true", "Proxy received signals to the process", false},
	{0},
};
static const struct option start_options[] = {
	{'a', "attach", OPTION_FLAG, NULL, NULL, "Attach STDOUT/STDERR and forward signals", false},
	{0, "detach-keys", OPTION_STRING, NULL, NULL, "Override the key sequence for detaching a container", false},
	{'i', "interactive", OPTION_FLAG, NULL, NULL, "Attach container's STDIN", false},
	{0},
};
static const struct option attach_options_table[] = {
	{0, "detach-keys", OPTION_STRING, NULL, NULL, "Override the key sequence for detaching a container", false},
	{0, "no-stdin", OPTION_FLAG, NULL, NULL, "Do not attach STDIN", false},
	{0, "sig-proxy", OPTION_FLAG, NULL, "true", "Proxy all received signals to the process", false},
	{0},
};
/* clang-format on */

/* A container whose streams this process is about to show. */
struct session {
	struct context *context;
	char id[ID_TEXT_MAX];
	struct attach_options attach;
	struct detach_keys detach;
	bool tty;
	bool lacks_terminal; /* asked for, but standard input is none */
	bool sig_proxy;
	int stream_fd;
	int wait_fd;
};

/* 126 and 127 are the command's fault, everything else is 125. */
static int run_exit_code(const struct error *err)
{
	int code = error_meaning(err->kind)->exit_code;

	return code <= 1 ? EXIT_MOSS : code;
}

static int run_fail(const struct error *err)
{
	report_error(err);
	return run_exit_code(err);
}

static void forward_signal(int signal, void *data)
{
	struct session *session = data;

	/* It may have ended already; then its exit is what is shown next. */
	(void)engine_container_kill(&session->context->engine, session->id,
				    signal, NULL);
}

static void forward_size(unsigned int rows, unsigned int columns, void *data)
{
	struct session *session = data;

	(void)engine_container_resize(&session->context->engine, session->id,
				      rows, columns, NULL);
}

/* Shows the streams until the end; the container's exit code, or run's own. */
static int session_run(struct session *session)
{
	struct stream_options options = {
		.stream_fd = session->stream_fd,
		.terminal = session->tty,
		.framed = !session->tty,
		.input = session->attach.stdin_,
		.stdin_pipe = -1,
		.stdout_pipe = -1,
		.stderr_pipe = -1,
		.wait_fd = -1,
		.detach = &session->detach,
		.sig_proxy = session->sig_proxy,
		.forward = forward_signal,
		.resize = forward_size,
		.data = session,
	};
	enum stream_end end = STREAM_ENDED;
	struct error err = {0};
	int code, r;

	if (stream_run(&options, &end, &err) < 0)
		return run_fail(&err);
	if (end == STREAM_DETACHED) {
		engine_container_detached(&session->context->engine,
					  session->id);
		fprintf(stderr, "read escape sequence\n");
		return 0;
	}
	r = monitor_wait(session->wait_fd, &code, &err);
	if (r == -ECONNRESET)
		r = engine_container_wait(&session->context->engine,
					  session->id, &code, &err);
	return r < 0 ? run_fail(&err) : code;
}

/* --cidfile: must not exist, as docker insists. */
static int cidfile_open(const char *path, struct error *err)
{
	int fd;

	if (!path)
		return -1;
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0 && errno == EEXIST) {
		err_set(err, ERROR_EXISTS, "container ID file found: %s exists",
			path);
		return err_hint(err, "Make sure the other container is not "
				     "running any more, then delete it.");
	}
	if (fd < 0)
		return err_errno(err, "cannot create the container ID file %s",
				 path);
	return fd;
}

static bool body_bool(const cJSON *body, const char *member)
{
	return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(body, member));
}

/* From the options to a created container; fills session->id. */
static int create_container(struct session *session,
			    const struct options *options, bool detached,
			    struct error *err)
{
	struct context *context = session->context;
	const char *cidfile = option_string(options, "cidfile");
	const char *name = option_string(options, "name");
	cleanup_json cJSON *body = NULL;
	cleanup_strv char **warnings = NULL;
	cleanup_fd int cid_fd = -1;
	int r;

	r = container_body(options, detached, &body, err);
	if (r < 0)
		return r;
	session->tty = body_bool(body, "Tty");
	session->attach = (struct attach_options){
		.stdin_ = body_bool(body, "AttachStdin"),
		.stdout_ = body_bool(body, "AttachStdout"),
		.stderr_ = body_bool(body, "AttachStderr"),
	};
	if (!detached) {
		r = stream_check_tty(session->attach.stdin_, session->tty, err);
		session->lacks_terminal = r < 0;
		if (r < 0)
			return r;
	}
	cid_fd = cidfile_open(cidfile, err);
	if (cidfile && cid_fd < 0)
		return cid_fd;
	/* `--name "$NAME"` with nothing in it is no name, as for docker. */
	r = create_pulling(context, options, body,
			   str_empty(name) ? NULL : name, session->id,
			   &warnings, err);
	/* Its agent need not wait for the container's end. */
	credentials_close(steal_ptr(&context->credentials));
	if (r < 0) {
		if (cidfile)
			unlink(cidfile);
		return r;
	}
	if (context->note)
		report_warning("%s", context->note);
	for (size_t i = 0; warnings && warnings[i]; i++)
		report_warning("%s", warnings[i]);
	if (cidfile && write_all(cid_fd, session->id, strlen(session->id)) < 0)
		report_warning("cannot write the container ID to %s: %s",
			       cidfile, strerror(errno));
	return 0;
}

/* What the egress policy has refused, in one line. fd: the log, or -1. */
static void show_egress(const struct session *session,
			const struct options *options, int fd)
{
	const char *name = option_string(options, "name");
	char short_id[13];

	snprintf(short_id, sizeof(short_id), "%s", session->id);
	if (option_flag(options, "rm"))
		name = NULL;
	else if (str_empty(name))
		name = short_id;
	egress_summary_print(fd, name);
}

static int run_main(struct context *context, const struct options *options)
{
	struct session session = {
		.context = context,
		.sig_proxy = option_flag(options, "sig-proxy"),
		.stream_fd = -1,
		.wait_fd = -1,
	};
	bool detached = option_flag(options, "detach");
	cleanup_fd int egress_fd = -1;
	struct error err = {0};
	int r, code;

	r = detach_keys_choose(options, &session.detach, &err);
	r = r < 0 ? r : create_container(&session, options, detached, &err);
	if (session.lacks_terminal)
		return command_fail(context, &err);
	if (r < 0)
		return run_fail(&err);
	if (!detached && egress_options_given(options))
		egress_fd = engine_container_egress_follow(&context->engine,
							   session.id);
	r = engine_container_start(&context->engine, session.id,
				   detached ? NULL : &session.attach,
				   &session.stream_fd, &session.wait_fd, &err);
	if (r < 0)
		return run_fail(&err);
	if (detached) {
		printf("%s\n", session.id);
		return 0;
	}
	code = session_run(&session);
	close_fd(&session.stream_fd);
	close_fd(&session.wait_fd);
	show_egress(&session, options, egress_fd);
	return code;
}

static int create_main(struct context *context, const struct options *options)
{
	struct session session = {.context = context};
	struct error err = {0};

	/* The streams of a created container are attached by `start`. */
	if (create_container(&session, options, false, &err) < 0)
		return command_fail(context, &err);
	printf("%s\n", session.id);
	return 0;
}

/* What an inspected container says of its own streams. */
static int session_inspect(struct session *session, bool *ret_stdin,
			   struct error *err)
{
	cleanup_json cJSON *json = NULL;
	const cJSON *config;
	int r;

	r = engine_container_inspect(&session->context->engine, session->id,
				     &json, err);
	if (r < 0)
		return r;
	config = cJSON_GetObjectItemCaseSensitive(json, "Config");
	session->tty = body_bool(config, "Tty");
	/* What is typed at a terminal comes as input; a signal is moss's own.
	 */
	session->sig_proxy = session->sig_proxy && !session->tty;
	*ret_stdin = body_bool(config, "OpenStdin");
	return 0;
}

static int start_attached(struct context *context,
			  const struct options *options, const char *name)
{
	struct session session = {
		.context = context,
		.sig_proxy = true,
		.stream_fd = -1,
		.wait_fd = -1,
		.attach = {.stdout_ = true, .stderr_ = true},
	};
	struct error err = {0};
	bool open_stdin;
	int r, code;

	r = detach_keys_choose(options, &session.detach, &err);
	r = r < 0 ? r
		  : engine_container_resolve(&context->engine, name, session.id,
					     &err);
	r = r < 0 ? r : session_inspect(&session, &open_stdin, &err);
	if (r < 0)
		return command_fail(context, &err);
	session.attach.stdin_ =
		open_stdin && option_flag(options, "interactive");
	r = engine_container_start(&context->engine, session.id,
				   &session.attach, &session.stream_fd,
				   &session.wait_fd, &err);
	/* It runs already: then this is what is left to be done. */
	if (r > 0)
		r = engine_container_attach(&context->engine, session.id,
					    &session.attach, &session.stream_fd,
					    &session.wait_fd, &err);
	if (r < 0) {
		report_error(&err);
		return 1; /* also when it is its command's fault */
	}
	code = session_run(&session);
	close_fd(&session.stream_fd);
	close_fd(&session.wait_fd);
	return code;
}

static int start_main(struct context *context, const struct options *options)
{
	bool attached = option_flag(options, "attach") ||
			option_flag(options, "interactive");
	struct error refusal = {0};
	int code = 0;

	if (refused_options_check(options, &refusal) < 0)
		return command_fail(context, &refusal);
	if (attached && options->operands[1]) {
		err_set(&refusal, ERROR_INVALID,
			"you cannot start and attach multiple containers at "
			"once");
		return command_fail(context, &refusal);
	}
	if (attached)
		return start_attached(context, options, options->operands[0]);
	for (size_t i = 0; options->operands[i]; i++) {
		const char *name = options->operands[i];
		char id[ID_TEXT_MAX];
		struct error err = {0};

		if (engine_container_resolve(&context->engine, name, id, &err) <
			    0 ||
		    engine_container_start(&context->engine, id, NULL, NULL,
					   NULL, &err) < 0) {
			report_error(&err);
			code = 1;
			continue;
		}
		printf("%s\n", name);
	}
	return code;
}

static int attach_main(struct context *context, const struct options *options)
{
	struct session session = {
		.context = context,
		.sig_proxy = option_flag(options, "sig-proxy"),
		.stream_fd = -1,
		.wait_fd = -1,
		.attach = {.stdout_ = true, .stderr_ = true},
	};
	cleanup_fd int wait_fd = -1;
	cleanup_fd int stream_fd = -1;
	struct error err = {0};
	bool open_stdin;
	int r;

	r = detach_keys_choose(options, &session.detach, &err);
	r = r < 0 ? r
		  : engine_container_resolve(&context->engine,
					     options->operands[0], session.id,
					     &err);
	r = r < 0 ? r : session_inspect(&session, &open_stdin, &err);
	if (r < 0)
		return command_fail(context, &err);
	session.attach.stdin_ = open_stdin && !option_flag(options, "no-stdin");
	r = stream_check_tty(session.attach.stdin_, session.tty, &err);
	r = r < 0 ? r
		  : engine_container_attach(&context->engine, session.id,
					    &session.attach, &stream_fd,
					    &wait_fd, &err);
	if (r < 0)
		return command_fail(context, &err);
	session.stream_fd = stream_fd;
	session.wait_fd = wait_fd;
	return session_run(&session);
}

static const struct option *const run_tables[] = {container_options,
						  egress_options,
						  limit_options,
						  run_only_options,
						  refused_container_options,
						  NULL};
static const struct option *const create_tables[] = {
	container_options, egress_options, limit_options,
	refused_container_options, NULL};
static const struct option *const start_tables[] = {
	start_options, refused_start_options, NULL};
static const struct option *const attach_tables[] = {attach_options_table,
						     NULL};

const struct command command_run = {
	.name = "run",
	.usage = "[OPTIONS] IMAGE [COMMAND] [ARG...]",
	.summary = "Create and run a new container from an image",
	.aliases = "moss container run, moss run",
	.options = run_tables,
	.operands_min = 1,
	.operands_max = -1,
	.stop_at_operand = true,
	.credentials = CREDENTIALS_READ,
	.run = run_main,
	.group = "Common Commands",
	.completes = "image",
};

const struct command command_create = {
	.name = "create",
	.usage = "[OPTIONS] IMAGE [COMMAND] [ARG...]",
	.summary = "Create a new container",
	.aliases = "moss container create, moss create",
	.options = create_tables,
	.operands_min = 1,
	.operands_max = -1,
	.stop_at_operand = true,
	.credentials = CREDENTIALS_READ,
	.run = create_main,
	.group = "Commands",
	.completes = "image",
};

const struct command command_start = {
	.name = "start",
	.usage = "[OPTIONS] CONTAINER [CONTAINER...]",
	.summary = "Start one or more stopped containers",
	.aliases = "moss container start, moss start",
	.options = start_tables,
	.operands_min = 1,
	.operands_max = -1,
	.run = start_main,
	.group = "Commands",
	.completes = "container-stopped",
};

const struct command command_attach = {
	.name = "attach",
	.usage = "[OPTIONS] CONTAINER",
	.summary = "Attach local standard input, output, and error streams to "
		   "a running container",
	.aliases = "moss container attach, moss attach",
	.options = attach_tables,
	.operands_min = 1,
	.operands_max = 1,
	.run = attach_main,
	.group = "Commands",
	.completes = "container-running",
};
