#include "core/build/handover.h"

#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "core/engine/ocispec.h"

cJSON *handover_json(const struct engine *engine)
{
	const struct identity *identity = &engine->identity;
	cJSON *json = json_object();

	json_set_i64(json, "uid", identity->uid);
	json_set_i64(json, "gid", identity->gid);
	json_set_string(json, "user", identity->user);
	json_set_bool(json, "mapped", identity->mapped);
	json_set(json, "uids", ocispec_map_json(&identity->uids));
	json_set(json, "gids", ocispec_map_json(&identity->gids));
	json_set_string(json, "home", engine->home);
	return json;
}

static int read_identity(const cJSON *json, struct identity *ret_identity,
			 struct error *err)
{
	const cJSON *uids = NULL, *gids = NULL;
	const char *user = "";
	int64_t uid = 0, gid = 0;
	int r = json_get_i64(json, "engine", "uid", &uid, err);

	if (r >= 0)
		r = json_get_i64(json, "engine", "gid", &gid, err);
	if (r >= 0)
		r = json_get_string(json, "engine", "user", &user, err);
	if (r >= 0)
		r = json_get_bool(json, "engine", "mapped",
				  &ret_identity->mapped, err);
	if (r >= 0)
		r = json_get_array(json, "engine", "uids", &uids, err);
	if (r >= 0)
		r = json_get_array(json, "engine", "gids", &gids, err);
	if (r >= 0)
		r = ocispec_map_parse(uids, &ret_identity->uids, err);
	if (r >= 0)
		r = ocispec_map_parse(gids, &ret_identity->gids, err);
	ret_identity->uid = (uid_t)uid;
	ret_identity->gid = (gid_t)gid;
	snprintf(ret_identity->user, sizeof(ret_identity->user), "%s", user);
	return r < 0 ? r : 0;
}

int handover_open(const cJSON *request, int run_fd, struct engine *ret_engine,
		  struct error *err)
{
	const cJSON *json = NULL, *limits = NULL;
	struct identity identity = {0};
	struct engine_options options = {.run_fd = run_fd,
					 .identity = &identity};
	int r = json_get_object(request, "request", "engine", &json, err);

	if (r > 0)
		r = json_get_object(request, "request", "limits", &limits, err);
	if (r > 0)
		r = json_get_string(request, "request", "store",
				    &options.data_path, err);
	if (r == 0)
		return err_set(err, ERROR_INVALID,
			       "the request names no engine");
	if (r > 0)
		r = json_get_string(json, "engine", "home", &options.home, err);
	if (r >= 0)
		r = read_identity(json, &identity, err);
	if (r >= 0)
		r = engine_open(&options, ret_engine, err);
	if (r < 0)
		return r;
	r = limits_from_json(limits, &ret_engine->store.limits, err);
	if (r < 0)
		engine_close(ret_engine);
	return r;
}
