#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "core/monitor/event.h"
#include "core/monitor/monitor.h"

#define KILL_AGAIN_MS 1000
#define CUT_MARK      "..."

/*
 * One timer serves for both: while a probe runs it is the probe's time-out,
 * else the time of the next one.
 */
struct probe {
	struct monitor *monitor;
	struct spec_process process;
	struct health health;
	int64_t born_ms; /* the container, clock_ms() */
	struct loop_source *timer;
	bool is_due;  /* a pause was in the way */
	bool is_held; /* the user's pause */

	/* The one that runs. */
	pid_t pid; /* 0: none */
	bool is_late;
	bool is_forgotten; /* its result does not count */
	struct timespec start;
	int64_t age_ms; /* of the container then */
	int output_fd;
	struct loop_source *output_source;
	struct str output;
	bool is_cut;
};

static void set_next(struct probe *probe)
{
	int64_t age = clock_ms() - probe->born_ms;

	loop_timer_set(probe->timer,
		       health_delay_ms(&probe->health,
				       &probe->monitor->launch.health, age));
}

static void close_output(struct probe *probe)
{
	loop_remove(probe->output_source);
	probe->output_source = NULL;
	close_fd(&probe->output_fd);
}

/* What is beyond the limit is read all the same, so that nobody waits. */
static ssize_t read_output(struct probe *probe)
{
	char *buffer = probe->monitor->buffer;
	size_t room = HEALTH_OUTPUT_MAX - probe->output.length;
	ssize_t length = read(probe->output_fd, buffer, MONITOR_READ_SIZE);

	if (length <= 0)
		return length < 0 ? -errno : 0;
	probe->is_cut = probe->is_cut || (size_t)length > room;
	str_append_bytes(&probe->output, buffer,
			 (size_t)length < room ? (size_t)length : room);
	return length;
}

static void on_output(struct loop_source *source, int fd, uint32_t events,
		      void *data)
{
	struct probe *probe = data;
	ssize_t r = read_output(probe);

	if (r <= 0 && r != -EAGAIN && r != -EINTR)
		close_output(probe);
}

/* Without waiting for whoever still holds the pipe. */
static void drain_output(struct probe *probe)
{
	for (size_t left = HEALTH_OUTPUT_MAX + 1; probe->output_fd >= 0;) {
		ssize_t length = read_output(probe);

		if (length == -EINTR)
			continue;
		if (length <= 0 || (size_t)length >= left)
			break;
		left -= (size_t)length;
	}
	close_output(probe);
	if (probe->is_cut)
		str_append(&probe->output, CUT_MARK);
}

static void tell_status(const struct probe *probe)
{
	const struct monitor *monitor = probe->monitor;
	cleanup_free char *action =
		xasprintf("health_status: %s", probe->health.status);

	record_event(&monitor->store, &monitor->record, action, NULL);
}

/*
 * Written before the status, so that who reads of a status finds the result
 * that has made it. What the disk does not take, the next probe will write.
 */
static void take(struct probe *probe, int exit_code, const char *output,
		 size_t length)
{
	struct monitor *monitor = probe->monitor;
	struct health_result result = {
		.start = probe->start,
		.age_ms = probe->age_ms,
		.exit_code = exit_code,
		.output = output,
		.length = length,
	};
	bool changed;

	clock_gettime(CLOCK_REALTIME, &result.end);
	changed = health_take(&probe->health, &monitor->launch.health, &result);
	health_write(&probe->health, monitor->record.directory_fd, NULL);
	if (changed) {
		container_state_set_text(&monitor->state.health,
					 probe->health.status);
		record_state_write(&monitor->record, &monitor->state, NULL);
		tell_status(probe);
	}
	set_next(probe);
}

static int spawn(struct probe *probe, struct error *err)
{
	struct monitor *monitor = probe->monitor;
	struct runtime_process process = {0};
	cleanup_fd int null_fd = -1;
	cleanup_fd int theirs = -1;
	int fds[2];
	int r;

	null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (null_fd < 0)
		return err_errno(err, "cannot open /dev/null");
	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_errno(err, "cannot make a pipe");
	probe->output_fd = fds[0];
	theirs = fds[1];
	if (fcntl(fds[0], F_SETFL, O_NONBLOCK) < 0)
		return err_errno(err, "cannot read a probe's output");
	r = loop_add_fd(monitor->loop, fds[0], EPOLLIN, on_output, probe,
			&probe->output_source, err);
	if (r < 0)
		return r;
	r = exec_run(monitor, &probe->process, false,
		     (const int[]){null_fd, theirs, theirs}, &process, err);
	if (r < 0)
		return r;
	probe->pid = process.pid;
	runtime_process_release(&process);
	return 0;
}

static void run(struct probe *probe)
{
	struct error err = {0};

	probe->is_late = probe->is_cut = probe->is_forgotten = false;
	str_release(&probe->output);
	clock_gettime(CLOCK_REALTIME, &probe->start);
	probe->age_ms = clock_ms() - probe->born_ms;
	if (spawn(probe, &err) >= 0) {
		loop_timer_set(probe->timer,
			       probe->monitor->launch.health.timeout_ms);
		return;
	}
	close_output(probe);
	take(probe, -1, err.message, strlen(err.message));
}

static void on_timer(struct loop_source *source, void *data)
{
	struct probe *probe = data;
	struct monitor *monitor = probe->monitor;

	if (monitor->ended)
		return;
	if (is_paused(monitor)) {
		probe->is_due = true;
	} else if (probe->pid > 0) {
		/* Again until it has gone; meanwhile there is no other. */
		probe->is_late = true;
		probe_kill(probe->pid);
		loop_timer_set(source, KILL_AGAIN_MS);
	} else if (!monitor->is_stopping) {
		run(probe);
	}
}

void probe_hold(struct monitor *monitor)
{
	struct probe *probe = monitor->probe;

	if (!probe)
		return;
	probe->health.status = HEALTH_UNHEALTHY;
	container_state_set_text(&monitor->state.health, probe->health.status);
	probe->is_held = true;
	probe->is_due = false;
	if (probe->pid > 0) {
		probe->is_forgotten = true;
		probe_kill(probe->pid);
	} else {
		loop_timer_set(probe->timer, -1);
	}
}

/* A probe that was held still with the others gets its time anew. */
void probe_resume(struct monitor *monitor)
{
	struct probe *probe = monitor->probe;

	if (!probe)
		return;
	if (probe->pid > 0 && probe->is_due)
		loop_timer_set(probe->timer, monitor->launch.health.timeout_ms);
	else if (probe->pid == 0 && probe->is_due)
		loop_timer_set(probe->timer, 0);
	else if (probe->pid == 0 && probe->is_held)
		set_next(probe);
	probe->is_due = probe->is_held = false;
}

bool probe_ended(struct monitor *monitor, pid_t pid, int exit_code)
{
	struct probe *probe = monitor->probe;
	cleanup_free char *text = NULL;

	if (!probe || pid != probe->pid)
		return false;
	probe->pid = 0;
	drain_output(probe);
	/* What its container's end has done to it says nothing. */
	if (monitor->ended) {
		str_release(&probe->output);
		return true;
	}
	if (probe->is_forgotten) {
		loop_timer_set(probe->timer, -1);
		if (!probe->is_held)
			set_next(probe);
	} else if (probe->is_late) {
		text = health_timeout_text(monitor->launch.health.timeout_ms,
					   str_text(&probe->output));
		take(probe, -1, text, strlen(text));
	} else {
		take(probe, exit_code, str_text(&probe->output),
		     probe->output.length);
	}
	str_release(&probe->output);
	return true;
}

int probe_start(struct monitor *monitor, struct spec_process *process,
		struct error *err)
{
	const struct health_check *check = &monitor->launch.health;
	struct probe *probe;
	int r;

	container_state_set_text(&monitor->state.health, "");
	if (!check->command)
		return 0;
	probe = xcalloc(1, sizeof(*probe));
	monitor->probe = probe;
	probe->monitor = monitor;
	probe->output_fd = -1;
	probe->process = *process;
	*process = (struct spec_process){0};
	probe->process.terminal = false;
	strv_free(probe->process.args);
	probe->process.args = strv_copy(check->command);
	probe->born_ms = clock_ms();
	health_begin(&probe->health, monitor->record.directory_fd);
	r = health_write(&probe->health, monitor->record.directory_fd, err);
	if (r >= 0)
		r = loop_add_timer(monitor->loop, -1, on_timer, probe,
				   &probe->timer, err);
	if (r < 0)
		return r;
	container_state_set_text(&monitor->state.health, probe->health.status);
	set_next(probe);
	return 0;
}

void probe_release(struct monitor *monitor)
{
	struct probe *probe = monitor->probe;

	if (!probe)
		return;
	monitor->probe = NULL;
	loop_remove(probe->timer);
	close_output(probe);
	str_release(&probe->output);
	health_release(&probe->health);
	spec_process_release(&probe->process);
	free(probe);
}
