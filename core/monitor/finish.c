#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/proc.h"
#include "core/monitor/event.h"
#include "core/monitor/monitor.h"
#include "core/monitor/networks.h"

/* For a file system's server to write what the kernel still has for it. */
#define FUSE_WAIT_MS   10000
#define EXIT_OURS      125
#define LINGER_WAIT_MS 10000 /* for clients that take their time */

/*
 * A FUSE server ends by itself when the mount has gone with the container's
 * namespace, and writes back what was still in the kernel; a killed one would
 * lose that.
 */
static void end_fuse(struct monitor *monitor)
{
	pid_t pid = monitor->process.fuse_pid;
	cleanup_fd int fd = -1;
	struct pollfd event;

	if (pid <= 0)
		return;
	fd = proc_pidfd_open(pid, 0);
	event = (struct pollfd){.fd = fd, .events = POLLIN};
	if ((!monitor->launch.auto_remove || monitor->keep) && fd >= 0) {
		while (poll(&event, 1, FUSE_WAIT_MS) < 0 && errno == EINTR)
			;
	}
	kill(pid, SIGKILL);
	proc_wait(pid);
	monitor->process.fuse_pid = 0;
}

/* Under its present name: it may have been renamed since. */
static void detach_record(struct monitor *monitor, const cJSON *container)
{
	const char *name = NULL;

	json_get_string(container, "container", "Name", &name, NULL);
	if (str_empty(name))
		name = monitor->launch.name;
	record_volumes_remove(&monitor->store, monitor->record.id,
			      monitor->launch.anonymous_volumes);
	for (size_t i = 0; i < monitor->launch.network_count; i++)
		record_network_release_addresses(&monitor->store,
						 monitor->record.id,
						 &monitor->launch.networks[i]);
	record_detach(&monitor->store, &monitor->record,
		      name && *name == '/' ? name + 1 : name, NULL);
	container_event(&monitor->store, monitor->record.id, container,
			"destroy", NULL);
}

void tell_start(struct monitor *monitor)
{
	cleanup_json cJSON *container = NULL;

	(void)record_read(&monitor->record, &container, NULL);
	container_network_event(&monitor->store, monitor->record.id, container,
				"connect");
	container_volume_events(&monitor->store, monitor->record.id, container,
				"mount");
	container_event(&monitor->store, monitor->record.id, container, "start",
			NULL);
	monitor->is_told = true;
}

void tell_end(struct monitor *monitor, const cJSON *container)
{
	const struct store *store = &monitor->store;
	const char *id = monitor->record.id;

	/* It ended while it waited for its next start. */
	if (!monitor->is_told)
		return;
	monitor->is_told = false;
	container_network_event(store, id, container, "disconnect");
	container_volume_events(store, id, container, "unmount");
	container_event_die(store, id, container, monitor->exit_code,
			    monitor->ran_ms / 1000);
	if (monitor->is_stopping)
		container_event(store, id, container, "stop", NULL);
}

static void set_exited(struct monitor *monitor)
{
	struct container_state *state = &monitor->state;

	/* One that was to be restarted has ended before. */
	if (state->status == CONTAINER_RESTARTING) {
		container_state_clear(state);
		state->status = CONTAINER_EXITED;
		return;
	}
	container_state_end(state, monitor->exit_code);
	/* A server that ended well did so because the container had. */
	if (monitor->fuse_status != 0 && monitor->exit_code == 128 + SIGKILL)
		container_state_set_text(&state->error,
					 "the server of the container's root "
					 "file system died");
}

/* After the answers, since a disk may take its time. */
static void sync_state(struct monitor *monitor)
{
	cleanup_fd int fd = -1;

	fd = openat(monitor->record.directory_fd, "state.json",
		    O_RDONLY | O_CLOEXEC);
	if (fd >= 0 && fsync(fd) == 0)
		fsync(monitor->record.directory_fd);
}

static void on_linger(struct loop_source *source, void *data)
{
	struct monitor *monitor = data;

	loop_stop(monitor->loop, 0);
}

/* For clients whose sockets did not take all that is for them. */
static void linger(struct monitor *monitor)
{
	struct loop_source *source = NULL;

	if (!monitor->clients ||
	    loop_add_timer(monitor->loop, LINGER_WAIT_MS, on_linger, monitor,
			   &source, NULL) < 0)
		return;
	loop_run(monitor->loop);
	loop_remove(source);
}

void finish_run(struct monitor *monitor)
{
	if (monitor->shares_pids)
		children_kill_strays(monitor);
	output_drain(monitor);
	if (monitor->log)
		log_writer_flush(monitor->log, NULL);
	input_release(monitor);
	clients_finish(monitor);
	helpers_drain(monitor);
	helpers_stop(monitor);
	networks_leave(monitor);
	end_fuse(monitor);
	launch_undo(monitor);
	children_reap(monitor);
}

/*
 * In this order: all output is in the log and with the clients; nothing of the
 * container runs and its ports are free; the state says so, or the record is
 * gone, which is an event; no new command reaches us; the lock is free for the
 * next start. Only then is the end told. What may take its time on a slow disk
 * comes after that: a build's work, too, if nobody else cares for it any more.
 */
void finish(struct monitor *monitor)
{
	bool stays = !monitor->launch.auto_remove || monitor->keep;
	cleanup_json cJSON *container = NULL;

	finish_run(monitor);
	set_exited(monitor);
	(void)record_read(&monitor->record, &container, NULL);
	if (stays)
		record_state_write_unsynced(&monitor->record, &monitor->state,
					    NULL);
	tell_end(monitor, container);
	if (!stays)
		detach_record(monitor, container);
	server_close(monitor);
	close_fd(&monitor->lock_fd);
	server_answer_end(monitor);
	if (!stays)
		record_destroy(&monitor->store, &monitor->record, NULL);
	else if (!store_containers_are_private(&monitor->store))
		sync_state(monitor);
	else if (monitor->owner_has_gone)
		store_clean(&monitor->store);
	linger(monitor);
}

/* Docker's: 126 and 127 when it is the command, 125 when it is us. */
static int failure_code(const struct error *err)
{
	int code = error_meaning(err->kind)->exit_code;

	return code > EXIT_OURS ? code : EXIT_OURS;
}

void finish_failed(struct monitor *monitor, const struct error *err)
{
	struct container_state *state = &monitor->state;
	cleanup_json cJSON *container = NULL;

	container_state_clear(state);
	state->exit_code = failure_code(err);
	(void)record_read(&monitor->record, &container, NULL);
	/* It got as far as to be ours. */
	if (state->started_at)
		container_event_die(&monitor->store, monitor->record.id,
				    container, state->exit_code, 0);
	if (monitor->launch.auto_remove) {
		detach_record(monitor, container);
		record_destroy(&monitor->store, &monitor->record, NULL);
	} else if (state->started_at) {
		container_state_set_text(&state->error, err->message);
		record_state_write(&monitor->record, state, NULL);
	}
	server_close(monitor);
	close_fd(&monitor->lock_fd);
}
