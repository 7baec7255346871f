/*
 * moss import, load, save, rmi and tag: images in, out and away. Listing them
 * is in list_images.c.
 */
#include "cmd/command.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cmd/commands.h"
#include "cmd/progress.h"
#include "storage/transfer.h"

/* clang-format off */
static const struct option import_options[] = {
	{'c', "change", OPTION_LIST, NULL, NULL, "Apply Dockerfile instruction to the created image", false},
	{'m', "message", OPTION_STRING, NULL, NULL, "Set commit message for imported image", false},
	{0, "platform", OPTION_STRING, NULL, NULL, "Set platform of the image (os/arch[/variant])", false},
	{0},
};
static const struct option load_options[] = {
	{'i', "input", OPTION_STRING, NULL, NULL, "Read from tar archive file (or a directory), instead of STDIN", false},
	{0, "platform", OPTION_STRING, NULL, NULL, "Load only the given platform variant (\"os[/arch[/variant]]\")", false},
	{'q', "quiet", OPTION_FLAG, NULL, NULL, "Suppress the load output", false},
	{0},
};
static const struct option save_options[] = {
	{0, "format", OPTION_STRING, NULL, "archive", "\"archive\" (a tar that is docker-archive and OCI layout) or \"oci-dir\" (an OCI layout directory)", false},
	{'o', "output", OPTION_STRING, NULL, NULL, "Write to a file, instead of STDOUT", false},
	{0},
};
static const struct option rmi_options[] = {
	{'f', "force", OPTION_FLAG, NULL, NULL, "Force removal of the image", false},
	{0, "no-prune", OPTION_FLAG, NULL, NULL, "Do not delete untagged parents", false},
	{0, "platform", OPTION_LIST, "strings", NULL, "Remove only the given platform variant. Formatted as \"os[/arch[/variant]]\" (e.g., \"linux/amd64\")", false},
	{0},
};
/* clang-format on */

static int import_main(struct context *context, const struct options *options)
{
	const char *source = options->operands[0];
	struct import_request request = {
		.source = source,
		.input_fd = STDIN_FILENO,
		.reference = options->operands[1],
		.changes = option_list(options, "change"),
		.message = option_string(options, "message"),
		.platform = option_platform(options),
	};
	const struct progress_options shown = {.fd = STDERR_FILENO};
	struct progress progress;
	cleanup_free char *id = NULL;
	struct error err = {0};
	int r;

	if (str_equal(source, "-") && isatty(STDIN_FILENO)) {
		err_set(&err, ERROR_INVALID,
			"refusing to import from a terminal");
		err_hint(&err, "Name a file or a URL, or redirect a tar file "
			       "to standard input.");
		return command_fail(context, &err);
	}
	progress_open(&shown, &progress);
	request.progress_fd = progress.fd;
	r = engine_read_limits(&context->engine, &err);
	if (r == 0)
		r = image_import(&context->engine.store, &request, &id, &err);
	r = progress_close(&progress, r, &err);
	if (r < 0)
		return command_fail(context, &err);
	printf("%s\n", id);
	return 0;
}

static int load_main(struct context *context, const struct options *options)
{
	struct load_request request = {
		.source = option_string(options, "input"),
		.input_fd = STDIN_FILENO,
		.platform = option_string(options, "platform"),
	};
	const struct progress_options shown = {
		.fd = STDERR_FILENO,
		.quiet = option_flag(options, "quiet"),
	};
	struct progress progress;
	cleanup_strv char **loaded = NULL;
	struct error err = {0};
	int r;

	if (!request.source && isatty(STDIN_FILENO)) {
		err_set(&err, ERROR_INVALID,
			"requested load from stdin, but stdin is empty");
		err_hint(&err, "Name the archive with -i, or redirect it to "
			       "standard input.");
		return command_fail(context, &err);
	}
	progress_open(&shown, &progress);
	request.progress_fd = progress.fd;
	r = engine_read_limits(&context->engine, &err);
	if (r == 0)
		r = image_load(&context->engine.store, &request, &loaded, &err);
	r = progress_close(&progress, r, &err);
	if (r < 0)
		return command_fail(context, &err);
	/* As docker does with -q too: `load -q | …` is how scripts learn what
	   was in an archive. */
	for (size_t i = 0; loaded && loaded[i]; i++) {
		if (str_starts(loaded[i], "sha256:"))
			printf("Loaded image ID: %s\n", loaded[i]);
		else
			printf("Loaded image: %s\n", loaded[i]);
	}
	return 0;
}

static int save_main(struct context *context, const struct options *options)
{
	const char *format = option_string(options, "format");
	struct save_request request = {
		.names = options->operands,
		.output = option_string(options, "output"),
		.output_fd = STDOUT_FILENO,
		.oci_directory = str_equal(format, "oci-dir"),
	};
	struct error err = {0};

	if (!request.oci_directory && !str_equal(format, "archive")) {
		err_set(&err, ERROR_INVALID,
			"invalid argument \"%s\" for \"--format\" flag: "
			"expected archive or oci-dir",
			format);
		return command_fail(context, &err);
	}
	if (!request.output &&
	    (request.oci_directory || isatty(STDOUT_FILENO))) {
		err_set(&err, ERROR_INVALID,
			"cowardly refusing to save to a "
			"terminal");
		err_hint(&err, "Use the -o flag or redirect.");
		return command_fail(context, &err);
	}
	if (image_save(&context->engine.store, &request, &err) < 0) {
		if (!request.output && err.number == EPIPE)
			output_broken_pipe();
		return command_fail(context, &err);
	}
	return 0;
}

/* An image has no parents here, so that --no-prune asks for nothing. */
static int remove_image(struct engine *engine, const char *name,
			const struct options *options, char ***ret_report,
			struct error *err)
{
	char *const *lists = option_list(options, "platform");
	int r = 0;

	for (size_t i = 0; lists[i] && r >= 0; i++) {
		cleanup_strv char **platforms = strv_split(lists[i], ',');

		for (size_t j = 0; platforms[j] && r >= 0; j++)
			r = engine_image_check_platform(engine, name,
							platforms[j], err);
	}
	return r < 0 ? r
		     : engine_image_remove(engine, name,
					   option_flag(options, "force"),
					   ret_report, err);
}

static int rmi_main(struct context *context, const struct options *options)
{
	bool force = option_flag(options, "force");
	int code = 0;

	for (size_t i = 0; options->operands[i]; i++) {
		cleanup_strv char **report = NULL;
		struct error err = {0};

		if (remove_image(&context->engine, options->operands[i],
				 options, &report, &err) < 0) {
			report_error(&err);
			/* With --force what is not there is no failure. */
			if (!force || err.kind != ERROR_NOT_FOUND)
				code = 1;
		}
		for (size_t l = 0; report && report[l]; l++)
			printf("%s\n", report[l]);
	}
	return code;
}

static int tag_main(struct context *context, const struct options *options)
{
	struct error err = {0};

	if (image_tag(&context->engine.store, options->operands[0],
		      options->operands[1], &err) < 0)
		return command_fail(context, &err);
	return 0;
}

static const struct option *const import_tables[] = {import_options, NULL};
static const struct option *const load_tables[] = {load_options, NULL};
static const struct option *const save_tables[] = {save_options, NULL};
static const struct option *const rmi_tables[] = {rmi_options, NULL};

const struct command command_import = {
	.name = "import",
	.usage = "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
	.summary = "Import the contents from a tarball to create a filesystem "
		   "image",
	.aliases = "moss image import, moss import",
	.options = import_tables,
	.operands_min = 1,
	.operands_max = 2,
	.run = import_main,
	.group = "Commands",
	.completes = "file",
};

const struct command command_load = {
	.name = "load",
	.usage = "[OPTIONS]",
	.summary = "Load an image from a tar archive or STDIN",
	.aliases = "moss image load, moss load",
	.options = load_tables,
	.run = load_main,
	.group = "Commands",
};

const struct command command_save = {
	.name = "save",
	.usage = "[OPTIONS] IMAGE [IMAGE...]",
	.summary = "Save one or more images to a tar archive (streamed to "
		   "STDOUT by default)",
	.aliases = "moss image save, moss save",
	.options = save_tables,
	.operands_min = 1,
	.operands_max = -1,
	.run = save_main,
	.group = "Commands",
	.completes = "image",
};

const struct command command_rmi = {
	.name = "rmi",
	.usage = "[OPTIONS] IMAGE [IMAGE...]",
	.summary = "Remove one or more images",
	.aliases = "moss image rm, moss image remove, moss rmi",
	.options = rmi_tables,
	.operands_min = 1,
	.operands_max = -1,
	.run = rmi_main,
	.group = "Commands",
	.completes = "image",
};

const struct command command_tag = {
	.name = "tag",
	.usage = "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
	.summary = "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
	.aliases = "moss image tag, moss tag",
	.operands_min = 2,
	.operands_max = 2,
	.run = tag_main,
	.group = "Commands",
	.completes = "image",
};
