/*
 * The half of a container that depends on this machine: docker's HostConfig.
 * One table (hostconfig.c) has all its members in docker's order, with what
 * moss does with each.
 *
 * Normalised means: every member that inspect shows is there, docker's defaults
 * filled in, "container:NAME" turned into "container:ID" by the caller.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "base/error.h"
#include "core/engine/members.h"

#define SHM_SIZE_DEFAULT (64 << 20)
#define RUNTIME_NAME	 "moss"

/* Everything about it that needs no other object; is_update: an UpdateConfig.
 */
int host_config_check(const cJSON *host, bool is_update, struct error *err);
cJSON *host_config_normalise(const cJSON *host);

/* Conflicts between the two halves, in docker's words. */
int host_config_check_conflicts(const cJSON *config, const cJSON *host,
				char ***warnings, struct error *err);

/* The table: what there is, and for limits the option and the controller. */
const struct member *host_config_members(size_t *ret_count);

/* "container:NAME" → NAME; NULL when mode is something else. */
const char *mode_container(const char *mode);
