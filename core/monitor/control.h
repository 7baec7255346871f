/*
 * Talking to a container's monitor: one JSON request a connection on the
 * SOCK_SEQPACKET socket `control`, answers as JSON packets (base/msg.h). Only
 * the same user is listened to (SO_PEERCRED).
 *
 *   {"op":"attach","stdin":b,"stdout":b,"stderr":b,"logs":b}
 *        + one SOCK_STREAM socket: the server's end of the stream
 *        → {} or {"error":…}
 *   {"op":"wait"}                → {"exit_code":n} when the container has ended
 *                                  (after its removal with --rm)
 *   {"op":"kill","signal":n}     → {}
 *   {"op":"stop","signal":n,"timeout":s,"keep":b}  → {} once it has ended; the
 *                                  monitor sends SIGKILL after s seconds (-1:
 *                                  never; signal 0, timeout -2: the container's
 *                                  own). keep: a --rm container stays this time
 *   {"op":"resize","rows":n,"columns":n}  → {}
 *   {"op":"exec","process":{OCI process},"privileged":b} + 3 fds
 *        (stdin, stdout, stderr; none with a terminal)
 *        → {"id":s,"pid":n} (+ the pty master) and later {"exit_code":n}
 *   {"op":"execs"}               → {"ids":[s…]}, those that run, but no probes
 *   {"op":"freeze"}              → {} once all its processes stand still; they
 *                                  do until the connection is closed, by its
 *                                  client or the client's death
 *   {"op":"networks"}            → {} once it is on the networks that
 *                                  container.json tells now
 *   {"op":"ports","Ports":[…]}   → {} once those ports are served that
 *                                  container.json tells now; of equal ones
 *                                  that it has fewer of, "Ports" tells which
 *                                  are to go: as bound, in its form
 *   {"op":"pause"}, {"op":"unpause"}
 *                                → {}; what is paused stands still until it is
 *                                  unpaused, stopped or killed
 *
 * The attach stream is docker's: with a terminal raw both ways; without one the
 * server's side is framed (8 bytes: stream 1|2, 0, 0, 0, length big endian;
 * then the bytes), the client's side is raw standard input, ended by
 * shutdown(SHUT_WR). A slow client holds the container back as a full pipe
 * would; a gone one is forgotten.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "core/monitor/record.h"

struct attach_options {
	bool stdin_, stdout_, stderr_;
	bool logs; /* replay the log first */
	/* monitor_start() only: the end of *ret_wait_fd is the container's. */
	bool dies_with_client;
};

/*
 * Starts the monitor for a created or exited container (whose config.json is
 * fresh) and waits until the container runs, or for the struct error. The
 * monitor is a child of nobody (double fork, own session). With attach, the
 * stream is connected before the container's first byte and returned in
 * *ret_stream_fd; *ret_wait_fd is then a connection on which {"exit_code"}
 * comes (monitor_wait() reads it). The caller holds operation.lock.
 */
int monitor_start(struct store *store, const struct record *record,
		  const struct attach_options *attach, int *ret_stream_fd,
		  int *ret_wait_fd, struct error *err);

int monitor_attach(const struct record *record,
		   const struct attach_options *options, int *ret_stream_fd,
		   struct error *err);
/* A connection that monitor_wait() can be called on, pollable. */
int monitor_wait_open(const struct record *record, struct error *err);
/* 0 and the exit code. -ECONNRESET: the monitor was killed (137 by repair). */
int monitor_wait(int wait_fd, int *ret_exit_code, struct error *err);
int monitor_kill(const struct record *record, int signal, struct error *err);
/* Blocks until it has ended. */
#define MONITOR_STOP_OWN (-2)
int monitor_stop(const struct record *record, int signal, int timeout_s,
		 bool keep, struct error *err);
int monitor_resize(const struct record *record, unsigned int rows,
		   unsigned int columns, struct error *err);
/*
 * Holds all processes of the container still; *ret_freeze_fd is the connection
 * whose closing lets them go. Programs cannot be started in it meanwhile.
 */
int monitor_freeze(const struct record *record, int *ret_freeze_fd,
		   struct error *err);
/* As above, but for as long as the user wants; state.json tells. */
int monitor_pause(const struct record *record, struct error *err);
int monitor_unpause(const struct record *record, struct error *err);
/* container.json was changed: its name, or the networks that it is on. */
int monitor_sync_networks(const struct record *record, struct error *err);
/* Likewise its ports; drop: as bound, see above, may be NULL. */
int monitor_sync_ports(const struct record *record,
		       const struct port_list *drop, struct error *err);
/* A program that was started by exec. */
struct exec_handle {
	char id[ID_TEXT_MAX];
	pid_t pid;	/* the host's number */
	int console_fd; /* pty master or -1 */
	int wait_fd;	/* as monitor_wait_open(), for this process */
};
#define EXEC_HANDLE_INIT                        \
	{                                       \
		.console_fd = -1, .wait_fd = -1 \
	}
void exec_handle_release(struct exec_handle *handle);
/*
 * process: an OCI process object. fds: the program's stdin, stdout, stderr
 * (ignored with a terminal).
 */
int monitor_exec(const struct record *record, const cJSON *process,
		 bool privileged, const int fds[3],
		 struct exec_handle *ret_handle, struct error *err);
/* The IDs of those that run. */
int monitor_execs(const struct record *record, char ***ret_ids,
		  struct error *err);
