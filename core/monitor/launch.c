#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/proc.h"
#include "core/monitor/helpers.h"
#include "core/monitor/monitor.h"
#include "core/monitor/networks.h"
#include "core/monitor/start.h"

/* The ends of the container's standard streams, ours and its. */
struct stdio {
	int theirs[3];
	int input, outputs[2]; /* ours */
};

static void stdio_release(struct stdio *stdio)
{
	for (int i = 0; i < 3; i++)
		close_fd(&stdio->theirs[i]);
	close_fd(&stdio->input);
	close_fd(&stdio->outputs[0]);
	close_fd(&stdio->outputs[1]);
}

void monitor_note(struct monitor *monitor, const struct error *err)
{
	container_state_set_text(&monitor->state.error, err->message);
	if (monitor->process.pid > 0 && !monitor->ended)
		record_state_write(&monitor->record, &monitor->state, NULL);
}

static int read_config(struct monitor *monitor, struct runtime_spec *spec,
		       struct error *err)
{
	cleanup_json cJSON *config = NULL;
	int r;

	proc_name_set("moss: monitor %s", monitor->launch.name);
	r = json_read_at(monitor->record.directory_fd, "config.json", &config,
			 err);
	if (r >= 0)
		r = spec_parse(config, spec, err);
	return r < 0 ? r : spec_add_environment(spec, err);
}

static int read_record(struct monitor *monitor, struct runtime_spec *spec,
		       struct error *err)
{
	cleanup_json cJSON *container = NULL;
	int r = record_read(&monitor->record, &container, err);

	if (r >= 0)
		r = record_launch_parse(container, &monitor->launch, err);
	if (r < 0)
		return r;
	if (monitor->launch.auto_remove)
		monitor->record.is_volatile = true;
	return read_config(monitor, spec, err);
}

/*
 * Namespaces that others have made are named by a process of theirs. When that
 * has ended, its number may be anybody's. Asked before they are joined, for a
 * clear word, and afterwards: who is still there then was there all the time.
 */
static int check_joined(const struct runtime_spec *spec, struct error *err)
{
	for (size_t i = 0; i < spec->owner_count; i++) {
		const struct spec_owner *owner = &spec->owners[i];

		if (proc_is_alive(owner->pid, owner->start_time))
			continue;
		err_set(err, ERROR_CONFLICT,
			"the namespace of process %d has gone",
			(int)owner->pid);
		return err_hint(err, "start it again once the container runs "
				     "whose it was");
	}
	return 0;
}

/* A volume is filled by the first run; what that emptied stays empty. */
static void forget_copies(struct runtime_spec *spec)
{
	for (size_t i = 0; i < spec->mount_count; i++) {
		char **options = spec->mounts[i].options;

		for (size_t j = 0; options && options[j]; j++) {
			if (!str_equal(options[j], "copyup"))
				continue;
			free(options[j]);
			options[j] = xstrdup("nocopy");
		}
	}
}

/* The stream and the exit connection that monitor_start() made. */
static int take_starter(struct monitor *monitor, const char *attach,
			struct error *err)
{
	const struct client_options options = {
		.in = strchr(attach, START_ATTACH_STDIN),
		.out = strchr(attach, START_ATTACH_STDOUT),
		.err = strchr(attach, START_ATTACH_STDERR),
		.logs = strchr(attach, START_ATTACH_LOGS),
	};

	server_add_waiter(monitor, START_WAIT_FD,
			  strchr(attach, START_ATTACH_OWNER));
	return client_add(monitor, START_STREAM_FD, &options, err);
}

/* From here on a state without a living monitor tells that it was killed. */
static int begin(struct monitor *monitor, struct error *err)
{
	struct container_state *state = &monitor->state;
	int r = record_state_read(&monitor->record, state, err);

	if (r < 0)
		return r;
	state->monitor_pid = getpid();
	state->restart_count = 0;
	state->stopped_by_hand = false;
	r = proc_start_time(state->monitor_pid, &state->monitor_start);
	if (r < 0)
		return err_number(err, r, "cannot read /proc");
	return record_state_write(&monitor->record, state, err);
}

static int open_cache(struct monitor *monitor)
{
	int root_fd = monitor->store.root_fd;
	int fd = openat(root_fd, "cache", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 && errno == ENOENT && mkdirat(root_fd, "cache", 0700) == 0)
		fd = openat(root_fd, "cache",
			    O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd;
}

static int load_filter(struct monitor *monitor, struct error *err)
{
	const struct record_launch *launch = &monitor->launch;
	cleanup_free char *profile = NULL;
	cleanup_fd int cache_fd = open_cache(monitor);
	struct seccomp_request request = {
		.name = launch->seccomp_name,
		.capabilities = launch->capabilities,
		.single_id = launch->single_id,
		.unconfined = launch->seccomp == LAUNCH_SECCOMP_UNCONFINED,
	};
	int r;

	if (launch->seccomp == LAUNCH_SECCOMP_FILE) {
		r = file_read_at(monitor->record.directory_fd, "seccomp.json",
				 SECCOMP_PROFILE_MAX, &profile,
				 &request.profile_length, err);
		if (r < 0)
			return r;
		request.profile = profile;
		if (!request.name)
			request.name = "seccomp.json";
	}
	return seccomp_filter_load(&request, cache_fd, &monitor->filter, err);
}

static int make_pipe(int *ret_read, int *ret_write, struct error *err)
{
	int fds[2];

	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_errno(err, "cannot make a pipe");
	*ret_read = fds[0];
	*ret_write = fds[1];
	return 0;
}

static int make_stdio(const struct monitor *monitor, struct stdio *stdio,
		      struct error *err)
{
	int r;

	if (monitor->launch.terminal)
		return 0;
	if (monitor->launch.open_stdin) {
		r = make_pipe(&stdio->theirs[0], &stdio->input, err);
		if (r < 0)
			return r;
	} else {
		stdio->theirs[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
		if (stdio->theirs[0] < 0)
			return err_errno(err, "cannot open /dev/null");
	}
	r = make_pipe(&stdio->outputs[0], &stdio->theirs[1], err);
	if (r >= 0)
		r = make_pipe(&stdio->outputs[1], &stdio->theirs[2], err);
	return r;
}

static int connect_streams(struct monitor *monitor, struct stdio *stdio,
			   struct error *err)
{
	int r;

	if (monitor->launch.terminal) {
		int console = monitor->process.console_fd;

		if (monitor->launch.open_stdin) {
			stdio->input = fcntl(console, F_DUPFD_CLOEXEC, 0);
			if (stdio->input < 0)
				return err_errno(err, "cannot use a terminal");
		}
		stdio->outputs[0] = steal_fd(&monitor->process.console_fd);
	}
	monitor->input.fd = steal_fd(&stdio->input);
	monitor->outputs[0].fd = steal_fd(&stdio->outputs[0]);
	monitor->outputs[1].fd = steal_fd(&stdio->outputs[1]);
	r = input_start(monitor, err);
	return r < 0 ? r : output_start(monitor, err);
}

/* Makes the container, up to its last step. */
static int create(struct monitor *monitor, const struct runtime_spec *spec,
		  struct stdio *stdio, struct error *err)
{
	const struct record_launch *launch = &monitor->launch;
	const struct snapshot snapshot = {
		.driver = launch->storage_driver,
		.store = &monitor->store,
		.diff_ids = launch->diff_ids,
		.directory_fd = monitor->record.directory_fd,
		.is_volatile = launch->is_volatile,
		.read_only = spec->root_readonly,
	};
	const struct netns_config network = {
		.interface = "eth0",
		.address = launch->address,
		.mac = launch->mac,
		.tun_fd = -1,
	};
	struct runtime_request request = {
		.spec = spec,
		.snapshot = &snapshot,
		.filter = &monitor->filter,
		.notify = monitor_native_filter(monitor),
		.deny_tcp = monitor_native_denies_tcp(monitor),
		.network = launch->network == LAUNCH_NETWORK_SLIRP ? &network
								   : NULL,
	};
	int r;

	/* Before any child, which would stay in the cgroup that we leave. */
	r = limits_start(monitor, spec, &request.task_limit, err);
	request.cgroup_fd = monitor->cgroup.fd;
	/* First, as its start takes as long as all of ours. */
	if (r >= 0)
		r = helpers_spawn(monitor, err);
	if (r >= 0)
		r = log_writer_open(monitor->record.directory_fd, &launch->log,
				    &monitor->log, err);
	if (r >= 0)
		r = load_filter(monitor, err);
	if (r >= 0)
		r = snapshot_prepare(&snapshot, err);
	if (r >= 0)
		r = make_stdio(monitor, stdio, err);
	if (r < 0)
		return r;
	memcpy(request.stdio, stdio->theirs, sizeof(request.stdio));
	/* Without a PID namespace, orphans come to us to be ended. */
	monitor->shares_pids = !spec_namespace_is_new(spec, CLONE_NEWPID);
	if (monitor->shares_pids)
		prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	return runtime_create(&request, &monitor->process, err);
}

/* What has changed of the record, without what cannot change any more. */
static int read_networks(struct monitor *monitor, struct error *err)
{
	struct record_launch *launch = &monitor->launch;
	struct record_launch now = {0};
	cleanup_json cJSON *container = NULL;
	int r = record_read(&monitor->record, &container, err);

	r = r < 0 ? r : record_launch_parse(container, &now, err);
	if (r < 0)
		return r;
	record_networks_release(launch->networks, launch->network_count);
	launch->networks = steal_ptr(&now.networks);
	launch->network_count = now.network_count;
	now.network_count = 0;
	free(launch->name);
	launch->name = steal_ptr(&now.name);
	record_launch_release(&now);
	return 0;
}

int launch_networks_again(struct monitor *monitor, struct error *err)
{
	struct record_launch *launch = &monitor->launch;
	const struct record_network *primary = networks_primary(launch);
	cleanup_free char *before = xstrdup(primary ? primary->address : "");
	int r = read_networks(monitor, err);

	r = r < 0 ? r : networks_sync(monitor, err);
	if (r < 0)
		return r;
	/* Published ports lead to an address. */
	primary = networks_primary(launch);
	if (launch->network != LAUNCH_NETWORK_NAMED || !primary ||
	    str_equal(primary->address, before) || monitor->forward_count == 0)
		return 0;
	r = helpers_restart_ports(monitor, err);
	if (r >= 0)
		r = record_state_write(&monitor->record, &monitor->state, err);
	return r;
}

/* What exec needs of the configuration. */
static void keep_of_spec(struct monitor *monitor, struct runtime_spec *spec)
{
	struct spec_process *process = &spec->process;

	monitor->no_new_privileges = process->no_new_privileges;
	monitor->has_oom_score_adj = process->has_oom_score_adj;
	monitor->oom_score_adj = process->oom_score_adj;
	monitor->rlimits = steal_ptr(&process->rlimits);
	monitor->rlimit_count = process->rlimit_count;
	process->rlimit_count = 0;
}

static int set_running(struct monitor *monitor, struct error *err)
{
	struct container_state *state = &monitor->state;
	char now[TIME_TEXT_MAX];
	int r;

	monitor->launched_ms = clock_ms();
	format_now(now);
	state->status = CONTAINER_RUNNING;
	state->pid = monitor->process.pid;
	state->pid_start = monitor->process.start_time;
	state->fuse_pid = monitor->process.fuse_pid;
	state->exit_code = 0;
	state->oom_killed = false;
	container_state_set_text(&state->error, "");
	container_state_set_text(&state->started_at, now);
	container_state_set_text(&state->finished_at, CONTAINER_TIME_NONE);
	if (state->fuse_pid > 0) {
		r = proc_start_time(state->fuse_pid, &state->fuse_start);
		if (r < 0)
			return err_number(err, r,
					  "the root file system's server died");
	}
	return record_state_write(&monitor->record, state, err);
}

static int start(struct monitor *monitor, struct runtime_spec *spec,
		 struct stdio *stdio, struct error *err)
{
	int r = create(monitor, spec, stdio, err);

	if (r >= 0)
		r = check_joined(spec, err);
	if (r >= 0)
		r = networks_join(monitor, err);
	if (r >= 0)
		r = helpers_configure(monitor, err);
	if (r >= 0)
		r = monitor_native_start(monitor, err);
	if (r >= 0)
		r = connect_streams(monitor, stdio, err);
	/* It is there from the first run on. */
	if (r >= 0 && monitor->listen_fd < 0)
		r = server_start(monitor, err);
	if (r < 0)
		return r;
	keep_of_spec(monitor, spec);
	/* What the last monitor did not get to. */
	compress_next(monitor);
	r = limits_watch(monitor, err);
	if (r >= 0)
		r = probe_start(monitor, &spec->process, err);
	if (r >= 0)
		r = held_watch(monitor, err);
	if (r >= 0)
		r = set_running(monitor, err);
	if (r >= 0)
		r = runtime_start(&monitor->process, err);
	return r < 0 ? r
		     : monitor_native_listen(monitor, &monitor->process, err);
}

int launch(struct monitor *monitor, const char *attach, struct error *err)
{
	struct runtime_spec *spec = xcalloc(1, sizeof(*spec));
	struct stdio stdio = {{-1, -1, -1}, -1, {-1, -1}};
	enum container_status before;
	int r = read_record(monitor, spec, err);

	if (r >= 0 && attach)
		r = take_starter(monitor, attach, err);
	if (r >= 0)
		r = begin(monitor, err);
	before = monitor->state.status;
	if (r >= 0)
		r = check_joined(spec, err);
	if (r >= 0)
		r = ports_bind(monitor, err);
	if (r >= 0)
		r = start(monitor, spec, &stdio, err);
	if (r < 0) {
		launch_undo(monitor);
		monitor->state.status = before;
	}
	stdio_release(&stdio);
	spec_release(spec);
	free(spec);
	return r;
}

int launch_again(struct monitor *monitor, struct error *err)
{
	struct runtime_spec *spec = xcalloc(1, sizeof(*spec));
	struct stdio stdio = {{-1, -1, -1}, -1, {-1, -1}};
	int r = read_config(monitor, spec, err);

	forget_copies(spec);
	if (r >= 0)
		r = check_joined(spec, err);
	if (r >= 0)
		r = ports_bind(monitor, err);
	if (r >= 0)
		r = start(monitor, spec, &stdio, err);
	if (r < 0)
		launch_undo(monitor);
	stdio_release(&stdio);
	spec_release(spec);
	free(spec);
	return r;
}

static void end_child(pid_t *pid)
{
	if (*pid > 0) {
		kill(*pid, SIGKILL);
		proc_wait(*pid);
	}
	*pid = 0;
}

void launch_undo(struct monitor *monitor)
{
	held_release(monitor);
	networks_leave(monitor);
	end_child(&monitor->process.pid);
	helpers_stop(monitor);
	monitor_native_release(monitor);
	end_child(&monitor->process.fuse_pid);
	limits_end(monitor);
	ports_close(monitor);
}
