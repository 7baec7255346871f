/* User namespace and user of a new container: core/engine/creation.h. */
#include "core/engine/creation.h"

#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "core/engine/members.h"
#include "core/engine/ocispec.h"

struct taken {
	struct id_extent *extents;
	size_t count;
};

static int add_taken(const struct container *container, void *data,
		     struct error *err)
{
	const cJSON *engine = member_get(container->json, "Engine");
	struct taken *taken = data;
	struct id_map map;

	if (!member_bool(engine, "UsernsAuto") ||
	    ocispec_map_parse(member_get(engine, "Uids"), &map, NULL) < 0)
		return 0;
	taken->extents = xrealloc(taken->extents, taken->count + map.count,
				  sizeof(*taken->extents));
	memcpy(taken->extents + taken->count, map.extents,
	       map.count * sizeof(*map.extents));
	taken->count += map.count;
	return 0;
}

/* Who keeps his ID means to use it, where neither he nor the image says. */
static void keep_user(struct creation *creation)
{
	cleanup_free char *user = NULL;
	uint32_t uid, gid;

	if (*member_string(creation->config, "User") ||
	    idmap_to_inside(&creation->uids, 0, &uid) < 0 ||
	    idmap_to_inside(&creation->gids, 0, &gid) < 0)
		return;
	user = xasprintf("%u:%u", uid, gid);
	json_set_string(creation->config, "User", user);
}

int creation_userns(struct creation *creation, struct error *err)
{
	const char *mode = member_string(creation->host, "UsernsMode");
	cleanup_free struct id_extent *extents = NULL;
	struct taken taken = {0};
	struct userns_mode_request request = {
		.text = mode,
		.identity = &creation->engine->identity,
	};
	struct id_map uids, gids;
	bool shifted = false;
	int r;

	creation->userns_auto =
		str_equal(mode, "auto") || str_starts(mode, "auto:");
	if (creation->userns_auto) {
		r = container_for_each(creation->engine, add_taken, &taken,
				       err);
		extents = taken.extents;
		if (r < 0)
			return r;
		request.taken = taken.extents;
		request.taken_count = taken.count;
	}
	r = userns_mode_resolve(&request, &uids, &gids, &shifted, err);
	if (r < 0)
		return r;
	if (!creation->userns_joined) {
		creation->uids = uids;
		creation->gids = gids;
		creation->shifted = shifted;
		if (str_starts(mode, "keep-id"))
			keep_user(creation);
		return 0;
	}
	/* Joined: shifted when the other's map is not the plain one. */
	creation->shifted = creation->uids.count != uids.count ||
			    memcmp(creation->uids.extents, uids.extents,
				   uids.count * sizeof(*uids.extents)) != 0;
	return 0;
}

static int check_id(const struct creation *creation, const char *text,
		    const struct id_map *map, const char *what,
		    struct error *err)
{
	uint32_t outside;
	uint64_t id;

	if (parse_u64(text, &id) < 0 ||
	    idmap_to_outside(map, (uint32_t)id, &outside) == 0)
		return 0;
	err_set(err, ERROR_INVALID, "%s %s is not mapped in the container",
		what, text);
	if (!creation->engine->identity.mapped)
		return err_hint(err, "without ranges in /etc/subuid and "
				     "/etc/subgid only root (0) exists in a "
				     "container");
	return err_hint(err, "have larger ranges in /etc/subuid and "
			     "/etc/subgid, or another --userns");
}

int creation_check_user(const struct creation *creation, struct error *err)
{
	const char *user = member_string(creation->config, "User");
	size_t length = strcspn(user, ":");
	cleanup_free char *name = xstrndup(user, length);
	const char *group = user[length] ? user + length + 1 : "";
	const cJSON *item;
	int r;

	r = check_id(creation, name, &creation->uids, "user", err);
	if (r < 0)
		return r;
	r = check_id(creation, group, &creation->gids, "group", err);
	if (r < 0)
		return r;
	cJSON_ArrayForEach(item, member_get(creation->host, "GroupAdd"))
	{
		r = check_id(creation, item_string(item), &creation->gids,
			     "group", err);
		if (r < 0)
			return r;
	}
	return 0;
}
