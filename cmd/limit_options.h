/*
 * The options of resource limits that `run` and `create` share, and `update`
 * has some of, and their way into a HostConfig.
 */
#pragma once

#include <cjson/cJSON.h>

#include "cmd/command.h"

extern const struct option limit_options[];
extern const struct option limit_update_options[];

/* Errors are about what the user typed. */
int limit_options_add(const struct options *options, cJSON *host,
		      struct error *err);
