/*
 * Images in the store: entries of index.json with the annotation
 * org.opencontainers.image.ref.name holding the full reference
 * ("docker.io/library/web:latest"), pointing at a manifest blob, which names a
 * config blob and layers. An image's ID is its config's digest, as docker's.
 *
 * Finding an image by its name reads index.json, its manifest and its config,
 * and nothing of other images, for `moss run` starts with it; an ID costs the
 * manifests of those before it.
 *
 * One that came from a registry remembers (storage/store/oci.h) what its name
 * led to there: the digest of its manifest, or of the index of several
 * platforms that its manifest was chosen from, and a list of what refers to it.
 * Those blobs are kept with it. "web@sha256:…" finds it by either digest. When
 * its name goes to another image, it keeps that with the digest.
 *
 * An image removed by force while a stopped container still needs it keeps its
 * layers and a hidden entry, until image_collect() learns that nobody does.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "storage/store/manifest.h"
#include "storage/store/store.h"

#define IMAGE_LAYERS_MAX 500 /* the kernel's overlay limit */

struct image {
	char *id;	   /* "sha256:HEX" of the config */
	char *manifest;	   /* "sha256:HEX" of the manifest */
	char **references; /* full names; empty for a dangling image */
	char **digests;	   /* "docker.io/library/web@sha256:HEX", one or more
			      for each repository it has a name in */
	char *origin;	   /* digest that a registry's name led to, or NULL */
	char *referrers;   /* digest of the blob that lists them, or NULL */
	char *tagged;	   /* when it got its last name, RFC 3339, or NULL */
	cJSON *config;	   /* the OCI image config, whole */
	char **diff_ids;   /* "sha256:HEX", lowest layer first */
	uint64_t size;	   /* bytes unpacked, all layers */
	uint64_t content;  /* bytes of manifest, config and packed layers */
	char *created;	   /* RFC 3339 or "" */
};

void image_release(struct image *image);

/*
 * All images, newest first, one for each ID. One whose blobs are damaged is
 * listed (so that it can be removed) with its manifest's digest for an ID and
 * an empty config. Caller frees with image_list_free.
 */
int image_list(struct store *store, struct image **ret_images,
	       size_t *ret_count, struct error *err);
void image_list_free(struct image *images, size_t count);

/*
 * By reference, ID, short ID (unique prefix) or digest; a name goes before a
 * prefix. ERROR_NOT_FOUND "No such image: NAME"; an ambiguous prefix is
 * ERROR_INVALID.
 */
int image_find(struct store *store, const char *name, struct image *ret_image,
	       struct error *err);
/* As docker tag: the name may be any that image_find() takes. */
int image_tag(struct store *store, const char *name, const char *new_reference,
	      struct error *err);
/*
 * Removes one reference, and the image with its unshared layers when it was the
 * last. in_use(image id) answers whether a container needs it: 1 and the
 * container (a running one when there is any), 0, or negative errno; refused
 * with docker's wording unless force. NULL: nobody uses images. *ret_report:
 * "Untagged: …", "Deleted: …" lines, caller frees.
 */
typedef int (*image_in_use)(const char *image_id, char **ret_container_id,
			    bool *ret_running, void *data);
int image_remove(struct store *store, const char *name, bool force,
		 image_in_use in_use, void *data, char ***ret_report,
		 struct error *err);
/*
 * Removes images that no container uses: those without a tag, all: others as
 * well; wanted (may be NULL) has a say in each. Then what nothing refers to, as
 * image_collect() does.
 */
struct image_prune {
	bool all;
	bool (*wanted)(const struct image *image, void *data);
	void *data;
};
struct image_pruned {
	char **report;	/* as image_remove()'s; caller frees */
	uint64_t bytes; /* space gained, of blobs and unpacked layers */
	/* An image could not be read: blobs and layers stay until it is. */
	bool content_kept;
};
int image_prune(struct store *store, const struct image_prune *prune,
		image_in_use in_use, void *data,
		struct image_pruned *ret_pruned, struct error *err);
/*
 * Removes what nothing refers to: blobs and layers of images that are gone,
 * of interrupted work, and images removed by force whose containers are gone.
 * For `system prune` and after the removal of a container whose image is no
 * longer there.
 */
int image_collect(struct store *store, image_in_use in_use, void *data,
		  struct error *err);

/*
 * The descriptor of what its name led to, a manifest or an index of several
 * platforms, and in ret_index (NULL without; caller frees) that index.
 */
int image_target(const struct store *store, const struct image *image,
		 struct descriptor *ret_descriptor, cJSON **ret_index,
		 struct error *err);

/* Is every layer unpacked and whole? 0, or ERROR_CORRUPT that names the layer.
 */
int image_check_layers(struct store *store, const struct image *image,
		       struct error *err);
