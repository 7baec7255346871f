#include "core/engine/container.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/proc.h"
#include "base/str.h"
#include "core/engine/members.h"

#define NAME_LENGTH_MAX 255
#define MONITOR_WAIT_MS 5000
#define MONITOR_STEP_MS 2

void container_close(struct container *container)
{
	if (!container)
		return;
	cJSON_Delete(container->json);
	container_state_release(&container->state);
	record_close(&container->record);
	*container = (struct container)CONTAINER_INIT;
}

void container_tell(struct engine *engine, const struct container *container,
		    const char *action, cJSON *details)
{
	container_event(&engine->store, container->record.id, container->json,
			action, details);
}

int container_processes(const struct container *container, pid_t **ret_pids,
			size_t *ret_count, struct error *err)
{
	const struct container_state *state = &container->state;
	const pid_t helpers[] = {state->net_pid, state->port_pid,
				 state->fuse_pid};
	cleanup_free pid_t *pids = NULL;
	size_t count = 0;
	int r = proc_tree(state->monitor_pid, helpers, ARRAY_SIZE(helpers),
			  &pids, &count, err);

	if (r < 0)
		return r;
	/* Otherwise they are the children of who has its number now. */
	if (!proc_is_alive(state->monitor_pid, state->monitor_start))
		return err_set(err, ERROR_CONFLICT,
			       "container %s is not running",
			       container->record.id);
	*ret_pids = steal_ptr(&pids);
	*ret_count = count;
	return 0;
}

char *container_path(const struct engine *engine, const char *id)
{
	return xasprintf("%s/%s/%s", engine->store.path,
			 engine->store.containers, id);
}

static int no_such_container(const char *name, struct error *err)
{
	return err_set(err, ERROR_NOT_FOUND, "No such container: %s", name);
}

/* members: NULL for all. */
static int read_json(struct container *container, const char *const *members,
		     struct error *err)
{
	const char *name;
	int r;

	if (members)
		r = record_read_members(&container->record, members,
					&container->json, err);
	else
		r = record_read(&container->record, &container->json, err);
	if (r < 0)
		return r;
	name = member_string(container->json, "Name");
	container->name = *name == '/' ? name + 1 : name;
	if (member_bool(member_get(container->json, "HostConfig"),
			"AutoRemove"))
		container->record.is_volatile = true;
	return 0;
}

int container_refresh(struct engine *engine, struct container *container,
		      struct error *err)
{
	struct container_state state = {0};
	int r;

	r = record_repair(&engine->store, &container->record, &state, err);
	if (r == RECORD_REMOVED) {
		container_state_release(&state);
		return no_such_container(container->record.id, err);
	}
	if (r < 0)
		return r;
	container_state_release(&container->state);
	container->state = state;
	return 0;
}

/*
 * The state tells of an end a moment before the monitor has let go of the
 * container: until then it can neither be started nor removed.
 */
static int await_monitor(struct engine *engine, struct container *container,
			 struct error *err)
{
	int64_t deadline = clock_ms() + MONITOR_WAIT_MS;
	int r = 0;

	while (r >= 0 && !container_is_running(container) &&
	       record_is_monitored(&container->record) > 0 &&
	       clock_ms() < deadline) {
		poll(NULL, 0, MONITOR_STEP_MS);
		r = container_refresh(engine, container, err);
	}
	return r;
}

static int open_container(struct engine *engine, const char *name, bool lock,
			  struct container *ret_container, struct error *err)
{
	CLEANUP(container_close) struct container container = CONTAINER_INIT;
	char id[ID_TEXT_MAX];
	int r;

	r = engine_container_resolve(engine, name, id, err);
	if (r < 0)
		return r;
	r = record_open(&engine->store, id, &container.record, err);
	if (r < 0)
		return r;
	if (lock) {
		r = record_lock(&container.record, true, err);
		if (r < 0)
			return r;
	}
	r = container_refresh(engine, &container, err);
	if (r >= 0 && lock)
		r = await_monitor(engine, &container, err);
	if (r < 0)
		return r;
	r = read_json(&container, NULL, err);
	if (r < 0)
		return r;
	*ret_container = container;
	container = (struct container)CONTAINER_INIT;
	return 0;
}

int container_open(struct engine *engine, const char *name,
		   struct container *ret_container, struct error *err)
{
	return open_container(engine, name, false, ret_container, err);
}

int container_open_locked(struct engine *engine, const char *name,
			  struct container *ret_container, struct error *err)
{
	return open_container(engine, name, true, ret_container, err);
}

int container_open_listed(struct engine *engine, const char *id, bool all,
			  const char *const *members,
			  struct container *ret_container, struct error *err)
{
	CLEANUP(container_close) struct container container = CONTAINER_INIT;
	int r;

	r = record_open(&engine->store, id, &container.record, err);
	r = r < 0 ? r : container_refresh(engine, &container, err);
	if (r < 0)
		return r;
	if (!all && !container_is_running(&container))
		return 0;
	r = read_json(&container, members, err);
	if (r < 0)
		return r;
	*ret_container = container;
	container = (struct container)CONTAINER_INIT;
	return 1;
}

bool container_is_running(const struct container *container)
{
	return container->state.status == CONTAINER_RUNNING ||
	       container->state.status == CONTAINER_PAUSED ||
	       container->state.status == CONTAINER_RESTARTING;
}

int container_check_running(const struct container *container,
			    struct error *err)
{
	if (container_is_running(container))
		return 0;
	return err_set(err, ERROR_CONFLICT, "container %s is not running",
		       container->record.id);
}

int container_check_not_restarting(const struct container *container,
				   struct error *err)
{
	if (container->state.status != CONTAINER_RESTARTING)
		return 0;
	return err_set(err, ERROR_CONFLICT,
		       "Container %s is restarting, wait until the container "
		       "is running",
		       container->record.id);
}

static int visit_one(struct engine *engine, const char *id,
		     container_visit visit, void *data, struct error *err)
{
	CLEANUP(container_close) struct container container = CONTAINER_INIT;

	/* It may vanish while we look; one that is damaged concerns rm only. */
	if (record_open(&engine->store, id, &container.record, NULL) < 0 ||
	    read_json(&container, NULL, NULL) < 0 ||
	    record_state_read(&container.record, &container.state, NULL) < 0)
		return 0;
	return visit(&container, data, err);
}

int container_for_each(struct engine *engine, container_visit visit, void *data,
		       struct error *err)
{
	cleanup_strv char **ids = NULL;
	int r;

	r = record_list(&engine->store, &ids, err);
	for (size_t i = 0; r == 0 && ids && ids[i]; i++)
		r = visit_one(engine, ids[i], visit, data, err);
	return r;
}

int container_name_check(const char *name, struct error *err)
{
	static const char first[] = "abcdefghijklmnopqrstuvwxyz"
				    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
	static const char others[] = "abcdefghijklmnopqrstuvwxyz"
				     "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
	size_t length = strlen(name);

	if (length >= 2 && strchr(first, name[0]) &&
	    strspn(name, others) == length && length <= NAME_LENGTH_MAX)
		return 0;
	if (length > NAME_LENGTH_MAX)
		return err_set(err, ERROR_INVALID,
			       "Invalid container name: longer than %d "
			       "characters",
			       NAME_LENGTH_MAX);
	err_set(err, ERROR_INVALID,
		"Invalid container name (%s), only "
		"[a-zA-Z0-9][a-zA-Z0-9_.-] are allowed",
		name);
	if (length == 1)
		return err_hint(err, "a name has two characters or more");
	return -EINVAL;
}

static int find_by_prefix(struct engine *engine, const char *prefix,
			  char ret_id[ID_TEXT_MAX], struct error *err)
{
	cleanup_strv char **ids = NULL;
	int r;

	if (strspn(prefix, "0123456789abcdef") != strlen(prefix))
		return no_such_container(prefix, err);
	r = record_list_prefix(&engine->store, prefix, &ids, err);
	if (r < 0)
		return r;
	if (!ids || !ids[0])
		return no_such_container(prefix, err);
	if (ids[1])
		return err_set(err, ERROR_INVALID,
			       "Multiple IDs found with provided prefix: %s",
			       prefix);
	memcpy(ret_id, ids[0], ID_TEXT_MAX);
	return 0;
}

int engine_container_resolve(struct engine *engine, const char *name,
			     char ret_id[ID_TEXT_MAX], struct error *err)
{
	const char *given = name;
	int r;

	if (*name == '/')
		name++;
	if (*name == '\0' || strlen(name) > NAME_LENGTH_MAX)
		return err_set(err, ERROR_INVALID,
			       "invalid name or ID supplied: \"%.300s\"",
			       given);
	/* Whoever opens it sees whether it is there. */
	if (record_id_is_valid(name)) {
		memcpy(ret_id, name, ID_TEXT_MAX);
		return 0;
	}
	r = record_name_find(&engine->store, name, ret_id, err);
	if (r != 0)
		return r < 0 ? r : 0;
	return find_by_prefix(engine, name, ret_id, err);
}
