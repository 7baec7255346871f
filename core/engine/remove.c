/* The end of a container: core/engine/engine.h. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/proc.h"
#include "base/str.h"
#include "core/engine/container.h"
#include "core/engine/endpoints.h"
#include "core/engine/members.h"

#define FORCE_ATTEMPTS 250
#define FORCE_PAUSE_MS 20

/* A monitor that does not answer goes, too; repair does the rest. */
static void kill_monitor(const struct container *container)
{
	cleanup_fd int fd = proc_open(container->state.monitor_pid,
				      container->state.monitor_start);
	struct pollfd event = {.fd = fd, .events = POLLIN};

	if (fd < 0 || proc_pidfd_signal(fd, SIGKILL) < 0)
		return;
	while (poll(&event, 1, CONTAINER_KILL_WAIT_MS) < 0 && errno == EINTR)
		;
}

/* The anonymous volumes of the record; others may use them by now. */
static void remove_volumes(struct engine *engine,
			   const struct container *container)
{
	cleanup_strv char **names = NULL;

	names = member_strv(member_get(container->json, "Moss"),
			    "AnonymousVolumes");
	for (size_t i = 0; names && names[i]; i++)
		(void)engine_volume_remove(engine, names[i], true, NULL);
}

int container_discard(struct engine *engine, struct container *container,
		      bool volumes, struct error *err)
{
	int r;

	endpoints_release(engine, container->record.id, container->json, NULL);
	r = record_remove(&engine->store, &container->record, container->name,
			  err);
	if (r < 0 && r != -ENOENT)
		return r;
	if (r >= 0)
		container_event(&engine->store, container->record.id,
				container->json, "destroy", NULL);
	if (volumes)
		remove_volumes(engine, container);
	return 0;
}

/* Ends it without the lock, which the monitor of a --rm container needs. */
static int end_by_force(struct engine *engine, const char *id,
			struct error *err)
{
	CLEANUP(container_close) struct container container = CONTAINER_INIT;
	struct error problem = {0};
	int r;

	r = container_open(engine, id, &container, err);
	if (r < 0)
		return r;
	if (!container_is_running(&container))
		return 0;
	r = container_kill_hard(&container, &problem);
	if (r == -ETIMEDOUT)
		kill_monitor(&container);
	else if (r < 0 && problem.kind != ERROR_CONFLICT && r != -ECONNRESET)
		return err_copy(err, &problem);
	return 0;
}

/* Layers kept only for this container go when its image went before. */
static void collect_image(struct engine *engine, const char *image_id)
{
	CLEANUP(image_users_release)
	struct image_users users = {.engine = engine};
	struct image image = {0};

	if (*image_id == '\0')
		return;
	if (image_find(&engine->store, image_id, &image, NULL) == 0)
		image_release(&image);
	else
		(void)image_collect(&engine->store, image_users_find, &users,
				    NULL);
}

static int remove_locked(struct engine *engine, const char *id, bool volumes,
			 struct error *err)
{
	CLEANUP(container_close) struct container container = CONTAINER_INIT;
	cleanup_strv char **images = NULL;
	int r;

	r = container_open_locked(engine, id, &container, err);
	if (r < 0)
		return r;
	if (container_is_running(&container)) {
		const char *status =
			container_status_name(container.state.status);

		if (container.state.status == CONTAINER_PAUSED)
			return err_set(err, ERROR_CONFLICT,
				       "cannot remove container \"/%s\": "
				       "container is paused and must be "
				       "unpaused first",
				       container.name);
		return err_set(err, ERROR_CONFLICT,
			       "cannot remove container \"/%s\": container is "
			       "%s: stop the container before removing or "
			       "force remove",
			       container.name, status);
	}
	images = container_images(&container);
	r = container_discard(engine, &container, volumes, err);
	if (r < 0)
		return err_wrap(err, "cannot remove container \"/%s\"",
				container.name);
	for (size_t i = 0; images[i]; i++)
		collect_image(engine, images[i]);
	return 0;
}

/*
 * A container whose container.json cannot be read is removed as well: there is
 * no other way to be rid of it.
 */
static int remove_damaged(struct engine *engine, const char *id,
			  struct error *err)
{
	struct record record = {.directory_fd = -1, .operation_fd = -1};
	char full[ID_TEXT_MAX];
	int r;

	r = engine_container_resolve(engine, id, full, err);
	if (r < 0)
		return r;
	r = record_open(&engine->store, full, &record, err);
	if (r < 0)
		return r;
	r = record_lock(&record, true, err);
	if (r >= 0)
		r = record_remove(&engine->store, &record, NULL, err);
	record_close(&record);
	(void)record_sweep(&engine->store);
	return r;
}

/*
 * Ended and removed; again while it is in the way of that: a monitor whose
 * starter was killed may take the container just between the two.
 */
static int remove_by_force(struct engine *engine, const char *id, bool volumes,
			   struct error *err)
{
	int r = -EBUSY;

	for (int attempt = 0; attempt < FORCE_ATTEMPTS; attempt++) {
		r = end_by_force(engine, id, err);
		if (r < 0)
			return r;
		r = remove_locked(engine, id, volumes, err);
		if (r >= 0 || err->kind != ERROR_CONFLICT)
			break;
		poll(NULL, 0, FORCE_PAUSE_MS);
	}
	return r;
}

int engine_container_remove(struct engine *engine, const char *id, bool force,
			    bool volumes, struct error *err)
{
	char full[ID_TEXT_MAX];
	struct error problem = {0};
	int r;

	/* A name may change hands while a --rm container ends. */
	r = engine_container_resolve(engine, id, full, err);
	if (r < 0)
		return r;
	if (force) {
		r = remove_by_force(engine, full, volumes, &problem);
		if (r == -EINVAL || r == -EBADMSG)
			return remove_damaged(engine, full, err);
	} else {
		r = remove_locked(engine, full, volumes, &problem);
	}
	/* Forced, its monitor may have been faster. */
	if (r < 0 && !(force && r == -ENOENT))
		return err_copy(err, &problem);
	return 0;
}
