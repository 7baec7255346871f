#include "storage/transfer_root.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "storage/transfer_run.h"

int image_commit(struct store *store, const struct commit_request *request,
		 char **ret_id, struct error *err)
{
	cleanup_json cJSON *json = json_object();
	struct transfer transfer = {
		.command = "commit",
		.request = json,
		.input_fd = -1,
		.output_fd = -1,
		.progress_fd = request->progress_fd,
	};

	json_set_string(json, "directory", request->directory);
	json_set_string(json, "driver", snapshot_driver_name(request->driver));
	json_set_string(json, "image", request->image);
	json_set_i64(json, "init", request->init);
	json_set_i64(json, "initStart", (int64_t)request->init_start);
	json_set(json, "config", cJSON_Duplicate(request->config, true));
	json_set_strv(json, "changes", request->changes);
	json_set_text(json, "reference", request->reference);
	json_set_text(json, "author", request->author);
	json_set_text(json, "message", request->message);
	json_set_text(json, "createdBy", request->created_by);
	return transfer_run_image(store, &transfer, ret_id, err);
}

static void set_root(cJSON *json, const struct root_request *root)
{
	json_set_string(json, "what", root->what);
	json_set_strv(json, "diffIds", root->diff_ids);
	json_set_text(json, "directory", root->directory);
	json_set_string(json, "driver", snapshot_driver_name(root->driver));
	json_set_i64(json, "init", root->init);
	json_set_i64(json, "initStart", (int64_t)root->init_start);
	if (root->mounts)
		json_set(json, "mounts", cJSON_Duplicate(root->mounts, true));
}

int root_prepare(struct store *store, const struct root_request *root,
		 struct error *err)
{
	cleanup_json cJSON *json = json_object();
	cleanup_json cJSON *result = NULL;
	struct transfer transfer = {
		.command = "prepare",
		.request = json,
		.input_fd = -1,
		.output_fd = -1,
		.progress_fd = -1,
	};

	set_root(json, root);
	return transfer_run(store, &transfer, &result, err);
}

int root_export(struct store *store, const struct export_request *request,
		struct error *err)
{
	cleanup_json cJSON *json = json_object();
	cleanup_json cJSON *result = NULL;
	struct transfer transfer = {
		.command = "export",
		.request = json,
		.input_fd = -1,
		.output_fd = request->output ? -1 : request->output_fd,
		.progress_fd = request->progress_fd,
	};

	set_root(json, &request->root);
	json_set_text(json, "output", request->output);
	return transfer_run(store, &transfer, &result, err);
}

int root_changes(struct store *store, const struct root_request *root,
		 int output_fd, struct error *err)
{
	cleanup_json cJSON *json = json_object();
	cleanup_json cJSON *result = NULL;
	cleanup_free char *upper = xasprintf("%s/upper", root->directory);
	struct root_request below = *root;
	struct transfer transfer = {
		.command = "diff",
		.request = json,
		.input_fd = -1,
		.output_fd = output_fd,
		.progress_fd = -1,
	};

	/* They are compared with the layers alone. */
	below.directory = NULL;
	set_root(json, &below);
	json_set_string(json, "upper", upper);
	return transfer_run(store, &transfer, &result, err);
}

/* What was copied, in bytes. */
static int run_copy(struct store *store, const struct transfer *transfer,
		    uint64_t *ret_bytes, struct error *err)
{
	cleanup_json cJSON *result = NULL;
	int64_t bytes = 0;
	int r = transfer_run(store, transfer, &result, err);

	if (r == 0)
		r = json_get_i64(result, "result", "bytes", &bytes, err);
	if (r < 0)
		return r;
	*ret_bytes = (uint64_t)bytes;
	return 0;
}

int root_copy_out(struct store *store, const struct copy_out_request *request,
		  uint64_t *ret_bytes, struct error *err)
{
	cleanup_json cJSON *json = json_object();
	struct transfer transfer = {
		.command = "copy",
		.request = json,
		.input_fd = -1,
		.output_fd = request->destination ? -1 : request->output_fd,
		.progress_fd = request->progress_fd,
	};

	set_root(json, &request->root);
	json_set_string(json, "path", request->path);
	json_set_text(json, "destination", request->destination);
	json_set_bool(json, "archive", request->archive);
	json_set_bool(json, "followLink", request->follow_link);
	return run_copy(store, &transfer, ret_bytes, err);
}

int root_copy_in(struct store *store, const struct copy_in_request *request,
		 uint64_t *ret_bytes, struct error *err)
{
	cleanup_json cJSON *json = json_object();
	struct root_request root = request->root;
	struct transfer transfer = {
		.command = "copy-in",
		.request = json,
		.input_fd = request->source ? -1 : request->input_fd,
		.output_fd = -1,
		.progress_fd = request->progress_fd,
	};

	/* There is nothing to be written out first. */
	root.init = 0;
	set_root(json, &root);
	json_set_i64(json, "pid", request->pid);
	json_set_i64(json, "pidStart", (int64_t)request->pid_start);
	json_set_bool(json, "readOnly", request->read_only);
	json_set_string(json, "path", request->path);
	json_set_text(json, "source", request->source);
	json_set_bool(json, "archive", request->archive);
	json_set_bool(json, "followLink", request->follow_link);
	return run_copy(store, &transfer, ret_bytes, err);
}
