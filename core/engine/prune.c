/*
 * Removal of what nobody needs: core/engine/engine.h. Candidates are chosen
 * without a lock and removed as by hand, so that one which somebody takes into
 * use in between is refused, which is no failure; one that cannot be removed
 * for another reason does not keep the others.
 */
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "core/engine/container.h"
#include "core/engine/members.h"
#include "core/engine/network_store.h"
#include "storage/root/volume.h"
#include "storage/store/image_event.h"

static bool has_label(const cJSON *labels, const char *wanted)
{
	const char *equals = strchr(wanted, '=');
	cleanup_free char *key = NULL;
	const cJSON *label;

	key = equals ? xstrndup(wanted, (size_t)(equals - wanted))
		     : xstrdup(wanted);
	label = member_get(labels, key);
	return label && (!equals || str_equal(item_string(label), equals + 1));
}

static bool has_all_labels(const cJSON *labels, char *const *wanted)
{
	for (size_t i = 0; wanted && wanted[i]; i++)
		if (!has_label(labels, wanted[i]))
			return false;
	return true;
}

static bool passes(const struct engine_prune *prune, const cJSON *labels,
		   bool has_time, int64_t created)
{
	char *const *others = prune->other_labels;

	if (prune->has_until && (!has_time || created >= prune->until))
		return false;
	if (others && others[0] && has_all_labels(labels, others))
		return false;
	return has_all_labels(labels, prune->labels);
}

/* What was done so far. */
struct outcome {
	cJSON *deleted;
	cJSON *errors;
	int64_t bytes;
};

/* Of one object; bytes are gained where it went. */
static void note(struct outcome *outcome, const char *name, int64_t bytes,
		 int r, const struct error *err)
{
	if (r >= 0) {
		json_push_string(outcome->deleted, name);
		outcome->bytes += bytes;
	} else if (err->kind != ERROR_NOT_FOUND &&
		   err->kind != ERROR_CONFLICT) {
		json_push_string(outcome->errors, err->message);
	}
}

static cJSON *outcome_json(struct outcome *outcome, const char *member)
{
	cJSON *json = json_object();
	cJSON *moss = json_object();

	json_set(json, member, outcome->deleted);
	json_set_i64(json, "SpaceReclaimed", outcome->bytes);
	json_set(moss, "Errors", outcome->errors);
	json_set(json, "Moss", moss);
	return json;
}

static bool has_ended(const cJSON *container)
{
	const char *state = member_string(container, "State");

	return str_equal(state, "created") || str_equal(state, "exited") ||
	       str_equal(state, "dead");
}

static int64_t written_bytes(struct engine *engine, const char *id)
{
	CLEANUP(container_close) struct container container = CONTAINER_INIT;
	uint64_t bytes = 0;

	if (container_open(engine, id, &container, NULL) < 0)
		return 0;
	(void)tree_size_at(container.record.directory_fd, "upper", &bytes,
			   NULL);
	return (int64_t)bytes;
}

int engine_container_prune(struct engine *engine,
			   const struct engine_prune *prune, cJSON **ret_json,
			   struct error *err)
{
	struct outcome outcome = {0};
	cleanup_json cJSON *list = NULL;
	const cJSON *container;
	int r;

	r = engine_container_list(engine, CONTAINER_LIST_ALL, &list, err);
	if (r < 0)
		return r;
	outcome.deleted = json_array();
	outcome.errors = json_array();
	cJSON_ArrayForEach(container, list)
	{
		const char *id = member_string(container, "Id");
		struct error problem = {0};
		int64_t bytes;

		if (!has_ended(container) ||
		    !passes(prune, member_get(container, "Labels"), true,
			    member_i64(container, "Created")))
			continue;
		bytes = written_bytes(engine, id);
		r = engine_container_remove(engine, id, false, false, &problem);
		note(&outcome, id, bytes, r, &problem);
	}
	event_write_prune(&engine->store, EVENT_CONTAINER, outcome.bytes);
	*ret_json = outcome_json(&outcome, "ContainersDeleted");
	return 0;
}

static bool volume_passes(const struct engine_prune *prune,
			  const struct volume *volume)
{
	struct timespec created;
	bool has_time = parse_time(volume->created, &created) == 0;

	return (prune->all || volume->anonymous) &&
	       passes(prune, volume->labels, has_time,
		      has_time ? created.tv_sec : 0);
}

static void prune_volume(struct engine *engine, const char *name,
			 const struct engine_prune *prune,
			 struct outcome *outcome)
{
	CLEANUP(volume_release) struct volume volume = {0};
	struct error problem = {0};
	uint64_t bytes = 0;
	int r;

	/* Removed since, or not one. */
	if (volume_find(&engine->store, name, &volume, NULL) < 0 ||
	    !volume_passes(prune, &volume))
		return;
	(void)tree_size_at(engine->store.volumes_fd, name, &bytes, NULL);
	r = engine_volume_remove(engine, name, false, &problem);
	note(outcome, name, (int64_t)bytes, r, &problem);
}

static int add_volumes(const struct container *container, void *data,
		       struct error *err)
{
	char ***names = data;
	const cJSON *mount;

	cJSON_ArrayForEach(mount, member_get(container->json, "Mounts"))
	{
		if (str_equal(member_string(mount, "Type"), "volume"))
			strv_push(names, member_string(mount, "Name"));
	}
	return 0;
}

int engine_volume_prune(struct engine *engine, const struct engine_prune *prune,
			cJSON **ret_json, struct error *err)
{
	struct outcome outcome = {0};
	cleanup_strv char **names = NULL;
	cleanup_strv char **used = NULL;
	int r;

	r = volume_list(&engine->store, &names, err);
	/* Removing one looks at all containers again: only for a few. */
	r = r < 0 ? r : container_for_each(engine, add_volumes, &used, err);
	if (r < 0)
		return r;
	outcome.deleted = json_array();
	outcome.errors = json_array();
	for (size_t i = 0; names && names[i]; i++)
		if (!strv_contains(used, names[i]))
			prune_volume(engine, names[i], prune, &outcome);
	event_write_prune(&engine->store, EVENT_VOLUME, outcome.bytes);
	*ret_json = outcome_json(&outcome, "VolumesDeleted");
	return 0;
}

static int add_networks(const struct container *container, void *data,
			struct error *err)
{
	const cJSON *moss = member_get(container->json, "Moss");
	char ***names = data;
	const cJSON *network;

	cJSON_ArrayForEach(network, member_get(moss, "Networks"))
	{
		strv_push(names, member_string(network, "Name"));
	}
	return 0;
}

static void prune_network(struct engine *engine, const char *name,
			  const struct engine_prune *prune,
			  struct outcome *outcome)
{
	CLEANUP(network_record_release) struct network_record record = {0};
	struct error problem = {0};
	struct timespec created = {0};
	bool has_time;
	int r;

	if (network_find(&engine->store, name, &record, NULL) < 0)
		return;
	has_time = parse_time(member_string(record.json, "Created"),
			      &created) == 0;
	if (!passes(prune, member_get(record.json, "Labels"), has_time,
		    created.tv_sec))
		return;
	r = engine_network_remove(engine, name, &problem);
	note(outcome, name, 0, r, &problem);
}

int engine_network_prune(struct engine *engine,
			 const struct engine_prune *prune, cJSON **ret_json,
			 struct error *err)
{
	struct outcome outcome = {0};
	cleanup_strv char **names = NULL;
	cleanup_strv char **used = NULL;
	int r = network_names(&engine->store, &names, err);

	r = r < 0 ? r : container_for_each(engine, add_networks, &used, err);
	if (r < 0)
		return r;
	outcome.deleted = json_array();
	outcome.errors = json_array();
	for (size_t i = 0; names && names[i]; i++)
		if (!strv_contains(used, names[i]))
			prune_network(engine, names[i], prune, &outcome);
	event_write_prune(&engine->store, EVENT_NETWORK, 0);
	*ret_json = outcome_json(&outcome, "NetworksDeleted");
	return 0;
}

static bool wants_image(const struct image *image, void *data)
{
	const struct engine_prune *prune = data;
	const cJSON *config = member_get(image->config, "config");
	struct timespec created = {0};
	bool has_time = parse_time(image->created, &created) == 0;

	return passes(prune, member_get(config, "Labels"), has_time,
		      created.tv_sec);
}

/* "Untagged: web:1" → {"Untagged": "web:1"} */
static void push_line(cJSON *array, const char *line)
{
	const char *colon = strchr(line, ':');
	cleanup_free char *key = NULL;
	cJSON *item = json_object();

	key = xstrndup(line, (size_t)(colon - line));
	json_set_string(item, key, colon + 2);
	json_push(array, item);
}

int engine_image_prune(struct engine *engine, const struct engine_prune *prune,
		       cJSON **ret_json, struct error *err)
{
	CLEANUP(image_users_release)
	struct image_users users = {.engine = engine};
	struct engine_prune wanted = *prune;
	const struct image_prune request = {
		.all = prune->all,
		.wanted = wants_image,
		.data = &wanted,
	};
	struct outcome outcome = {0};
	struct image_pruned pruned = {0};
	cleanup_strv char **report = NULL;
	int r;

	r = image_prune(&engine->store, &request, image_users_find, &users,
			&pruned, err);
	if (r < 0)
		return r;
	report = pruned.report;
	outcome.deleted = json_array();
	outcome.errors = json_array();
	outcome.bytes = (int64_t)pruned.bytes;
	for (size_t i = 0; report && report[i]; i++)
		push_line(outcome.deleted, report[i]);
	if (pruned.content_kept)
		json_push_string(outcome.errors,
				 "an image of the store cannot be read: no "
				 "blobs and layers are removed until it is "
				 "repaired or removed (moss system check)");
	event_write_prune(&engine->store, EVENT_IMAGE, outcome.bytes);
	*ret_json = outcome_json(&outcome, "ImagesDeleted");
	return 0;
}
