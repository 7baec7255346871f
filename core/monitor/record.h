/*
 * A container on disk: containers/ID/ below the store's root.
 *
 *   container.json   what it is: written at creation by core/engine, rewritten
 *                    whole by rename, update and start; docker's inspect
 *                    members plus "Moss" (below)
 *   config.json      the OCI configuration of the present or last run
 *   seccomp.json     the profile given with --security-opt, as given
 *   state.json       struct container_state; written by the monitor while it
 *                    lives, by core/engine before and after
 *   lock             held exclusively by the monitor: its proof of life
 *   operation.lock   held by whoever creates, starts, removes or repairs it
 *   control          the monitor's SOCK_SEQPACKET socket (control.h)
 *   health.json      the last probes of its health (health.h)
 *   egress.log egress.used   what its egress policy refused (egress_log.h)
 *   container.log    json-file log (log.h); .1, .2 … when rotated
 *   hosts hostname resolv.conf   bind-mounted into the container
 *   upper/ work/ merged/         storage/root/snapshot.h
 *   mounts/                      core/runtime/layers.h
 *
 * names/NAME is a symbolic link whose text is the ID; symlink(2) is exclusive
 * and is what makes a name unique. A link without its directory is a leftover,
 * and so is a directory without container.json whose operation.lock is free. A
 * rename claims the new name, writes container.json and releases the old name:
 * killed, it leaves a second link, which container.json does not have.
 * Compiled filters lie in cache/ below the store's root.
 *
 * A container that waits for its next start by its restart policy is
 * restarting: without processes, but with its monitor.
 *
 * A state that shows a monitor (monitor_pid) while nobody holds `lock` is the
 * trace of a killed one: record_repair() ends what is left of the container
 * (PID and start time, its cgroup) and writes exited, 137; a --rm container is
 * removed. state.json is not synced while the container runs: after a power cut
 * it is dead in any case. The final state of a container that stays is.
 *
 * A build's containers lie in its work instead (storage/store/store.h), have no
 * name and are removed with it. A killed monitor's is ended as any other by who
 * built; where that was killed, too, it has no processes any more, as those die
 * with the monitor.
 *
 * Removal renames the directory to tmp/ first, so that it vanishes at once; the
 * name's link goes into it, to be freed with it.
 *
 * What the monitor reads of container.json: Name; Config.{Tty, OpenStdin,
 * StdinOnce, StopSignal, StopTimeout, Healthcheck, Shell};
 * HostConfig.{AutoRemove, LogConfig, RestartPolicy}; and the member "Moss",
 * ready to use, so that it decides nothing itself:
 *
 *   StorageDriver     "overlay" | "fuse-overlayfs"
 *   DiffIds           ["sha256:HEX", …], lowest layer first
 *   Volatile          bool: overlay's volatile (--rm only)
 *   Network           "slirp" | "named" | "none" | "host" | "container"
 *   HostLoopback      bool: may the gateway reach the host's 127.0.0.1?
 *   HostPorts         ["5432:5432", …] as --host-port has them
 *   Egress            {"default","allow","deny"} | null: net/egress_policy.h
 *   Address           "10.0.2.100" | null
 *   Mac               "02:42:…" | null
 *   Ports             [{"HostIp":"","HostPort":8080,"HostPortEnd":8080,
 *                       "ContainerPort":80,"Protocol":"tcp"|"udp"}, …]
 *   PublishMode       "auto" | "splice" | "slirp" | "native"; the first when
 *                     missing
 *   Networks          [{"Name","Id","EndpointId","IPAMConfig","Aliases",
 *                       "Address","Prefix","Gateway",…}, …], with "slirp" and
 *                     "named"; addresses from the first start on
 *   SingleId          bool: no sub-IDs, ownership calls succeed in vain
 *   Seccomp           "default" | "unconfined" | "file" (seccomp.json)
 *   SeccompName       the file's name as the user gave it | null
 *   Capabilities      "0xHEX": mask of the bounding set; what seccomp's rules
 *                     are resolved against and what exec gets
 *   AnonymousVolumes  ["NAME", …]: removed with a --rm container,
 *                     unless another one has them mounted
 *
 * record_launch_json() writes that member, record_launch_parse() reads it.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

#include "base/error.h"
#include "base/str.h"
#include "core/monitor/health.h"
#include "core/monitor/log.h"
#include "core/monitor/restart.h"
#include "net/port.h"
#include "storage/root/snapshot.h"
#include "storage/store/store.h"

struct egress_policy;

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

#define CONTAINER_TIME_NONE "0001-01-01T00:00:00Z"
/* The exit code of a container whose monitor was killed, as of SIGKILL. */
#define CONTAINER_EXIT_LOST 137

struct container_state {
	enum container_status status;
	pid_t pid; /* init, host's numbers; 0 when not running */
	uint64_t pid_start;
	pid_t monitor_pid; /* 0 unless a monitor starts or runs it */
	uint64_t monitor_start;
	pid_t net_pid, port_pid, fuse_pid; /* 0: none; helpers.h has two */
	uint64_t net_start, port_start, fuse_start;
	int exit_code;
	bool oom_killed;
	char *error;	  /* why it could not start; "" */
	char *started_at; /* RFC 3339; "0001-01-01T00:00:00Z" before */
	char *finished_at;
	uint64_t restart_count; /* since it was started by hand */
	bool stopped_by_hand;	/* or killed, since then */
	char *health;		/* health.h's words; "": no check */
	char *cgroup;		/* its directory; "": none of its own */
	struct port_list ports; /* as really bound */
};
/* created, nothing yet; release what it held before. */
void container_state_init(struct container_state *state);
void container_state_release(struct container_state *state);
void container_state_set_text(char **text, const char *value);
/* Nothing of it runs any more: no processes, no ports, no health checks. */
void container_state_clear(struct container_state *state);
/* As above: exited, now. */
void container_state_end(struct container_state *state, int exit_code);

struct record {
	char id[ID_TEXT_MAX];
	int directory_fd;
	bool is_volatile; /* --rm, or a build's: no fsync */
	int operation_fd; /* operation.lock while held, else -1 */
};

#define RECORD_NONE                                    \
	(struct record)                                \
	{                                              \
		.directory_fd = -1, .operation_fd = -1 \
	}

/* 64 lower-case hex digits: the only names that containers/ may hold. */
bool record_id_is_valid(const char *id);

/*
 * A new containers/ID with operation.lock held. The caller claims the name,
 * then writes container.json, then unlocks; in this order a crash leaves
 * nothing that counts.
 */
int record_create(struct store *store, const char *id, bool is_volatile,
		  struct record *ret_record, struct error *err);
/* ERROR_NOT_FOUND "No such container: ID". is_volatile is false until the
   caller or record_launch_parse()'s caller knows better. */
int record_open(struct store *store, const char *id, struct record *ret_record,
		struct error *err);
void record_close(struct record *record); /* unlocks */

/* operation.lock; -EAGAIN without an error text when !wait and busy. */
int record_lock(struct record *record, bool wait, struct error *err);
void record_unlock(struct record *record);

/* IDs of all containers that have a container.json, unsorted. */
int record_list(struct store *store, char ***ret_ids, struct error *err);
/* Those whose ID begins so; the others cost next to nothing. */
int record_list_prefix(struct store *store, const char *prefix, char ***ret_ids,
		       struct error *err);

/*
 * names/NAME. Claiming repairs whoever has the name first, so that a killed
 * --rm container does not keep it; a living one is ERROR_EXISTS in docker's
 * words. The record must exist. Looking up: 1 and the ID, 0 when free.
 */
int record_name_claim(struct store *store, const char *name, const char *id,
		      bool is_volatile, struct error *err);
int record_name_release(struct store *store, const char *name, const char *id,
			struct error *err);
int record_name_find(struct store *store, const char *name,
		     char ret_id[ID_TEXT_MAX], struct error *err);

int record_read(const struct record *record, cJSON **ret_container,
		struct error *err);
/* Of container.json these members only: json_read_members_at(). */
int record_read_members(const struct record *record, const char *const *members,
			cJSON **ret_container, struct error *err);
int record_write(const struct record *record, const cJSON *container,
		 struct error *err);
/* A record without state.json is a created one. */
int record_state_read(const struct record *record,
		      struct container_state *ret_state, struct error *err);
/* Synced when the state is final and the record is not volatile. */
int record_state_write(const struct record *record,
		       const struct container_state *state, struct error *err);
/* Never synced: the caller does that when nobody waits for it. */
int record_state_write_unsynced(const struct record *record,
				const struct container_state *state,
				struct error *err);

/* Is it still containers/ID, or was it renamed away to be removed? */
bool record_is_current(struct store *store, const struct record *record);
/* 1 when a monitor lives, 0, negative errno. */
int record_is_monitored(const struct record *record);
/*
 * Brings a dead monitor's container to exited (see above). *ret_state (may be
 * NULL) is what holds afterwards. Cheap when there is nothing to do; otherwise
 * it takes operation.lock unless record holds it, and when someone else does,
 * only *ret_state tells the truth. RECORD_REMOVED: it was a --rm container and
 * is gone.
 */
#define RECORD_REMOVED 1
int record_repair(struct store *store, const struct record *record,
		  struct container_state *ret_state, struct error *err);
/* Whole removal with its name (may be NULL); no monitor may live. */
int record_remove(struct store *store, const struct record *record,
		  const char *name, struct error *err);
/*
 * The same by the monitor itself, in two steps: after the first it is gone for
 * everyone, the second frees the space.
 */
int record_detach(struct store *store, const struct record *record,
		  const char *name, struct error *err);
int record_destroy(struct store *store, const struct record *record,
		   struct error *err);
/*
 * Removes those anonymous volumes of container id that no other container has
 * mounted (--volumes-from). Errors are not the caller's.
 */
void record_volumes_remove(struct store *store, const char *id,
			   char *const *names);
/*
 * Removes what crashes left: half-made and half-removed containers, names that
 * lead nowhere. Errors are not the caller's; returns how many things went.
 */
int record_sweep(struct store *store);
/*
 * For who reads container.json of all of them, and often: the list with
 * half-made containers in it, which have no such file (-ENOENT) and are then to
 * be swept; at the end names are swept if there are more of them than count.
 */
int record_list_unchecked(struct store *store, char ***ret_ids,
			  struct error *err);
void record_list_checked(struct store *store, size_t count);
/* 1 when it was half-made and is gone now. */
int record_sweep_half_made(struct store *store, const char *id);

enum launch_network {
	LAUNCH_NETWORK_NONE,
	LAUNCH_NETWORK_SLIRP,
	LAUNCH_NETWORK_NAMED,
	LAUNCH_NETWORK_HOST,
	LAUNCH_NETWORK_CONTAINER,
};

enum launch_seccomp {
	LAUNCH_SECCOMP_DEFAULT,
	LAUNCH_SECCOMP_UNCONFINED,
	LAUNCH_SECCOMP_FILE,
};

/* One of a container's named networks; texts are "" where there is nothing. */
struct record_network {
	char *name, *id;
	char *address, *gateway;
	unsigned int prefix;
	char *address6, *gateway6;
	unsigned int prefix6;
	char *mac;
	unsigned int mtu;
	bool internal, isolated, host_loopback;
	bool default_route; /* everywhere else is reached over this one */
	char **aliases;
};

/* What the monitor needs of container.json; strings are owned. */
struct record_launch {
	char *name; /* without docker's slash */
	bool terminal, open_stdin, stdin_once;
	int stop_signal;  /* SIGTERM by default */
	int stop_timeout; /* seconds, 10 by default, -1: never */
	bool auto_remove;
	struct log_options log;
	struct health_check health;
	struct restart_policy restart;

	/* the member "Moss" */
	enum snapshot_driver storage_driver;
	char **diff_ids;
	bool is_volatile;
	enum launch_network network;
	bool host_loopback;
	struct egress_policy *egress; /* NULL: none */
	char *address, *mac;
	struct port_list ports; /* as asked for */
	char **host_ports;	/* checked with net/host_port.h */
	enum publish_mode publish_mode;
	struct record_network *networks;
	size_t network_count;
	char *hostname; /* the user's */
	char **dns;
	bool single_id;
	enum launch_seccomp seccomp;
	char *seccomp_name;
	uint64_t capabilities;
	char **anonymous_volumes;
};

int record_launch_parse(const cJSON *container,
			struct record_launch *ret_launch, struct error *err);
void record_launch_release(struct record_launch *launch);
/* The member "Moss" of what launch holds. */
cJSON *record_launch_json(const struct record_launch *launch);

int record_networks_parse(const cJSON *moss,
			  struct record_network **ret_networks,
			  size_t *ret_count, struct error *err);
void record_networks_release(struct record_network *networks, size_t count);
/* Gives back what container id has claimed there. */
void record_network_release_addresses(const struct store *store, const char *id,
				      const struct record_network *network);

/* The array form of "Ports" above, of state.json too. */
cJSON *record_ports_json(const struct port_list *ports);
/* "Ports" of path: what that wrote; 0 when it is not there. */
int record_ports_parse(const cJSON *object, const char *path,
		       struct port_list *ret_ports, struct error *err);
