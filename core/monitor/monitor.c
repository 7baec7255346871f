#include "core/monitor/monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/proc.h"
#include "base/str.h"
#include "core/monitor/control.h"
#include "core/monitor/start.h"

#define EXIT_USAGE 125
#define SETTLE_MS  1000

/* One answer to whoever started us; err NULL: the container runs. */
static void report(struct monitor *monitor, const struct error *err)
{
	static const char runs = START_RUNS;

	if (err)
		error_write(monitor->start_fd, err);
	else
		write_all(monitor->start_fd, &runs, sizeof(runs));
	close_fd(&monitor->start_fd);
}

static void on_child(struct loop_source *source,
		     const struct signalfd_siginfo *info, void *data)
{
	children_reap(data);
}

static void on_terminate(struct loop_source *source,
			 const struct signalfd_siginfo *info, void *data)
{
	monitor_stop_container(data, 0, MONITOR_STOP_OWN, NULL);
}

static int take_signals(struct monitor *monitor, struct error *err)
{
	static const int ignored[] = {SIGHUP, SIGINT, SIGQUIT, SIGPIPE};
	struct loop_source *source;
	int r;

	for (size_t i = 0; i < ARRAY_SIZE(ignored); i++)
		signal(ignored[i], SIG_IGN);
	r = loop_add_signal(monitor->loop, SIGCHLD, on_child, monitor, &source,
			    err);
	if (r < 0)
		return r;
	return loop_add_signal(monitor->loop, SIGTERM, on_terminate, monitor,
			       &source, err);
}

static int take_record(struct monitor *monitor, const char *store_path,
		       const char *containers, const char *id,
		       struct error *err)
{
	struct store *store = &monitor->store;
	int r = store_open(store_path, store, err);

	if (r < 0)
		return r;
	snprintf(store->containers, sizeof(store->containers), "%s",
		 containers);
	r = record_open(store, id, &monitor->record, err);
	if (r < 0)
		return r;
	monitor->lock_fd = lock_open_at(monitor->record.directory_fd, "lock",
					LOCK_EXCLUSIVE, false, err);
	if (monitor->lock_fd == -EAGAIN)
		return err_set(err, ERROR_CONFLICT,
			       "container %.12s is already running", id);
	return monitor->lock_fd < 0 ? monitor->lock_fd : 0;
}

static void monitor_init(struct monitor *monitor)
{
	*monitor = (struct monitor){
		.record = {.directory_fd = -1, .operation_fd = -1},
		.lock_fd = -1,
		.start_fd = START_FD,
		.process = MONITOR_NO_PROCESS,
		.cgroup = CGROUP_NONE,
		.oom_fd = -1,
		.native = {.socket_fd = -1},
		.terminal_fd = -1,
		.packed_fd = -1,
		.input = {.fd = -1},
		.buffer = xrealloc(NULL, MONITOR_READ_SIZE, 1),
		.listen_fd = -1,
		.resolv_fd = -1,
	};
	helpers_init(monitor);
	for (int i = 0; i < 2; i++) {
		monitor->outputs[i].monitor = monitor;
		monitor->outputs[i].stream = i + 1;
		monitor->outputs[i].fd = -1;
	}
}

static void monitor_release(struct monitor *monitor)
{
	clients_release(monitor);
	server_release(monitor);
	exec_release(monitor);
	probe_release(monitor);
	input_release(monitor);
	output_release(monitor);
	compress_release(monitor);
	log_writer_close(monitor->log);
	runtime_process_release(&monitor->process);
	seccomp_filter_release(&monitor->filter);
	monitor_native_release(monitor);
	seccomp_filter_release(&monitor->native_filter);
	container_state_release(&monitor->state);
	record_launch_release(&monitor->launch);
	record_close(&monitor->record);
	store_close(&monitor->store);
	close_fd(&monitor->lock_fd);
	loop_free(monitor->loop);
	free(monitor->rlimits);
	free(monitor->cgroup_base);
	free(monitor->buffer);
}

static int start(struct monitor *monitor, char **argv, struct error *err)
{
	int r = loop_new(&monitor->loop, err);

	if (r >= 0)
		r = take_signals(monitor, err);
	if (r >= 0)
		r = take_record(monitor, argv[1], argv[2], argv[3], err);
	if (r < 0)
		return r;
	r = launch(monitor, argv[4], err);
	if (r < 0)
		finish_failed(monitor, err);
	return r;
}

static void on_settle(struct loop_source *source, void *data)
{
	struct monitor *monitor = data;

	monitor->settles = false;
	log_writer_settle(monitor->log);
	free(monitor->buffer);
	memory_settle();
	/* Not touched before there is something to read. */
	monitor->buffer = xrealloc(NULL, MONITOR_READ_SIZE, 1);
}

void monitor_settle_later(struct monitor *monitor)
{
	int r = 0;

	if (monitor->settles)
		return;
	if (monitor->settle_timer)
		r = loop_timer_set(monitor->settle_timer, SETTLE_MS);
	else
		r = loop_add_timer(monitor->loop, SETTLE_MS, on_settle, monitor,
				   &monitor->settle_timer, NULL);
	monitor->settles = r >= 0;
}

/* What only the start needed, for a small process that may sit here for weeks.
 */
static void trim(struct monitor *monitor)
{
	/* The ways of those who are started again. */
	if (monitor->native.pid > 0)
		return monitor_settle_later(monitor);
	close_fd(&monitor->process.userns_fd);
	/* The way to an uplink started again, and to further networks. */
	if (monitor->launch.network != LAUNCH_NETWORK_SLIRP &&
	    monitor->launch.network != LAUNCH_NETWORK_NAMED) {
		close_fd(&monitor->process.netns_fd);
		close_fd(&monitor->process.tap_fd);
	}
	monitor_settle_later(monitor);
}

static int run(int argc, char **argv)
{
	struct monitor monitor;
	struct error err = {0};

	monitor_init(&monitor);
	if (start(&monitor, argv, &err) < 0) {
		report(&monitor, &err);
		monitor_release(&monitor);
		return EXIT_FAILURE;
	}
	tell_start(&monitor);
	report(&monitor, NULL);
	do {
		trim(&monitor);
		while (!monitor.ended)
			loop_run(monitor.loop);
	} while (relaunch(&monitor));
	finish(&monitor);
	monitor_release(&monitor);
	return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
	if (argc < 4 || argc > 5 || fcntl(START_FD, F_GETFD) < 0) {
		fprintf(stderr, "moss-monitor is started by moss\n");
		return EXIT_USAGE;
	}
	proc_name_init(argc, argv);
	for (int fd = START_FD; fd <= (argc > 4 ? START_WAIT_FD : START_FD);
	     fd++)
		fcntl(fd, F_SETFD, FD_CLOEXEC);
	umask(022);
	if (chdir("/") < 0)
		return EXIT_FAILURE;
	return run(argc, argv);
}
