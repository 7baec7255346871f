/*
 * --build-context: what a name behind FROM, --from or from= means besides a
 * stage.
 *
 *   /DIRECTORY             its files, without what its .dockerignore leaves out
 *   URL                    of an archive or a git repository: the same, fetched
 *                          into the build's work when it is wanted first
 *   docker-image://IMAGE   an image; "scratch" is none
 *   oci-layout://DIRECTORY[:TAG][@DIGEST]
 *                          an image in an OCI image layout, whose layers come
 *                          into the store when it is wanted first
 *
 * Names are compared as those of images are: "busybox" is as good as
 * "docker.io/library/busybox:latest"; case does not count. A stage of such a
 * name is replaced, with all that it would have done. What nobody asks for is
 * not looked at.
 */
#pragma once

#include <cjson/cJSON.h>

#include "base/error.h"

struct builder;
struct builder_image;

/* Their values begin with it, but for "docker-image://scratch". */
#define NAMED_IMAGE_PREFIX  "docker-image://"
#define NAMED_LAYOUT_PREFIX "oci-layout://"

enum named_kind {
	NAMED_NOTHING, /* scratch */
	NAMED_DIRECTORY,
	NAMED_IMAGE,
};

/* contexts: {NAME: VALUE}, or NULL. The value, borrowed; NULL: there is none.
 */
const char *named_context_find(const cJSON *contexts, const char *name);
enum named_kind named_context_kind(const char *value);

/* value: of a layout. Its config and its chain, leased in the build's work;
   platform: NULL for the host's. */
int named_context_load(const struct builder *builder, const char *value,
		       const char *platform, unsigned int vertex,
		       struct builder_image *ret_image, struct error *err);
/* What is at a URL becomes a directory, and its value that directory's path. */
int named_context_fetch(struct builder *builder, const char *name,
			struct error *err);
