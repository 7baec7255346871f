#include "core/engine/container.h"
#include "core/engine/members.h"
#include "core/engine/ocispec.h"

#include "base/json.h"

int engine_exec(struct engine *engine, const char *id, const cJSON *body,
		const int fds[3], struct exec_handle *ret_handle,
		struct error *err)
{
	CLEANUP(container_close) struct container container = CONTAINER_INIT;
	cleanup_json cJSON *process = NULL;
	int r;

	r = container_open(engine, id, &container, err);
	if (r < 0)
		return r;
	r = container_check_running(&container, err);
	if (r < 0)
		return r;
	if (container.state.status == CONTAINER_PAUSED)
		return err_set(err, ERROR_CONFLICT,
			       "Container %s is paused, unpause the container "
			       "before exec",
			       container.name);
	r = ocispec_exec_process(container.json, body, &process, err);
	if (r < 0)
		return r;
	return monitor_exec(&container.record, process,
			    member_bool(body, "Privileged"), fds, ret_handle,
			    err);
}

void engine_exec_detached(struct engine *engine, const char *id,
			  const char *exec_id)
{
	CLEANUP(container_close) struct container container = CONTAINER_INIT;

	if (container_open(engine, id, &container, NULL) >= 0)
		container_tell(engine, &container, "exec_detach",
			       event_attributes("execID", exec_id, NULL));
}
