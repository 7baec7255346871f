/* Images and registries, of core/engine/engine.h. */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "core/engine/engine.h"
#include "core/engine/settings.h"
#include "storage/registry/registries.h"
#include "storage/store/reference.h"
#include "storage/transfer_build.h"

/* docker.io's search and accounts are on a host of their own. */
#define DOCKER_INDEX_HOST "index.docker.io"

/* A request on its way to the helper. */
struct talk {
	struct conf conf;
	struct registry_endpoints endpoints;
	struct reference reference;
	char *full;
};

static void talk_release(struct talk *talk)
{
	conf_release(&talk->conf);
	registry_endpoints_release(&talk->endpoints);
	free(talk->full);
}

/* "docker.io/library/web": the name credentials are looked for under. */
static char *auth_name(const struct registry_endpoint *endpoint,
		       const char *repository)
{
	return xasprintf("%s/%s%s%s", endpoint->auth_key, endpoint->prefix,
			 endpoint->prefix[0] ? "/" : "", repository);
}

static int add_auths(struct registry_endpoints *endpoints,
		     const char *repository, const cJSON *auths,
		     struct error *err)
{
	for (size_t i = 0; auths && i < endpoints->count; i++) {
		struct registry_endpoint *endpoint = &endpoints->entries[i];
		cleanup_free char *name = auth_name(endpoint, repository);
		int r;

		r = registry_auth_from_json(
			cJSON_GetObjectItemCaseSensitive(auths, name),
			&endpoint->auth, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int talk_prepare(struct engine *engine, const char *name, bool for_push,
			const cJSON *auths, struct talk *talk,
			struct error *err)
{
	int r;

	r = reference_parse(name, &talk->reference, err);
	r = r < 0 ? r : settings_read(engine, &talk->conf, err);
	r = r < 0 ? r
		  : registries_endpoints(&talk->conf, engine->home,
					 talk->reference.registry, for_push,
					 &talk->endpoints, err);
	if (r < 0)
		return r;
	limits_from_conf(&talk->conf, &engine->store.limits);
	talk->full = reference_full(&talk->reference);
	return add_auths(&talk->endpoints, talk->reference.repository, auths,
			 err);
}

int engine_registry_names(struct engine *engine, const char *name,
			  bool for_push, char ***ret_names, struct error *err)
{
	CLEANUP(talk_release) struct talk talk = {0};
	int r;

	r = talk_prepare(engine, name, for_push, NULL, &talk, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < talk.endpoints.count; i++)
		strv_push_take(ret_names, auth_name(&talk.endpoints.entries[i],
						    talk.reference.repository));
	return 0;
}

int engine_image_pull(struct engine *engine,
		      const struct engine_pull_request *request,
		      cJSON **ret_result, struct error *err)
{
	CLEANUP(talk_release) struct talk talk = {0};
	struct pull_request pull = {
		.endpoints = &talk.endpoints,
		.platform = request->platform,
		.all_tags = request->all_tags,
		.progress_fd = request->progress_fd,
	};
	int r;

	r = talk_prepare(engine, request->name, false, request->auths, &talk,
			 err);
	if (r < 0)
		return r;
	pull.reference = talk.full;
	pull.concurrent = registries_downloads(&talk.conf);
	return image_pull(&engine->store, &pull, ret_result, err);
}

int engine_image_push(struct engine *engine,
		      const struct engine_pull_request *request,
		      cJSON **ret_result, struct error *err)
{
	CLEANUP(talk_release) struct talk talk = {0};
	struct push_request push = {
		.endpoints = &talk.endpoints,
		.platform = request->platform,
		.all_tags = request->all_tags,
		.manifest = request->manifest,
		.progress_fd = request->progress_fd,
	};
	int r;

	r = talk_prepare(engine, request->name, true, request->auths, &talk,
			 err);
	if (r < 0)
		return r;
	push.reference = talk.full;
	push.concurrent = registries_uploads(&talk.conf);
	return image_push(&engine->store, &push, ret_result, err);
}

/* The place as the helper is told of it; talk holds what it borrows. */
static int find_cache(struct engine *engine,
		      const struct engine_cache_place *place, struct talk *talk,
		      struct cache_place *ret_place, struct error *err)
{
	int r;

	if (!place->directory) {
		r = talk_prepare(engine, place->name, false, place->auths, talk,
				 err);
	} else {
		r = settings_read(engine, &talk->conf, err);
		if (r == 0)
			limits_from_conf(&talk->conf, &engine->store.limits);
	}
	if (r < 0)
		return r;
	*ret_place = (struct cache_place){
		.directory = place->directory,
		.endpoints = &talk->endpoints,
		.reference = talk->full,
	};
	return 0;
}

int engine_cache_read(struct engine *engine,
		      const struct engine_cache_place *place, cJSON **ret_cache,
		      struct error *err)
{
	CLEANUP(talk_release) struct talk talk = {0};
	struct cache_place where;
	int r = find_cache(engine, place, &talk, &where, err);

	return r < 0 ? r
		     : image_cache_read(&engine->store, &where, ret_cache, err);
}

int engine_cache_fetch(struct engine *engine,
		       const struct engine_cache_place *place,
		       const struct layer_ref *layer, const char *lease,
		       int progress_fd, struct error *err)
{
	CLEANUP(talk_release) struct talk talk = {0};
	struct cache_place where;
	int r = find_cache(engine, place, &talk, &where, err);

	return r < 0 ? r
		     : image_cache_fetch(&engine->store, &where, layer, lease,
					 progress_fd, err);
}

int engine_registry_login(struct engine *engine, const char *registry,
			  const cJSON *auth, char **ret_identity_token,
			  struct error *err)
{
	CLEANUP(talk_release) struct talk talk = {0};
	int r;

	r = settings_read(engine, &talk.conf, err);
	r = r < 0 ? r
		  : registries_endpoints(&talk.conf, engine->home, registry,
					 true, &talk.endpoints, err);
	r = r < 0 ? r
		  : registry_auth_from_json(
			    auth, &talk.endpoints.entries[0].auth, err);
	return r < 0 ? r
		     : registry_check_login(&engine->store, &talk.endpoints,
					    ret_identity_token, err);
}

/* docker's way to split a term: a part before the first "/" that can only be a
   host is one. */
static char *search_registry(const char *term, const char **ret_rest)
{
	size_t length = strcspn(term, "/");
	cleanup_free char *host = xstrndup(term, length);

	if (term[length] == '/' &&
	    (strpbrk(host, ".:") || str_equal(host, "localhost"))) {
		*ret_rest = term + length + 1;
		return steal_ptr(&host);
	}
	*ret_rest = term;
	return xstrdup(REGISTRY_DOCKER);
}

char *engine_search_name(const char *term)
{
	const char *rest;
	cleanup_free char *registry = search_registry(term, &rest);

	return xasprintf("%s/%s", registry, rest);
}

int engine_registry_search(struct engine *engine, const char *term,
			   size_t limit, const cJSON *auths, cJSON **ret_array,
			   struct error *err)
{
	CLEANUP(talk_release) struct talk talk = {0};
	const char *rest;
	cleanup_free char *registry = search_registry(term, &rest);
	int r;

	r = settings_read(engine, &talk.conf, err);
	r = r < 0 ? r
		  : registries_endpoints(&talk.conf, engine->home, registry,
					 true, &talk.endpoints, err);
	r = r < 0 ? r : add_auths(&talk.endpoints, rest, auths, err);
	if (r < 0)
		return r;
	if (str_equal(registry, REGISTRY_DOCKER)) {
		free(talk.endpoints.entries[0].host);
		talk.endpoints.entries[0].host = xstrdup(DOCKER_INDEX_HOST);
	}
	return registry_search(&engine->store, &talk.endpoints, rest, limit,
			       ret_array, err);
}

int engine_registry_manifest(struct engine *engine,
			     const struct engine_manifest_request *request,
			     cJSON **ret_json, struct error *err)
{
	CLEANUP(talk_release) struct talk talk = {0};
	struct registry_manifest_request manifest = {
		.endpoints = &talk.endpoints,
		.verbose = request->verbose,
	};
	int r;

	r = talk_prepare(engine, request->name, false, request->auths, &talk,
			 err);
	if (r < 0)
		return r;
	for (size_t i = 0; request->insecure && i < talk.endpoints.count; i++) {
		talk.endpoints.entries[i].insecure = true;
		if (talk.endpoints.entries[i].scheme == REGISTRY_HTTPS)
			talk.endpoints.entries[i].scheme = REGISTRY_AUTO;
	}
	manifest.reference = talk.full;
	return registry_manifest(&engine->store, &manifest, ret_json, err);
}
