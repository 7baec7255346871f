/* What is in the build cache, and how much may be: core/engine/build_cache.h.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "core/engine/engine.h"
#include "storage/store/build_cache.h"
#include "storage/store/cache_mount.h"

/* A result or a directory; texts are borrowed from the list. */
struct cached {
	bool is_mount;
	const char *key;  /* 64 digits */
	const char *type; /* docker's word */
	const char *description;
	const char *created;
	struct timespec last_used;
	uint64_t uses;
	uint64_t size; /* 0 when a result that goes later has the same layer */
	bool in_use;
	bool shared; /* an image has it, too */
};

struct cached_list {
	struct build_cache results;
	struct cache_mount *mounts;
	size_t mount_count;
	struct cached *items; /* in the order of removal */
	size_t count;
};

int cached_list_read(struct engine *engine, bool with_mounts,
		     struct cached_list *ret_list, struct error *err);
void cached_list_release(struct cached_list *list);
/* What it takes that no image has. */
uint64_t cached_list_size(const struct cached_list *list);

#define CACHED_ID_MAX 26 /* docker's have 25 characters */
void cached_id(char ret_id[CACHED_ID_MAX], const char *key);

/* How much it may take; size: what it takes now. */
int cached_limit(struct engine *engine, uint64_t size, uint64_t *ret_limit,
		 struct error *err);
/* docker's rule, where moss.conf says nothing. */
struct cached_disk {
	uint64_t total, available; /* bytes */
};
uint64_t cached_default_limit(const struct cached_disk *disk, uint64_t size);
/* True once an hour. */
bool cached_mounts_are_due(const struct engine *engine);
/* Has a result come or gone since the last time that was noted? */
bool cached_changed(const struct engine *engine, struct timespec *ret_time);
void cached_note_trimmed(const struct engine *engine,
			 const struct timespec *time);
