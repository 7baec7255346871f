/*
 * Events of containers (storage/store/events.h). Attributes are docker's: the
 * image and the name that the container has just now, what the event itself
 * tells, and the container's labels. A build's containers have none.
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
/* What that looks at of container.json; NULL when it cannot be read, for better
   told without than not at all. */
cJSON *container_event_read(const struct record *record);
/* Both together. */
void record_event(const struct store *store, const struct record *record,
		  const char *action, cJSON *details);
/* "mount" or "unmount" of each volume that the container has. */
void container_volume_events(const struct store *store, const char *id,
			     const cJSON *container, const char *action);
/* "connect" or "disconnect" of the network that it has for itself or shares
   with the host. */
void container_network_event(const struct store *store, const char *id,
			     const cJSON *container, const char *action);
/* It has ended, ran_s seconds after its start; 0: it could not start. */
void container_event_die(const struct store *store, const char *id,
			 const cJSON *container, int exit_code, int64_t ran_s);
