#include "core/engine/step.h"

#include <stdlib.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "core/engine/config.h"
#include "core/engine/creation.h"
#include "core/engine/members.h"

/* What a step has no use for. */
static const char *const left_out[] = {"Volumes", "Healthcheck",
				       "ExposedPorts"};

int creation_step_root(struct creation *creation, struct error *err)
{
	const struct step_request *step = creation->step;
	int r = config_merge(creation->body, step->config, &creation->config,
			     err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(left_out); i++)
		cJSON_DeleteItemFromObjectCaseSensitive(creation->config,
							left_out[i]);
	creation->image.id = xstrdup("");
	creation->image.diff_ids = strv_copy(step->diff_ids);
	return 0;
}

int creation_step_mounts(struct creation *creation, struct error *err)
{
	struct mount_list *mounts = creation->step->mounts;
	int r = 0;

	for (size_t i = 0; r >= 0 && mounts && i < mounts->count; i++)
		r = mount_list_add(&creation->mounts, &mounts->entries[i], err);
	return r < 0 ? r : 0;
}

int engine_step_create(struct engine *engine, const struct step_request *step,
		       char ret_id[ID_TEXT_MAX], struct error *err)
{
	struct creation creation = {
		.engine = engine,
		.body = step->body,
		.step = step,
		.record = RECORD_NONE,
	};

	return creation_run(&creation, NULL, ret_id, NULL, err);
}

int engine_step_end(struct engine *engine, const char *id,
		    struct step_end *ret_end, struct error *err)
{
	CLEANUP(container_close) struct container container = CONTAINER_INIT;
	int r = container_open(engine, id, &container, err);

	if (r >= 0)
		r = snapshot_driver_from_name(
			member_string(container.json, "Driver"),
			&ret_end->driver, err);
	if (r < 0)
		return r;
	ret_end->oom_killed = container.state.oom_killed;
	ret_end->directory = container_path(engine, id);
	return 0;
}

void step_end_release(struct step_end *end)
{
	free(end->directory);
	end->directory = NULL;
}

void engine_step_remove(struct engine *engine, const char *id)
{
	cleanup_free char *path =
		xasprintf("%s/%s", engine->store.containers, id);

	(void)tree_remove_at(engine->store.root_fd, path, NULL);
}
