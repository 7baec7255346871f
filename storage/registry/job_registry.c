#include "storage/registry/job_registry.h"

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "storage/registry/registries.h"

#define CONCURRENT_MAX 32

int job_open_registry(struct job *job, bool push,
		      struct reference *ret_reference,
		      struct registry **ret_registry, struct error *err)
{
	CLEANUP(registry_endpoints_release)
	struct registry_endpoints endpoints = {0};
	const char *text = job_string(job, "reference");
	struct registry_options options = {
		.endpoints = &endpoints,
		.repository = ret_reference->repository,
		.push = push,
		.cancelled = &job->cancelled,
	};
	int r;

	if (!text)
		return err_set(err, ERROR_INVALID,
			       "the request has no reference");
	r = reference_parse(text, ret_reference, err);
	if (r == 0)
		r = registry_endpoints_from_json(
			cJSON_GetObjectItemCaseSensitive(job->request,
							 "endpoints"),
			&endpoints, err);
	if (r < 0)
		return r;
	if (*ret_reference->digest)
		*ret_reference->tag = '\0';
	return registry_new(&options, ret_registry, err);
}

int job_open_host(struct job *job, bool offline, struct registry **ret_registry,
		  struct error *err)
{
	CLEANUP(registry_endpoints_release)
	struct registry_endpoints endpoints = {0};
	struct registry_options options = {
		.endpoints = &endpoints,
		.repository = "",
		.offline = offline,
		.cancelled = &job->cancelled,
	};
	int r;

	r = registry_endpoints_from_json(
		cJSON_GetObjectItemCaseSensitive(job->request, "endpoints"),
		&endpoints, err);
	return r < 0 ? r : registry_new(&options, ret_registry, err);
}

unsigned int job_concurrent(const struct job *job, unsigned int usual)
{
	int64_t count = 0;

	json_get_i64(job->request, "", "maxConcurrent", &count, NULL);
	if (count <= 0)
		return usual;
	return count < CONCURRENT_MAX ? (unsigned int)count : CONCURRENT_MAX;
}

bool job_flag(const struct job *job, const char *key)
{
	bool value = false;

	json_get_bool(job->request, "", key, &value, NULL);
	return value;
}
