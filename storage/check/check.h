/*
 * moss-image check: is the store what it should be?
 *
 *   layout      oci-layout and index.json can be read
 *   images      for every entry of the index manifest, config and layers are
 *               there, with the sizes and SHA-256 sums that name them; diff IDs
 *               and layers go together
 *   build cache its records can be read, and their layers are as images' are
 *   layers      each is unpacked, and its tree is what the packed one says
 *               (storage/check/check_tree.h); the packed one is read once for
 *               that
 *   containers  the layers of each are there
 *   leftovers   what nothing refers to: blobs, layers, temporary files
 *
 * Everything is leased first (storage/store/store.h) and then checked without a
 * lock: images can be pulled, run and removed meanwhile. Layers are checked
 * side by side, one on each processor.
 *
 * Repair (check_repair.c), each step under the exclusive lock:
 *   - a tree that is wrong or missing is unpacked again from its blob, beside
 *     the old one, which it replaces in one step. Containers that run on the
 *     old one see its files vanish and have to be restarted;
 *   - an image whose manifest, config or blob of a layer is bad cannot be
 *     mended: it is dropped from the index, unless a container uses it and
 *     force is not given. Nothing is packed anew from a tree: its digest would
 *     be another;
 *   - a record of the build cache that cannot be read, or whose blob is bad, is
 *     forgotten: the step runs again;
 *   - an index that cannot be read is written anew, with an image without a
 *     name for each manifest that is found among the blobs;
 *   - leftovers are removed.
 *
 * Request: {"repair", "quick", "force": bool, "containers": [{"id", "name",
 * "images", "running", "layers": [diff ID…]}]}; quick leaves the trees out.
 * Result:
 *   {"findings": [{"subject", "problem", "advice", "mended": bool}…],
 *    "images", "layers", "blobs": how many were checked,
 *    "bytes": of packed layers read,
 *    "leftovers": {"count", "bytes", "removed": bool}}
 */
#pragma once

#include <cjson/cJSON.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "storage/job/job.h"
#include "storage/store/manifest.h"

#define CHECK_FINDINGS_MAX 4096u
#define CHECK_TREE_MAX	   8u /* findings told of one layer */

struct check_image {
	char *name;			/* for messages: "image web:latest" */
	char manifest[DIGEST_TEXT_MAX]; /* of its entry, whatever that is */
	char id[DIGEST_TEXT_MAX];	/* "" when it cannot be told */
	bool lost;
};

/* A packed layer and the tree that it makes. */
struct check_layer {
	struct descriptor blob;
	char diff_id[DIGEST_TEXT_MAX];
	char *what;    /* "image web:latest: layer 2 (sha256:…)" */
	size_t *users; /* indexes of images */
	size_t user_count;
	char **records; /* keys in the build cache; NULL: none */
	bool blob_bad;
	bool tree_bad; /* or it is not unpacked at all */
};

struct check {
	struct job *job;
	struct stage stage;
	bool repair;
	bool quick;
	bool force;
	const cJSON *containers; /* borrowed, an array */

	cJSON *index;
	struct check_image *images;
	size_t image_count;
	struct check_layer *layers;
	size_t layer_count;
	uint64_t blobs;
	char **broken_records; /* keys in the build cache; NULL: none */

	pthread_mutex_t lock; /* of what follows */
	cJSON *findings;
	uint64_t bytes;
};

/*
 * Notes one. key says what it is about ("layer HEX"), for check_settle().
 * advice: what --repair would do, or the user can.
 */
void check_finding(struct check *check, const char *key, const char *subject,
		   const char *advice, const char *format, ...)
	__attribute__((format(printf, 5, 6)));
/* What became of everything with that key. */
void check_settle(struct check *check, const char *key, bool mended,
		  const char *format, ...)
	__attribute__((format(printf, 4, 5)));

/* Reads the index and what it names, leases it, checks the documents. */
int check_plan(struct check *check, struct error *err);
/* The layer of check->layers, added with owner's name for messages when it is
   not one of them yet; borrowed until the next one is added. */
struct check_layer *check_add_layer(struct check *check, const char *owner,
				    const struct descriptor *blob,
				    const char *diff_id);
/* check_cache.c: the build cache. Under the lock, by check_plan(). */
int check_cache_plan(struct check *check, struct error *err);
/* A record's layer that nothing can mend. */
void check_cache_finding(struct check *check, const char *key, const char *what,
			 const char *text);
int check_cache_repair(struct check *check, struct error *err);
/* check_layer.c; in any thread. Errors are findings. */
void check_layer(struct check *check, struct check_layer *layer);
/* check_repair.c */
int check_repair_index(struct check *check, struct error *err);
int check_repair(struct check *check, struct error *err);
