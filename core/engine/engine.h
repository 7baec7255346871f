/*
 * The engine: containers, images, volumes and networks as objects. The one API
 * for every front end (the command line, an HTTP server, Compose, the builder).
 *
 * It never prints, never exits, keeps no process-wide state, returns errors as
 * values and streams as descriptors. Objects go in and out in the Docker Engine
 * API's JSON shapes (v1.48): a container is created from a ContainerCreate body
 * (Config members at the top, HostConfig, NetworkingConfig), inspected as
 * ContainerInspect, listed as ContainerSummary. What docker has no member for
 * lies in HostConfig.Moss:
 *     StorageDriver   "overlay" | "fuse-overlayfs" | "" (probe)
 *     SeccompName     file name of the profile in SecurityOpt, for messages
 *     PublishMode     "auto" | "splice" | "slirp" | "native" (net/port.h); "":
 *                     moss.conf's
 *     HostPorts       array of texts (net/host_port.h)
 *     Egress          a policy (net/egress_policy.h), see egress.h
 *     Platform        what the image has to be for, "linux/arm64"; "": anything
 *
 * What a body may not hold: members that moss has nothing behind yet, unless
 * they are empty (members.h). What was accepted is obeyed.
 *
 * Wherever an ID is asked for, a name or a unique prefix will do as well.
 *
 * The process is in the pinned user namespace (policy/userns.h) when it calls.
 * Each call is atomic against other processes: locks are on disk (store `lock`,
 * a container's operation.lock), nothing is held between calls.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "base/error.h"
#include "core/monitor/control.h"
#include "core/monitor/log.h"
#include "net/port.h"
#include "policy/idmap.h"
#include "storage/store/image.h"
#include "storage/store/layer.h"
#include "storage/store/store.h"
#include "storage/transfer.h"

struct engine {
	struct store store;
	struct identity identity;
	int run_fd;   /* runtime directory */
	int cache_fd; /* compiled filters, probes */
	char *home;   /* the user's, for settings; NULL: has none */
};

struct engine_options {
	const char *data_path; /* absolute */
	int run_fd;	       /* stays the caller's */
	const struct identity *identity;
	const char *home; /* NULL: the user has none */
};

int engine_open(const struct engine_options *options, struct engine *ret_engine,
		struct error *err);
void engine_close(struct engine *engine);

/* ---- containers ---- */

/*
 * body: ContainerCreate. name NULL: a random "adjective_surname". Checks all
 * that can be checked without starting (image, user options, mounts' sources,
 * seccomp profile, ports' syntax), makes anonymous volumes. *ret_warnings
 * (strv, may be NULL): lines for the user. ERROR_NOT_FOUND with "No such image:
 * …" when the image is missing; ERROR_EXISTS "Conflict. The container name …".
 */
int engine_container_create(struct engine *engine, const cJSON *body,
			    const char *name, char ret_id[ID_TEXT_MAX],
			    char ***ret_warnings, struct error *err);

/* Full ID of a name, ID or unique prefix; "No such container: NAME". */
int engine_container_resolve(struct engine *engine, const char *name,
			     char ret_id[ID_TEXT_MAX], struct error *err);

/*
 * Starts a created or exited one. attach NULL: detached. Streams as in
 * core/monitor/control.h. 1 when it already runs (nothing done). When it cannot
 * start, state and exit code (125, 126, 127) are recorded and with AutoRemove
 * it is removed.
 */
int engine_container_start(struct engine *engine, const char *id,
			   const struct attach_options *attach,
			   int *ret_stream_fd, int *ret_wait_fd,
			   struct error *err);
/*
 * Names of those that are to run from boot on and do not, in the order that
 * they are to be started in: the restart policies always and unless-stopped,
 * the latter unless stopped by hand. Caller frees; NULL: none.
 */
int engine_boot_list(struct engine *engine, char ***ret_names,
		     struct error *err);
int engine_container_attach(struct engine *engine, const char *id,
			    const struct attach_options *options,
			    int *ret_stream_fd, int *ret_wait_fd,
			    struct error *err);
/* An attached client has left by its detach keys, which is an event. */
void engine_container_detached(struct engine *engine, const char *id);
/* Blocks until it is not running; its exit code (137 when its monitor was
   killed and it was to be removed at its end). */
int engine_container_wait(struct engine *engine, const char *id,
			  int *ret_exit_code, struct error *err);
/* signal 0: the container's stop signal; then SIGKILL after timeout_s. 1 when
   it was not running. */
#define STOP_TIMEOUT_OWN   (-1) /* the container's; 10 s by default */
#define STOP_TIMEOUT_NEVER (-2)
int engine_container_stop(struct engine *engine, const char *id, int signal,
			  int timeout_s, struct error *err);
/* Stops it, if it runs, with the same arguments, and starts it. Meanwhile a
   container with AutoRemove is not removed. */
int engine_container_restart(struct engine *engine, const char *id, int signal,
			     int timeout_s, struct error *err);
int engine_container_kill(struct engine *engine, const char *id, int signal,
			  struct error *err);
/* Its processes stand still, until it is unpaused, stopped or killed. */
int engine_container_pause(struct engine *engine, const char *id,
			   struct error *err);
int engine_container_unpause(struct engine *engine, const char *id,
			     struct error *err);
/*
 * body: UpdateConfig. The restart policy holds from the next end on, of a
 * running container too; limits hold at once, but only where it was started
 * with one, as it has a cgroup then.
 */
int engine_container_update(struct engine *engine, const char *id,
			    const cJSON *body, struct error *err);
int engine_container_resize(struct engine *engine, const char *id,
			    unsigned int rows, unsigned int columns,
			    struct error *err);
int engine_container_rename(struct engine *engine, const char *id,
			    const char *new_name, struct error *err);
/* Running ones only with force. volumes: anonymous volumes too. A container
   whose record is damaged goes with force. */
int engine_container_remove(struct engine *engine, const char *id, bool force,
			    bool volumes, struct error *err);

/*
 * ContainerTopResponse: {"Titles": [text…], "Processes": [[text…]…]}.
 * ps_options: apart by blanks; NULL or "": "-ef".
 */
int engine_container_top(struct engine *engine, const char *id,
			 const char *ps_options, cJSON **ret_json,
			 struct error *err);

/*
 * ContainerStats. before: the same of a while ago, for precpu_stats and
 * preread; NULL: there is none. One that does not run has used nothing, as in
 * docker. What cannot be known is missing: the block I/O of processes that may
 * not be looked at, the networks of who uses the host's.
 */
int engine_container_stats(struct engine *engine, const char *id,
			   const cJSON *before, cJSON **ret_json,
			   struct error *err);

/* ContainerInspect. */
int engine_container_inspect(struct engine *engine, const char *id,
			     cJSON **ret_json, struct error *err);
/* Adds SizeRw and SizeRootFs, for which its whole writable layer is walked. */
int engine_container_sizes(struct engine *engine, const char *id, cJSON *json,
			   struct error *err);
enum container_list_flags {
	CONTAINER_LIST_ALL = 1 << 0,  /* stopped ones too */
	CONTAINER_LIST_SIZE = 1 << 1, /* SizeRw and SizeRootFs */
	/* Without Labels, Health, HostConfig, NetworkSettings and Mounts, which
	   cost more than the rest. */
	CONTAINER_LIST_BRIEF = 1 << 2,
};
/* Array of ContainerSummary, newest first. Leftovers of crashes are repaired on
   the way. */
int engine_container_list(struct engine *engine, unsigned int flags,
			  cJSON **ret_array, struct error *err);

/*
 * Log reader. *ret_wait_fd: readable when there will be no more, -1 when it is
 * not followed, or ends anyway. *ret_terminal: the log is a terminal's.
 */
int engine_container_logs(struct engine *engine, const char *id,
			  const struct log_reader_options *options,
			  struct log_reader **ret_reader, int *ret_wait_fd,
			  bool *ret_terminal, struct error *err);

/*
 * Of a container with an egress policy: what was refused, oldest first, and
 * the policy that allows what was used while it recorded; the forms of
 * core/monitor/egress_log.h and net/egress_policy.h.
 */
int engine_container_egress_log(struct engine *engine, const char *id,
				cJSON **ret_array, struct error *err);
int engine_container_egress_used(struct engine *engine, const char *id,
				 cJSON **ret_policy, struct error *err);
/* The log of refusals, at its end, to be read with egress_log_read_fd() even
   when the container has gone; -1 without a policy. */
int engine_container_egress_follow(struct engine *engine, const char *id);

/*
 * body: ExecCreate (Cmd, Env, User, WorkingDir, Tty, Privileged, AttachStdin…).
 * fds: the program's stdio (ignored with Tty). See monitor_exec().
 */
int engine_exec(struct engine *engine, const char *id, const cJSON *body,
		const int fds[3], struct exec_handle *ret_handle,
		struct error *err);
/* As engine_container_detached(); exec_id: of its handle. */
void engine_exec_detached(struct engine *engine, const char *id,
			  const char *exec_id);

struct commit_options {
	const char *reference; /* of the new image; NULL: nameless */
	const char *author, *message;
	char *const *changes; /* Dockerfile instructions */
	bool pause;	      /* hold a running container still meanwhile */
	int progress_fd;
};
/*
 * A new image: the container's image, with its changes as one more layer (if
 * there are any) and its configuration. *ret_id: "sha256:HEX", caller frees.
 */
int engine_container_commit(struct engine *engine, const char *id,
			    const struct commit_options *options, char **ret_id,
			    struct error *err);

struct export_options {
	const char *output; /* file; NULL: output_fd */
	int output_fd;
	int progress_fd;
};
/* The root file system, running or not, as a tar archive; no volumes. */
int engine_container_export(struct engine *engine, const char *id,
			    const struct export_options *options,
			    struct error *err);

/*
 * What it has changed in its image's root: array of FilesystemChange, {"Path",
 * "Kind": 0 changed, 1 added, 2 deleted}, a directory before what is in it.
 */
int engine_container_changes(struct engine *engine, const char *id,
			     cJSON **ret_array, struct error *err);

struct copy_out_options {
	const char *path;
	const char *destination; /* on the host; NULL: a tar to output_fd */
	int output_fd;
	bool archive;	  /* owners as they are; else all is the user's */
	bool follow_link; /* the last name of path */
	int progress_fd;
};
/*
 * Files of a container, its volumes included, or of an image: name is looked
 * for among the containers first. *ret_bytes: of files' data, or of the
 * archive.
 */
int engine_copy_out(struct engine *engine, const char *name,
		    const struct copy_out_options *options, uint64_t *ret_bytes,
		    struct error *err);

struct copy_in_options {
	const char *path;
	const char *source; /* on the host; NULL: a tar from input_fd */
	int input_fd;
	bool archive;	  /* owners as they are; else all is its root's */
	bool follow_link; /* the last name of source */
	int progress_fd;
};
/*
 * The reverse, into a container, running or not. A tar may be packed; its
 * owners are the container's numbers; from a pipe it is read to its end first,
 * so that nobody waits with us. *ret_bytes: of files' data.
 */
int engine_copy_in(struct engine *engine, const char *id,
		   const struct copy_in_options *options, uint64_t *ret_bytes,
		   struct error *err);

/* ---- images ---- */

/*
 * Array of ImageSummary, newest first, with the exact time in "Moss":
 * {"Created": RFC 3339}. whole: with Containers, how many use it
 * (otherwise -1, which spares reading them), and Manifests, its own and those
 * of other platforms that its name stands for, which are not here.
 */
int engine_image_list(struct engine *engine, bool whole, cJSON **ret_array,
		      struct error *err);
/* ImageInspect. */
int engine_image_inspect(struct engine *engine, const char *name,
			 cJSON **ret_json, struct error *err);
/* Array of HistoryResponseItem, newest first; all but the image's own have the
   Id "<missing>". */
int engine_image_history(struct engine *engine, const char *name,
			 cJSON **ret_array, struct error *err);
/* ERROR_NOT_FOUND unless the image is for that platform ("linux/arm64"). */
int engine_image_check_platform(struct engine *engine, const char *name,
				const char *platform, struct error *err);
/* 1 when there is such an image, for the platform (NULL: for any), else 0. */
int engine_image_serves(struct engine *engine, const char *name,
			const char *platform);
int engine_image_remove(struct engine *engine, const char *name, bool force,
			char ***ret_report, struct error *err);
/*
 * What archives may ask for, from moss.conf; before an import or a load. What
 * the engine does by itself (pull, commit, check) looks there itself.
 */
int engine_read_limits(struct engine *engine, struct error *err);
/* Import, load and save: storage/transfer.h on engine->store. */

/* ---- registries ---- */

/*
 * The engine reads moss.conf for mirrors and the like, but never the user's
 * credentials: the front end looks for them under the names that
 * engine_registry_names() returns ("docker.io/library/web",
 * "mirror:5000/cache/library/web"), which it also uses as the keys of `auths`,
 * an object of AuthConfig objects (storage/registry/registries.h).
 */
int engine_registry_names(struct engine *engine, const char *name,
			  bool for_push, char ***ret_names, struct error *err);

struct engine_pull_request {
	const char *name; /* as the user gave it */
	const char *platform;
	bool all_tags;
	const cJSON *auths; /* may be NULL */
	/* To be pushed: see struct push_request. NULL: what has the name. */
	const struct descriptor *manifest;
	int progress_fd; /* see storage/transfer.h; -1: none */
};
/* Results as image_pull() and image_push() have them. */
int engine_image_pull(struct engine *engine,
		      const struct engine_pull_request *request,
		      cJSON **ret_result, struct error *err);
int engine_image_push(struct engine *engine,
		      const struct engine_pull_request *request,
		      cJSON **ret_result, struct error *err);

/* A build cache that is kept elsewhere: image_cache_read(),
   image_cache_fetch() of storage/transfer_build.h. */
struct engine_cache_place {
	const char *directory; /* absolute; NULL: a registry */
	const char *name;
	const cJSON *auths; /* may be NULL */
};
int engine_cache_read(struct engine *engine,
		      const struct engine_cache_place *place, cJSON **ret_cache,
		      struct error *err);
int engine_cache_fetch(struct engine *engine,
		       const struct engine_cache_place *place,
		       const struct layer_ref *layer, const char *lease,
		       int progress_fd, struct error *err);

/* registry: "docker.io". auth: an AuthConfig. See registry_check_login(). */
int engine_registry_login(struct engine *engine, const char *registry,
			  const cJSON *auth, char **ret_identity_token,
			  struct error *err);

/* The name to look for credentials under; caller frees. */
char *engine_search_name(const char *term);
/* Array of SearchResult; term: [REGISTRY/]TERM. */
int engine_registry_search(struct engine *engine, const char *term,
			   size_t limit, const cJSON *auths, cJSON **ret_array,
			   struct error *err);

struct engine_manifest_request {
	const char *name;
	bool insecure; /* http or any certificate will do */
	bool verbose;
	const cJSON *auths;
};
/* As registry_manifest(). */
int engine_registry_manifest(struct engine *engine,
			     const struct engine_manifest_request *request,
			     cJSON **ret_json, struct error *err);

/* ---- volumes ---- */

/* {"Volumes":[Volume…]} */
int engine_volume_list(struct engine *engine, cJSON **ret_json,
		       struct error *err);
int engine_volume_create(struct engine *engine, const cJSON *body,
			 cJSON **ret_json, struct error *err);
int engine_volume_inspect(struct engine *engine, const char *name,
			  cJSON **ret_json, struct error *err);
int engine_volume_remove(struct engine *engine, const char *name, bool force,
			 struct error *err);

/* ---- networks ---- */

/* Array of Network (without their Containers), the built-in ones first. */
int engine_network_list(struct engine *engine, cJSON **ret_array,
			struct error *err);
/* body: NetworkCreate. {"Id", "Warning"}; ERROR_EXISTS "network with name NAME
   already exists". */
int engine_network_create(struct engine *engine, const cJSON *body,
			  cJSON **ret_json, struct error *err);
/* Network, with the containers that are on it now. */
int engine_network_inspect(struct engine *engine, const char *name,
			   cJSON **ret_json, struct error *err);
/* ERROR_CONFLICT while a container is on it. */
int engine_network_remove(struct engine *engine, const char *name,
			  struct error *err);

/*
 * settings: EndpointSettings. A running container is on the network when it
 * returns; ERROR_PERMISSION, as docker has it, when it was before.
 */
int engine_network_connect(struct engine *engine, const char *network,
			   const char *id, const cJSON *settings,
			   struct error *err);
/* force: from a network that is gone, too. */
int engine_network_disconnect(struct engine *engine, const char *network,
			      const char *id, bool force, struct error *err);

/* ---- published ports that come and go ---- */

/*
 * Of a container with a network of its own. One that runs serves them when it
 * returns, or they fail as they would at its start; they are in its record for
 * further starts, HostConfig.PortBindings included.
 */
int engine_container_ports_add(struct engine *engine, const char *id,
			       const struct port_list *ports,
			       struct error *err);
/*
 * All that fit a spec: host_ip "" is any address, host_port 0 any port, one
 * that was chosen at random is named as it is bound. ERROR_NOT_FOUND when one
 * fits nothing. Established connections go on.
 */
int engine_container_ports_remove(struct engine *engine, const char *id,
				  const struct port_list *specs,
				  struct error *err);

/* ---- prune: whatever nobody needs ---- */

/* Which of those; all of these filters must pass. */
struct engine_prune {
	bool all; /* images: named ones too; volumes: named ones too */
	bool has_until;
	int64_t until;	     /* made before, seconds since the epoch */
	char *const *labels; /* "key" or "key=value", has each; NULL: none */
	char *const *other_labels; /* has not all of them; NULL: none */
	/* Of the build cache only: bytes that may stay, 0: nothing; docker's
	   {key: [value…]} besides until, NULL: none. Its "until" is about the
	   last use, its "all" about what an image has, too. */
	int64_t cache_kept;
	const cJSON *cache_filters;
};
/*
 * Containers that do not run, volumes that no container mentions, images that
 * none is made from and what interrupted work left in the store.
 *
 * {"ContainersDeleted": [ID…], "SpaceReclaimed": bytes}, {"VolumesDeleted":
 * [name…], …}, {"ImagesDeleted": [{"Untagged": name} | {"Deleted": digest}…],
 * …}, each with "Moss": {"Errors": [text…]}, what could not be removed and why.
 * What somebody takes into use meanwhile is left alone.
 */
int engine_container_prune(struct engine *engine,
			   const struct engine_prune *prune, cJSON **ret_json,
			   struct error *err);
int engine_volume_prune(struct engine *engine, const struct engine_prune *prune,
			cJSON **ret_json, struct error *err);
int engine_image_prune(struct engine *engine, const struct engine_prune *prune,
		       cJSON **ret_json, struct error *err);
/* Those that no container mentions: {"NetworksDeleted": [name…], …}. */
int engine_network_prune(struct engine *engine,
			 const struct engine_prune *prune, cJSON **ret_json,
			 struct error *err);
/* What no build is using: {"CachesDeleted": [ID…], …}. */
int engine_build_prune(struct engine *engine, const struct engine_prune *prune,
		       cJSON **ret_json, struct error *err);
/*
 * Keeps the build cache within its limit (core/engine/build_cache.h): for a
 * build that is done and has released its work.
 */
int engine_build_cache_trim(struct engine *engine, struct error *err);

/* ---- events ---- */

struct event_stream;

struct events_options {
	/* 0: none. Without both only what comes from now on is told. */
	struct timespec since, until;
	const cJSON *filters; /* docker's {key: [value…]}; NULL: none */
};
/* "invalid filter 'KEY'" */
int engine_events(struct engine *engine, const struct events_options *options,
		  struct event_stream **ret_stream, struct error *err);
void event_stream_close(struct event_stream *stream);
/* 1 and the next EventMessage, with its time, which the caller frees; 0: there
   is none now. */
int event_stream_next(struct event_stream *stream, cJSON **ret_event,
		      int64_t *ret_time_ns, struct error *err);
/* Readable when there may be more. That `until` has come is the caller's to
   see. */
int event_stream_fd(const struct event_stream *stream);

/* ---- system ---- */

struct engine_check {
	bool repair; /* mend what can be mended, remove leftovers */
	bool quick;  /* leave the trees of layers out */
	bool force;  /* drop images that cannot be mended though used */
	int progress_fd;
};
/* The findings and what was checked: the result of storage/check/check.h. */
int engine_system_check(struct engine *engine, const struct engine_check *check,
			cJSON **ret_json, struct error *err);

/*
 * Of the build cache what passes the filters ({key: [value…]}, NULL: all):
 * [{"ID", "Type": "regular" | "exec.cachemount", "Description", "InUse",
 * "Shared", "Size", "CreatedAt", "LastUsedAt", "UsageCount"}…], least recently
 * used first. Shared ones are in an image, too. Of results that are the same
 * layer one has its size.
 */
int engine_build_cache_list(struct engine *engine, const cJSON *filters,
			    cJSON **ret_json, struct error *err);
/*
 * DiskUsage: {"LayersSize", "Images", "Containers", "Volumes", "BuildCache"},
 * with ImageSummary's Containers, Size (blobs and unpacked layers, unlike in
 * the list) and SharedSize, ContainerSummary's SizeRw, and Volume's UsageData.
 * LayersSize is all that the image store takes but for what only the build
 * cache has, "Moss": {"Reclaimable"} how much of it engine_image_prune() with
 * all would free. BuildCache: see core/engine/build_cache.h.
 */
int engine_disk_usage(struct engine *engine, cJSON **ret_json,
		      struct error *err);

/* SystemInfo, with a member "Moss": identity, drivers and why, kernel features.
 */
int engine_info(struct engine *engine, cJSON **ret_json, struct error *err);
