/* COPY, ADD, WORKDIR, and contexts to copy from, of storage/transfer_build.h.
 */
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "storage/transfer_build.h"
#include "storage/transfer_run.h"

#define CONTENT_DIGITS 64

static const char *const kind_names[] = {
	[COPY_FROM_CONTEXT] = "context", [COPY_FROM_ROOT] = "root",
	[COPY_FROM_TEXT] = "text",	 [COPY_FROM_URL] = "url",
	[COPY_DIRECTORY] = "directory",
};

static cJSON *source_json(const struct copy_source *source)
{
	cJSON *json = json_object();

	json_set_string(json, "kind", kind_names[source->kind]);
	json_set_strv(json, "patterns", source->patterns);
	json_set_text(json, "directory", source->directory);
	json_set_text(json, "ignore", source->ignore);
	if (source->chain)
		json_set(json, "chain", layer_chain_json(source->chain));
	json_set_text(json, "name", source->name);
	json_set_text(json, "content", source->content);
	json_set_text(json, "url", source->url);
	json_set_text(json, "checksum", source->checksum);
	json_set_bool(json, "unpack", source->unpack);
	return json;
}

static cJSON *request_json(const struct layer_copy_request *request)
{
	cJSON *json = json_object();
	cJSON *sources = json_array();

	for (size_t i = 0; i < request->source_count; i++)
		json_push(sources, source_json(&request->sources[i]));
	if (request->chain)
		json_set(json, "chain", layer_chain_json(request->chain));
	json_set_text(json, "destination", request->destination);
	json_set(json, "sources", sources);
	json_set_text(json, "owner", request->owner);
	json_set_text(json, "mode", request->mode);
	json_set_bool(json, "link", request->link);
	json_set_bool(json, "parents", request->parents);
	json_set_strv(json, "excludes", request->excludes);
	json_set_text(json, "lease", request->lease);
	json_set_i64(json, "epoch", request->epoch);
	return json;
}

/* Needs what only moss-image has? */
static bool is_add(const struct layer_copy_request *request)
{
	for (size_t i = 0; i < request->source_count; i++) {
		if (request->sources[i].kind == COPY_FROM_URL ||
		    request->sources[i].unpack)
			return true;
	}
	return false;
}

/* COPY is moss-layer's, which starts sooner. */
static int run(struct store *store, const char *copy, const char *add,
	       const struct layer_copy_request *request, cJSON **ret_result,
	       char ret_content[CONTENT_DIGITS + 1], struct error *err)
{
	cleanup_json cJSON *json = request_json(request);
	cleanup_json cJSON *result = NULL;
	const char *content = "";
	const struct transfer transfer = {
		.helper = is_add(request) ? "moss-image" : "moss-layer",
		.command = is_add(request) ? add : copy,
		.request = json,
		.input_fd = -1,
		.output_fd = -1,
		.progress_fd = request->progress_fd,
	};
	int r = transfer_run(store, &transfer, &result, err);

	if (r >= 0)
		r = json_get_string(result, "result", "content", &content, err);
	if (r < 0)
		return r;
	if (!digest_is_hex(content, strlen(content)))
		return err_set(err, ERROR_GENERIC,
			       "the helper returned no digest");
	strcpy(ret_content, content);
	*ret_result = steal_ptr(&result);
	return 0;
}

int image_layer_copy(struct store *store,
		     const struct layer_copy_request *request,
		     struct layer_ref *ret_layer, char ret_content[65],
		     struct error *err)
{
	cleanup_json cJSON *result = NULL;
	const cJSON *layer = NULL;
	char content[CONTENT_DIGITS + 1];
	int r = run(store, "layer-copy", "layer-add", request, &result, content,
		    err);

	if (r == 0)
		r = json_get_object(result, "result", "layer", &layer, err);
	if (r > 0)
		r = layer_ref_from_json(layer, "result", ret_layer, err);
	if (r < 0)
		return r;
	strcpy(ret_content, content);
	return layer ? 1 : 0;
}

int image_copy_digest(struct store *store,
		      const struct layer_copy_request *request,
		      char ret_content[65], struct error *err)
{
	cleanup_json cJSON *result = NULL;

	return run(store, "copy-digest", "add-digest", request, &result,
		   ret_content, err);
}

int image_fetch_context(struct store *store,
			const struct context_fetch_request *request,
			char **ret_path, char **ret_dockerfile,
			struct error *err)
{
	cleanup_json cJSON *json = json_object();
	cleanup_json cJSON *result = NULL;
	const struct transfer transfer = {
		.command = "context",
		.request = json,
		.input_fd = request->url ? -1 : request->input_fd,
		.output_fd = -1,
		.progress_fd = request->progress_fd,
	};
	const char *path = NULL, *dockerfile = NULL;
	int r;

	json_set_text(json, "url", request->url);
	json_set_text(json, "lease", request->lease);
	r = transfer_run(store, &transfer, &result, err);
	if (r == 0)
		r = json_get_string(result, "result", "directory", &path, err);
	if (r >= 0)
		r = json_get_string(result, "result", "dockerfile", &dockerfile,
				    err);
	if (r < 0)
		return r;
	if (!path && !dockerfile)
		return err_set(err, ERROR_GENERIC,
			       "moss-image returned no context");
	if (path)
		*ret_path = xstrdup(path);
	else
		*ret_dockerfile = xstrdup(dockerfile);
	return 0;
}
