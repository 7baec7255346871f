#include "core/build/named_contexts.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "core/build/builder.h"
#include "core/build/pull_progress.h"
#include "core/build/remote.h"
#include "storage/store/blob.h"
#include "storage/store/layer.h"
#include "storage/store/reference.h"
#include "storage/transfer_build.h"

/* "busybox:latest" of what an image may be called; NULL: it is no name of one.
   Caller frees. */
static char *familiar(const char *name)
{
	struct reference reference;

	return reference_parse(name, &reference, NULL) < 0
		       ? NULL
		       : reference_familiar(&reference);
}

static const cJSON *find(const cJSON *contexts, const char *name)
{
	cleanup_free char *wanted = familiar(name);
	const cJSON *item;

	/* Never anything else. */
	if (strcasecmp(name, "scratch") == 0)
		return NULL;
	cJSON_ArrayForEach(item, contexts)
	{
		cleanup_free char *has = NULL;

		if (!cJSON_IsString(item))
			continue;
		if (strcasecmp(item->string, name) == 0)
			return item;
		has = familiar(item->string);
		if (wanted && has && str_equal(wanted, has))
			return item;
	}
	return NULL;
}

const char *named_context_find(const cJSON *contexts, const char *name)
{
	const cJSON *item = find(contexts, name);

	return item ? item->valuestring : NULL;
}

enum named_kind named_context_kind(const char *value)
{
	if (str_equal(value, NAMED_IMAGE_PREFIX "scratch"))
		return NAMED_NOTHING;
	if (str_starts(value, NAMED_IMAGE_PREFIX) ||
	    str_starts(value, NAMED_LAYOUT_PREFIX))
		return NAMED_IMAGE;
	return NAMED_DIRECTORY;
}

/* ---- URLs ---- */

static int fetch(struct builder *builder, const char *url, unsigned int vertex,
		 char **ret_path, struct error *err)
{
	struct remote_request request = {
		.store = &builder->engine->store,
		.work = &builder->work,
		.input_fd = -1,
	};
	cleanup_json cJSON *context = json_object();
	cleanup_free char *dockerfile = NULL;
	struct pull_progress progress;
	int r;

	json_set_string(context, "type", remote_is_git(url) ? "git" : "url");
	json_set_string(context, "url", url);
	pull_progress_open(&builder->report, vertex, &progress);
	request.progress_fd = progress.fd;
	r = remote_context(&request, context, ret_path, &dockerfile, err);
	pull_progress_close(&progress);
	if (r == 0 && !*ret_path)
		return err_set(err, ERROR_INVALID,
			       "what is at %.200s is no archive", url);
	return r;
}

int named_context_fetch(struct builder *builder, const char *name,
			struct error *err)
{
	const cJSON *item = find(builder->contexts, name);
	cleanup_free char *title = NULL;
	cleanup_free char *path = NULL;
	cleanup_free char *key = NULL;
	unsigned int vertex;
	int r;

	if (!item || *item->valuestring == '/' ||
	    named_context_kind(item->valuestring) != NAMED_DIRECTORY)
		return 0;
	vertex = ++builder->last_vertex;
	title = xasprintf("[context %s] load from URL", name);
	report_vertex(&builder->report, vertex, "internal", title);
	report_started(&builder->report, vertex);
	r = fetch(builder, item->valuestring, vertex, &path, err);
	key = xstrdup(item->string);
	if (r == 0)
		json_set_string(builder->contexts, key, path);
	report_completed(&builder->report, vertex, r < 0 ? err : NULL);
	return r;
}

/* ---- layouts ---- */

static bool is_there(const struct builder *builder,
		     const struct layer_ref *layer, struct error *err)
{
	const struct store *store = &builder->engine->store;

	/* Leased before it is asked for, so that it stays. */
	return store_work_lease(&builder->work, digest_hex(layer->diff_id),
				err) == 0 &&
	       store_work_lease(&builder->work, digest_hex(layer->blob.digest),
				err) == 0 &&
	       layer_exists(store, layer->diff_id) &&
	       blob_exists(store, layer->blob.digest);
}

static int fetch_layers(const struct builder *builder, const char *directory,
			const struct layer_chain *chain, unsigned int vertex,
			struct error *err)
{
	const struct engine_cache_place place = {.directory = directory};
	struct pull_progress progress;
	int r = 0;

	pull_progress_open(&builder->report, vertex, &progress);
	for (size_t i = 0; r == 0 && i < chain->count; i++) {
		if (!is_there(builder, &chain->layers[i], NULL))
			r = engine_cache_fetch(
				builder->engine, &place, &chain->layers[i],
				builder->work.name, progress.fd, err);
	}
	pull_progress_close(&progress);
	return r;
}

/* "DIRECTORY[:TAG][@DIGEST]"; text is cut. */
static struct layout_image parse_layout(char *text)
{
	struct layout_image image = {.directory = text};
	char *at = strrchr(text, '@');
	char *name = strrchr(text, '/');
	char *colon;

	if (at && at > name) {
		*at = '\0';
		image.digest = at + 1;
	}
	colon = strchr(name ? name : text, ':');
	if (colon) {
		*colon = '\0';
		image.tag = colon + 1;
	}
	return image;
}

int named_context_load(const struct builder *builder, const char *value,
		       const char *platform, unsigned int vertex,
		       struct builder_image *ret_image, struct error *err)
{
	cleanup_free char *text = xstrdup(value + strlen(NAMED_LAYOUT_PREFIX));
	struct layout_image image = parse_layout(text);
	cleanup_json cJSON *answer = NULL;
	int r;

	image.platform = platform;
	r = image_layout_read(&builder->engine->store, &image, &answer, err);
	if (r == 0)
		r = layer_chain_from_json(json_member(answer, "layers"),
					  "layers", &ret_image->chain, err);
	if (r == 0)
		r = fetch_layers(builder, image.directory, &ret_image->chain,
				 vertex, err);
	if (r == 0)
		ret_image->config = cJSON_DetachItemFromObjectCaseSensitive(
			answer, "config");
	return r;
}
