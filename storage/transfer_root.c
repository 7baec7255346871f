#include "storage/transfer_root.h"

#include <string.h>

#include "base/json.h"
#include "base/str.h"
#include "storage/transfer_run.h"

static void set_text(cJSON *json, const char *key, const char *text)
{
	if (text)
		json_set_string(json, key, text);
}

int image_commit(struct store *store, const struct commit_request *request,
		 char **ret_id, struct error *err)
{
	cleanup_json cJSON *json = json_object();
	cleanup_json cJSON *result = NULL;
	struct transfer transfer = {
		.command = "commit",
		.request = json,
		.input_fd = -1,
		.output_fd = -1,
		.progress_fd = request->progress_fd,
	};
	const char *id = NULL;
	int r;

	json_set_string(json, "directory", request->directory);
	json_set_string(json, "driver", snapshot_driver_name(request->driver));
	json_set_string(json, "image", request->image);
	json_set_i64(json, "init", request->init);
	json_set(json, "config", cJSON_Duplicate(request->config, true));
	json_set_strv(json, "changes", request->changes);
	set_text(json, "reference", request->reference);
	set_text(json, "author", request->author);
	set_text(json, "message", request->message);
	set_text(json, "createdBy", request->created_by);
	r = transfer_run(store, &transfer, &result, err);
	if (r < 0)
		return r;
	r = json_get_string(result, "result", "id", &id, err);
	if (r <= 0)
		return r < 0 ? r
			     : err_set(err, ERROR_GENERIC,
				       "moss-image returned no image ID");
	*ret_id = xstrdup(id);
	return 0;
}
