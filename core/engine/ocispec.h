/*
 * container.json → config.json: the OCI runtime configuration of a container's
 * next run, made anew at each start, as it names the processes whose
 * namespaces are joined.
 *
 * Mounts in docker's order: proc, dev, devpts, sysfs, cgroup, mqueue, shm, then
 * resolv.conf, hostname and hosts with the user's mounts, shallow ones first. A
 * mount of the user's replaces a default one at the same place.
 *
 * A namespace of the host's is owned by the host's user namespace, in which
 * nobody here may mount its file system anew; so with --pid host /proc, with
 * --network host /sys, with --ipc host /dev/mqueue and /dev/shm, and with
 * --cgroupns host /sys/fs/cgroup are the host's own, bound.
 *
 * To join another container's namespace one must be in its user namespace.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"
#include "core/engine/mounts.h"
#include "policy/idmap.h"

enum spec_join { JOIN_NETWORK, JOIN_IPC, JOIN_PID, JOIN_COUNT };

struct spec_request {
	const cJSON *container; /* container.json, checked at creation */
	const char *directory;	/* the container's, absolute */
	/* Of the container whose network is joined, NULL: its own. */
	const char *network_directory;
	const struct identity *identity;
	pid_t join[JOIN_COUNT]; /* first process of a "container:ID"; 0: none */
	uint64_t join_start[JOIN_COUNT]; /* when that started */
	bool first;			 /* never started before */
};

int ocispec_build(const struct spec_request *request, cJSON **ret_spec,
		  struct error *err);

/* OCI process of the container's own command, or of an ExecCreate body. */
cJSON *ocispec_process(const cJSON *container);
int ocispec_exec_process(const cJSON *container, const cJSON *body,
			 cJSON **ret_process, struct error *err);

/* ID maps as container.json keeps them: [[inside, outside, count], …]. */
cJSON *ocispec_map_json(const struct id_map *map);
int ocispec_map_parse(const cJSON *array, struct id_map *ret_map,
		      struct error *err);

/* OCI mounts of the file systems every container has. */
cJSON *ocispec_default_mounts(const struct spec_request *request,
			      const struct mount_list *user,
			      const struct id_map *gids);
