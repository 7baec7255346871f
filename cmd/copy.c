/* moss export and moss cp: files out of containers and images, and into
   containers. */
#include "cmd/command.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cmd/commands.h"
#include "cmd/progress.h"

/* clang-format off */
static const struct option export_options[] = {
	{'o', "output", OPTION_STRING, NULL, NULL, "Write to a file, instead of STDOUT", false},
	{0},
};
static const struct option cp_options[] = {
	{'a', "archive", OPTION_FLAG, NULL, NULL, "Archive mode (copy all uid/gid information)", false},
	{'L', "follow-link", OPTION_FLAG, NULL, NULL, "Always follow symbol link in SRC_PATH", false},
	{'q', "quiet", OPTION_FLAG, NULL, NULL, "Suppress progress output during copy. Progress output is automatically suppressed if no terminal is attached", false},
	{0},
};
/* clang-format on */

static const struct progress_options warnings = {.fd = STDERR_FILENO,
						 .quiet = true};

static int export_main(struct context *context, const struct options *options)
{
	struct export_options request = {
		.output = option_string(options, "output"),
		.output_fd = STDOUT_FILENO,
	};
	struct progress progress;
	struct error err = {0};
	int r;

	if (!request.output && isatty(STDOUT_FILENO)) {
		err_set(&err, ERROR_INVALID,
			"cowardly refusing to save to a terminal");
		err_hint(&err, "Use the -o flag or redirect.");
		return command_fail(context, &err);
	}
	progress_open(&warnings, &progress);
	request.progress_fd = progress.fd;
	r = engine_container_export(&context->engine, options->operands[0],
				    &request, &err);
	r = progress_close(&progress, r, &err);
	if (r < 0 && !request.output && err.number == EPIPE)
		output_broken_pipe();
	return r < 0 ? command_fail(context, &err) : 0;
}

/* ---- cp ---- */

/* "NAME:PATH", where it is no path of the host's. */
static bool is_remote(const char *text)
{
	return *text != '/' && *text != '.' && strchr(text, ':');
}

/*
 * Where the path begins: after a name without a tag, or before the first "/",
 * as an image's name may have colons of its own ("host:5000/web:1:/etc"). NULL
 * when that leaves no name.
 */
static const char *find_path(const char *text)
{
	const char *colon = strstr(text, ":/");

	if (!colon)
		colon = strrchr(text, ':');
	return colon && colon > text ? colon : NULL;
}

static int check_operands(const char *source, const char *destination,
			  struct error *err)
{
	if (is_remote(source) && is_remote(destination))
		return err_set(err, ERROR_INVALID,
			       "copying between containers is not supported");
	if (!is_remote(source) && !is_remote(destination))
		return err_set(err, ERROR_INVALID,
			       "must specify at least one container source");
	if (!find_path(is_remote(source) ? source : destination))
		return err_set(err, ERROR_INVALID,
			       "invalid container path \"%s\": it has no name "
			       "before the colon",
			       is_remote(source) ? source : destination);
	if (str_equal(destination, "-") && isatty(STDOUT_FILENO)) {
		err_set(err, ERROR_INVALID,
			"refusing to write a tar archive to a terminal");
		return err_hint(err, "Redirect it, or name a destination.");
	}
	if (str_equal(source, "-") && isatty(STDIN_FILENO)) {
		err_set(err, ERROR_INVALID,
			"refusing to read a tar archive from a terminal");
		return err_hint(err, "Redirect it, or name a source.");
	}
	return 0;
}

static void tell_copied(const struct options *options, uint64_t bytes,
			const char *destination)
{
	cleanup_free char *size = format_bytes(bytes);

	if (!option_flag(options, "quiet") && isatty(STDERR_FILENO))
		fprintf(stderr, "Successfully copied %s to %s\n", size,
			destination);
}

static int copy_out(struct context *context, const struct options *options,
		    int progress_fd, struct error *err)
{
	const char *source = options->operands[0];
	const char *destination = options->operands[1];
	bool stream = str_equal(destination, "-");
	const char *path = find_path(source) + 1;
	cleanup_free char *name = xstrndup(source, (size_t)(path - 1 - source));
	struct copy_out_options request = {
		.path = path,
		.destination = stream ? NULL : destination,
		.output_fd = STDOUT_FILENO,
		.archive = option_flag(options, "archive"),
		.follow_link = option_flag(options, "follow-link"),
		.progress_fd = progress_fd,
	};
	uint64_t bytes = 0;
	int r = engine_copy_out(&context->engine, name, &request, &bytes, err);

	if (r >= 0 && !stream)
		tell_copied(options, bytes, destination);
	return r;
}

static int copy_in(struct context *context, const struct options *options,
		   int progress_fd, struct error *err)
{
	const char *source = options->operands[0];
	const char *destination = options->operands[1];
	/* Names of containers have no colon. */
	const char *path = strchr(destination, ':') + 1;
	cleanup_free char *name =
		xstrndup(destination, (size_t)(path - 1 - destination));
	struct copy_in_options request = {
		.path = path,
		.source = str_equal(source, "-") ? NULL : source,
		.input_fd = STDIN_FILENO,
		.archive = option_flag(options, "archive"),
		.follow_link = option_flag(options, "follow-link"),
		.progress_fd = progress_fd,
	};
	uint64_t bytes = 0;
	int r = engine_copy_in(&context->engine, name, &request, &bytes, err);

	if (r >= 0 && request.source)
		tell_copied(options, bytes, destination);
	return r;
}

static int cp_main(struct context *context, const struct options *options)
{
	const char *source = options->operands[0];
	struct progress progress;
	struct error err = {0};
	int r = check_operands(source, options->operands[1], &err);

	if (r < 0)
		return command_fail(context, &err);
	progress_open(&warnings, &progress);
	r = is_remote(source) ? copy_out(context, options, progress.fd, &err)
			      : copy_in(context, options, progress.fd, &err);
	r = progress_close(&progress, r, &err);
	if (r < 0 && is_remote(source) && err.number == EPIPE &&
	    str_equal(options->operands[1], "-"))
		output_broken_pipe();
	return r < 0 ? command_fail(context, &err) : 0;
}

static const struct option *const export_tables[] = {export_options, NULL};
static const struct option *const cp_tables[] = {cp_options, NULL};

const struct command command_export = {
	.name = "export",
	.usage = "[OPTIONS] CONTAINER",
	.summary = "Export a container's filesystem as a tar archive",
	.aliases = "moss container export, moss export",
	.options = export_tables,
	.operands_min = 1,
	.operands_max = 1,
	.run = export_main,
	.group = "Commands",
	.completes = "container",
};

const struct command command_cp = {
	.name = "cp",
	.usage = "[OPTIONS] CONTAINER|IMAGE:SRC_PATH DEST_PATH|-\n"
		 "\tmoss cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH",
	.summary = "Copy files/folders between a container and the local "
		   "filesystem",
	.aliases = "moss container cp, moss cp",
	.options = cp_tables,
	.operands_min = 2,
	.operands_max = 2,
	.run = cp_main,
	.group = "Commands",
	.completes = "container",
};
