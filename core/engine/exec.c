#include "core/engine/container.h"
#include "core/engine/members.h"
#include "core/engine/ocispec.h"

#include "base/json.h"

int engine_exec(struct engine *engine, const char *id, const cJSON *body,
		const int fds[3], pid_t *ret_pid, int *ret_console_fd,
		int *ret_wait_fd, struct error *err)
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
			    member_bool(body, "Privileged"), fds, ret_pid,
			    ret_console_fd, ret_wait_fd, err);
}
