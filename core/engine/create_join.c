/* Other containers that a new one names: core/engine/creation.h. */
#include "core/engine/creation.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "core/engine/hostconfig.h"
#include "core/engine/members.h"
#include "core/engine/ocispec.h"

static bool same_map(const struct id_map *a, const struct id_map *b)
{
	bool same = a->count == b->count;

	for (size_t i = 0; same && i < a->count; i++)
		same = a->extents[i].inside == b->extents[i].inside &&
		       a->extents[i].outside == b->extents[i].outside &&
		       a->extents[i].count == b->extents[i].count;
	return same;
}

/* The joined container's IDs are this one's, too. */
static int take_maps(struct creation *creation, const struct container *target,
		     struct error *err)
{
	const cJSON *engine = member_get(target->json, "Engine");
	struct id_map uids, gids;
	int r;

	r = ocispec_map_parse(member_get(engine, "Uids"), &uids, err);
	if (r < 0)
		return r;
	r = ocispec_map_parse(member_get(engine, "Gids"), &gids, err);
	if (r < 0)
		return r;
	if (creation->userns_joined && (!same_map(&uids, &creation->uids) ||
					!same_map(&gids, &creation->gids)))
		return err_set(err, ERROR_INVALID,
			       "cannot join containers that have different "
			       "user ID maps");
	creation->uids = uids;
	creation->gids = gids;
	creation->userns_joined = true;
	return 0;
}

static int check_shareable(const char *member, const struct container *target,
			   struct error *err)
{
	const cJSON *host = member_get(target->json, "HostConfig");
	const char *mode = member_string(host, member);

	if (!str_equal(member, "IpcMode") || str_equal(mode, "shareable"))
		return 0;
	return err_set(err, ERROR_INVALID,
		       "container %s: non-shareable IPC (hint: use "
		       "IpcMode:shareable for the donor container)",
		       target->record.id);
}

static void take_hostname(struct creation *creation,
			  const struct container *target)
{
	static const char *const names[] = {"Hostname", "Domainname"};
	const cJSON *config = member_get(target->json, "Config");

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		json_set_string(creation->config, names[i],
				member_string(config, names[i]));
}

static int join_one(struct creation *creation, const char *member,
		    struct error *err)
{
	CLEANUP(container_close) struct container target = CONTAINER_INIT;
	const char *name;
	cleanup_free char *mode = NULL;
	int r;

	name = mode_container(member_string(creation->host, member));
	if (!name)
		return 0;
	r = container_open(creation->engine, name, &target, err);
	if (r < 0)
		return r;
	r = check_shareable(member, &target, err);
	if (r < 0)
		return r;
	r = take_maps(creation, &target, err);
	if (r < 0)
		return r;
	if (str_equal(member, "NetworkMode"))
		take_hostname(creation, &target);
	/* The name may change hands later. */
	mode = xasprintf("container:%s", target.record.id);
	json_set_string(creation->host, member, mode);
	return 0;
}

int creation_join(struct creation *creation, struct error *err)
{
	static const char *const members[] = {"NetworkMode", "IpcMode",
					      "PidMode"};

	for (size_t i = 0; i < ARRAY_SIZE(members); i++) {
		int r = join_one(creation, members[i], err);

		if (r < 0)
			return r;
	}
	if (creation->userns_joined &&
	    *member_string(creation->host, "UsernsMode"))
		return err_set(err, ERROR_INVALID,
			       "conflicting options: --userns and a namespace "
			       "of another container");
	return 0;
}

static int volumes_of(struct creation *creation, const char *text,
		      struct error *err)
{
	CLEANUP(container_close) struct container target = CONTAINER_INIT;
	CLEANUP(mount_list_release) struct mount_list list = {0};
	cleanup_free char *name = NULL;
	bool read_only = false;
	int r;

	r = mount_parse_volumes_from(text, &name, &read_only, err);
	if (r < 0)
		return r;
	r = container_open(creation->engine, name, &target, err);
	if (r < 0)
		return r;
	r = mounts_parse_json(
		member_get(member_get(target.json, "Engine"), "Mounts"), &list,
		err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < list.count; i++) {
		struct mount_point *point = &list.entries[i];

		if (!point->listed)
			continue;
		/* It was filled for the other; the last one removes it. */
		point->copy = false;
		point->read_only = point->read_only || read_only;
		r = mount_list_add(&creation->mounts, point, err);
		if (r < 0)
			return r;
	}
	return 0;
}

int creation_volumes_from(struct creation *creation, struct error *err)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, member_get(creation->host, "VolumesFrom"))
	{
		int r = volumes_of(creation, item_string(item), err);

		if (r < 0)
			return r;
	}
	return 0;
}
