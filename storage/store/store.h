/*
 * The store: everything moss keeps, below one data directory.
 *
 *   image/            an OCI image layout (image-layout.md): oci-layout,
 *                     index.json, blobs/sha256/HEX; readable by other tools
 *   layers/HEX/diff   one unpacked layer, HEX is its diff ID; in the overlay's
 *                     own form (whiteouts, opaque xattrs); immutable
 *   layers/HEX/layer.json  see storage/store/layer.h; written last: a layer
 *                     directory without it is a leftover of a crash
 *   containers/       core/engine's, see there; a build's own are in its work
 *   volumes/NAME/     volume.json, _data
 *   networks/, host/  core/engine's and net/resolv_copy.h's, see there
 *   build/            of builds: storage/store/build_cache.h
 *   events/           what happened, storage/store/events.h
 *   tmp/              work in progress, see below
 *   lock              shared while images are read or used, exclusive while the
 *                     index changes or garbage is removed
 *
 * All descriptors stay open for the store's life. Any number of processes may
 * have it open.
 *
 * Work in progress (an import that downloads for minutes) holds no lock on the
 * store. It lies in a directory tmp/work-X of its own with tmp/work-X.lock
 * beside it, locked as long as its owner lives. What it wants to rely on in the
 * store, a blob or a layer that is there already, it leases: an empty file
 * tmp/work-X/lease/HEX, made under the shared lock. The collector of garbage
 * works under the exclusive lock and keeps what is leased. At its end the work
 * takes the exclusive lock, renames its parts into place and changes the index.
 * A crash at any moment leaves a work directory with a free lock, which the
 * next store_open() removes.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "base/file.h"
#include "storage/store/limits.h"

#define STORE_WORK_NAME_MAX  32
#define STORE_CONTAINERS     "containers"
#define STORE_CONTAINERS_MAX (STORE_WORK_NAME_MAX + 16)

struct store {
	int root_fd;
	int image_fd;
	int layers_fd;
	int volumes_fd;
	int tmp_fd;
	char *path; /* absolute, of the root */
	/* Where containers lie, from the root. */
	char containers[STORE_CONTAINERS_MAX];
	struct limits limits;
};

/* Makes what is missing, removes leftovers in tmp/. path: absolute. */
int store_open(const char *path, struct store *ret_store, struct error *err);
void store_close(struct store *store);
/* Removes what killed work left in tmp/; store_open() does it, too. */
void store_clean(const struct store *store);

/*
 * From now on containers of this store are those that lie in a work, named
 * "work-X": a build's, which are nobody else's business. They have no names,
 * tell no events, need not outlive a power cut and go with the work.
 */
void store_use_containers_of(struct store *store, const char *work);
bool store_containers_are_private(const struct store *store);

/*
 * The lock on images and layers; returns the descriptor that holds it. Whoever
 * finds an image and then starts to use it (writes down a container that
 * image_remove()'s in_use will see) holds it shared from before the look-up
 * until after. Never call image_tag(), image_remove(), image_import() or
 * image_load() while holding it: they take it exclusively.
 */
int store_lock(const struct store *store, enum lock_mode mode,
	       struct error *err);

struct store_work {
	const struct store *store;
	int fd;	     /* the directory tmp/NAME */
	int lock_fd; /* goes with the process */
	char name[STORE_WORK_NAME_MAX];
};

int store_work_new(const struct store *store, struct store_work *ret_work,
		   struct error *err);
/* Removes the directory and everything in it; NULL and half-made are fine. */
void store_work_release(struct store_work *work);
/*
 * Keeps blob or layer HEX from being collected while the work lives. Under the
 * store's lock, shared or exclusive; whether HEX exists is to be asked after.
 */
int store_work_lease(const struct store_work *work, const char *hex,
		     struct error *err);
/* The directory of the work called name, which another process owns.
   ERROR_NOT_FOUND when it is gone. */
int store_work_open(const struct store *store, const char *name,
		    struct error *err);
/* store_work_lease() for that work: what a helper has made is to outlive the
   helper. */
int store_work_lease_for(const struct store *store, const char *name,
			 const char *hex, struct error *err);
/* Gives back what was leased. */
int store_work_unlease(const struct store_work *work, struct error *err);
/* All HEX that anybody leases, sorted; caller frees. Under the exclusive lock.
 */
int store_leases(const struct store *store, char ***ret_hex, struct error *err);
