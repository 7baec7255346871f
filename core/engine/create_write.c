/* The record of a new container: core/engine/creation.h. */
#include "core/engine/creation.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "core/engine/config.h"
#include "core/engine/members.h"
#include "core/engine/ocispec.h"
#include "core/engine/step.h"
#include "core/monitor/egress_log.h"

#define NAME_TRIES 8

static cJSON *copy_of(const cJSON *json)
{
	cJSON *copy = cJSON_Duplicate(json, true);

	if (!copy)
		str_oom();
	return copy;
}

static char **anonymous_volumes(const struct mount_list *mounts)
{
	char **names = NULL;

	for (size_t i = 0; i < mounts->count; i++) {
		if (mounts->entries[i].anonymous)
			strv_push(&names, mounts->entries[i].name);
	}
	return names;
}

/* The member "Moss"; everything in launch is borrowed. */
static cJSON *launch_json(const struct creation *creation)
{
	const cJSON *host = creation->host;
	cleanup_strv char **volumes = anonymous_volumes(&creation->mounts);
	cleanup_free char *profile = NULL;
	const char *name =
		member_string(member_get(host, "Moss"), "SeccompName");
	struct record_launch launch = {
		.storage_driver = creation->driver,
		.diff_ids = creation->image.diff_ids,
		.is_volatile = creation->record.is_volatile,
		.network = creation->network.kind,
		.host_loopback = creation->network.host_loopback,
		.host_ports = creation->network.host_ports,
		.egress = creation->egress,
		.address = creation->network.address,
		.mac = creation->network.mac,
		.ports = creation->network.ports,
		.publish_mode = creation->publish_mode,
		.single_id = !creation->engine->identity.mapped,
		.seccomp = creation->security.seccomp,
		.capabilities = creation->capabilities,
		.anonymous_volumes = volumes,
	};

	if (*name)
		launch.seccomp_name = profile = xstrdup(name);
	return record_launch_json(&launch);
}

static cJSON *engine_json(const struct creation *creation)
{
	cJSON *json = json_object();

	json_set(json, "Mounts", mounts_json(&creation->mounts));
	json_set(json, "Uids", ocispec_map_json(&creation->uids));
	json_set(json, "Gids", ocispec_map_json(&creation->gids));
	json_set_bool(json, "UsernsAuto", creation->userns_auto);
	json_set_bool(json, "NoNewPrivileges", creation->no_new_privileges);
	json_set_i64(json, "Layers", (int64_t)creation->image.size);
	if (creation->step && creation->step->environment_file)
		json_set_string(json, "EnvironmentFile",
				creation->step->environment_file);
	return json;
}

static cJSON *container_json(const struct creation *creation)
{
	cleanup_free char *name = xasprintf("/%s", creation->name);
	cJSON *json = json_object();
	char now[TIME_TEXT_MAX];
	const char *path;
	cJSON *args, *moss;

	format_now(now);
	json_set_string(json, "Id", creation->id);
	json_set_string(json, "Created", now);
	config_command(creation->config, &path, &args);
	json_set_string(json, "Path", path);
	json_set(json, "Args", args);
	json_set_string(json, "Image", creation->image.id);
	json_set_string(json, "Name", name);
	json_set_string(json, "Driver", snapshot_driver_name(creation->driver));
	json_set_string(json, "Platform", "linux");
	json_set(json, "HostConfig", copy_of(creation->host));
	json_set(json, "Mounts", mounts_docker_json(&creation->mounts));
	json_set(json, "Config", copy_of(creation->config));
	moss = launch_json(creation);
	if (creation->network.endpoints)
		json_set(moss, "Networks",
			 copy_of(creation->network.endpoints));
	json_set(json, "Moss", moss);
	json_set(json, "Engine", engine_json(creation));
	return json;
}

static int claim(struct creation *creation, const char *name, struct error *err)
{
	int r;

	r = record_name_claim(&creation->engine->store, name, creation->id,
			      creation->record.is_volatile, err);
	if (r < 0)
		return r;
	creation->name = xstrdup(name);
	return 0;
}

static int claim_random(struct creation *creation, struct error *err)
{
	cleanup_free char *last = xstrndup(creation->id, 12);

	for (unsigned int i = 0; i < NAME_TRIES; i++) {
		cleanup_free char *name = container_name_random(i);
		struct error problem = {0};
		int r = claim(creation, name, &problem);

		if (r != -EEXIST)
			return r < 0 ? err_copy(err, &problem) : 0;
	}
	return claim(creation, last, err);
}

static int write_seccomp(const struct creation *creation, struct error *err)
{
	const char *profile = creation->security.profile;

	if (creation->security.seccomp != LAUNCH_SECCOMP_FILE)
		return 0;
	return file_write_atomic_at(
		creation->record.directory_fd, "seccomp.json", profile,
		strlen(profile), 0600,
		creation->record.is_volatile ? FILE_VOLATILE : 0, err);
}

static int write_container(struct creation *creation, struct error *err)
{
	cleanup_json cJSON *json = container_json(creation);
	struct record_launch launch;
	int r;

	/* What a start could not read back must fail here. */
	r = record_launch_parse(json, &launch, err);
	if (r < 0)
		return r;
	record_launch_release(&launch);
	r = record_write(&creation->record, json, err);
	if (r >= 0)
		container_event(&creation->engine->store, creation->id, json,
				"create", NULL);
	return r;
}

/*
 * container.json comes last: without it, name and directory are leftovers that
 * anybody may clear once the lock is free.
 */
static int write_record(struct creation *creation, const char *name,
			struct error *err)
{
	int r = 0;

	if (store_containers_are_private(&creation->engine->store))
		creation->name = xstrndup(creation->id, 12);
	else
		r = name ? claim(creation, name, err)
			 : claim_random(creation, err);
	if (r < 0)
		return r;
	r = write_seccomp(creation, err);
	if (r >= 0 && creation->egress)
		r = egress_log_create(creation->record.directory_fd, err);
	if (r < 0)
		return r;
	r = mounts_make_volumes(&creation->engine->store, &creation->mounts,
				&creation->created_volumes, err);
	if (r < 0)
		return r;
	return write_container(creation, err);
}

int creation_write(struct creation *creation, const char *name,
		   struct error *err)
{
	struct store *store = &creation->engine->store;
	bool temporary = member_bool(creation->host, "AutoRemove");
	int r;

	r = record_create(store, creation->id, temporary, &creation->record,
			  err);
	if (r < 0)
		return r;
	r = write_record(creation, name, err);
	if (r < 0)
		(void)record_remove(store, &creation->record, creation->name,
				    NULL);
	return r;
}
