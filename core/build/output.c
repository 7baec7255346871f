#include "core/build/output.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/json.h"
#include "base/path.h"
#include "base/str.h"
#include "storage/build/assembled.h"
#include "storage/store/reference.h"
#include "storage/transfer_root.h"

#define WHAT "the result of the build"

/* Of directories that are made to write to; the umask is 0 here. */
#define DIRECTORY_MODE 0755

enum type {
	OUTPUT_IMAGE,
	OUTPUT_DOCKER,
	OUTPUT_OCI,
	OUTPUT_TAR,
	OUTPUT_LOCAL,
};

static const char *const type_names[] = {
	[OUTPUT_IMAGE] = "image", [OUTPUT_DOCKER] = "docker",
	[OUTPUT_OCI] = "oci",	  [OUTPUT_TAR] = "tar",
	[OUTPUT_LOCAL] = "local",
};

struct output {
	enum type type;
	const char *dest; /* NULL: standard output, or the store */
	bool directory;	  /* of an OCI layout */
};

/* ---- what is wanted ---- */

static int read_type(const char *name, enum type *ret_type, struct error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(type_names); i++) {
		if (str_equal(type_names[i], name)) {
			*ret_type = (enum type)i;
			return 0;
		}
	}
	return err_set(err, ERROR_INVALID,
		       "output: unknown type \"%s\": expected image, docker, "
		       "oci, tar or local",
		       name);
}

static int read_output(const cJSON *json, struct output *ret_output,
		       struct error *err)
{
	struct output output = {0};
	const char *type = "";
	bool tar = true;
	int r = json_get_string(json, "outputs", "type", &type, err);

	if (r >= 0)
		r = json_get_string(json, "outputs", "dest", &output.dest, err);
	if (r >= 0)
		r = json_get_bool(json, "outputs", "tar", &tar, err);
	if (r >= 0)
		r = read_type(type, &output.type, err);
	if (r < 0)
		return r;
	output.directory = !tar;
	if (output.type == OUTPUT_DOCKER && !output.dest)
		output.type = OUTPUT_IMAGE;
	if (output.type == OUTPUT_IMAGE)
		output.dest = NULL;
	else if (!output.dest ||
		 (output.dest[0] != '/' && !str_equal(output.dest, "-")))
		return err_set(err, ERROR_INVALID,
			       "output type %s needs a destination: "
			       "type=%s,dest=PATH",
			       type, type);
	if (str_equal(output.dest, "-")) {
		if (output.type == OUTPUT_LOCAL || output.directory)
			return err_set(err, ERROR_INVALID,
				       "a directory cannot be written to "
				       "standard output: use an archive "
				       "(type=tar)");
		output.dest = NULL;
	}
	*ret_output = output;
	return 0;
}

static bool is_file(const struct output *output)
{
	return output->dest && output->type != OUTPUT_LOCAL &&
	       !output->directory;
}

static int check_file(const char *dest, struct error *err)
{
	cleanup_free char *parent = xstrdup(dest);
	char *slash = strrchr(parent, '/');
	struct stat st;

	if (stat(dest, &st) == 0 && S_ISDIR(st.st_mode))
		return err_set(err, ERROR_INVALID,
			       "output: %s is a directory, name a file in it",
			       dest);
	slash[slash == parent] = '\0';
	if (stat(parent, &st) < 0 || !S_ISDIR(st.st_mode))
		return err_set(err, ERROR_NOT_FOUND,
			       "output: there is no directory %s", parent);
	return 0;
}

static int check_directory(const char *dest, struct error *err)
{
	struct stat st;

	if (stat(dest, &st) < 0 || S_ISDIR(st.st_mode))
		return 0;
	return err_set(err, ERROR_INVALID, "output: %s is no directory", dest);
}

int output_check(const cJSON *outputs, struct error *err)
{
	const cJSON *item;
	size_t streams = 0;

	cJSON_ArrayForEach(item, outputs)
	{
		struct output output;
		int r = read_output(item, &output, err);

		if (r == 0 && output.dest)
			r = is_file(&output)
				    ? check_file(output.dest, err)
				    : check_directory(output.dest, err);
		if (r < 0)
			return r;
		streams += !output.dest && output.type != OUTPUT_IMAGE;
	}
	if (streams > 1)
		return err_set(err, ERROR_INVALID,
			       "output: only one can go to standard output");
	return 0;
}

/* ---- files ---- */

static int write_files(struct store *store, const struct output_request *wanted,
		       const struct output *output, char *const *diff_ids,
		       struct error *err)
{
	const struct root_request root = {
		.what = WHAT,
		.diff_ids = diff_ids,
	};
	const struct copy_out_request request = {
		.root = root,
		.path = "/.",
		.destination = output->dest,
		.output_fd = -1,
		.progress_fd = wanted->report->fd,
	};
	uint64_t bytes;
	int r = path_mkdirs(output->dest, DIRECTORY_MODE, err);

	return r < 0 ? r : root_copy_out(store, &request, &bytes, err);
}

static int write_tar(struct store *store, const struct output_request *wanted,
		     const struct output *output, char *const *diff_ids,
		     struct error *err)
{
	const struct export_request request = {
		.root = {.what = WHAT, .diff_ids = diff_ids},
		.output = output->dest,
		.output_fd = output->dest ? -1 : wanted->output_fd,
		.progress_fd = wanted->report->fd,
	};

	return root_export(store, &request, err);
}

/* ---- all of them ---- */

static void tell(const struct output_request *request, const char *format,
		 const char *name)
{
	cleanup_free char *id = xasprintf("%s %s", format, name);

	report_status(request->report, request->vertex, id, "done", -1, 0);
}

struct plan {
	bool store;
	struct assemble_output *archives;
	size_t archive_count;
	bool to_stream; /* one of the archives */
};

static void plan_release(struct plan *plan)
{
	free(plan->archives);
}

static void add_archive(struct plan *plan, const struct output *output)
{
	plan->archives = xrealloc(plan->archives, plan->archive_count + 1,
				  sizeof(*plan->archives));
	plan->archives[plan->archive_count++] = (struct assemble_output){
		.docker = output->type == OUTPUT_DOCKER,
		.path = output->dest,
		.directory = output->directory,
	};
	plan->to_stream = plan->to_stream || !output->dest;
}

static int write_one(struct store *store, const struct output_request *request,
		     const struct output *output, char *const *diff_ids,
		     struct plan *plan, struct error *err)
{
	int r = 0;

	switch (output->type) {
	case OUTPUT_IMAGE:
		plan->store = true;
		return 0;
	case OUTPUT_DOCKER:
	case OUTPUT_OCI:
		add_archive(plan, output);
		return 0;
	case OUTPUT_TAR:
		r = write_tar(store, request, output, diff_ids, err);
		break;
	case OUTPUT_LOCAL:
		r = write_files(store, request, output, diff_ids, err);
		break;
	}
	if (r == 0)
		tell(request, "writing files to",
		     output->dest ? output->dest : "standard output");
	return r;
}

static int assemble(struct store *store, const struct output_request *request,
		    const struct plan *plan, struct output_result *ret_result,
		    struct error *err)
{
	const struct assemble_request assembled = {
		.chain = request->chain,
		.image = request->image->json,
		.annotations = request->annotations,
		.references = request->references,
		.squash = request->squash,
		.base_layers = request->image->base_layers,
		.store = plan->store,
		.outputs = plan->archives,
		.output_count = plan->archive_count,
		.output_fd = plan->to_stream ? request->output_fd : -1,
		.epoch = request->epoch,
		.progress_fd = request->report->fd,
	};
	struct output_result result = {
		.assembled = true,
		.stored = plan->store,
	};
	int r = image_assembled(store, &assembled, &result.image, err);

	if (r == 0)
		r = image_assemble(store, &assembled, &result.image, err);
	if (r < 0)
		return r;
	tell(request, "writing image", result.image.id);
	for (size_t i = 0; request->references && request->references[i]; i++)
		tell(request, "naming to", request->references[i]);
	*ret_result = result;
	return 0;
}

int output_write(struct store *store, const struct output_request *request,
		 struct output_result *ret_result, struct error *err)
{
	cleanup_strv char **diff_ids = layer_chain_diff_ids(request->chain);
	CLEANUP(plan_release) struct plan plan = {0};
	const cJSON *item;
	struct output_result result = {0};
	int r = 0;

	plan.store = cJSON_GetArraySize(request->outputs) == 0;
	cJSON_ArrayForEach(item, request->outputs)
	{
		struct output output;

		r = read_output(item, &output, err);
		if (r == 0)
			r = write_one(store, request, &output, diff_ids, &plan,
				      err);
		if (r < 0)
			return r;
	}
	if (plan.store || plan.archive_count > 0)
		r = assemble(store, request, &plan, &result, err);
	if (r < 0)
		return r;
	*ret_result = result;
	return 0;
}
