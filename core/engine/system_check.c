/* The store and what uses it: engine_system_check() of core/engine/engine.h. */
#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "core/engine/container.h"
#include "core/engine/members.h"

/* What the checker has to know of a container. */
static int add_container(const struct container *container, void *data,
			 struct error *err)
{
	const cJSON *engine = member_get(container->json, "Engine");
	cleanup_strv char **layers = NULL;
	cleanup_strv char **images = container_images(container);
	cJSON *json = json_object();
	const cJSON *mount;
	int r = json_get_strv(member_get(container->json, "Moss"), "Moss",
			      "DiffIds", &layers, err);

	(void)r; /* of a damaged record the rest may still be told */
	json_set_string(json, "id", container->record.id);
	json_set_string(json, "name", container->name);
	cJSON_ArrayForEach(mount, member_get(engine, "Mounts"))
	{
		cleanup_strv char **more = member_strv(mount, "Layers");

		for (size_t i = 0; more && more[i]; i++) {
			if (!strv_contains(layers, more[i]))
				strv_push(&layers, more[i]);
		}
	}
	json_set_strv(json, "images", images);
	json_set_bool(json, "running", container_is_running(container));
	json_set_strv(json, "layers", layers);
	json_push(data, json);
	return 0;
}

int engine_system_check(struct engine *engine, const struct engine_check *check,
			cJSON **ret_json, struct error *err)
{
	cleanup_json cJSON *containers = json_array();
	struct check_request request = {
		.repair = check->repair,
		.quick = check->quick,
		.force = check->force,
		.containers = containers,
		.progress_fd = check->progress_fd,
	};
	int r = engine_read_limits(engine, err);

	if (r == 0)
		r = container_for_each(engine, add_container, containers, err);
	return r < 0 ? r : store_check(&engine->store, &request, ret_json, err);
}
