/*
 * From argv to a command's exit code: finds the row, parses its options, joins
 * the pinned user namespace, opens the engine, prints what went wrong.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cmd/command.h"
#include "cmd/credentials.h"
#include "cmd/global_options.h"
#include "cmd/paths.h"
#include "policy/userns.h"

#define EXIT_USAGE 125 /* docker's code for a flag it does not know */

/* What did not reach the reader is a failure, also of help. */
static int output_end(int code)
{
	struct error err = {0};

	errno = 0;
	if ((fflush(stdout) != 0 || ferror(stdout)) && code == 0) {
		if (errno == EPIPE)
			output_broken_pipe();
		/* Of a write that failed before, the reason is not known. */
		if (errno)
			err_errno(&err, "cannot write to standard output");
		else
			err_set(&err, ERROR_GENERIC,
				"cannot write to standard output");
		report_error(&err);
		code = 1;
	}
	return code;
}

static int unknown_command(int argc, char **argv)
{
	if (command_is_group(argv[0])) {
		if (argc == 1 || str_equal(argv[1], "--help") ||
		    str_equal(argv[1], "-h")) {
			help_group(argv[0]);
			return output_end(0);
		}
		fprintf(stderr,
			"moss: unknown command: moss %s %s\n\n"
			"Usage:  moss %s COMMAND\n\n"
			"Run 'moss %s --help' for more information\n",
			argv[0], argv[1], argv[0], argv[0]);
		return 1;
	}
	if (argv[0][0] == '-')
		fprintf(stderr, "moss: unknown flag: %s\n\n", argv[0]);
	else
		fprintf(stderr, "moss: unknown command: moss %s\n\n", argv[0]);
	fprintf(stderr, "Run 'moss --help' for more information\n");
	return argv[0][0] == '-' ? EXIT_USAGE : 1;
}

static void usage_error(const struct command *command, const char *path,
			const struct error *err)
{
	report_error(err);
	fprintf(stderr,
		"\nUsage:  moss %s%s%s\n\n"
		"Run 'moss %s --help' for more information\n",
		path, command->usage[0] ? " " : "", command->usage, path);
}

static int engine_prepare(struct context *context, struct error *err)
{
	/* Inside the namespace nobody would find the account any more. */
	cleanup_free char *home = xstrdup(path_home());
	cleanup_free char *data = NULL;
	struct identity identity;
	struct engine_options options;
	int r;

	r = path_data(&data, err);
	if (r < 0)
		return r;
	r = userns_check_caller(err);
	if (r < 0)
		return r;
	context->run_fd = path_run_open(getuid(), err);
	if (context->run_fd < 0)
		return context->run_fd;
	r = userns_enter(context->run_fd, &identity, &context->note, err);
	if (r < 0)
		return r;
	options = (struct engine_options){.data_path = data,
					  .run_fd = context->run_fd,
					  .identity = &identity,
					  .home = home};
	r = engine_open(&options, &context->engine, err);
	if (r < 0)
		return r;
	context->engine_open = true;
	return 0;
}

/* Credentials first: their helpers run outside of the namespace. */
static int prepare(struct context *context, struct error *err)
{
	const struct command *command = context->command;
	int r = 0;

	if (command->credentials != CREDENTIALS_UNUSED)
		r = credentials_open(command->credentials,
				     &context->credentials, err);
	if (r < 0 || command->no_engine)
		return r;
	return engine_prepare(context, err);
}

static int command_run(const struct command *command, const char *path,
		       const struct options *options)
{
	struct context context = {
		.command = command, .command_path = path, .run_fd = -1};
	struct error err = {0};
	int code;

	if (prepare(&context, &err) < 0) {
		report_error(&err);
		code = EXIT_USAGE;
	} else {
		code = command->run(&context, options);
	}
	if (context.engine_open)
		engine_close(&context.engine);
	credentials_close(context.credentials);
	close_fd(&context.run_fd);
	free(context.note);
	return output_end(code);
}

/*
 * A standard stream that we were started without would be the next file opened,
 * and our output would go into it. The wrong way round, so that using it fails.
 */
static void occupy_standard_streams(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF)
			continue;
		if (open("/dev/null",
			 fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) < 0)
			_exit(EXIT_USAGE);
	}
}

int main(int argc, char **argv)
{
	const struct command *command;
	struct options options = {0};
	struct error err = {0};
	const char *path = NULL;
	bool help = false;
	int code;
	int r;

	occupy_standard_streams();
	signal(SIGPIPE, SIG_IGN);
	/* An ignored SIGCHLD is inherited, and no child could be waited for. */
	signal(SIGCHLD, SIG_DFL);
	argc--;
	argv++;
	if (global_options_take(&argc, &argv, &err) < 0) {
		report_error(&err);
		return EXIT_USAGE;
	}
	if (argc == 0 || str_equal(argv[0], "--help") ||
	    str_equal(argv[0], "-h")) {
		help_overview();
		return output_end(0);
	}
	if (str_equal(argv[0], "--version") || str_equal(argv[0], "-v")) {
		printf("moss version %s\n", MOSS_VERSION);
		return output_end(0);
	}
	command = command_find(&argc, &argv, &path);
	if (!command)
		return unknown_command(argc, argv);
	r = options_parse(command, path, argc, argv, &options, &help, &err);
	if (r < 0) {
		usage_error(command, path, &err);
		return r == -E2BIG ? 1 : EXIT_USAGE;
	}
	if (help) {
		help_command(command, path);
		code = output_end(0);
	} else {
		code = command_run(command, path, &options);
	}
	options_release(&options);
	return code;
}
