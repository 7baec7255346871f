/*
 * Resource limits: docker's members of HostConfig, checked in docker's words,
 * and turned into OCI's linux.resources, which the monitor gives to the
 * container's cgroup (core/runtime/cgroup.h).
 *
 * docker drops a limit that the machine cannot set, with a warning. Here it is
 * refused, with what is missing and who can help, when the container is made
 * and again when it starts, which may be in another session. Dropped with a
 * warning, as by docker, is only what cgroup v2 does not have at all.
 *
 * The number of processes needs no cgroup where the kernel can count them for
 * the container's user namespace (core/runtime/task_limit.h). Where both can be
 * had it is the cgroup, whose limit can be changed while the container runs.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "base/error.h"
#include "core/runtime/cgroup.h"

/* Values and what goes together; host: of a creation, or of an update. */
int limits_check(const cJSON *host, bool is_update, struct error *err);
/* Warnings for what cgroup v2 does not have, which goes from host (NULL: is
   only read). */
void limits_discard(cJSON *host, char ***warnings);
/* docker's defaults, into a normalised HostConfig. */
void limits_set_defaults(cJSON *host);
/*
 * ERROR_UNSUPPORTED when the caller has no cgroup with what wanted asks for;
 * host: the container's HostConfig, which may be the same.
 */
int limits_check_cgroup(const cJSON *wanted, const cJSON *host,
			struct error *err);

/* linux.resources; *ret_json is NULL when host has no limits. */
int limits_oci_json(const cJSON *host, cJSON **ret_json, struct error *err);
/* The same for the kernel; release after. */
int limits_parse(const cJSON *host, struct cgroup_limits *ret_limits,
		 struct error *err);

/*
 * update's members of host, into those of container; docker's rules of what may
 * follow what. Returns 1 when one of them was a limit.
 */
int limits_merge(cJSON *container_host, const cJSON *update, struct error *err);
