#include <stdlib.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/str.h"
#include "core/monitor/monitor.h"

/* docker's for a start that failed after a run that had not. */
#define EXIT_NOT_STARTED 128

/* Name, policy and the like may have been changed while it ran. */
static bool read_again(struct monitor *monitor)
{
	struct record_launch launch = {0};
	cleanup_json cJSON *container = NULL;

	if (record_read(&monitor->record, &container, NULL) < 0 ||
	    record_launch_parse(container, &launch, NULL) < 0)
		return false;
	record_launch_release(&monitor->launch);
	monitor->launch = launch;
	return true;
}

/* It waits for its next start: docker counts it among the running ones. */
static void set_restarting(struct monitor *monitor)
{
	struct container_state *state = &monitor->state;
	pid_t pid = state->monitor_pid;
	uint64_t start = state->monitor_start;

	container_state_end(state, monitor->exit_code);
	state->status = CONTAINER_RESTARTING;
	state->monitor_pid = pid;
	state->monitor_start = start;
	state->restart_count++;
	record_state_write(&monitor->record, state, NULL);
}

/* Nothing of one run is left for the next. */
static void forget_run(struct monitor *monitor)
{
	exec_release(monitor);
	probe_release(monitor);
	output_release(monitor);
	log_writer_close(monitor->log);
	monitor->log = NULL;
	monitor->log_failed = false;
	monitor->output_held = false;
	runtime_process_release(&monitor->process);
	monitor->process = MONITOR_NO_PROCESS;
	seccomp_filter_release(&monitor->filter);
	monitor->filter = (struct seccomp_filter){0};
	free(monitor->rlimits);
	monitor->rlimits = NULL;
	monitor->rlimit_count = 0;
	monitor->fuse_status = 0;
	monitor->native_restarts = 0;
	loop_remove(monitor->kill_timer);
	monitor->kill_timer = NULL;
	monitor->kill_at = 0;
}

static void on_time(struct loop_source *source, void *data)
{
	struct monitor *monitor = data;

	monitor->is_restarting = false;
	loop_stop(monitor->loop, 0);
}

/* True when nobody has told it to stay ended meanwhile. */
static bool await_time(struct monitor *monitor, int64_t delay_ms)
{
	struct loop_source *timer = NULL;

	monitor->is_restarting = true;
	if (loop_add_timer(monitor->loop, delay_ms, on_time, monitor, &timer,
			   NULL) < 0)
		monitor->is_restarting = false;
	/* The loop is stopped for other reasons, too. */
	while (monitor->is_restarting && !monitor->stays_ended)
		loop_run(monitor->loop);
	monitor->is_restarting = false;
	loop_remove(timer);
	return !monitor->stays_ended;
}

static bool launch_next(struct monitor *monitor)
{
	struct container_state *state = &monitor->state;
	struct error err = {0};

	monitor->ended = false;
	if (launch_again(monitor, &err) >= 0) {
		tell_start(monitor);
		return true;
	}
	monitor->ended = true;
	if (monitor->exit_code == 0)
		monitor->exit_code = EXIT_NOT_STARTED;
	state->exit_code = monitor->exit_code;
	err_wrap(&err, "cannot restart");
	container_state_set_text(&state->error, err.message);
	return false;
}

static void tell_run_end(struct monitor *monitor)
{
	cleanup_json cJSON *container = NULL;

	(void)record_read(&monitor->record, &container, NULL);
	tell_end(monitor, container);
}

bool relaunch(struct monitor *monitor)
{
	if (monitor->stays_ended || !read_again(monitor) ||
	    !restart_is_due(&monitor->launch.restart, monitor->exit_code,
			    monitor->state.restart_count))
		return false;
	monitor->restart_delay_ms =
		restart_delay_ms(monitor->restart_delay_ms, monitor->ran_ms);
	pause_lift(monitor);
	finish_run(monitor);
	tell_run_end(monitor);
	set_restarting(monitor);
	server_answer_run(monitor);
	forget_run(monitor);
	return await_time(monitor, monitor->restart_delay_ms) &&
	       launch_next(monitor);
}
