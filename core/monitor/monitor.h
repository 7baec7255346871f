/*
 * The program moss-monitor, one a container: parent of the container's init,
 * owner of its streams and its log, server of its control socket. It survives
 * whoever started it and ends with the container; a restart policy makes it run
 * the container several times, each with everything but the control socket
 * anew. Who waits for the end is told of the first one, and attached clients
 * see their stream end, as with docker.
 *
 *   monitor.c   arguments, the order of a life, signals
 *   launch.c    from the record to a running container
 *   children.c  what happens when a child ends
 *   held.c      the end of a container that a stopped debugger holds
 *   limits.c    its cgroup, and what the kernel kills in it
 *   output.c    the container's stdout, stderr or terminal → log and clients
 *   compress.c  rotated logs
 *   attach.c    the clients: their streams, the container's stdin
 *   server.c    the control socket: requests and their answers
 *   egress.c    its egress policy, and what was refused (egress_log.h)
 *   exec.c      further programs in the container
 *   pause.c     its processes held still
 *   probe.c     its health: a program in it, time and again (health.h)
 *   probe_kill.c  the end of one that took too long
 *   native.c    ports that are published natively
 *   networks.c  the named networks it is on (networks.h)
 *   helpers.c   the processes that are its network (helpers.h)
 *   port_owner.c  who has a port that it cannot have
 *   ports.c     its published ports, bound (helpers.h)
 *   resolvers.c  the host's resolv.conf, as the helpers see it (helpers.h)
 *   relaunch.c  an end that is followed by a start (restart.h)
 *   finish.c    the end: state, removal, last answers
 *
 * One thread, one loop (base/loop.h), and nothing in it waits for a client or
 * for the container. What waits is only the start and the end, starting a
 * program by exec or as a probe, looking for the processes of a probe that is
 * late, and holding the container still, each a matter of milliseconds
 * (FREEZE_TIMEOUT_MS at most).
 *
 * Back pressure: what a client does not take at once is kept for it, and while
 * anything is kept, the container's output is not read. So a client costs at
 * most one read of the output. Likewise what the container's stdin does not
 * take is kept, and while it is, clients' input is not read.
 *
 * Nothing of the monitor's reaches the container: descriptors are O_CLOEXEC,
 * blocked and ignored signals are put right by the runtime's child.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <time.h>

#include "base/error.h"
#include "base/loop.h"
#include "core/monitor/helpers.h"
#include "core/monitor/log.h"
#include "core/monitor/log_file.h"
#include "core/monitor/record.h"
#include "core/runtime/cgroup.h"
#include "core/runtime/runtime.h"
#include "core/runtime/spec.h"
#include "net/native.h"
#include "policy/seccomp.h"

#define MONITOR_READ_SIZE (64u << 10) /* one read of output or input */

struct monitor;

/* The container's standard output, error or terminal. */
struct output {
	struct monitor *monitor;
	int stream; /* 1 or 2 */
	int fd;	    /* -1: ended */
	struct loop_source *source;
};

/* The container's standard input. */
struct input {
	int fd; /* pipe or terminal; -1: closed or not there */
	struct loop_source *source;
	char *kept; /* what it did not take yet */
	size_t kept_length, kept_offset;
	bool ending; /* to be closed once all is taken */
};

struct client;
struct connection;
struct exec;
struct freeze;
struct listener;

#define MONITOR_NO_PROCESS                                                     \
	(struct runtime_process)                                               \
	{                                                                      \
		.pid_fd = -1, .console_fd = -1, .tap_fd = -1, .userns_fd = -1, \
		.netns_fd = -1, .notify_fd = -1, .sync_fd = -1                 \
	}

struct monitor {
	struct loop *loop;
	struct store store;
	struct record record;
	struct record_launch launch;
	struct container_state state;
	int lock_fd;
	int start_fd; /* -1 once the start was reported */

	/* The container. */
	struct runtime_process process;
	struct seccomp_filter filter;
	bool no_new_privileges;
	struct spec_rlimit *rlimits;
	size_t rlimit_count;
	bool has_oom_score_adj;
	int oom_score_adj;
	bool shares_pids; /* no PID namespace that ends with init */
	bool ended;	  /* init is dead, and reaped but when it is held */
	struct loop_source *dead_source; /* init's pidfd */
	struct loop_source *look_timer;
	bool is_told;	 /* an event has told its start, and none its end */
	int exit_code;	 /* of init */
	int fuse_status; /* of the root's server when it failed, else 0 */

	/* Its cgroup, when it has limits. */
	char *cgroup_base;    /* where leaves are made; NULL: not asked yet */
	struct cgroup cgroup; /* of this run */
	int oom_fd;
	struct loop_source *oom_source;
	uint64_t oom_kills; /* that were told of */

	/* The network helpers, and the ports that they serve: helpers.h. */
	struct helper helpers[HELPER_COUNT];
	int resolv_fd; /* changes of the host's resolv.conf */
	struct loop_source *resolv_source;
	struct uplink_forward *forwards;
	size_t forward_count;
	uint32_t port_id;      /* the last one given to a port */
	uint32_t port_settled; /* up to which a helper is known to serve them */
	uint32_t port_request; /* the last one made of a helper */
	struct loop_source *port_timer; /* an answer to it is due */

	/* Events of refusals that may be told, and when that was reckoned. */
	int64_t egress_events, egress_events_ms;

	/* What is published natively, and who answers for it. */
	struct native native;
	struct native_port *native_ports;
	size_t native_port_count;
	struct seccomp_filter native_filter; /* code NULL: not made yet */
	enum native_boundary native_boundary;
	struct listener *listeners;
	size_t listener_count;
	unsigned int native_restarts;
	int64_t native_ms; /* of the last restart, clock_ms() */

	struct membership *memberships; /* of named networks */

	/* Streams. */
	struct log_writer *log;
	bool log_failed;
	struct log_id packed_id; /* the file that is packed now */
	int packed_fd;		 /* tells that it was; -1: none is */
	struct loop_source *packed_source;
	struct output outputs[2];
	bool output_held; /* a client is slow */
	int terminal_fd;  /* our hold on the terminal's far side */
	struct loop_source *output_timer; /* to be watched again */
	struct input input;
	char *buffer; /* MONITOR_READ_SIZE */
	struct client *clients;
	size_t client_count;

	/* Control. */
	int listen_fd;
	struct loop_source *listen_source;
	struct loop_source *accept_timer;
	struct connection *connections;
	size_t connection_count;
	struct exec *execs;
	size_t exec_count;
	struct freeze *freeze;	  /* NULL: it runs, or has a cgroup */
	size_t freeze_count;	  /* who want it still */
	bool keep;		  /* a --rm container stays when it ends */
	unsigned int stops;	  /* how often it was told to stop */
	bool is_stopping;	  /* it was told to, or we were */
	bool stays_ended;	  /* the same, or it was killed by hand */
	bool is_restarting;	  /* ended, and waits for its next start */
	bool owner_has_gone;	  /* who it was to die with */
	int64_t restart_delay_ms; /* of the last restart; 0: none yet */
	int64_t launched_ms;	  /* clock_ms() */
	int64_t ran_ms;		  /* from then to the end of init */
	struct probe *probe;	  /* NULL: nobody asks for its health */
	struct loop_source *kill_timer;
	struct loop_source *settle_timer;
	bool settles;	 /* the timer is set */
	int64_t kill_at; /* clock_ms(); 0: no stop has a deadline */
};

/* ---- monitor.c ---- */

/* Something was done: give back soon what memory that took. */
void monitor_settle_later(struct monitor *monitor);

/* ---- launch.c ---- */

/*
 * Starts the container. attach: monitor_start()'s flags, NULL when it made no
 * stream. On failure nothing of it is left but the record, whose
 * state tells why.
 */
int launch(struct monitor *monitor, const char *attach, struct error *err);
/* The next run: what the record has, with ports and streams anew. */
int launch_again(struct monitor *monitor, struct error *err);
/* The record was changed: its networks follow, and where ports lead. */
int launch_networks_again(struct monitor *monitor, struct error *err);
/* Ends what is left of the container's processes and frees its ports. */
void launch_undo(struct monitor *monitor);
/* Notes what went wrong in the state, once the container runs. */
void monitor_note(struct monitor *monitor, const struct error *err);

/* ---- egress.c ---- */

/* The policy for moss-net, sealed. */
int egress_pack(const struct record_launch *launch, int *ret_fd,
		struct error *err);
/* What moss-net has to say of it: into its log, and an event. */
void egress_reported(struct monitor *monitor,
		     const struct uplink_message *message);

/* ---- native.c ---- */

/*
 * Takes the sockets of those of the forwards, as bound, that can be published
 * natively, if that is wanted.
 */
int monitor_native_ports(struct monitor *monitor, struct error *err);
/* Those that were not (NULL: is not filled), and how many. */
size_t monitor_native_rest(const struct monitor *monitor,
			   struct uplink_forward *ret_forwards);
/* An error when wanted has not exactly what is published natively. */
int monitor_native_check(const struct monitor *monitor,
			 const struct port_list *wanted, struct error *err);
/* For runtime_create() and runtime_exec(); NULL: there is nothing to notify. */
const struct seccomp_filter *
monitor_native_filter(const struct monitor *monitor);
bool monitor_native_denies_tcp(const struct monitor *monitor);
/* Once the container is there, before its program runs. */
int monitor_native_start(struct monitor *monitor, struct error *err);
/* process runs: takes what it notifies by. */
int monitor_native_listen(struct monitor *monitor,
			  struct runtime_process *process, struct error *err);
/* An error when no further program can be started by exec. */
int monitor_native_room(const struct monitor *monitor, struct error *err);
/* True when pid was the one who answers; there is another one then. */
bool monitor_native_ended(struct monitor *monitor, pid_t pid);
void monitor_native_release(struct monitor *monitor);

/* ---- limits.c ---- */

/*
 * Makes the container's cgroup, if spec asks for limits, before there is any
 * process of it; state.json knows of it from before it is made. *ret_task_limit
 * is the limit of processes when no cgroup can have it, else 0.
 */
int limits_start(struct monitor *monitor, const struct runtime_spec *spec,
		 int64_t *ret_task_limit, struct error *err);
/* Tells of processes that the kernel kills for want of memory. */
int limits_watch(struct monitor *monitor, struct error *err);
/* Kills what is left in the cgroup and removes it. */
void limits_end(struct monitor *monitor);

/* ---- children.c ---- */

void children_reap(struct monitor *monitor);
void init_ended(struct monitor *monitor, int exit_code);
/* Kills what reparented to us, for a container without a PID namespace. */
void children_kill_strays(struct monitor *monitor);

/* ---- held.c ---- */

/* Notices the end of init although its tracer has it. */
int held_watch(struct monitor *monitor, struct error *err);
/* It was told to end: looks for that to have happened. */
void held_expect_end(struct monitor *monitor);
void held_release(struct monitor *monitor);

/* ---- output.c ---- */

int output_start(struct monitor *monitor, struct error *err);
/* Stops or goes on reading, as the clients can take it. */
void output_update(struct monitor *monitor);
/* All there is, without waiting for more; then closes. */
void output_drain(struct monitor *monitor);
void output_release(struct monitor *monitor);

/* ---- compress.c ---- */

/* Packs rotated files, if the log's options want that and none is packed now.
 */
void compress_next(struct monitor *monitor);
/* Forgets it; the file stays plain. */
void compress_release(struct monitor *monitor);

/* ---- attach.c ---- */

struct client_options {
	bool in, out, err, logs;
};

/* Takes fd, whatever happens. */
int client_add(struct monitor *monitor, int fd,
	       const struct client_options *options, struct error *err);
void clients_write(struct monitor *monitor, int stream, const char *data,
		   size_t length);
/* Is output kept for a client that could not take it? */
bool clients_are_slow(const struct monitor *monitor);
/*
 * Lets go of clients that have everything; true when others are left, which get
 * what is theirs and nothing of a later run.
 */
bool clients_finish(struct monitor *monitor);
void clients_release(struct monitor *monitor);
int input_start(struct monitor *monitor, struct error *err);
void input_release(struct monitor *monitor);

/* ---- server.c ---- */

int server_start(struct monitor *monitor, struct error *err);
/*
 * A connection on which the exit code is waited for; takes fd. is_owner: the
 * container dies with it.
 */
void server_add_waiter(struct monitor *monitor, int fd, bool is_owner);
/* Signal first, then SIGKILL after timeout_s (-1: never, -2: the own one). */
int monitor_stop_container(struct monitor *monitor, int signal, int timeout_s,
			   struct error *err);
/* Takes the connections that still wait at the door, and closes it. */
void server_close(struct monitor *monitor);
/* One run has ended: answers to those who wait for that. */
void server_answer_run(struct monitor *monitor);
/* A helper has done what was asked up to request, or could not: err. */
void server_answer_ports(struct monitor *monitor, uint32_t request,
			 const struct error *err);
/* The last answers to everyone who waits for the end. */
void server_answer_end(struct monitor *monitor);
void server_release(struct monitor *monitor);

/* The connection of an exec: an answer, after which it is closed. */
void connection_answer_exit(struct connection *connection, int exit_code);

/* ---- exec.c ---- */

/*
 * Starts request's program; the connection gets {"id", "pid"} now and
 * {"exit_code"} later. fds: its stdio, stay the caller's.
 */
int exec_start(struct monitor *monitor, struct connection *connection,
	       const cJSON *request, const int *fds, size_t fd_count,
	       struct error *err);
/*
 * Starts process as the container's: limits and capabilities are its own,
 * whatever process has, which is changed accordingly. fds: its stdio.
 */
int exec_run(struct monitor *monitor, struct spec_process *process,
	     bool privileged, const int fds[3],
	     struct runtime_process *ret_process, struct error *err);
/* {"ids"} of those that run. */
cJSON *exec_list(const struct monitor *monitor);
/* True when pid was one of ours. */
bool exec_ended(struct monitor *monitor, pid_t pid, int exit_code);
/* Its client has gone. */
void exec_abandon(struct exec *exec);
void exec_release(struct monitor *monitor);

/* ---- pause.c ---- */

/* One more who wants the container still, until pause_drop(). */
int pause_take(struct monitor *monitor, struct error *err);
void pause_drop(struct monitor *monitor);
bool is_paused(const struct monitor *monitor);
/* The user, who is one more, and whose wish state.json tells. */
int pause_by_user(struct monitor *monitor, struct error *err);
int pause_end(struct monitor *monitor, struct error *err);
/* Ends the user's pause, if there is one: a signal is to have its effect. */
void pause_lift(struct monitor *monitor);

/* ---- probe.c ---- */

/*
 * Begins to look after the container's health, if it has a check; takes over
 * process, which tells as whom, where and with what environment. The state
 * tells of it and is the caller's to write.
 */
int probe_start(struct monitor *monitor, struct spec_process *process,
		struct error *err);
/* True when pid was a probe. */
bool probe_ended(struct monitor *monitor, pid_t pid, int exit_code);
/*
 * It is paused by its user: it counts as unhealthy, as in docker, and a probe
 * that runs is ended and forgotten. The state is the caller's to write.
 */
void probe_hold(struct monitor *monitor);
/* It goes on after a pause of whatever kind. */
void probe_resume(struct monitor *monitor);
void probe_release(struct monitor *monitor);

/* ---- probe_kill.c ---- */

/*
 * Kills a probe with its descendants, those included that were orphaned and
 * have stayed in its session.
 */
void probe_kill(pid_t probe);

/* ---- relaunch.c ---- */

/*
 * After init was reaped: true when it runs again, as its policy wants.
 */
bool relaunch(struct monitor *monitor);

/* ---- finish.c ---- */

/* Events: it runs; and, once for each of those, it has ended. container:
   container.json, or NULL. */
void tell_start(struct monitor *monitor);
void tell_end(struct monitor *monitor, const cJSON *container);

/* All output is out and nothing of the container runs any more. */
void finish_run(struct monitor *monitor);

/* After init was reaped. */
void finish(struct monitor *monitor);
/* After a failed launch: records err and removes a --rm container. */
void finish_failed(struct monitor *monitor, const struct error *err);
