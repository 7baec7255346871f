/*
 * moss exec: a further process in a running container. Its streams are this
 * process's own: pipes, or the master of a terminal made in the container.
 */
#include "cmd/command.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "cmd/commands.h"
#include "cmd/container_options.h"
#include "cmd/stream.h"

/* clang-format off */
static const struct option exec_options[] = {
	{'d', "detach", OPTION_FLAG, NULL, NULL, "Detached mode: run command in the background", false},
	{0, "detach-keys", OPTION_STRING, NULL, NULL, "Override the key sequence for detaching a container", false},
	{'e', "env", OPTION_LIST, NULL, NULL, "Set environment variables", false},
	{0, "env-file", OPTION_LIST, NULL, NULL, "Read in a file of environment variables", false},
	{'i', "interactive", OPTION_FLAG, NULL, NULL, "Keep STDIN open even if not attached", false},
	{0, "privileged", OPTION_FLAG, NULL, NULL, "Give extended privileges to the command", false},
	{'t', "tty", OPTION_FLAG, NULL, NULL, "Allocate a pseudo-TTY", false},
	{'u', "user", OPTION_STRING, NULL, NULL, "Username or UID (format: \"<name|uid>[:<group|gid>]\")", false},
	{'w', "workdir", OPTION_STRING, NULL, NULL, "Working directory inside the container", false},
	{0},
};
/* clang-format on */

static int exec_body(const struct options *options, cJSON **ret_body,
		     struct error *err)
{
	cleanup_json cJSON *body = json_object();
	cleanup_strv char **env = NULL;
	char *const *files = option_list(options, "env-file");
	char *const *list = option_list(options, "env");
	bool detached = option_flag(options, "detach");
	int r;

	for (size_t i = 0; files[i]; i++) {
		r = option_file_read(files[i], true, &env, err);
		if (r < 0)
			return err_wrap(err, "--env-file");
	}
	for (size_t i = 0; list[i]; i++) {
		r = env_option_add(&env, list[i], err);
		if (r < 0)
			return r;
	}
	json_set_strv(body, "Cmd", options->operands + 1);
	json_set_strv(body, "Env", env);
	json_set_bool(body, "Tty", option_flag(options, "tty"));
	json_set_bool(body, "Privileged", option_flag(options, "privileged"));
	json_set_bool(body, "AttachStdin",
		      option_flag(options, "interactive") && !detached);
	json_set_bool(body, "AttachStdout", !detached);
	json_set_bool(body, "AttachStderr", !detached);
	if (option_given(options, "user"))
		json_set_string(body, "User", option_string(options, "user"));
	if (option_given(options, "workdir"))
		json_set_string(body, "WorkingDir",
				option_string(options, "workdir"));
	*ret_body = steal_ptr(&body);
	return 0;
}

/* The two ends of the program's stdio: [i] is the container's. */
struct pipes {
	int inside[3];
	int outside[3];
};

static void pipes_close(struct pipes *pipes)
{
	for (int i = 0; i < 3; i++) {
		close_fd(&pipes->inside[i]);
		close_fd(&pipes->outside[i]);
	}
}

/* Pipes, never this process's own descriptors: those could be a terminal or a
   file of the host's. Without -i, standard input is /dev/null. */
static int pipes_open(struct pipes *pipes, bool input, bool output,
		      struct error *err)
{
	for (int i = 0; i < 3; i++) {
		int ends[2];

		if (i == 0 ? !input : !output) {
			pipes->inside[i] =
				open("/dev/null", O_RDWR | O_CLOEXEC);
			if (pipes->inside[i] < 0)
				return err_errno(err, "cannot open /dev/null");
			continue;
		}
		if (pipe2(ends, O_CLOEXEC) < 0)
			return err_errno(err, "cannot make a pipe");
		pipes->inside[i] = ends[i == 0 ? 0 : 1];
		pipes->outside[i] = ends[i == 0 ? 1 : 0];
	}
	return 0;
}

static void resize_console(unsigned int rows, unsigned int columns, void *data)
{
	struct winsize size = {.ws_row = (unsigned short)rows,
			       .ws_col = (unsigned short)columns};

	ioctl(*(int *)data, TIOCSWINSZ, &size);
}

static int exec_attached(struct context *context, const struct options *options,
			 const char *id, struct exec_handle *handle,
			 struct pipes *pipes)
{
	struct detach_keys detach;
	struct stream_options stream = {
		.stream_fd = handle->console_fd,
		.terminal = handle->console_fd >= 0,
		.input = option_flag(options, "interactive"),
		.stdin_pipe = steal_fd(&pipes->outside[0]),
		.stdout_pipe = pipes->outside[1],
		.stderr_pipe = pipes->outside[2],
		.wait_fd = handle->wait_fd,
		.detach = &detach,
		.resize = resize_console,
		.data = &handle->console_fd,
	};
	enum stream_end end = STREAM_ENDED;
	struct error err = {0};
	int code;

	if (detach_keys_choose(options, &detach, &err) < 0 ||
	    stream_run(&stream, &end, &err) < 0)
		return command_fail(context, &err);
	if (end == STREAM_DETACHED) {
		engine_exec_detached(&context->engine, id, handle->id);
		return 0;
	}
	if (monitor_wait(handle->wait_fd, &code, &err) < 0) {
		/* The container's end took its processes with it. */
		return 137;
	}
	return code;
}

static int exec_main(struct context *context, const struct options *options)
{
	struct pipes pipes = {{-1, -1, -1}, {-1, -1, -1}};
	cleanup_json cJSON *body = NULL;
	CLEANUP(exec_handle_release)
	struct exec_handle handle = EXEC_HANDLE_INIT;
	bool detached = option_flag(options, "detach");
	bool input = option_flag(options, "interactive") && !detached;
	bool tty = option_flag(options, "tty");
	struct error err = {0};
	char id[ID_TEXT_MAX];
	int r, code;

	r = exec_body(options, &body, &err);
	r = r < 0 ? r : stream_check_tty(input, tty, &err);
	r = r < 0 ? r
		  : engine_container_resolve(&context->engine,
					     options->operands[0], id, &err);
	if (r >= 0 && !tty)
		r = pipes_open(&pipes, input, !detached, &err);
	r = r < 0 ? r
		  : engine_exec(&context->engine, id, body, pipes.inside,
				&handle, &err);
	for (int i = 0; i < 3; i++)
		close_fd(&pipes.inside[i]);
	if (r < 0)
		code = command_fail(context, &err);
	else if (detached)
		code = 0;
	else
		code = exec_attached(context, options, id, &handle, &pipes);
	pipes_close(&pipes);
	return code;
}

static const struct option *const tables[] = {exec_options, NULL};

const struct command command_exec = {
	.name = "exec",
	.usage = "[OPTIONS] CONTAINER COMMAND [ARG...]",
	.summary = "Execute a command in a running container",
	.aliases = "moss container exec, moss exec",
	.options = tables,
	.operands_min = 2,
	.operands_max = -1,
	.stop_at_operand = true,
	.run = exec_main,
	.group = "Common Commands",
	.completes = "container-active",
};
