/*
 * Removal of everything moss made for its user: the end of running containers,
 * the store with its cache, the pinned user namespace, the runtime directory.
 *
 * Unlike the rest of the engine it works from outside of the pinned namespace,
 * since that goes as well, and with a store that engine_open() refuses. Files
 * of the containers' users can be removed from inside only, so that a child
 * enters first, measures, and removes when told to. Where no namespace can be
 * made it does what the user's own rights allow.
 *
 * What is removed: only what a store has by name (reset.c), and only from a
 * directory of the caller's that looks like a store: it has the directories
 * that every store has, closed to others, and an image layout. Names that are
 * not moss's are left alone, and the directory with them. Symbolic links are
 * removed, never followed, but for the last name of data_path, which may be
 * one, as for store_open(); then the empty directory behind it stays.
 *
 * Order: under the lock that keeps everybody from entering the namespace, all
 * processes in it are killed, and monitors of this store's containers anywhere.
 * The store's parts are renamed into .moss-reset/, by which a store whose reset
 * was killed is known again, and this is removed. Then the process that keeps
 * the namespace is ended, RUN/userns removed, and the two directories if they
 * are empty; last, what systemd holds for containers with limits, unless
 * another store's are there (core/runtime/cgroup.h). A crash at any moment
 * leaves what the next reset takes up.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct reset_options {
	const char *data_path; /* absolute */
	const char *run_path;  /* absolute, of run_fd */
	int run_fd;	       /* stays the caller's */
};

/* What there is. */
struct reset_plan {
	bool has_store;
	uint64_t bytes; /* of the store */
	size_t containers, running, volumes;
	char **kept; /* names in data_path that are not moss's; NULL: none */
	char *note;  /* why no namespace could be entered, may be NULL */
};

struct reset;

/*
 * Before the caller has entered the pinned namespace, with one thread.
 * ERROR_CONFLICT when data_path is there and is no store.
 */
int reset_open(const struct reset_options *options, struct reset **ret_reset,
	       struct error *err);
void reset_close(struct reset *reset);
const struct reset_plan *reset_plan_of(const struct reset *reset);
int reset_run(struct reset *reset, struct error *err);
