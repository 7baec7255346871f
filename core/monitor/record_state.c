#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "core/monitor/record_private.h"

#define STATE_NAME "state.json"

static const char *const status_names[] = {
	[CONTAINER_CREATED] = "created",
	[CONTAINER_RUNNING] = "running",
	[CONTAINER_PAUSED] = "paused",
	[CONTAINER_RESTARTING] = "restarting",
	[CONTAINER_REMOVING] = "removing",
	[CONTAINER_EXITED] = "exited",
	[CONTAINER_DEAD] = "dead",
};

const char *container_status_name(enum container_status status)
{
	return status_names[status];
}

/* How each member of state.json goes to and from the struct. */
enum field_type { FIELD_PID, FIELD_INT, FIELD_U64, FIELD_BOOL, FIELD_TEXT };

#define FIELD(name, type, member)                                    \
	{                                                            \
		name, type, offsetof(struct container_state, member) \
	}

static const struct {
	const char *name;
	enum field_type type;
	size_t offset;
} fields[] = {
	FIELD("Pid", FIELD_PID, pid),
	FIELD("PidStart", FIELD_U64, pid_start),
	FIELD("MonitorPid", FIELD_PID, monitor_pid),
	FIELD("MonitorStart", FIELD_U64, monitor_start),
	FIELD("NetPid", FIELD_PID, net_pid),
	FIELD("NetStart", FIELD_U64, net_start),
	FIELD("PortPid", FIELD_PID, port_pid),
	FIELD("PortStart", FIELD_U64, port_start),
	FIELD("FusePid", FIELD_PID, fuse_pid),
	FIELD("FuseStart", FIELD_U64, fuse_start),
	FIELD("ExitCode", FIELD_INT, exit_code),
	FIELD("OOMKilled", FIELD_BOOL, oom_killed),
	FIELD("Error", FIELD_TEXT, error),
	FIELD("StartedAt", FIELD_TEXT, started_at),
	FIELD("FinishedAt", FIELD_TEXT, finished_at),
	FIELD("RestartCount", FIELD_U64, restart_count),
	FIELD("StoppedByHand", FIELD_BOOL, stopped_by_hand),
	FIELD("Health", FIELD_TEXT, health),
	FIELD("Cgroup", FIELD_TEXT, cgroup),
};

void container_state_init(struct container_state *state)
{
	*state = (struct container_state){
		.status = CONTAINER_CREATED,
		.error = xstrdup(""),
		.started_at = xstrdup(CONTAINER_TIME_NONE),
		.finished_at = xstrdup(CONTAINER_TIME_NONE),
		.health = xstrdup(""),
		.cgroup = xstrdup(""),
	};
}

void container_state_release(struct container_state *state)
{
	free(state->error);
	free(state->started_at);
	free(state->finished_at);
	free(state->health);
	free(state->cgroup);
	port_list_release(&state->ports);
	*state = (struct container_state){0};
}

void container_state_set_text(char **text, const char *value)
{
	free(*text);
	*text = xstrdup(value);
}

void container_state_clear(struct container_state *state)
{
	state->pid = state->monitor_pid = 0;
	state->net_pid = state->port_pid = state->fuse_pid = 0;
	state->pid_start = state->monitor_start = 0;
	state->net_start = state->port_start = state->fuse_start = 0;
	if (!str_empty(state->health))
		container_state_set_text(&state->health, HEALTH_UNHEALTHY);
	container_state_set_text(&state->cgroup, "");
	port_list_release(&state->ports);
	state->ports = (struct port_list){0};
}

void container_state_end(struct container_state *state, int exit_code)
{
	char now[TIME_TEXT_MAX];

	format_now(now);
	container_state_clear(state);
	state->status = CONTAINER_EXITED;
	state->exit_code = exit_code;
	container_state_set_text(&state->finished_at, now);
}

static int parse_status(const cJSON *json, enum container_status *ret_status,
			struct error *err)
{
	const char *name = NULL;
	int r = json_get_string(json, STATE_NAME, "Status", &name, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(status_names); i++) {
		if (str_equal(name, status_names[i])) {
			*ret_status = (enum container_status)i;
			return 0;
		}
	}
	return err_set(err, ERROR_CORRUPT, "%s: unknown status '%s'",
		       STATE_NAME, name ? name : "");
}

static int parse_field(const cJSON *json, size_t index,
		       struct container_state *state, struct error *err)
{
	const char *name = fields[index].name;
	char *at = (char *)state + fields[index].offset;
	const char *text = NULL;
	int64_t number = 0;
	int r;

	switch (fields[index].type) {
	case FIELD_BOOL:
		return json_get_bool(json, STATE_NAME, name, (bool *)(void *)at,
				     err);
	case FIELD_TEXT:
		r = json_get_string(json, STATE_NAME, name, &text, err);
		if (r > 0) {
			char **value = (char **)(void *)at;

			free(*value);
			*value = xstrdup(text);
		}
		return r;
	case FIELD_PID:
	case FIELD_INT:
	case FIELD_U64:
		break;
	}
	r = json_get_i64(json, STATE_NAME, name, &number, err);
	if (r <= 0)
		return r;
	if (fields[index].type == FIELD_U64 ? number < 0
					    : number != (int)number)
		return err_set(err, ERROR_CORRUPT, "%s: %s is out of range",
			       STATE_NAME, name);
	if (fields[index].type == FIELD_U64)
		*(uint64_t *)(void *)at = (uint64_t)number;
	else if (fields[index].type == FIELD_PID)
		*(pid_t *)(void *)at = (pid_t)number;
	else
		*(int *)(void *)at = (int)number;
	return 0;
}

static int parse_state(const cJSON *json, struct container_state *state,
		       struct error *err)
{
	int r = parse_status(json, &state->status, err);

	for (size_t i = 0; r >= 0 && i < ARRAY_SIZE(fields); i++)
		r = parse_field(json, i, state, err);
	if (r >= 0)
		r = record_ports_parse(json, STATE_NAME, &state->ports, err);
	return r < 0 ? r : 0;
}

int record_state_read(const struct record *record,
		      struct container_state *ret_state, struct error *err)
{
	cleanup_json cJSON *json = NULL;
	struct container_state state;
	int r;

	container_state_init(&state);
	r = json_read_at(record->directory_fd, STATE_NAME, &json, err);
	if (r >= 0)
		r = parse_state(json, &state, err);
	else if (r == -ENOENT)
		r = 0;
	if (r < 0) {
		container_state_release(&state);
		return err_wrap(err, "container %.12s", record->id);
	}
	*ret_state = state;
	return 0;
}

/* Left out is what container_state_init() sets: lists read many of these. */
static void set_field(cJSON *json, size_t index,
		      const struct container_state *state)
{
	const char *name = fields[index].name;
	const void *at = (const char *)state + fields[index].offset;
	const char *text;
	int64_t number = 0;

	switch (fields[index].type) {
	case FIELD_PID:
		number = *(const pid_t *)at;
		break;
	case FIELD_INT:
		number = *(const int *)at;
		break;
	case FIELD_U64:
		number = (int64_t) * (const uint64_t *)at;
		break;
	case FIELD_BOOL:
		if (*(const bool *)at)
			json_set_bool(json, name, true);
		return;
	case FIELD_TEXT:
		text = *(char *const *)at;
		if (!str_empty(text) && !str_equal(text, CONTAINER_TIME_NONE))
			json_set_string(json, name, text);
		return;
	}
	if (number != 0)
		json_set_i64(json, name, number);
}

static cJSON *state_json(const struct container_state *state)
{
	cJSON *json = json_object();

	json_set_string(json, "Status", container_status_name(state->status));
	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		set_field(json, i, state);
	if (state->ports.count > 0)
		json_set(json, "Ports", record_ports_json(&state->ports));
	return json;
}

/*
 * On a full disk there is no room for a second file, but the blocks of the
 * present one are ours. Not atomic; what a crash would leave is taken for the
 * state of a killed monitor.
 */
static int overwrite_state(const struct record *record, const cJSON *json)
{
	cleanup_free char *text = json_print(json);
	size_t length = strlen(text);
	cleanup_fd int fd = -1;
	int r;

	fd = openat(record->directory_fd, STATE_NAME,
		    O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	r = write_all(fd, text, length);
	if (r < 0)
		return r;
	return ftruncate(fd, (off_t)length) < 0 ? -errno : 0;
}

static int write_state(const struct record *record,
		       const struct container_state *state, unsigned int flags,
		       struct error *err)
{
	cleanup_json cJSON *json = state_json(state);
	int r = json_write_at(record->directory_fd, STATE_NAME, json, flags,
			      err);

	if ((r == -ENOSPC || r == -EDQUOT) &&
	    overwrite_state(record, json) == 0)
		return 0;
	return r < 0 ? err_wrap(err, "container %.12s", record->id) : r;
}

int record_state_write(const struct record *record,
		       const struct container_state *state, struct error *err)
{
	/* Whatever a monitor still holds is dead after a power cut anyway. */
	bool is_final = state->monitor_pid == 0 && !record->is_volatile;

	return write_state(record, state, is_final ? 0 : FILE_VOLATILE, err);
}

int record_state_write_unsynced(const struct record *record,
				const struct container_state *state,
				struct error *err)
{
	return write_state(record, state, FILE_VOLATILE, err);
}
