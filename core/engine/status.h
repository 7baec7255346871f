/* How a container's state is told: docker's words and JSON. */
#pragma once

#include <cjson/cJSON.h>
#include <time.h>

#include "core/monitor/record.h"

/* "Up 3 minutes (healthy)", "Exited (0) 2 hours ago", "Created"; caller frees.
 */
char *status_text(const struct container_state *state,
		  const struct timespec *now);
/* ContainerInspect's State; directory_fd: the record's, where its health is. */
cJSON *status_json(const struct container_state *state, int directory_fd);

/* {"80/tcp":[{"HostIp":"0.0.0.0","HostPort":"8080"}],"443/tcp":null} of the
   ports as bound and the exposed rest. */
cJSON *status_port_map(const struct port_list *ports, const cJSON *exposed);
/* [{"IP":…,"PrivatePort":80,"PublicPort":8080,"Type":"tcp"}] likewise. */
cJSON *status_port_summary(const struct port_list *ports, const cJSON *exposed);

/* NetworkSettings of inspect, and the Networks alone of ps. */
cJSON *status_network(const cJSON *container,
		      const struct container_state *state);
cJSON *status_networks(const cJSON *container,
		       const struct container_state *state);
