/*
 * A container as the engine's functions work on it: its record, container.json
 * and state, after repair of what a crash may have left.
 *
 * container.json has docker's inspect members, "Moss" for the monitor
 * (core/monitor/record.h) and "Engine" for the engine itself:
 *   Mounts           see core/engine/mounts.h
 *   Uids, Gids       [[inside, outside, count], …], container to pinned
 *   UsernsAuto       bool: the IDs are this container's alone
 *   NoNewPrivileges  bool
 *   Layers           bytes of the image
 *   EnvironmentFile  of a build's step (step.h)
 *
 * Locks: whoever starts, removes or renames a container holds its
 * operation.lock. Nobody waits for a container's end with that lock held, since
 * the monitor of a --rm container takes it to remove it.
 */
#pragma once

#include <cjson/cJSON.h>

#include "base/error.h"
#include "core/engine/engine.h"
#include "core/monitor/event.h"
#include "core/monitor/record.h"

struct container {
	struct record record;
	cJSON *json;
	struct container_state state;
	const char *name; /* without the slash; in json */
};

#define CONTAINER_INIT                                              \
	{                                                           \
		.record = {.directory_fd = -1, .operation_fd = -1 } \
	}

/* name: whatever engine_container_resolve() takes. */
int container_open(struct engine *engine, const char *name,
		   struct container *ret_container, struct error *err);
/* As container_open, and holds operation.lock until container_close(). */
int container_open_locked(struct engine *engine, const char *name,
			  struct container *ret_container, struct error *err);
/*
 * As container_open, one of a list: with these members of container.json only
 * (json_read_members_at(); HostConfig.AutoRemove and Name among them). 1, or 0
 * and nothing when it does not run and not all are asked for.
 */
int container_open_listed(struct engine *engine, const char *id, bool all,
			  const char *const *members,
			  struct container *ret_container, struct error *err);
void container_close(struct container *container);

/* Reads the state again, repairing it. ERROR_NOT_FOUND when it is gone. */
int container_refresh(struct engine *engine, struct container *container,
		      struct error *err);
bool container_is_running(const struct container *container);
/* ERROR_CONFLICT "container ID is not running" unless it is. */
int container_check_running(const struct container *container,
			    struct error *err);

/* ERROR_CONFLICT while it waits for its next start by its restart policy. */
int container_check_not_restarting(const struct container *container,
				   struct error *err);

/* An event of it; details as container_event()'s. */
void container_tell(struct engine *engine, const struct container *container,
		    const char *action, cJSON *details);

/*
 * PIDs of its processes, ascending, those started by exec among them, without
 * moss's helpers; ERROR_CONFLICT when it has ended meanwhile. Caller frees.
 */
int container_processes(const struct container *container, pid_t **ret_pids,
			size_t *ret_count, struct error *err);

/* Absolute path of the container's directory; caller frees. */
char *container_path(const struct engine *engine, const char *id);

/*
 * Calls visit for each container that can be read, until it returns non-zero.
 * States are as stored, not repaired.
 */
typedef int (*container_visit)(const struct container *container, void *data,
			       struct error *err);
int container_for_each(struct engine *engine, container_visit visit, void *data,
		       struct error *err);

/* "[a-zA-Z0-9][a-zA-Z0-9_.-]+" without a slash in front. */
int container_name_check(const char *name, struct error *err);
/* names.c: two words; attempt > 0 adds a digit. Caller frees. */
char *container_name_random(unsigned int attempt);

/* images.c: ERROR_NOT_FOUND when the image is not for the platform. */
int image_check_platform(const struct image *image, const char *name,
			 const char *platform, struct error *err);

/* image_users.c: IDs of its own image and of those that it has mounted, each
   once; caller frees. */
char **container_images(const struct container *container);

/*
 * image_users.c: which images the containers use. All records are read when it
 * is first asked, so that many images cost no more than one: made anew for each
 * operation, and asked only while the store's lock is held.
 */
struct image_user;
struct image_users {
	struct engine *engine;
	struct image_user *users; /* one an image */
	size_t count;
	bool known;
};
void image_users_release(struct image_users *users);
/* image_in_use of storage/store/image.h; data: struct image_users. */
int image_users_find(const char *image_id, char **ret_container_id,
		     bool *ret_running, void *data);
/* How many containers, or negative errno. */
int image_users_count(struct image_users *users, const char *image_id);

/* A killed one must have ended; a FUSE root has 10 s of that to write back. */
#define CONTAINER_KILL_WAIT_MS 20000
/*
 * SIGKILL, and waits for its effect; without the lock. -ETIMEDOUT,
 * -ECONNRESET (its monitor died), ERROR_CONFLICT (it had ended).
 */
int container_kill_hard(struct container *container, struct error *err);
/* Removes the record and its name, volumes: anonymous ones too; locked. */
int container_discard(struct engine *engine, struct container *container,
		      bool volumes, struct error *err);
