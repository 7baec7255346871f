/* Volumes as objects: core/engine/engine.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "core/engine/container.h"
#include "core/engine/members.h"
#include "core/engine/mounts.h"
#include "storage/root/volume.h"

/* clang-format off */
static const struct member create_members[] = {
	{"Name", MEMBER_STRING, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"Driver", MEMBER_STRING, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"DriverOpts", MEMBER_MAP, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"Labels", MEMBER_MAP, MEMBER_USED, MEMBER_OMIT, NULL, NULL},
	{"ClusterVolumeSpec", MEMBER_OBJECT, MEMBER_REFUSED, MEMBER_OMIT, NULL, NULL},
};
/* clang-format on */

static cJSON *volume_json(const struct volume *volume)
{
	cJSON *json = json_object();

	json_set_string(json, "CreatedAt", volume->created);
	json_set_string(json, "Driver", "local");
	json_set(json, "Labels",
		 volume->labels ? cJSON_Duplicate(volume->labels, true) : NULL);
	json_set_string(json, "Mountpoint", volume->path);
	json_set_string(json, "Name", volume->name);
	json_set(json, "Options",
		 volume->options ? cJSON_Duplicate(volume->options, true)
				 : NULL);
	json_set_string(json, "Scope", "local");
	return json;
}

int engine_volume_list(struct engine *engine, cJSON **ret_json,
		       struct error *err)
{
	cleanup_strv char **names = NULL;
	cJSON *array;
	int r;

	r = volume_list(&engine->store, &names, err);
	if (r < 0)
		return r;
	array = json_array();
	for (size_t i = 0; names && names[i]; i++) {
		struct volume volume = {0};

		/* Removed since. */
		if (volume_find(&engine->store, names[i], &volume, NULL) < 0)
			continue;
		json_push(array, volume_json(&volume));
		volume_release(&volume);
	}
	*ret_json = json_object();
	json_set(*ret_json, "Volumes", array);
	json_set(*ret_json, "Warnings", NULL);
	return 0;
}

int engine_volume_create(struct engine *engine, const cJSON *body,
			 cJSON **ret_json, struct error *err)
{
	const char *name = member_string(body, "Name");
	const char *driver = member_string(body, "Driver");
	struct volume volume = {0};
	bool created;
	int r;

	r = members_check(body, "", create_members, ARRAY_SIZE(create_members),
			  true, err);
	if (r < 0)
		return r;
	if (*driver && !str_equal(driver, "local"))
		return err_set(err, ERROR_NOT_FOUND,
			       "volume driver %s: there is only local", driver);
	if (*name) {
		r = volume_name_check(name, err);
		if (r < 0)
			return r;
	}
	r = volume_ensure(
		&engine->store, *name ? name : NULL, member_get(body, "Labels"),
		member_get(body, "DriverOpts"), &volume, &created, err);
	if (r < 0)
		return r;
	*ret_json = volume_json(&volume);
	volume_release(&volume);
	return 0;
}

int engine_volume_inspect(struct engine *engine, const char *name,
			  cJSON **ret_json, struct error *err)
{
	struct volume volume = {0};
	int r;

	r = volume_find(&engine->store, name, &volume, err);
	if (r < 0)
		return r;
	*ret_json = volume_json(&volume);
	volume_release(&volume);
	return 0;
}

struct users {
	const char *volume;
	char **ids;
};

static int add_user(const struct container *container, void *data,
		    struct error *err)
{
	struct users *users = data;
	const cJSON *mount;

	cJSON_ArrayForEach(mount, member_get(container->json, "Mounts"))
	{
		if (str_equal(member_string(mount, "Type"), "volume") &&
		    str_equal(member_string(mount, "Name"), users->volume)) {
			strv_push(&users->ids, container->record.id);
			break;
		}
	}
	return 0;
}

int engine_volume_remove(struct engine *engine, const char *name, bool force,
			 struct error *err)
{
	cleanup_strv char **ids = NULL;
	cleanup_free char *list = NULL;
	cleanup_fd int lock_fd = -1;
	struct users users = {.volume = name};
	struct error problem = {0};
	int r;

	/* A container being made holds it shared until its record is there. */
	lock_fd = store_lock(&engine->store, LOCK_EXCLUSIVE, err);
	if (lock_fd < 0)
		return lock_fd;
	r = container_for_each(engine, add_user, &users, err);
	ids = users.ids;
	if (r < 0)
		return r;
	if (ids) {
		list = strv_join(ids, ", ");
		return err_set(err, ERROR_CONFLICT,
			       "remove %s: volume is in use - [%s]", name,
			       list);
	}
	r = volume_remove(&engine->store, name, &problem);
	/* force: one that is not there is fine, as in docker. */
	if (r == -ENOENT && force)
		return 0;
	return r < 0 ? err_copy(err, &problem) : 0;
}
