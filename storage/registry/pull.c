#include "storage/registry/pull.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "storage/registry/http.h"
#include "storage/registry/job_registry.h"
#include "storage/store/collect.h"
#include "storage/store/index.h"

/*
 * Layers of an image that turned out to be bad are in the store, for they were
 * whole, and nobody will ask for them again.
 */
static void discard(struct job *job)
{
	CLEANUP(store_work_release)
	struct store_work work = {.fd = -1, .lock_fd = -1};
	cleanup_fd int lock_fd = -1;
	cleanup_json cJSON *index = NULL;

	if (store_work_new(&job->store, &work, NULL) < 0)
		return;
	lock_fd = store_lock(&job->store, LOCK_EXCLUSIVE, NULL);
	if (lock_fd >= 0 && index_read(&job->store, &index, NULL) == 0)
		(void)collect(&job->store, index, &work, NULL, NULL);
}

static bool is_bad_data(const struct error *error)
{
	return error->kind == ERROR_CORRUPT || error->kind == ERROR_INVALID;
}

static cJSON *result_json(const struct reference *reference,
			  const struct pull_result *result)
{
	cleanup_free char *familiar = reference_familiar(reference);
	cJSON *json = json_object();

	json_set_string(json, "id", result->id);
	json_set_string(json, "digest", result->digest);
	json_set_string(json, "reference", familiar);
	json_set_bool(json, "upToDate", result->up_to_date);
	return json;
}

static void say_status(struct job *job, const char *name, bool up_to_date)
{
	job_status(job, NULL,
		   up_to_date ? "Status: Image is up to date for %s"
			      : "Status: Downloaded newer image for %s",
		   name);
}

static int pull_single(struct pull *pull, const struct reference *reference,
		       struct error *err)
{
	cleanup_free char *familiar = reference_familiar(reference);
	cleanup_json cJSON *json = NULL;
	struct pull_result result = {0};
	cJSON *item;
	int r = pull_one(pull, reference, &result, err);

	if (r < 0)
		return r;
	say_status(pull->job, familiar, result.up_to_date);
	json = result_json(reference, &result);
	while ((item = cJSON_DetachItemFromArray(json, 0)))
		cJSON_AddItemToObject(pull->job->result, item->string, item);
	return 0;
}

/* Beside images, repositories have tags of signatures and the like. */
static bool is_no_image(const struct error *error)
{
	return error->kind == ERROR_UNSUPPORTED;
}

static int pull_tags(struct pull *pull, const struct reference *reference,
		     char *const *tags, struct error *err)
{
	cleanup_free char *name = reference_familiar_name(reference);
	cJSON *pulled = json_array();
	bool up_to_date = true;

	json_set(pull->job->result, "pulled", pulled);
	for (size_t i = 0; tags && tags[i]; i++) {
		cleanup_free char *text =
			xasprintf("%s/%s:%s", reference->registry,
				  reference->repository, tags[i]);
		struct error error = {0};
		struct pull_result result = {0};
		struct reference tagged;
		int r = reference_parse(text, &tagged, err);

		if (r < 0)
			return err_wrap(err, "tag \"%.128s\"", tags[i]);
		r = pull_one(pull, &tagged, &result, &error);
		if (r < 0 && is_no_image(&error)) {
			job_note(pull->job, "tag %s was left out: %s", tags[i],
				 error.message);
			continue;
		}
		if (r < 0)
			return err_copy(err, &error);
		json_push(pulled, result_json(&tagged, &result));
		up_to_date = up_to_date && result.up_to_date;
	}
	say_status(pull->job, name, up_to_date);
	return 0;
}

static int no_list(const struct reference *reference, int number,
		   struct error *err)
{
	cleanup_free char *name = reference_familiar_name(reference);

	if (number == -ENOENT)
		return err_wrap(err, "repository %s not found", name);
	return err_wrap(err, "cannot list the tags of %s", name);
}

static int pull_all(struct pull *pull, const struct reference *reference,
		    struct error *err)
{
	cleanup_strv char **tags = NULL;
	int r = registry_list_tags(pull->registry, &tags, err);

	if (r < 0)
		return no_list(reference, r, err);
	return pull_tags(pull, reference, tags, err);
}

int pull_run(struct job *job, struct error *err)
{
	cleanup_registry struct registry *registry = NULL;
	struct pull pull = {
		.job = job,
		.concurrent = job_concurrent(job, PULL_PARALLEL),
	};
	struct error error = {0};
	struct reference reference;
	int r;

	r = job_platform(job, &pull.platform, &pull.platform_given, err);
	if (r == 0)
		r = job_open_registry(job, false, &reference, &registry, err);
	if (r < 0)
		return r;
	pull.registry = registry;
	r = job_flag(job, "allTags") ? pull_all(&pull, &reference, &error)
				     : pull_single(&pull, &reference, &error);
	if (r == 0)
		return 0;
	if (is_bad_data(&error))
		discard(job);
	else if (http_failure_is_transient(r) && !*error.hint)
		err_hint(&error, "try again: layers that are complete are "
				 "kept");
	return err_copy(err, &error);
}
