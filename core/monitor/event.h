/*
 * Events of containers (storage/store/events.h). Attributes are docker's: the
 * image and the name that the container has just now, what the event itself
 * tells, and the container's labels.
 */
#pragma once

#include <cjson/cJSON.h>

#include "core/monitor/record.h"
#include "storage/store/events.h"

/* container: container.json. details (event_attributes(); NULL: none) are
   taken. */
void container_event(const struct store *store, const char *id,
		     const cJSON *container, const char *action,
		     cJSON *details);
/* The same, which reads container.json. */
void record_event(const struct store *store, const struct record *record,
		  const char *action, cJSON *details);
/* "mount" or "unmount" of each volume that the container has. */
void container_volume_events(const struct store *store, const char *id,
			     const cJSON *container, const char *action);
/* It has ended. started_at: RFC 3339. */
void container_event_die(const struct store *store, const char *id,
			 const cJSON *container, int exit_code,
			 const char *started_at);
