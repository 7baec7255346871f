/*
 * What a snapshot driver is to snapshot.c and snapshot_probe.c. Private to
 * storage/root/snapshot*.c.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"
#include "base/str.h"
#include "storage/root/snapshot.h"
#include "storage/store/image.h"

#define SNAPSHOT_UPPER	"upper"
#define SNAPSHOT_WORK	"work"
#define SNAPSHOT_MERGED "merged"
#define SNAPSHOT_NONE	"none"
#define SNAPSHOT_MORE	"more"
#define SNAPSHOT_LOG	"fuse.log"

struct snapshot_operations {
	enum snapshot_driver driver;
	const char *name;
	const char *remark; /* for `moss info`, may be NULL */
	bool shifts;	    /* can it shift IDs? */
	/* Cheap things that must be so; says what is missing. May be NULL. */
	int (*check)(const struct store *store, struct error *err);
	/* Appends what a remembered success depends on. May be NULL. */
	void (*key)(struct str *key);
	/* snapshot_mount(); *ret_fuse_fd is -1 before. */
	int (*mount)(const struct snapshot *snapshot, int *ret_fuse_fd,
		     struct error *err);
	/* snapshot_serve(); NULL: the kernel does it. */
	int (*serve)(const struct snapshot *snapshot, int fuse_fd,
		     struct error *err);
};

extern const struct snapshot_operations snapshot_overlay;
extern const struct snapshot_operations snapshot_fuse_overlayfs;

/* In order of preference; NULL at the end. */
extern const struct snapshot_operations *const snapshot_drivers[];
const struct snapshot_operations *
snapshot_operations_of(enum snapshot_driver driver);

/*
 * The layers as a mount wants them: paths below store->layers_fd (or, without
 * any layer, below directory_fd), highest first, each once: a layer that an
 * image lists twice is wholly covered by its higher place, and overlay refuses
 * a directory that comes twice.
 */
#define SNAPSHOT_LOWER_MAX 80 /* "HEX/diff" */

struct snapshot_lowers {
	int dir_fd; /* borrowed */
	size_t count;
	char paths[IMAGE_LAYERS_MAX][SNAPSHOT_LOWER_MAX];
};

/* Where merged/ and fuse.log are. */
int snapshot_place_fd(const struct snapshot *snapshot);
int snapshot_lowers_of(const struct snapshot *snapshot,
		       struct snapshot_lowers *ret_lowers, struct error *err);
