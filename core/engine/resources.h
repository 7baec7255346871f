/*
 * What a container asks of the kernel beyond namespaces, checked at creation
 * where the kernel's answer is known: resource limits of processes (ulimits),
 * sysctls, devices, the OOM score.
 */
#pragma once

#include <cjson/cJSON.h>

#include "base/error.h"

/* What sysctls may be set depends on which namespaces are the container's. */
struct resource_namespaces {
	bool network;
	bool ipc;
	bool uts;
};

/* HostConfig.Ulimits: names, order, and not above the user's own hard limit. */
int ulimits_check(const cJSON *host, struct error *err);
/* OCI process.rlimits; infinity is kept exact. */
cJSON *ulimits_json(const cJSON *host);

/* HostConfig.Sysctls, in docker's and runc's words. */
int sysctls_check(const cJSON *host,
		  const struct resource_namespaces *namespaces,
		  struct error *err);

/* HostConfig.Devices: they must exist and be devices (or a directory of). */
int devices_check(const cJSON *host, struct error *err);
/*
 * OCI linux.devices with the host's node in "source"; privileged: all nodes of
 * /dev that the user can open, too.
 */
int devices_json(const cJSON *host, cJSON **ret_devices, struct error *err);

/* An ordinary user cannot go below where he is. */
int oom_score_check(const cJSON *host, struct error *err);
