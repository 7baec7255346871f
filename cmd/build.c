/*
 * moss build. The options become a request (build_options.h, build_context.h),
 * core/build/build.h does it, build_progress.h shows it; what is left is what
 * docker's client does afterwards: files with the ID, and pushing.
 */
#include "cmd/command.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "cmd/build_check.h"
#include "cmd/build_context.h"
#include "cmd/build_options.h"
#include "cmd/build_progress.h"
#include "cmd/commands.h"
#include "cmd/credentials.h"
#include "cmd/member.h"
#include "cmd/pulling.h"
#include "cmd/refused_options.h"
#include "core/build/build.h"

#define FILE_MODE 0644

struct building {
	enum build_display display;
	cJSON *request;
	struct build_context input;
	cJSON *result;
};

static void building_release(struct building *building)
{
	build_context_release(&building->input);
	cJSON_Delete(building->request);
	cJSON_Delete(building->result);
}

static int read_display(const struct options *options,
			enum build_display *ret_display, struct error *err)
{
	const char *word = option_string(options, "progress");

	if (!option_flag(options, "quiet"))
		return build_display_parse(word, ret_display, err);
	if (word && !str_equal(word, "auto") && !str_equal(word, "quiet"))
		return err_set(err, ERROR_INVALID,
			       "progress=%s and quiet cannot be used together",
			       word);
	*ret_display = BUILD_DISPLAY_QUIET;
	return 0;
}

/* What was there before must not be taken for the result of this. */
static int forget_file(const char *path, struct error *err)
{
	if (str_empty(path) || unlink(path) == 0 || access(path, F_OK) < 0)
		return 0;
	return err_errno(err, "cannot replace %s", path);
}

static int prepare(const struct options *options, struct building *building,
		   struct error *err)
{
	int r = content_trust_check(options, err);

	r = r < 0 ? r : read_display(options, &building->display, err);
	r = r < 0 ? r : build_options_request(options, building->request, err);
	r = r < 0 ? r
		  : build_context_open(options->operands[0],
				       option_string(options, "file"),
				       building->request, &building->input,
				       err);
	if (r >= 0 && json_member(building->request, "call"))
		return r;
	r = r < 0 ? r : forget_file(option_string(options, "iidfile"), err);
	return r < 0 ? r
		     : forget_file(option_string(options, "metadata-file"),
				   err);
}

/* Not kept in memory: a build may take long. */
static cJSON *find_credentials(char *const *names, void *data)
{
	struct context *context = data;
	cJSON *auths = credentials_find_all(context->credentials, names);

	credentials_forget(context->credentials);
	return auths;
}

/* Does an output go to standard output? */
static bool writes_output(const cJSON *request)
{
	const cJSON *output;

	cJSON_ArrayForEach(output, member_of(request, "outputs"))
	{
		if (str_equal(text_of(output, "dest"), "-"))
			return true;
	}
	return false;
}

static int run(struct context *context, struct building *building,
	       struct error *err)
{
	struct build_options options = {
		.request = building->request,
		.input_fd = building->input.input_fd,
		.output_fd =
			writes_output(building->request) ? STDOUT_FILENO : -1,
		.find_credentials = find_credentials,
		.data = context,
	};
	struct progress progress;
	int r;

	build_progress_open(building->display, &progress);
	options.progress_fd = progress.fd;
	r = build_run(&context->engine, &options, &building->result, err);
	return progress_close(&progress, r, err);
}

/* ---- afterwards ---- */

static int write_file(const char *path, const char *text, struct error *err)
{
	int r;

	if (str_empty(path))
		return 0;
	r = file_write_atomic_at(AT_FDCWD, path, text, strlen(text), FILE_MODE,
				 0, err);
	return r < 0 ? r : 0;
}

/* The members that buildx writes, as far as there is something to say. */
static int write_metadata(const char *path, const struct building *building,
			  struct error *err)
{
	cleanup_json cJSON *metadata = json_object();
	cleanup_strv char **names = NULL;
	cleanup_free char *joined = NULL;
	cleanup_free char *text = NULL;

	if (str_empty(path))
		return 0;
	(void)json_get_strv(building->request, "request", "references", &names,
			    NULL);
	joined = strv_join(names, ",");
	if (json_member(building->result, "id"))
		json_set_string(metadata, "containerimage.config.digest",
				text_of(building->result, "id"));
	if (json_member(building->result, "digest"))
		json_set_string(metadata, "containerimage.digest",
				text_of(building->result, "digest"));
	if (*joined)
		json_set_string(metadata, "image.name", joined);
	text = json_print_pretty(metadata);
	return write_file(path, text, err);
}

static int push(struct context *context, const struct options *options,
		const struct building *building, struct error *err)
{
	const cJSON *name;
	int r = 0;

	if (!build_options_push(options))
		return 0;
	cJSON_ArrayForEach(name, member_of(building->request, "references"))
	{
		const struct pulling pushing = {
			.name = cJSON_GetStringValue(name),
			.quiet = building->display == BUILD_DISPLAY_QUIET,
			.fd = STDERR_FILENO,
		};

		r = r < 0 ? r : pushing_run(context, &pushing, err);
	}
	return r;
}

static int finish(struct context *context, const struct options *options,
		  const struct building *building, struct error *err)
{
	const char *id = text_of(building->result, "id");
	int r;

	r = write_file(*id ? option_string(options, "iidfile") : NULL, id, err);
	r = r < 0 ? r
		  : write_metadata(option_string(options, "metadata-file"),
				   building, err);
	r = r < 0 ? r : push(context, options, building, err);
	if (r >= 0 && *id && option_flag(options, "quiet"))
		printf("%s\n", id);
	return r;
}

/* Whoever asks for a check is told by the exit status, too. */
static int show_check(const struct building *building)
{
	cleanup_free char *text = build_check_text(building->result);

	fputs(text, stdout);
	return cJSON_GetArraySize(member_of(building->result, "warnings")) > 0;
}

static int build_main(struct context *context, const struct options *options)
{
	CLEANUP(building_release)
	struct building building = {
		.request = json_object(),
		.input = BUILD_CONTEXT_NONE,
	};
	struct error err = {0};
	int r;

	r = prepare(options, &building, &err);
	r = r < 0 ? r : run(context, &building, &err);
	if (r >= 0 && json_member(building.request, "call"))
		return show_check(&building);
	r = r < 0 ? r : finish(context, options, &building, &err);
	if (r >= 0)
		return 0;
	/* 126 and 127 are for who runs a command, not for a step that does. */
	(void)command_fail(context, &err);
	return EXIT_FAILURE;
}

static const struct option *const tables[] = {build_option_table,
					      refused_build_options, NULL};

const struct command command_build = {
	.name = "build",
	.usage = "[OPTIONS] PATH | URL | -",
	.summary = "Build an image from a Dockerfile",
	.aliases = "moss image build, moss build, moss builder build, moss "
		   "buildx build",
	.options = tables,
	.operands_min = 1,
	.operands_max = 1,
	.credentials = CREDENTIALS_READ,
	.run = build_main,
	.group = "Common Commands",
	.completes = "file",
};
