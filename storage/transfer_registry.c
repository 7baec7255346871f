/* What is asked of registries, of storage/transfer.h. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "storage/store/image_event.h"
#include "storage/transfer.h"
#include "storage/transfer_run.h"

void transfer_wipe_secrets(cJSON *request)
{
	const cJSON *endpoints =
		cJSON_GetObjectItemCaseSensitive(request, "endpoints");
	const cJSON *endpoint;

	cJSON_ArrayForEach(endpoint, endpoints)
	{
		const cJSON *auth =
			cJSON_GetObjectItemCaseSensitive(endpoint, "auth");
		const cJSON *item;

		cJSON_ArrayForEach(item, auth)
		{
			if (item->valuestring)
				explicit_bzero(item->valuestring,
					       strlen(item->valuestring));
		}
	}
}

static int ask(struct store *store, const char *command, cJSON *request,
	       const struct registry_endpoints *endpoints, int progress_fd,
	       cJSON **ret_result, struct error *err)
{
	struct transfer transfer = {
		.command = command,
		.request = request,
		.input_fd = -1,
		.output_fd = -1,
		.progress_fd = progress_fd,
	};
	int r;

	json_set(request, "endpoints", registry_endpoints_to_json(endpoints));
	r = transfer_run(store, &transfer, ret_result, err);
	transfer_wipe_secrets(request);
	return r;
}

static void tell_pulled(struct store *store, const cJSON *result)
{
	const cJSON *pulled =
		cJSON_GetObjectItemCaseSensitive(result, "pulled");
	const char *reference = cJSON_GetStringValue(
		cJSON_GetObjectItemCaseSensitive(result, "reference"));
	const cJSON *one;

	if (reference)
		image_event_registry(store, "pull", reference);
	cJSON_ArrayForEach(one, pulled)
	{
		tell_pulled(store, one);
	}
}

int image_pull(struct store *store, const struct pull_request *request,
	       cJSON **ret_result, struct error *err)
{
	cleanup_json cJSON *json = json_object();
	int r;

	json_set_string(json, "reference", request->reference);
	json_set_text(json, "platform", request->platform);
	json_set_bool(json, "allTags", request->all_tags);
	json_set_i64(json, "maxConcurrent", request->concurrent);
	r = ask(store, "pull", json, request->endpoints, request->progress_fd,
		ret_result, err);
	if (r >= 0)
		tell_pulled(store, *ret_result);
	return r;
}

int image_push(struct store *store, const struct push_request *request,
	       cJSON **ret_result, struct error *err)
{
	cleanup_json cJSON *json = json_object();
	int r;

	json_set_string(json, "reference", request->reference);
	json_set_text(json, "platform", request->platform);
	json_set_bool(json, "allTags", request->all_tags);
	json_set_i64(json, "maxConcurrent", request->concurrent);
	if (request->manifest)
		json_set(json, "manifest", descriptor_json(request->manifest));
	r = ask(store, "push", json, request->endpoints, request->progress_fd,
		ret_result, err);
	if (r >= 0 && !request->manifest)
		image_event_registry(store, "push", request->reference);
	return r;
}

int registry_check_login(struct store *store,
			 const struct registry_endpoints *endpoints,
			 char **ret_identity_token, struct error *err)
{
	cleanup_json cJSON *json = json_object();
	cleanup_json cJSON *result = NULL;
	const char *token = NULL;
	int r;

	r = ask(store, "login", json, endpoints, -1, &result, err);
	r = r < 0 ? r
		  : json_get_string(result, "result", "identitytoken", &token,
				    err);
	if (r < 0)
		return r;
	*ret_identity_token = xstrdup(token);
	return 0;
}

int registry_search(struct store *store,
		    const struct registry_endpoints *endpoints,
		    const char *term, size_t limit, cJSON **ret_array,
		    struct error *err)
{
	cleanup_json cJSON *json = json_object();
	cleanup_json cJSON *result = NULL;
	int r;

	json_set_string(json, "term", term);
	json_set_i64(json, "limit", (int64_t)limit);
	r = ask(store, "search", json, endpoints, -1, &result, err);
	if (r < 0)
		return r;
	*ret_array = cJSON_DetachItemFromObjectCaseSensitive(result, "results");
	if (!*ret_array)
		*ret_array = json_array();
	return 0;
}

int registry_manifest(struct store *store,
		      const struct registry_manifest_request *request,
		      cJSON **ret_json, struct error *err)
{
	cleanup_json cJSON *json = json_object();

	json_set_string(json, "reference", request->reference);
	json_set_bool(json, "verbose", request->verbose);
	return ask(store, "manifest", json, request->endpoints, -1, ret_json,
		   err);
}
