/* What happens to a container that is there: attach, stop, kill, rename … */
#include <errno.h>
#include <poll.h>
#include <signal.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "core/engine/container.h"
#include "core/engine/members.h"

int engine_container_attach(struct engine *engine, const char *id,
			    const struct attach_options *options,
			    int *ret_stream_fd, int *ret_wait_fd,
			    struct error *err)
{
	CLEANUP(container_close) struct container container = CONTAINER_INIT;
	cleanup_fd int wait_fd = -1;
	int r;

	r = container_open(engine, id, &container, err);
	if (r < 0)
		return r;
	if (!container_is_running(&container))
		return err_set(err, ERROR_CONFLICT,
			       "You cannot attach to a stopped container, "
			       "start it first");
	if (container.state.status == CONTAINER_PAUSED)
		return err_set(err, ERROR_CONFLICT,
			       "You cannot attach to a paused container, "
			       "unpause it first");
	wait_fd = monitor_wait_open(&container.record, err);
	if (wait_fd < 0)
		return wait_fd;
	r = monitor_attach(&container.record, options, ret_stream_fd, err);
	if (r < 0)
		return r;
	container_tell(engine, &container, "attach", NULL);
	if (ret_wait_fd)
		*ret_wait_fd = steal_fd(&wait_fd);
	return 0;
}

static void tell(struct engine *engine, const char *id, const char *action)
{
	CLEANUP(container_close) struct container container = CONTAINER_INIT;

	if (container_open(engine, id, &container, NULL) >= 0)
		container_tell(engine, &container, action, NULL);
}

void engine_container_detached(struct engine *engine, const char *id)
{
	tell(engine, id, "detach");
}

/* The exit code of a container that has ended; 137 when it is gone. */
static int ended_code(struct engine *engine, struct container *container,
		      int *ret_exit_code, struct error *err)
{
	int r = container_refresh(engine, container, err);

	if (r == -ENOENT) {
		err_clear(err);
		*ret_exit_code = CONTAINER_EXIT_LOST;
		return 0;
	}
	if (r < 0)
		return r;
	*ret_exit_code = container->state.exit_code;
	return 0;
}

int engine_container_wait(struct engine *engine, const char *id,
			  int *ret_exit_code, struct error *err)
{
	CLEANUP(container_close) struct container container = CONTAINER_INIT;
	cleanup_fd int wait_fd = -1;
	struct error problem = {0};
	int r;

	r = container_open(engine, id, &container, err);
	if (r < 0)
		return r;
	if (!container_is_running(&container)) {
		*ret_exit_code = container.state.exit_code;
		return 0;
	}
	/* It may end between the look and the call. */
	wait_fd = monitor_wait_open(&container.record, &problem);
	if (wait_fd >= 0) {
		r = monitor_wait(wait_fd, ret_exit_code, &problem);
		if (r != -ECONNRESET)
			return r < 0 ? err_copy(err, &problem) : 0;
	} else if (problem.kind != ERROR_CONFLICT) {
		return err_copy(err, &problem);
	}
	return ended_code(engine, &container, ret_exit_code, err);
}

static int stop(struct engine *engine, const char *id, int signal,
		int timeout_s, bool keep, struct error *err)
{
	CLEANUP(container_close) struct container container = CONTAINER_INIT;
	struct error problem = {0};
	int timeout = timeout_s;
	int r;

	r = container_open(engine, id, &container, err);
	if (r < 0)
		return r;
	if (!container_is_running(&container))
		return 1;
	if (timeout_s == STOP_TIMEOUT_OWN)
		timeout = MONITOR_STOP_OWN;
	else if (timeout_s == STOP_TIMEOUT_NEVER)
		timeout = -1;
	r = monitor_stop(&container.record, signal, timeout, keep, &problem);
	/* Gone, or just ending: that is what was wanted. */
	if (r == -ECONNRESET || problem.kind == ERROR_CONFLICT) {
		int code;

		return ended_code(engine, &container, &code, err);
	}
	return r < 0 ? err_copy(err, &problem) : 0;
}

int engine_container_stop(struct engine *engine, const char *id, int signal,
			  int timeout_s, struct error *err)
{
	return stop(engine, id, signal, timeout_s, false, err);
}

int engine_container_restart(struct engine *engine, const char *id, int signal,
			     int timeout_s, struct error *err)
{
	char full[ID_TEXT_MAX];
	int r;

	/* A name may change hands in between. */
	r = engine_container_resolve(engine, id, full, err);
	if (r >= 0)
		r = stop(engine, full, signal, timeout_s, true, err);
	if (r >= 0)
		r = engine_container_start(engine, full, NULL, NULL, NULL, err);
	if (r >= 0)
		tell(engine, full, "restart");
	return r < 0 ? err_wrap(err, "Cannot restart container %s", id) : 0;
}

/* Until the monitor has recorded the end, or died; 0 or -ETIMEDOUT. */
static int wait_ended(int wait_fd, int timeout_ms)
{
	struct pollfd event = {.fd = wait_fd, .events = POLLIN};
	int r;

	do
		r = poll(&event, 1, timeout_ms);
	while (r < 0 && errno == EINTR);
	return r > 0 ? 0 : -ETIMEDOUT;
}

int container_kill_hard(struct container *container, struct error *err)
{
	cleanup_fd int wait_fd = -1;
	int r;

	wait_fd = monitor_wait_open(&container->record, err);
	if (wait_fd < 0)
		return wait_fd;
	r = monitor_kill(&container->record, SIGKILL, err);
	if (r < 0)
		return r;
	if (wait_ended(wait_fd, CONTAINER_KILL_WAIT_MS) == 0)
		return 0;
	return err_set(err, ERROR_TIMEOUT,
		       "container %s did not end within %d seconds of SIGKILL",
		       container->record.id, CONTAINER_KILL_WAIT_MS / 1000);
}

int engine_container_kill(struct engine *engine, const char *id, int signal,
			  struct error *err)
{
	CLEANUP(container_close) struct container container = CONTAINER_INIT;
	int r;

	r = container_open(engine, id, &container, err);
	if (r < 0)
		return r;
	r = container_check_running(&container, err);
	if (r < 0)
		return err_wrap(err, "Cannot kill container: %s",
				container.name);
	if (signal == 0 || signal == SIGKILL)
		r = container_kill_hard(&container, err);
	else
		r = monitor_kill(&container.record, signal, err);
	return r < 0 ? err_wrap(err, "Cannot kill container: %s",
				container.name)
		     : 0;
}

int engine_container_pause(struct engine *engine, const char *id,
			   struct error *err)
{
	CLEANUP(container_close) struct container container = CONTAINER_INIT;
	int r = container_open(engine, id, &container, err);

	if (r >= 0)
		r = container_check_running(&container, err);
	if (r >= 0)
		r = container_check_not_restarting(&container, err);
	return r < 0 ? r : monitor_pause(&container.record, err);
}

int engine_container_unpause(struct engine *engine, const char *id,
			     struct error *err)
{
	CLEANUP(container_close) struct container container = CONTAINER_INIT;
	int r = container_open(engine, id, &container, err);

	if (r < 0)
		return r;
	if (!container_is_running(&container))
		return err_set(err, ERROR_CONFLICT,
			       "Container %s is not paused",
			       container.record.id);
	return monitor_unpause(&container.record, err);
}

static void tell_size(struct engine *engine, const struct container *container,
		      unsigned int rows, unsigned int columns)
{
	cleanup_free char *height = xasprintf("%u", rows);
	cleanup_free char *width = xasprintf("%u", columns);

	container_tell(
		engine, container, "resize",
		event_attributes("height", height, "width", width, NULL));
}

int engine_container_resize(struct engine *engine, const char *id,
			    unsigned int rows, unsigned int columns,
			    struct error *err)
{
	CLEANUP(container_close) struct container container = CONTAINER_INIT;
	int r;

	r = container_open(engine, id, &container, err);
	if (r < 0)
		return r;
	r = container_check_running(&container, err);
	if (r < 0)
		return r;
	r = monitor_resize(&container.record, rows, columns, err);
	if (r >= 0)
		tell_size(engine, &container, rows, columns);
	return r;
}

static void tell_name(struct engine *engine, const struct container *container,
		      const char *old_name)
{
	cleanup_free char *docker_name = xasprintf("/%s", old_name);

	container_tell(engine, container, "rename",
		       event_attributes("oldName", docker_name, NULL));
}

/* A write that failed may have been done all but for its sync: the name that is
   written down stays. */
static void free_unwritten_name(struct engine *engine,
				const struct container *container,
				const char *old_name, const char *new_name)
{
	cleanup_json cJSON *written = NULL;
	const char *name = "";

	if (record_read(&container->record, &written, NULL) >= 0)
		name = member_string(written, "Name");
	(void)record_name_release(
		&engine->store,
		*name && str_equal(name + 1, new_name) ? old_name : new_name,
		container->record.id, NULL);
}

int engine_container_rename(struct engine *engine, const char *id,
			    const char *new_name, struct error *err)
{
	CLEANUP(container_close) struct container container = CONTAINER_INIT;
	cleanup_free char *old_name = NULL;
	cleanup_free char *docker_name = NULL;
	int r;

	if (*new_name == '/')
		new_name++;
	if (*new_name == '\0')
		return err_set(err, ERROR_INVALID,
			       "Neither old nor new names may be empty");
	r = container_name_check(new_name, err);
	if (r < 0)
		return r;
	r = container_open_locked(engine, id, &container, err);
	if (r < 0)
		return r;
	if (str_equal(container.name, new_name))
		return err_set(err, ERROR_INVALID,
			       "Renaming a container with the same name as its "
			       "current name");
	r = record_name_claim(&engine->store, new_name, container.record.id,
			      container.record.is_volatile, err);
	if (r < 0)
		return err_wrap(err, "Error when allocating new name");
	old_name = xstrdup(container.name);
	docker_name = xasprintf("/%s", new_name);
	json_set_string(container.json, "Name", docker_name);
	r = record_write(&container.record, container.json, err);
	if (r < 0) {
		free_unwritten_name(engine, &container, old_name, new_name);
		return r;
	}
	tell_name(engine, &container, old_name);
	/* Others look for it under its name. */
	if (container_is_running(&container))
		(void)monitor_sync_networks(&container.record, NULL);
	return record_name_release(&engine->store, old_name,
				   container.record.id, err);
}

int engine_container_logs(struct engine *engine, const char *id,
			  const struct log_reader_options *options,
			  struct log_reader **ret_reader, int *ret_wait_fd,
			  bool *ret_terminal, struct error *err)
{
	CLEANUP(container_close) struct container container = CONTAINER_INIT;
	struct log_reader_options wanted = *options;
	cleanup_fd int wait_fd = -1;
	const cJSON *host;
	const char *driver;
	int r;

	r = container_open(engine, id, &container, err);
	if (r < 0)
		return r;
	host = member_get(container.json, "HostConfig");
	driver = member_string(member_get(host, "LogConfig"), "Type");
	if (str_equal(driver, "none"))
		return err_set(err, ERROR_UNSUPPORTED,
			       "configured logging driver does not support "
			       "reading");
	/* One that ends right now is read to its end without following. */
	if (wanted.follow && container_is_running(&container))
		wait_fd = monitor_wait_open(&container.record, NULL);
	wanted.follow = wanted.follow && wait_fd >= 0;
	r = log_reader_open(container.record.directory_fd, &wanted, ret_reader,
			    err);
	if (r < 0)
		return r;
	*ret_terminal =
		member_bool(member_get(container.json, "Config"), "Tty");
	*ret_wait_fd = steal_fd(&wait_fd);
	return 0;
}
