#include "core/build/named_contexts.h"

#include <stdlib.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "core/build/builder.h"
#include "core/build/pull_progress.h"
#include "core/build/remote.h"
#include "storage/store/reference.h"

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
