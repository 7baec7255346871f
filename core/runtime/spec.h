/*
 * The OCI runtime configuration (runtime-spec 1.1, config.md and
 * config-linux.md) as a struct: what the runtime reads, nothing else. Strings
 * are owned by the struct. Members the runtime would have to obey and does not
 * know how to (hooks, an AppArmor profile …) are refused by name; unknown ones
 * are ignored, as the specification asks.
 *
 * Extensions in "annotations", written by core/engine:
 *   dev.moss.user       "name[:group]" still to be looked up in the container's
 *                       /etc/passwd and /etc/group; wins over process.user
 *   dev.moss.group-add  comma-separated names or numbers, looked up likewise
 *   dev.moss.init       "true": moss-init stays as PID 1 and reaps
 *   dev.moss.joined     "PID:START[,…]", the processes whose namespaces are
 *                       joined by /proc/PID/ns/…, and their start times: the
 *                       caller sees to it that it is still them
 *   dev.moss.environment  path of a file with more variables, each ended by a
 *                       NUL; the caller adds them (spec_add_environment())
 *   dev.moss.cgroup-parent  where its cgroup is made, see cgroup_enter()
 * A process object on its own (exec) may carry "annotations" with the first two
 * of them.
 *
 * Mount options beyond those of mount(8), see mountopt.c:
 *   copyup              an empty volume is first filled from the image's
 *                       directory below the mount point (storage/root/volume.h)
 *   nocopy              it is not
 *   tmpcopyup           the same for a tmpfs
 *   chown               all of it is given to the container's user, each time
 *   subpath=PATH        only that below the source, which it may not lead out
 *                       of by links or ".."
 *   rootpath=PATH       the same, looked up as if the source were "/"
 *   temporary           a mount point that had to be made for it is told
 *                       (layers.h)
 * The type "layers" is a root made of layers, read-only or to be written to,
 * where what is written is gone at the end (layers.h). Its options, the lowest
 * first:
 *   layer=sha256:HEX    a layer of the store
 *   lower=PATH          a directory of the host's, instead
 * and ro, rw, rootpath and temporary as above.
 * "ro" on an "rbind" mount covers what is mounted below its source too. Without
 * a propagation word a mount is rprivate.
 *
 * A device may have "source": the host's node when it is not the same path.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "core/runtime/cgroup.h"
#include "policy/idmap.h"

#define SPEC_MOUNTS_MAX	    1024
#define SPEC_ARGS_MAX	    65536
#define SPEC_NAMESPACES_MAX 16
#define SPEC_OWNERS_MAX	    8
#define SPEC_DEVICES_MAX    1024
#define SPEC_PATHS_MAX	    1024  /* masked, read-only, sysctl */
#define SPEC_GROUPS_MAX	    65536 /* the kernel's NGROUPS_MAX */

struct spec_mount {
	char *destination; /* absolute and clean, in the container; not "/" */
	char *type;	   /* "bind", "tmpfs", "proc", … */
	char *source;
	char **options;
};

struct spec_rlimit {
	int resource; /* RLIMIT_… */
	uint64_t soft, hard;
};

struct spec_device {
	char *path; /* absolute and clean */
	char type;  /* c b u p */
	uint32_t major, minor;
	uint32_t mode, uid, gid;
	char *source; /* moss: host node to bind, NULL: same as path */
};

struct spec_namespace {
	int flag;   /* CLONE_NEW… */
	char *path; /* NULL: a new one */
};

/* A process by whose number namespaces are named in paths. */
struct spec_owner {
	pid_t pid;
	uint64_t start_time; /* proc_start_time() */
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
	unsigned long root_propagation; /* MS_PRIVATE …, perhaps with MS_REC */
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
	struct cgroup_limits limits; /* linux.resources */
	char *cgroup_parent;	     /* NULL: nothing was said */
	char *environment_file;	     /* dev.moss.environment, or NULL */
	bool init;		     /* dev.moss.init */
	struct spec_owner owners[SPEC_OWNERS_MAX]; /* dev.moss.joined */
	size_t owner_count;
	cJSON *seccomp; /* linux.seccomp, NULL: none; the caller compiles it */
};

/* Errors name the JSON path. *ret_spec is untouched on failure. */
int spec_parse(const cJSON *json, struct runtime_spec *ret_spec,
	       struct error *err);
int spec_process_parse(const cJSON *process, struct spec_process *ret_process,
		       struct error *err);
void spec_release(struct runtime_spec *spec);
/* The variables of environment_file, which replace those of their names. */
int spec_add_environment(struct runtime_spec *spec, struct error *err);
void spec_process_release(struct spec_process *process);

const char *spec_rlimit_name(int resource); /* "RLIMIT_NOFILE" */

/* NULL: the namespace is the caller's. */
const struct spec_namespace *spec_namespace(const struct runtime_spec *spec,
					    int flag);
/* The container has one of its own, new. */
bool spec_namespace_is_new(const struct runtime_spec *spec, int flag);
