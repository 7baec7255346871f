/* Events of images (storage/store/events.h). */
#pragma once

#include "storage/store/events.h"

/*
 * The image is looked up by `image`, a name or an ID, for its ID and labels;
 * id and name say what the event shows instead (NULL: the ID). One that cannot
 * be found is told without labels.
 */
void image_event(struct store *store, const char *action, const char *image,
		 const char *id, const char *name);
/* docker's way for what a registry was asked: by the familiar reference. */
void image_event_registry(struct store *store, const char *action,
			  const char *reference);
/* Of the lines of images in image_remove()'s and image_prune()'s report. id:
   the image's; NULL: it says. */
void image_events_removed(const struct store *store, const char *id,
			  char *const *report);
/* "prune": bytes that were gained, of images or another type. */
void event_write_prune(const struct store *store, const char *type,
		       int64_t bytes);
