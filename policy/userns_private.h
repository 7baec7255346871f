/*
 * The pieces of policy/userns.h: what to map (userns_plan.c), the process that
 * keeps it (userns_pin.c). Private to policy/userns*.c.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "policy/idmap.h"

enum map_writer {
	MAP_SINGLE,  /* one ID, which anyone may map */
	MAP_HELPERS, /* newuidmap and newgidmap */
	MAP_DIRECT,  /* root of a namespace, who may map all it has */
};

/* Why there is one ID only: what can be done depends on it. */
enum single_reason {
	SINGLE_NO_RANGE,
	SINGLE_NO_TOOL,
	SINGLE_TOOL_FAILED,
};

/* The maps this user can have, and by what means. */
struct userns_plan {
	enum map_writer writer;
	uid_t uid;
	gid_t gid;
	char user[256];
	struct id_map uids;
	struct id_map gids;
	char *note; /* with MAP_SINGLE: why, and what to do; owned */
};

/* A namespace, by what fstat(2) says of its file. */
struct userns_id {
	uint64_t device;
	uint64_t inode;
};

/* RUN/userns/pin.json. */
struct userns_pin {
	pid_t pid;
	uint64_t start_time;
	struct userns_id id;
	uid_t uid;
	bool mapped;
	char *user;
	char *sources; /* userns_sources() of the time it was made */
	char *note;    /* may be NULL */
};

/* Is the caller root where root is everything? Negative without /proc. */
int userns_is_initial(struct error *err);
void userns_plan_make(bool initial, struct userns_plan *ret_plan);
/* The same user's plan for one ID; why is for the note. */
void userns_plan_make_single(struct userns_plan *plan,
			     enum single_reason reason, const char *why);
void userns_plan_release(struct userns_plan *plan);
/*
 * What a plan was made from, as text to compare: sizes and times of the files,
 * and for a single-ID one all else that could have stood in the way. Costs a
 * few stat(2), so that every start can ask.
 */
char *userns_sources(bool mapped);
/* newuidmap or newgidmap; NULL when there is none. */
char *userns_find_tool(const char *name);
/*
 * Ends an error about a namespace the kernel refused with a hint that names the
 * setting at fault.
 */
int userns_blame(int number, struct error *err);

/* A user namespace's file to its identity; -errno. */
int userns_id_of_fd(int fd, struct userns_id *ret_id);
bool userns_id_equal(const struct userns_id *a, const struct userns_id *b);

/*
 * RUN, which the pause process carries in its name so that it is found again
 * when the file is lost. Caller frees.
 */
char *userns_run_path(int run_fd);

/* 1 and a pin, 0 when there is none or none that can be believed. */
int userns_pin_read(int dir_fd, struct userns_pin *ret_pin);
int userns_pin_write(int dir_fd, const struct userns_pin *pin,
		     struct error *err);
void userns_pin_release(struct userns_pin *pin);
/* 1 and a pin made up from a running pause process of this RUN, 0: none. */
int userns_pin_adopt(const char *run_path, struct userns_pin *ret_pin);
/* The pinned namespace when the pin's process lives; -ESRCH when not. */
int userns_pin_open(const struct userns_pin *pin);
/*
 * Looks at every process: *ret_fd is the pinned namespace if any is in it (or
 * in one below it), *ret_used whether one besides the pin's own process is.
 */
int userns_pin_search(const struct userns_pin *pin, int *ret_fd,
		      bool *ret_used);
/*
 * SIGKILL to every process in the pinned namespace or below it, but the two
 * given ones (0: none). Returns how many there were, or -errno.
 */
int userns_pin_kill(const struct userns_pin *pin, pid_t keep, pid_t keep_too);
/*
 * Starts the process that keeps a namespace: plan's when ns_fd is -1, the given
 * one otherwise. Fills pid, start_time and id of *pin. On failure nothing is
 * left; ret_maps tells whether it was the maps that failed.
 */
int userns_pin_start(const struct userns_plan *plan, int ns_fd,
		     const char *run_path, struct userns_pin *pin,
		     bool *ret_maps, struct error *err);
/* Can a container's namespaces be made in there? */
int userns_probe(int ns_fd, struct error *err);

#define cleanup_plan CLEANUP(userns_plan_release)
#define cleanup_pin  CLEANUP(userns_pin_release)
