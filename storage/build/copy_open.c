/* Reads the request, mounts the roots and opens the contexts. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "storage/build/copy.h"
#include "storage/build/mode.h"

static const struct {
	const char *name;
	enum copy_source_kind kind;
} kinds[] = {
	{"context", COPY_FROM_CONTEXT}, {"root", COPY_FROM_ROOT},
	{"text", COPY_FROM_TEXT},	{"url", COPY_FROM_URL},
	{"directory", COPY_DIRECTORY},
};

static void input_release(struct copy_input *input)
{
	/* The view's is its own. */
	if (input->kind != COPY_FROM_ROOT)
		close_fd(&input->root_fd);
	view_close(&input->view);
	layer_devices_release(&input->devices);
	layer_chain_release(&input->chain);
	strv_free(input->diff_ids);
	strv_free(input->patterns);
	ignore_free(input->ignore);
	free(input->name);
}

void copy_release(struct copy *copy)
{
	for (size_t i = 0; i < copy->input_count; i++)
		input_release(&copy->inputs[i]);
	free(copy->inputs);
	view_close(&copy->view);
	layer_chain_release(&copy->chain);
	strv_free(copy->diff_ids);
	strv_free(copy->excludes);
	stage_release(&copy->stage);
}

/* ---- the request ---- */

static int read_kind(const cJSON *json, enum copy_source_kind *ret_kind,
		     struct error *err)
{
	const char *name = "";
	int r = json_get_string(json, "sources", "kind", &name, err);

	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(kinds); i++) {
		if (str_equal(name, kinds[i].name)) {
			*ret_kind = kinds[i].kind;
			return 0;
		}
	}
	return r < 0 ? r
		     : err_set(err, ERROR_INVALID, "no kind of source: %.64s",
			       name);
}

static int read_ignore(struct copy_input *input, struct error *err)
{
	const char *text = NULL;
	int r = json_get_string(input->json, "sources", "ignore", &text, err);

	if (r <= 0)
		return r;
	input->ignore = ignore_new();
	return ignore_add_file(input->ignore, text, strlen(text), err);
}

static int read_input(const cJSON *json, struct copy_input *input,
		      struct error *err)
{
	const cJSON *chain = NULL;
	int r = read_kind(json, &input->kind, err);

	input->json = json;
	if (r >= 0)
		r = json_get_strv(json, "sources", "patterns", &input->patterns,
				  err);
	if (r >= 0)
		r = json_get_bool(json, "sources", "unpack", &input->unpack,
				  err);
	if (r >= 0)
		r = json_get_array(json, "sources", "chain", &chain, err);
	if (r >= 0)
		r = layer_chain_from_json(chain, "chain", &input->chain, err);
	if (r >= 0)
		r = read_ignore(input, err);
	return r < 0 ? r : 0;
}

static int read_inputs(struct copy *copy, struct error *err)
{
	const cJSON *sources = NULL;
	const cJSON *source;
	size_t named = 0;
	int r = json_get_array(copy->job->request, "", "sources", &sources,
			       err);

	if (r < 0)
		return r;
	copy->inputs = xcalloc((size_t)cJSON_GetArraySize(sources) + 1,
			       sizeof(*copy->inputs));
	cJSON_ArrayForEach(source, sources)
	{
		struct copy_input *input = &copy->inputs[copy->input_count++];

		input->root_fd = -1;
		input->view = (struct view)VIEW_EMPTY;
		r = read_input(source, input, err);
		if (r < 0)
			return r;
		/* A single file has no patterns. */
		named += strv_length(input->patterns) > 0
				 ? strv_length(input->patterns)
				 : 1;
	}
	copy->several = named > 1;
	return 0;
}

static int read_request(struct copy *copy, struct error *err)
{
	const cJSON *request = copy->job->request;
	const cJSON *chain = NULL;
	int r = json_get_array(request, "", "chain", &chain, err);

	copy->destination = job_string(copy->job, "destination");
	copy->mode = job_string(copy->job, "mode");
	copy->epoch = -1;
	if (!copy->destination || *copy->destination != '/')
		return err_set(err, ERROR_INVALID,
			       "the destination is no absolute path");
	if (r >= 0)
		r = layer_chain_from_json(chain, "chain", &copy->chain, err);
	if (r >= 0 && copy->mode)
		r = mode_check(copy->mode, err);
	if (r >= 0)
		r = json_get_bool(request, "", "link", &copy->link, err);
	if (r >= 0)
		r = json_get_bool(request, "", "parents", &copy->parents, err);
	if (r >= 0)
		r = json_get_strv(request, "", "excludes", &copy->excludes,
				  err);
	if (r >= 0)
		r = json_get_i64(request, "", "epoch", &copy->epoch, err);
	if (r >= 0)
		r = read_inputs(copy, err);
	return r < 0 ? r : 0;
}

/* ---- roots and contexts ---- */

static int mount_root(struct copy *copy, char *const *diff_ids,
		      struct view *ret_view, struct error *err)
{
	const struct view_request request = {
		.store = &copy->job->store,
		.diff_ids = diff_ids,
		.directory_fd = -1,
	};

	return view_open(&request, ret_view, err);
}

/* The root that the chain makes, if it has a say in anything. */
static int open_root(struct copy *copy, struct error *err)
{
	const char *owner = job_string(copy->job, "owner");
	int r;

	if (copy->chain.count == 0 || (copy->link && !owner))
		return 0;
	copy->diff_ids = layer_chain_diff_ids(&copy->chain);
	r = mount_root(copy, copy->diff_ids, &copy->view, err);
	return r < 0 ? err_wrap(err, "cannot read the stage's root") : 0;
}

static bool makes_directory(const struct copy *copy)
{
	return copy->input_count == 1 && copy->inputs[0].kind == COPY_DIRECTORY;
}

/* For WORKDIR nobody asked for the owner: as with docker, it may be unknown. */
static int find_owner(struct copy *copy, struct error *err)
{
	const char *owner = job_string(copy->job, "owner");
	struct error error = {0};
	int r;

	if (!owner)
		return 0;
	r = owner_find(copy->view.root_fd, owner, &copy->owner, &error);
	copy->has_owner = r == 0;
	if (r < 0 && error.kind == ERROR_NOT_FOUND && makes_directory(copy)) {
		job_note(copy->job,
			 "USER %.128s is not in the image: %s "
			 "belongs to root",
			 owner, copy->destination);
		return 0;
	}
	return r < 0 ? err_copy(err, &error) : 0;
}

static int open_context(struct copy_input *input, struct error *err)
{
	const char *directory = NULL;
	int r = json_get_string(input->json, "sources", "directory", &directory,
				err);

	if (r <= 0)
		return r < 0 ? r
			     : err_set(err, ERROR_INVALID,
				       "a context without a directory");
	input->root_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return input->root_fd < 0
		       ? err_errno(err, "cannot open the context %s", directory)
		       : 0;
}

static int open_source_root(struct copy *copy, struct copy_input *input,
			    struct error *err)
{
	int r;

	input->diff_ids = layer_chain_diff_ids(&input->chain);
	r = layer_devices_read(&copy->job->store, input->diff_ids, -1,
			       &input->devices, err);
	if (r == 0)
		r = mount_root(copy, input->diff_ids, &input->view, err);
	if (r < 0)
		return err_wrap(err, "cannot read the root to copy from");
	input->root_fd = input->view.root_fd;
	return 0;
}

static int open_inputs(struct copy *copy, struct error *err)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < copy->input_count; i++) {
		struct copy_input *input = &copy->inputs[i];

		if (input->kind == COPY_FROM_CONTEXT)
			r = open_context(input, err);
		else if (input->kind == COPY_FROM_ROOT)
			r = open_source_root(copy, input, err);
	}
	return r;
}

int copy_open(struct job *job, bool digest_only, struct copy *ret_copy,
	      struct error *err)
{
	CLEANUP(copy_release) struct copy copy = COPY_EMPTY;
	int r;

	copy.job = job;
	r = read_request(&copy, err);
	/* Before the roots are mounted, which hides the store's tmp/. */
	if (r == 0)
		r = stage_open(&job->store, &copy.stage, err);
	if (r == 0)
		r = open_inputs(&copy, err);
	if (r == 0 && !digest_only)
		r = open_root(&copy, err);
	if (r == 0 && !digest_only)
		r = find_owner(&copy, err);
	if (r < 0)
		return r;
	*ret_copy = copy;
	copy = (struct copy)COPY_EMPTY;
	return 0;
}

void copy_content_request(const struct copy *copy,
			  const struct copy_input *input,
			  struct content_request *ret_request)
{
	*ret_request = (struct content_request){
		.root_fd = input->root_fd,
		.patterns = input->patterns,
		.ignore = input->ignore,
		.owners = input->kind == COPY_FROM_ROOT,
	};
	/* A single file's are the Dockerfile's to name. */
	if (input->name)
		return;
	ret_request->excludes = copy->excludes;
	ret_request->parents = copy->parents;
}
