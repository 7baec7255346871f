/*
 * A container on disk: containers/ID/ below the store's root.
 *
 *   container.json  what it is: written at creation by core/engine, rewritten
 *                   whole by rename and update; docker's inspect members
 *                   Id, Created, Path, Args, Name, Image, Driver, Config,
 *                   HostConfig, Mounts plus a member "Moss" with what docker
 * has no place for (see engine.h) config.json     the OCI runtime configuration
 * of the present or last run seccomp.json    the profile given with
 * --security-opt, as given state.json      struct container_state; written by
 * the monitor while it lives, by core/engine before and after lock held
 * exclusively by the monitor: its proof of life operation.lock  held by whoever
 * starts, removes or repairs the container control         the monitor's
 * SOCK_SEQPACKET socket (control.h) container.log   json-file log; .1, .2 …
 * when rotated hosts hostname resolv.conf   bind-mounted into the container
 *   upper/ work/ merged/         storage/snapshot.h
 *   shm/            (none; /dev/shm is a tmpfs inside)
 *
 * names/NAME is a symbolic link to the ID; it is made with O_EXCL semantics and
 * is what makes a name unique. A link without its directory is a leftover.
 *
 * A state that says running while nobody holds `lock` is the trace of a killed
 * monitor: record_repair() ends what is left of it (PID and start time) and
 * writes exited, 137.
 *
 * Removal renames the directory to tmp/ first, so that it vanishes at once.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "base/error.h"
#include "base/str.h"
#include "net/port.h"
#include "storage/store.h"

enum container_status {
	CONTAINER_CREATED,
	CONTAINER_RUNNING,
	CONTAINER_PAUSED,
	CONTAINER_RESTARTING,
	CONTAINER_REMOVING,
	CONTAINER_EXITED,
	CONTAINER_DEAD,
};
const char *container_status_name(enum container_status status);

struct container_state {
	enum container_status status;
	pid_t pid; /* init, host's numbers; 0 when not running */
	uint64_t pid_start;
	pid_t monitor_pid;
	uint64_t monitor_start;
	pid_t net_pid, fuse_pid; /* 0: none */
	uint64_t net_start, fuse_start;
	int exit_code;
	bool oom_killed;
	char *error;	  /* why it could not start; "" */
	char *started_at; /* RFC 3339; "0001-01-01T00:00:00Z" before */
	char *finished_at;
	uint64_t restart_count;
	struct port_list ports; /* as really bound */
};
void container_state_release(struct container_state *state);

struct record {
	char id[ID_TEXT_MAX];
	int directory_fd;
	bool is_volatile; /* --rm: no fsync */
};

/* containers/ and names/ below store->root_fd, made when missing. */
int record_open(struct store *store, const char *id, struct record *ret_record,
		struct error *err);
void record_close(struct record *record);

int record_read(const struct record *record, cJSON **ret_container,
		struct error *err);
int record_write(const struct record *record, const cJSON *container,
		 struct error *err);
int record_state_read(const struct record *record,
		      struct container_state *ret_state, struct error *err);
int record_state_write(const struct record *record,
		       const struct container_state *state, struct error *err);

/* 1 when a monitor lives. */
int record_is_monitored(const struct record *record);
/*
 * Brings a dead monitor's container to exited (see above). *ret_state is what
 * holds afterwards. Cheap when there is nothing to do.
 */
int record_repair(struct store *store, const struct record *record,
		  struct container_state *ret_state, struct error *err);
/* Whole removal with its name; no monitor may live. */
int record_remove(struct store *store, const struct record *record,
		  const char *name, struct error *err);
