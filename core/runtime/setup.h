/*
 * The container as seen by its first process while that builds it. setup.c has
 * the order and the reasons; the other files its steps.
 *
 * All look-ups of names that an image could have prepared go through root_fd
 * with openat2 (base/path.h), and mounts are moved onto descriptors, never onto
 * names: there is nothing to redirect. Sources on the host are turned into
 * detached mounts (open_tree) before the identity changes.
 */
#pragma once

#include <stdint.h>

#include "base/error.h"
#include "core/runtime/launch.h"
#include "core/runtime/runtime.h"

struct setup {
	const struct runtime_request *request;
	const struct runtime_spec *spec;
	struct launch launch;
	struct id_map uids, gids;
	bool joined_user; /* the maps are another container's */
	int root_fd;	  /* O_PATH of the new root */
	int *sources;	  /* one a mount, -1: none */
	int *owned;	  /* those that are to be given to the user, likewise */
	/* Mounts made here by their place; -1: there is none, or not ours. */
	int dev_fd, proc_fd, sys_fd, devpts_fd;
	bool dev_is_foreign; /* someone's /dev, left as it is */
	int points_fd;	     /* layers.h; -1: nobody wants to know */
	int tap_fd, master_fd, slave_fd;
};

/* In the child; never returns. */
_Noreturn void setup_container(const struct runtime_request *request,
			       int sync_fd, int program_fd);
/* The process between, when namespaces are to be joined (namespaces.h). */
_Noreturn void setup_joiner(const struct runtime_request *request, int sync_fd,
			    int program_fd);

/* The process between, for a container with a task_limit. */
_Noreturn void setup_counter(const struct runtime_request *request, int sync_fd,
			     int program_fd);

/*
 * A file of the container's directory, by its path: the descriptor that we were
 * given is from before our mount namespace, and so would be what is below it.
 * name begins with a slash. Before the identity changes.
 */
int setup_open_own(const struct setup *setup, const char *name, int flags,
		   struct error *err);

/* mounts.c */
int mounts_open_sources(struct setup *setup, struct error *err);
int mounts_make(struct setup *setup, struct error *err);
/* When the user is known: also through a mount that is read-only. */
int mounts_give(struct setup *setup, struct error *err);
/*
 * path below the new root or, when it begins with the place of a mount of ours,
 * below that: an image may have made /proc a link to a directory that another
 * container can write to, but what is meant is the proc we mounted.
 */
int mounts_open_path(const struct setup *setup, const char *path, int flags);

/* mask.c */
int mask_paths(const struct setup *setup, struct error *err);
int make_paths_readonly(const struct setup *setup, struct error *err);

/* devices.c */
int devices_make(struct setup *setup, struct error *err);
int devices_make_console(struct setup *setup, struct error *err);

/* sysctl.c */
int sysctl_write(const struct setup *setup, struct error *err);
