/* --network and what goes with it, as members of a ContainerCreate body. */
#pragma once

#include <cjson/cJSON.h>

#include "cmd/command.h"

int network_options_body(const struct options *options, cJSON *body,
			 cJSON *host, struct error *err);

/* "KEY=VALUE" into an EndpointSettings object; docker's keys of --network. */
int network_setting_add(cJSON *endpoint, const char *key, const char *value,
			struct error *err);
