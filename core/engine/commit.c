/* An image of a container's changes: core/engine/engine.h. */
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "core/engine/container.h"
#include "core/engine/members.h"
#include "storage/store/image_event.h"
#include "storage/store/reference.h"
#include "storage/transfer_root.h"

/* What of a container's Config an image says; the rest is of this one run. */
static const char *const portable[] = {
	"User",	 "ExposedPorts", "Env",		"Entrypoint",
	"Cmd",	 "Volumes",	 "WorkingDir",	"Labels",
	"Shell", "StopSignal",	 "Healthcheck",
};

static cJSON *image_config(const cJSON *config)
{
	cJSON *json = json_object();

	for (size_t i = 0; i < ARRAY_SIZE(portable); i++) {
		const cJSON *value = member_get(config, portable[i]);
		cJSON *copy;

		if (member_is_empty(value))
			continue;
		copy = cJSON_Duplicate(value, true);
		if (!copy)
			str_oom();
		json_set(json, portable[i], copy);
	}
	return json;
}

/* As docker's history has it: the command, without the entrypoint. */
static char *created_by(const cJSON *config)
{
	cleanup_strv char **command = member_strv(config, "Cmd");

	return command ? strv_join(command, " ") : xstrdup("");
}

/*
 * Who stands still changes nothing while it is read. A container that ends just
 * then stands still, too.
 */
static int pause_container(struct engine *engine, struct container *container,
			   int *ret_freeze_fd, struct error *err)
{
	int r;

	if (!container_is_running(container))
		return 0;
	r = monitor_freeze(&container->record, ret_freeze_fd, err);
	if (r >= 0)
		return 0;
	if (container_refresh(engine, container, NULL) < 0 ||
	    container_is_running(container))
		return r;
	return 0;
}

static int commit(struct engine *engine, struct container *container,
		  const struct commit_options *options, char **ret_id,
		  struct error *err)
{
	const cJSON *config = member_get(container->json, "Config");
	cleanup_free char *directory =
		container_path(engine, container->record.id);
	cleanup_json cJSON *portable_config = image_config(config);
	cleanup_free char *command = created_by(config);
	struct commit_request request = {
		.directory = directory,
		.image = member_string(container->json, "Image"),
		.config = portable_config,
		.changes = options->changes,
		.reference = options->reference,
		.author = options->author,
		.message = options->message,
		.created_by = command,
		.progress_fd = options->progress_fd,
	};
	int r = snapshot_driver_from_name(
		member_string(container->json, "Driver"), &request.driver, err);

	if (r < 0)
		return r;
	if (container_is_running(container) &&
	    request.driver == SNAPSHOT_FUSE_OVERLAYFS) {
		request.init = container->state.pid;
		request.init_start = container->state.pid_start;
	}
	return image_commit(&engine->store, &request, ret_id, err);
}

/* The image's name is told twice, as docker tags in a step of its own. */
static void tell(struct engine *engine, const struct container *container,
		 const struct commit_options *options, const char *image_id)
{
	const char *message = options->message ? options->message : "";
	cleanup_free char *name = NULL;
	struct reference reference;

	if (options->reference &&
	    reference_parse(options->reference, &reference, NULL) >= 0)
		name = reference_familiar(&reference);
	if (name)
		image_event(&engine->store, "tag", image_id, NULL, name);
	container_tell(engine, container, "commit",
		       event_attributes("comment", message, "imageID", image_id,
					"imageRef", name ? name : "", NULL));
}

int engine_container_commit(struct engine *engine, const char *id,
			    const struct commit_options *options, char **ret_id,
			    struct error *err)
{
	CLEANUP(container_close) struct container container = CONTAINER_INIT;
	cleanup_fd int freeze_fd = -1;
	int r;

	/* Held to the end: nobody may remove what is being read. */
	r = container_open_locked(engine, id, &container, err);
	if (r >= 0 && options->pause)
		r = pause_container(engine, &container, &freeze_fd, err);
	if (r < 0)
		return r;
	r = commit(engine, &container, options, ret_id, err);
	if (r >= 0)
		tell(engine, &container, options, *ret_id);
	return r;
}
