/*
 * Control groups (version 2): the one place that reads or writes their files.
 *
 * A container that has limits has a cgroup of its own, a leaf named by its ID:
 *
 *   BASE/                  given to us ("delegated"), holds no process
 *   BASE/monitors/         monitors and their helpers, without limits; and,
 *                          without systemd, who was in BASE before
 *   BASE/ID/               the container: init is born into it, before it
 *                          executes anything, and sees it as the root of its
 *                          cgroup namespace
 *
 * Who may do that is the kernel's rule: a process is moved by who may write
 * cgroup.procs of the common ancestor of where it is and where it goes. So from
 * a login's scope, which is root's, nobody gets anywhere. There are two ways
 * (cgroup_find.c, cgroup_enter.c):
 *
 * Directly. A cgroup above our own, or that one, is ours to write: the
 * administrator, an outer container or a unit with Delegate= gave it away. Of
 * those the outermost is BASE. Below the user's service manager only what that
 * has marked as given away counts (user.delegate), as it would take controllers
 * from what it does not know, and limits with them.
 *
 * By systemd. The user's service manager, and through it the system's, moves a
 * process for us. BASE is the cgroup of the transient service
 * moss-containers.service, which has Delegate=yes and stays until the manager
 * ends or `moss system reset`, as there is a process in BASE/monitors that does
 * nothing. It is made once, by the helper program moss-systemd (libsystemd is
 * too heavy for `moss run`), which also moves each monitor into BASE/monitors;
 * a monitor that runs below the service manager already goes there by itself.
 * From there on it needs nobody: init, exec and later runs are born into the
 * leaf.
 *
 * A container without limits has no cgroup of its own, and costs nothing here;
 * it is paused, killed and measured without one. Nor does it get one later: all
 * its processes would have to be held still and moved by systemd, its monitor
 * first, and the root of its cgroup namespace would still be where it was born,
 * so that it would see paths out of that.
 *
 * The leaf is made by the monitor and removed by it. Its path is in state.json
 * before it is made; so whoever finds the monitor killed also finds the leaf,
 * kills what is in it and removes it. A reboot leaves none.
 *
 * Limits are OCI's (linux.resources of cgroup v1's words), turned into v2's as
 * runc and crun do (cgroup_limits.c). A controller that is missing is an error
 * that names it: no limit is dropped.
 *
 * Everything works on directories, so that a test may show it a made-up tree.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

#define CGROUP_UNIT	"moss-containers.service"
#define CGROUP_MONITORS "monitors"

enum cgroup_controller {
	CGROUP_CPU,
	CGROUP_CPUSET,
	CGROUP_IO,
	CGROUP_MEMORY,
	CGROUP_PIDS,
	CGROUP_CONTROLLERS,
};
#define CGROUP_BIT(controller) (1u << (controller))

const char *cgroup_controller_name(enum cgroup_controller controller);
/* The bits of a list of names as in cgroup.controllers; others are ignored. */
unsigned int cgroup_controllers_parse(const char *text);
/* "cpu, memory"; caller frees. */
char *cgroup_controllers_text(unsigned int controllers);

/* ---- limits (cgroup_limits.c) ---- */

#define CGROUP_UNLIMITED   (-1)
#define CGROUP_DEVICES_MAX 64

enum cgroup_rate { RATE_RBPS, RATE_WBPS, RATE_RIOPS, RATE_WIOPS, RATE_COUNT };

struct cgroup_device {
	uint32_t major, minor;
	uint64_t rates[RATE_COUNT]; /* 0: none */
	uint32_t weight;	    /* 10 … 1000; 0: none */
};

/* OCI's values; 0 or NULL: nothing was said. */
struct cgroup_limits {
	int64_t memory; /* bytes, CGROUP_UNLIMITED */
	int64_t swap;	/* memory and swap together, CGROUP_UNLIMITED */
	int64_t reservation;
	uint64_t shares;   /* 2 … 262144 */
	int64_t quota;	   /* µs a period; negative: unlimited */
	uint64_t period;   /* µs; 0: 100,000 */
	char *cpus, *mems; /* "0-2,4" */
	int64_t pids;	   /* CGROUP_UNLIMITED */
	uint32_t weight;   /* 10 … 1000 */
	struct cgroup_device *devices;
	size_t device_count;
};

/* OCI's linux.resources, of the object "linux" (cgroup_resources.c). */
int cgroup_limits_parse(const cJSON *linux_part, struct cgroup_limits *limits,
			struct error *err);
void cgroup_limits_release(struct cgroup_limits *limits);
/* The row of that device, made when there is none. */
struct cgroup_device *cgroup_limits_device(struct cgroup_limits *limits,
					   uint32_t major, uint32_t minor);
/* Bits of the controllers that are needed; 0: there is no limit. */
unsigned int cgroup_limits_controllers(const struct cgroup_limits *limits);
/* A value out of range, or one that cannot be had without another. */
int cgroup_limits_check(const struct cgroup_limits *limits, struct error *err);
/* What is said in limits goes to the files of the cgroup, the rest stays. */
int cgroup_limits_write(int cgroup_fd, const struct cgroup_limits *limits,
			struct error *err);

/* v1's cpu.shares → v2's cpu.weight: 2 → 1, 1024 → 100, 262144 → 10000. */
uint64_t cgroup_weight_of_shares(uint64_t shares);
/* v1's blkio.weight → v2's io.weight: 10 → 1, 1000 → 10000. */
uint64_t cgroup_weight_of_blkio(uint32_t weight);

/* ---- where (cgroup_find.c) ---- */

enum cgroup_manager {
	CGROUP_MANAGER_NONE,
	CGROUP_MANAGER_DIRECT,
	CGROUP_MANAGER_SYSTEMD,
};

enum cgroup_version {
	CGROUP_VERSION_NONE,
	CGROUP_VERSION_1,      /* no v2 at all */
	CGROUP_VERSION_HYBRID, /* v2 without controllers, beside v1 */
	CGROUP_VERSION_2,
};

struct cgroup_host {
	enum cgroup_version version;
	char *mount; /* of v2; NULL: none */
	char *own;   /* our cgroup below it, "/user.slice/…"; NULL: outside */
	unsigned int available; /* controllers of the whole hierarchy */

	enum cgroup_manager manager;
	/* Of BASE: direct always, systemd once it is there. Below mount. */
	char *base;
	unsigned int delegated; /* controllers that BASE has or will have */
	char *socket;		/* of the user's service manager; or NULL */
	bool evacuate;		/* BASE holds processes: they must move */
	bool has_systemd;	/* systemd runs the machine */
};

/*
 * Looks around; cheap, changes nothing. root: of the tree that has /proc and
 * /sys, "" for the real one. uid: of the user outside of any user namespace.
 * Without cgroups it succeeds and says so.
 */
void cgroup_host_read(const char *root, uid_t uid,
		      struct cgroup_host *ret_host);
void cgroup_host_release(struct cgroup_host *host);
/* The user's number outside: of the map of the user namespace we are in. */
uid_t cgroup_outside_uid(void);
/*
 * ERROR_UNSUPPORTED with what is missing and what to do about it. what: the
 * limit's name, "--memory".
 */
int cgroup_host_check(const struct cgroup_host *host, unsigned int needed,
		      const char *what, struct error *err);
/* What root has to do so that the controllers are there; caller frees. */
char *cgroup_host_advice(const struct cgroup_host *host, unsigned int needed);

/* ---- a container's (cgroup.c) ---- */

struct cgroup {
	char *path; /* absolute, of the directory; NULL: there is none */
	int fd;	    /* -1 */
};
#define CGROUP_NONE                    \
	(struct cgroup)                \
	{                              \
		.path = NULL, .fd = -1 \
	}

/*
 * Gets the calling process to where it may make leaves of BASE, asking systemd
 * when it must, and turns BASE's controllers on. parent: of --cgroup-parent, ""
 * for ours; see cgroup_parent_check(). *ret_base: absolute path, caller frees.
 */
int cgroup_enter(struct cgroup_host *host, const char *parent,
		 unsigned int needed, char **ret_base, struct error *err);
/*
 * Stops the user's transient services in which no container of any store is any
 * more. One that begins at the same moment may be ended with them.
 */
void cgroup_end_idle_units(void);
/* A slice with systemd, below BASE otherwise. "": fine. */
int cgroup_parent_check(const struct cgroup_host *host, const char *parent,
			struct error *err);
/* A stale one of that path is ended and removed first. */
int cgroup_make(const char *path, struct cgroup *ret_cgroup, struct error *err);
/* ERROR_NOT_FOUND. */
int cgroup_open(const char *path, struct cgroup *ret_cgroup, struct error *err);
void cgroup_close(struct cgroup *cgroup);

/* SIGKILL to all at once (cgroup.kill, or one by one before 5.14). */
int cgroup_kill(const struct cgroup *cgroup, struct error *err);
/* Returns when all stand still, or go on; -ETIMEDOUT after timeout_ms. */
int cgroup_freeze(const struct cgroup *cgroup, bool freeze, int timeout_ms,
		  struct error *err);
/*
 * Kills who is left, and removes it with what was made below; waits for a
 * moment for the dying. A path that is not there is fine.
 */
int cgroup_remove(const char *path, struct error *err);
/* PIDs, those of cgroups below too; caller frees. */
int cgroup_processes(const struct cgroup *cgroup, pid_t **ret_pids,
		     size_t *ret_count, struct error *err);

/* ---- numbers (cgroup_stats.c) ---- */

struct cgroup_io {
	uint32_t major, minor;
	uint64_t read_bytes, written_bytes;
	uint64_t reads, writes;
};

/* What a file does not tell is 0; has: bits of the controllers that there are.
 */
struct cgroup_stats {
	unsigned int has;
	uint64_t cpu_ns, user_ns, system_ns;
	uint64_t periods, throttled_periods, throttled_ns;
	uint64_t memory, memory_peak, memory_limit; /* bytes; UINT64_MAX */
	uint64_t memory_inactive_file;
	char *memory_stat; /* "NAME NUMBER\n" …, as the kernel has it */
	uint64_t memory_failures;  /* how often the limit was met */
	uint64_t pids, pids_limit; /* UINT64_MAX: none */
	struct cgroup_io *io;
	size_t io_count;
};

int cgroup_stats_read(const struct cgroup *cgroup,
		      struct cgroup_stats *ret_stats, struct error *err);
void cgroup_stats_release(struct cgroup_stats *stats);
/* The number after name in lines of "NAME NUMBER"; 0: there is none. */
uint64_t cgroup_stat(const char *text, const char *name);
/* Processes that the kernel has killed for want of memory; 0 when unknown. */
uint64_t cgroup_oom_kills(const struct cgroup *cgroup);
/* Readable (to be read and forgotten) when that may have changed. */
int cgroup_oom_watch(const struct cgroup *cgroup, struct error *err);
