/*
 * A start: the files and the OCI configuration of this run, made anew, then the
 * monitor. All under the container's operation.lock.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/path.h"
#include "base/str.h"
#include "core/engine/container.h"
#include "core/engine/endpoints.h"
#include "core/engine/hostconfig.h"
#include "core/engine/members.h"
#include "core/engine/network_files.h"
#include "core/engine/ocispec.h"
#include "storage/root/volume.h"

struct start {
	struct engine *engine;
	struct container *container;
	const cJSON *config;
	const cJSON *host;
	struct spec_request request;
	char *directory;
	char *network_directory; /* of the container whose network is joined */
};

static void start_release(struct start *start)
{
	free(start->directory);
	free(start->network_directory);
}

static const char *const join_members[] = {
	[JOIN_NETWORK] = "NetworkMode",
	[JOIN_IPC] = "IpcMode",
	[JOIN_PID] = "PidMode",
};

static int find_joined(struct start *start, enum spec_join join,
		       struct error *err)
{
	CLEANUP(container_close) struct container target = CONTAINER_INIT;
	const char *member = join_members[join];
	const char *id = mode_container(member_string(start->host, member));
	int r;

	if (!id)
		return 0;
	if (str_equal(id, start->container->record.id))
		return err_set(err, ERROR_INVALID,
			       "%s: a container cannot join itself", member);
	r = container_open(start->engine, id, &target, err);
	if (r < 0)
		return err_wrap(err, "%s", member);
	if (!container_is_running(&target))
		return err_set(err, ERROR_CONFLICT,
			       "cannot join namespace of a non running "
			       "container: container %s is %s",
			       target.name,
			       container_status_name(target.state.status));
	start->request.join[join] = target.state.pid;
	start->request.join_start[join] = target.state.pid_start;
	if (join == JOIN_NETWORK)
		start->network_directory =
			container_path(start->engine, target.record.id);
	return 0;
}

/* -v makes a missing directory, as docker does; what else is gone is told. */
static int check_sources(const struct start *start, struct error *err)
{
	CLEANUP(mount_list_release) struct mount_list list = {0};
	const cJSON *engine = member_get(start->container->json, "Engine");
	int r;

	r = mounts_parse_json(member_get(engine, "Mounts"), &list, err);
	for (size_t i = 0; r >= 0 && i < list.count; i++) {
		const struct mount_point *point = &list.entries[i];
		struct stat status;

		if (!point->source || point->kind == MOUNT_IMAGE ||
		    stat(point->source, &status) == 0)
			continue;
		if (errno != ENOENT)
			r = err_errno(err, "cannot use mount source path %s",
				      point->source);
		else if (point->kind == MOUNT_VOLUME &&
			 !str_starts(point->source, start->engine->store.path))
			r = err_set(err, ERROR_NOT_FOUND,
				    "cannot mount volume %s: its device %s "
				    "does not exist",
				    point->name, point->source);
		else if (point->kind == MOUNT_VOLUME)
			r = err_set(err, ERROR_NOT_FOUND, "no such volume: %s",
				    point->name);
		else if (point->create_source)
			r = path_mkdirs(point->source, 0755, err);
		else
			r = err_set(err, ERROR_NOT_FOUND,
				    "bind source path does not exist: %s",
				    point->source);
	}
	return r < 0 ? r : 0;
}

static int write_config(struct start *start, struct error *err)
{
	cleanup_json cJSON *spec = NULL;
	int r;

	start->request.container = start->container->json;
	start->request.directory = start->directory;
	start->request.network_directory = start->network_directory;
	start->request.identity = &start->engine->identity;
	start->request.first = str_equal(start->container->state.started_at,
					 CONTAINER_TIME_NONE);
	r = ocispec_build(&start->request, &spec, err);
	if (r < 0)
		return r;
	return json_write_at(start->container->record.directory_fd,
			     "config.json", spec, FILE_VOLATILE, err);
}

static int take_addresses(struct start *start, struct error *err)
{
	struct container *container = start->container;
	const cJSON *moss = member_get(container->json, "Moss");
	int r;

	if (member_is_empty(member_get(moss, "Networks")))
		return 0;
	r = endpoints_prepare(start->engine, container->record.id,
			      container->json, err);
	return r < 0 ? r
		     : record_write(&container->record, container->json, err);
}

static int prepare(struct start *start, struct error *err)
{
	int r;

	for (int i = 0; i < JOIN_COUNT; i++) {
		r = find_joined(start, (enum spec_join)i, err);
		if (r < 0)
			return r;
	}
	r = check_sources(start, err);
	if (r < 0)
		return r;
	r = take_addresses(start, err);
	if (r < 0)
		return r;
	/* Joined: the other's files are bound. */
	if (!start->network_directory)
		r = network_files_write(start->container, false, err);
	if (r < 0)
		return r;
	return write_config(start, err);
}

/* Has its monitor told of the end and removed it, or will a repair do so? */
static bool is_told(struct engine *engine, const struct container *container)
{
	struct container_state state = {0};
	bool told;

	if (!record_is_current(&engine->store, &container->record) ||
	    record_state_read(&container->record, &state, NULL) < 0)
		return true;
	told = state.monitor_pid != 0;
	container_state_release(&state);
	return told;
}

/*
 * The monitor has recorded a failure of its own; what failed before it or
 * killed it is recorded here.
 */
static void record_failure(struct engine *engine, struct container *container,
			   const struct error *problem)
{
	struct container_state *state = &container->state;
	bool told = is_told(engine, container);
	int exit_code = error_meaning(problem->kind)->exit_code;

	if (container_refresh(engine, container, NULL) < 0 ||
	    container_is_running(container) ||
	    str_equal(state->error, problem->message))
		return;
	if (exit_code <= 1)
		exit_code = 125;
	if (!told)
		container_event_die(&engine->store, container->record.id,
				    container->json, exit_code, 0);
	if (member_bool(member_get(container->json, "HostConfig"),
			"AutoRemove")) {
		(void)container_discard(engine, container, true, NULL);
		return;
	}
	state->exit_code = exit_code;
	container_state_set_text(&state->error, problem->message);
	(void)record_state_write(&container->record, state, NULL);
}

static int run(struct start *start, const struct attach_options *attach,
	       int *ret_stream_fd, int *ret_wait_fd, struct error *err)
{
	int r;

	start->config = member_get(start->container->json, "Config");
	start->host = member_get(start->container->json, "HostConfig");
	start->directory =
		container_path(start->engine, start->container->record.id);
	r = prepare(start, err);
	if (r < 0)
		return r;
	return monitor_start(&start->engine->store, &start->container->record,
			     attach, ret_stream_fd, ret_wait_fd, err);
}

int engine_container_start(struct engine *engine, const char *id,
			   const struct attach_options *attach,
			   int *ret_stream_fd, int *ret_wait_fd,
			   struct error *err)
{
	CLEANUP(container_close) struct container container = CONTAINER_INIT;
	CLEANUP(start_release)
	struct start start = {.engine = engine, .container = &container};
	struct error problem = {0};
	int r;

	r = container_open_locked(engine, id, &container, err);
	if (r < 0)
		return r;
	if (container.state.status == CONTAINER_PAUSED)
		return err_set(err, ERROR_CONFLICT,
			       "cannot start a paused container, try unpause "
			       "instead");
	if (container_is_running(&container))
		return 1;
	if (attach)
		container_tell(engine, &container, "attach", NULL);
	r = run(&start, attach, ret_stream_fd, ret_wait_fd, &problem);
	if (r < 0) {
		record_failure(engine, &container, &problem);
		return err_copy(err, &problem);
	}
	return 0;
}
