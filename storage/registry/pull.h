/*
 * moss-image pull: an image of a registry into the store.
 *
 *   1. the manifest, or the index of several platforms, is asked for by tag or
 *      digest; when that is what the name means here already and the image is
 *      whole, that is all;
 *   2. through indexes, at most PULL_DEPTH_MAX of them, to the manifest of the
 *      platform, and to its config;
 *   3. the layers that are missing, several at once
 * (storage/job/layer_stage.h), while the referrers are asked for;
 *   4. the image is committed: manifest, config, the index that the name led
 *      to and the list of referrers are blobs of the store then.
 *
 * A layer that is whole goes into the store before the rest, for the next
 * attempt when this one breaks off. An image whose data turns out to be bad
 * leaves nothing: what nobody needs is collected then.
 *
 * Foreign layers (whose bytes a registry may not have), artifacts that are no
 * images, manifests of schema 1 and images of other systems are refused.
 */
#pragma once

#include <pthread.h>

#include "base/error.h"
#include "storage/job/job.h"
#include "storage/job/stage.h"
#include "storage/registry/registry.h"
#include "storage/store/manifest.h"
#include "storage/store/platform.h"
#include "storage/store/reference.h"

#define PULL_DEPTH_MAX 4
#define PULL_PARALLEL  3 /* layers, when the request does not say */

struct pull {
	struct job *job;
	struct registry *registry;
	struct platform platform;
	bool platform_given;
	unsigned int concurrent;
};

/* One name on its way. */
struct pull_image {
	struct pull *pull;
	struct reference reference; /* a tag, or a digest */
	char *full;
	char *familiar;
	char *what; /* "image NAME", for messages */
	struct stage stage;
	struct registry_document origin;   /* what the name leads to */
	struct registry_document document; /* the platform's manifest; empty
					      when that is the origin */
	struct manifest manifest;
	char *config_text;
	char **diff_ids;
	struct registry_document referrers; /* empty: none */
};

struct pull_result {
	char id[DIGEST_TEXT_MAX];
	char digest[DIGEST_TEXT_MAX]; /* of what the name leads to */
	bool up_to_date;
};

/* The whole of it, statuses but for the last included. */
int pull_one(struct pull *pull, const struct reference *reference,
	     struct pull_result *ret_result, struct error *err);

/* pull_resolve.c: steps 1 and 2. 1: it is here and whole, 0: it is to be
   fetched. */
int pull_resolve(struct pull_image *image, struct pull_result *result,
		 struct error *err);
/* pull_known.c: is it here? 1, 0, error. *ret_id: the image's. */
int pull_is_known(struct pull_image *image, const char *origin,
		  char ret_id[DIGEST_TEXT_MAX], struct error *err);
