/*
 * RUN --mount: what a step of a build sees beside its root, and only while it
 * runs.
 *
 *   bind     files of the context, without those that .dockerignore leaves out
 *            (cover.h), of a stage or of an image; what is written to one with
 *            rw is thrown away
 *   cache    a directory that outlives builds (cache_mounts.h)
 *   tmpfs    memory
 *   secret   a file, or a variable, from the user's hand
 *   ssh      a socket that leads to the user's agent
 *
 * On its way a mount is parsed, with its variables, goes into the step's key,
 * and is then made to be mounted:
 *
 *   run_mounts_parse()   texts → struct run_mounts
 *   run_mounts_sources() the names behind "from=", which the worker resolves
 *   run_mounts_key()     what counts for the cache of steps
 *   run_mounts_apply()   → mounts of the container, its variables, and what
 *                        holds them: until run_mounts_release_held()
 *
 * In the key is what may change what the step makes: everything about a bind,
 * with the digest of the files behind it; of a cache its place, as what lies in
 * it must not matter; of a secret or an agent the ID and the place. Never what
 * is in a cache, in a secret or in an agent, so that a step is not run again
 * because a password was changed.
 *
 * A secret is never on disk: its bytes lie in a tmpfs in a mount namespace that
 * the worker makes for itself at the first one, which the monitor of the step's
 * container inherits and nobody else can see. kill -9 of the worker is its end.
 * The same tmpfs (room.h) holds the sockets that stand for the user's agent
 * (agent.h), and a file with those variables that are secret, which the monitor
 * alone reads: container.json is on a disk.
 *
 * A mount point that had to be made for one of these mounts is no change of the
 * step's: see the option "temporary" of core/runtime/spec.h.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "core/engine/mounts.h"
#include "storage/dockerfile/expand.h"

struct engine;
struct ignore;
struct key;
struct layer_chain;
struct stat_cache;
struct store_work;

#define RUN_MOUNTS_MAX	   64
#define RUN_SECRET_MAX	   (500u << 10) /* bytes, BuildKit's limit */
#define RUN_MOUNT_ID_MAX   256
#define RUN_MOUNT_PATH_MAX 4096

enum run_mount_type {
	RUN_MOUNT_BIND,
	RUN_MOUNT_CACHE,
	RUN_MOUNT_TMPFS,
	RUN_MOUNT_SECRET,
	RUN_MOUNT_SSH,
};

enum run_mount_sharing {
	RUN_SHARING_SHARED,  /* as many as want to */
	RUN_SHARING_PRIVATE, /* whoever comes second gets another one */
	RUN_SHARING_LOCKED,  /* whoever comes second waits */
};

struct run_mount {
	enum run_mount_type type;
	char *from;   /* stage, image or named context; NULL: the context, or
			 for a cache: nothing */
	char *source; /* clean, with a slash in front; "/": all of it */
	char *target; /* absolute and clean; NULL: a secret that is a variable
			 only */
	char *id;     /* of a cache, a secret, an agent */
	char *environment; /* secret: name of a variable; NULL: none */
	enum run_mount_sharing sharing;
	bool read_only;
	bool required;
	bool has_mode;	/* with owner: some of mode, uid, gid was given */
	bool has_owner; /* uid or gid was */
	uint32_t mode, uid, gid; /* as they hold, given or not */
	int64_t size;		 /* tmpfs: bytes, 0: the kernel's default */
};

struct run_mounts {
	struct run_mount *list;
	size_t count;
};

void run_mounts_release(struct run_mounts *mounts);
/*
 * flags: the values of --mount of one RUN, NULL: none. expand: for what stands
 * behind each "="; NULL: nothing is to be expanded.
 * working_directory: absolute, what a relative target is in. The error names
 * the value.
 */
int run_mounts_parse(char *const *flags, const struct expand *expand,
		     const char *working_directory,
		     struct run_mounts *ret_mounts, struct error *err);

/* The value of --security: NULL and "sandbox" will do; the rest is refused. */
int run_security_check(const char *value, struct error *err);

/* What a "from" was resolved to, or the context. All borrowed. */
struct run_mount_source {
	const char *name; /* as written; NULL: the context */
	/* Either of: */
	const struct layer_chain *chain; /* a stage's or an image's root */
	const char *directory;		 /* absolute */
	/* Of a directory; may be NULL. */
	struct ignore *ignore;
	struct stat_cache *cache;
};

/*
 * The distinct names that follow "from=" (strv, caller frees; NULL: none).
 * *ret_context: the context is wanted, too.
 */
void run_mounts_sources(const struct run_mounts *mounts, char ***ret_names,
			bool *ret_context);

struct run_mounts_request {
	struct engine *engine;
	const struct store_work *work; /* the build's: room and leases */
	const struct run_mounts *mounts;
	/* One for each name of run_mounts_sources(). */
	const struct run_mount_source *sources;
	size_t source_count;
	const cJSON *secrets; /* as in the build's request; may be NULL */
	const cJSON *ssh;
};

/* Adds them to key; reads the files behind binds. */
int run_mounts_key(const struct run_mounts_request *request, struct key *key,
		   struct error *err);

struct run_mounts_held;

/*
 * Makes what is to be mounted: appends it to *mounts, for the engine alone (no
 * ContainerCreate body can say this), and SSH_AUTH_SOCK to *environment (strv),
 * unless it is set there.
 * Waits for a locked cache. ERROR_NOT_FOUND for a source that is not there, or
 * a secret or an agent that is required and was not given. *ret_held must be
 * released after the container is gone.
 *
 * The worker's process gets a mount namespace of its own when there are secrets
 * or agents; it must have one thread.
 */
int run_mounts_apply(const struct run_mounts_request *request,
		     struct mount_list *mounts, char ***environment,
		     struct run_mounts_held **ret_held, struct error *err);
/* Absolute path of a file in memory with the variables that are secret, for the
   engine (core/engine/step.h); NULL: there are none. */
const char *run_mounts_environment(const struct run_mounts_held *held);
void run_mounts_release_held(struct run_mounts_held *held);
