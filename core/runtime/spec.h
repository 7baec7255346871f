/*
 * The OCI runtime configuration (runtime-spec 1.1, config.md and
 * config-linux.md) as a struct: what the runtime reads, nothing else. Strings
 * are owned by the struct.
 *
 * Extensions in "annotations", written by core/engine:
 *   dev.moss.user       "name[:group]" still to be looked up in the container's
 *                       /etc/passwd and /etc/group; wins over process.user
 *   dev.moss.group-add  comma-separated names or numbers, looked up likewise
 *   dev.moss.init       "true": moss-init stays as PID 1 and reaps
 * and mount options "copyup" (an empty volume is first filled from the image's
 * directory below the mount point, see storage/volume.h) and "nocopy".
 * Capabilities, seccomp and ID maps are in their OCI places.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>

#include "base/error.h"
#include "policy/idmap.h"

#define SPEC_MOUNTS_MAX 1024
#define SPEC_ARGS_MAX	65536

struct spec_mount {
	char *destination; /* absolute, in the container */
	char *type;	   /* "bind", "tmpfs", "proc", … */
	char *source;
	char **options;
};

struct spec_rlimit {
	int resource; /* RLIMIT_… */
	struct rlimit64 limit;
};

struct spec_device {
	char *path;
	char type; /* c b u p */
	uint32_t major, minor;
	uint32_t mode, uid, gid;
	char *source; /* moss: host node to bind, NULL: same as path */
};

struct spec_namespace {
	int flag;   /* CLONE_NEW… */
	char *path; /* NULL: a new one */
};

struct spec_process {
	bool terminal;
	uint16_t rows, columns;
	char **args;
	char **env;
	char *cwd;
	uint32_t uid, gid, umask;
	bool has_umask;
	uint32_t *groups;
	size_t group_count;
	char *user; /* dev.moss.user, NULL: uid and gid count */
	char **group_add;
	uint64_t bounding, effective, permitted, inheritable, ambient;
	struct spec_rlimit *rlimits;
	size_t rlimit_count;
	bool no_new_privileges;
	bool has_oom_score_adj;
	int oom_score_adj;
};

struct runtime_spec {
	struct spec_process process;
	char *root_path; /* used when the request has no snapshot */
	bool root_readonly;
	char *hostname;
	char *domainname;
	struct spec_mount *mounts;
	size_t mount_count;
	struct spec_namespace *namespaces;
	size_t namespace_count;
	struct id_map uid_map; /* container -> caller's namespace */
	struct id_map gid_map;
	char **masked_paths;
	char **readonly_paths;
	char **sysctl; /* "net.core.somaxconn=1024" */
	struct spec_device *devices;
	size_t device_count;
	bool init;	/* dev.moss.init */
	cJSON *seccomp; /* linux.seccomp, NULL: none; the caller compiles it */
};

/* Errors name the JSON path. Unknown members are ignored, as the spec asks. */
int spec_parse(const cJSON *json, struct runtime_spec *ret_spec,
	       struct error *err);
int spec_process_parse(const cJSON *process, struct spec_process *ret_process,
		       struct error *err);
void spec_release(struct runtime_spec *spec);
void spec_process_release(struct spec_process *process);
