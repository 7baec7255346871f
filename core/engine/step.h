/*
 * The container of a step of a build: over layers that are no image yet, in the
 * work of the build.
 *
 * It is made of the same steps as any other (creation.h) and started by
 * engine_container_start(). What is different:
 *
 *   place        the engine's store uses the containers of the build's work
 *                (store_use_containers_of()): see there for what that means
 *   root         a chain of layers, leased by that work, and an image's
 *                "config" from the builder's hand
 *   volumes      none: what the config lists stays a part of the root
 *   health       no check
 *   privileges   programs that gain some may, as the step may have installed
 *                them
 *   mounts       what the builder gives, beside what the body says
 *
 * It stays when it ends, for its changes to be read, until
 * engine_step_remove() or the end of the work.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "base/error.h"
#include "base/str.h"
#include "core/engine/mounts.h"
#include "storage/root/snapshot.h"

struct engine;

struct step_request {
	const cJSON *body;	   /* ContainerCreate, without an Image */
	const cJSON *config;	   /* an image's "config" */
	char *const *diff_ids;	   /* lowest first; NULL: an empty root */
	struct mount_list *mounts; /* taken; may be NULL */
	/* A file with more variables, "NAME=VALUE" ended by a NUL each, which
	   only the container's monitor reads: for secrets, which are not to be
	   in container.json. Absolute; NULL: there are none. */
	const char *environment_file;
};

int engine_step_create(struct engine *engine, const struct step_request *step,
		       char ret_id[ID_TEXT_MAX], struct error *err);

struct step_end {
	enum snapshot_driver driver; /* that wrote its upper/ */
	bool oom_killed;
	char *directory; /* the container's, absolute */
};

/* Of one that has ended; puts it right if its monitor was killed. */
int engine_step_end(struct engine *engine, const char *id,
		    struct step_end *ret_end, struct error *err);
void step_end_release(struct step_end *end);

void engine_step_remove(struct engine *engine, const char *id);
