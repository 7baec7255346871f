#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/proc.h"
#include "core/monitor/event.h"
#include "core/monitor/record_private.h"
#include "core/runtime/cgroup.h"

#define KILL_WAIT_MS 5000

/* A monitor was there and did not get to the end. */
static bool is_interrupted(const struct container_state *state)
{
	switch (state->status) {
	case CONTAINER_CREATED:
	case CONTAINER_EXITED:
	case CONTAINER_DEAD:
		return state->monitor_pid != 0;
	case CONTAINER_RUNNING:
	case CONTAINER_PAUSED:
	case CONTAINER_RESTARTING:
	case CONTAINER_REMOVING:
		return true;
	}
	return true;
}

static void end_process(pid_t pid, uint64_t start_time)
{
	cleanup_fd int fd = proc_open(pid, start_time);
	struct pollfd event = {.fd = fd, .events = POLLIN};

	if (fd < 0 || proc_pidfd_signal(fd, SIGKILL) < 0)
		return;
	while (poll(&event, 1, KILL_WAIT_MS) < 0 && errno == EINTR)
		;
}

static void set_lost(struct container_state *state)
{
	container_state_end(state, CONTAINER_EXIT_LOST);
	container_state_set_text(&state->error,
				 "the container's monitor was killed");
}

/* A damaged state is that of a container that ran until the power was cut. */
static int read_state(const struct record *record,
		      struct container_state *ret_state, struct error *err)
{
	int r = record_state_read(record, ret_state, err);

	if (r == -EINVAL || r == -EBADMSG || r == -EUCLEAN) {
		container_state_init(ret_state);
		ret_state->status = CONTAINER_RUNNING;
		return 0;
	}
	return r;
}

/* RECORD_REMOVED, 0 when it is to stay. */
static int remove_temporary(struct store *store, const struct record *record,
			    const cJSON *container, struct error *err)
{
	struct record_launch launch;
	int r;

	/* What cannot be read is kept: the user may want to see it. */
	if (!container || record_launch_parse(container, &launch, NULL) < 0)
		return 0;
	r = 0;
	if (launch.auto_remove) {
		record_volumes_remove(store, record->id,
				      launch.anonymous_volumes);
		r = record_remove(store, record, launch.name, err);
		if (r >= 0)
			container_event(store, record->id, container, "destroy",
					NULL);
		r = r < 0 ? r : RECORD_REMOVED;
	}
	record_launch_release(&launch);
	return r;
}

/* Steps of the wall clock may make its life look longer than it was. */
static int64_t ran_s(const struct container_state *state)
{
	struct timespec started, finished;

	if (!state->started_at || !state->finished_at ||
	    parse_time(state->started_at, &started) < 0 ||
	    parse_time(state->finished_at, &finished) < 0 ||
	    finished.tv_sec < started.tv_sec)
		return 0;
	return finished.tv_sec - started.tv_sec;
}

/* before: what its monitor last wrote; of a restarting one it has told. */
static void tell_end(const struct store *store, const struct record *record,
		     const cJSON *container,
		     const struct container_state *state,
		     enum container_status before)
{
	bool ran = before == CONTAINER_RUNNING || before == CONTAINER_PAUSED;

	if (before == CONTAINER_RESTARTING)
		return;
	if (ran) {
		container_network_event(store, record->id, container,
					"disconnect");
		container_volume_events(store, record->id, container,
					"unmount");
	}
	container_event_die(store, record->id, container, state->exit_code,
			    ran ? ran_s(state) : 0);
}

/* With operation.lock held. */
static int repair_locked(struct store *store, const struct record *record,
			 struct container_state *state, struct error *err)
{
	cleanup_json cJSON *container = NULL;
	enum container_status before;
	int r = record_is_monitored(record);

	if (r < 0)
		return err_number(err, r, "cannot look at container %.12s",
				  record->id);
	container_state_release(state);
	if (r > 0)
		return record_state_read(record, state, err);
	r = read_state(record, state, err);
	if (r < 0)
		return r;
	if (!is_interrupted(state))
		return 0;
	end_process(state->pid, state->pid_start);
	end_process(state->net_pid, state->net_start);
	end_process(state->port_pid, state->port_start);
	end_process(state->fuse_pid, state->fuse_start);
	/* Who is left dies here; what cannot be removed is empty. */
	if (!str_empty(state->cgroup))
		(void)cgroup_remove(state->cgroup, NULL);
	before = state->status;
	set_lost(state);
	unlinkat(record->directory_fd, "control", 0);
	(void)record_read(record, &container, NULL);
	tell_end(store, record, container, state, before);
	r = remove_temporary(store, record, container, err);
	if (r != 0)
		return r;
	return record_state_write(record, state, err);
}

static int repair(struct store *store, const struct record *record,
		  struct container_state *state, struct error *err)
{
	struct record own = *record;
	int r = record_state_read(record, state, NULL);

	/* Nobody's, so that nobody need be looked for: most of a list's. */
	if (r == 0 && !is_interrupted(state))
		return 0;
	container_state_release(state);
	r = record_is_monitored(record);
	if (r < 0)
		return err_number(err, r, "cannot look at container %.12s",
				  record->id);
	if (r > 0)
		return record_state_read(record, state, err);
	/* Only what is read now is the last that its monitor wrote. */
	r = read_state(record, state, err);
	if (r < 0 || !is_interrupted(state))
		return r;
	/* Its monitor ended in good order and is about to delete it. */
	if (!record_is_current(store, record)) {
		set_lost(state);
		return RECORD_REMOVED;
	}
	if (record->operation_fd >= 0)
		return repair_locked(store, record, state, err);

	own.operation_fd = -1;
	r = record_lock(&own, false, err);
	/* Someone starts, removes or repairs it right now. */
	if (r == -EAGAIN) {
		if (!proc_is_alive(state->monitor_pid, state->monitor_start))
			set_lost(state);
		return 0;
	}
	if (r < 0)
		return r;
	r = repair_locked(store, record, state, err);
	record_unlock(&own);
	return r;
}

int record_repair(struct store *store, const struct record *record,
		  struct container_state *ret_state, struct error *err)
{
	struct container_state state = {0};
	int r = repair(store, record, &state, err);

	if (r < 0 || !ret_state)
		container_state_release(&state);
	else
		*ret_state = state;
	return r;
}
