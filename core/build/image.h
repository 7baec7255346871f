/*
 * The image that a stage of a build makes, on its way: the config it begins
 * with, what the instructions say of it, and their entries in its history. The
 * layers are not here (storage/transfer_build.h); image_assemble() joins both.
 *
 * The words of the history are BuildKit's, without its "# buildkit":
 *
 *   RUN |1 A=b /bin/sh -c make       the ARGs declared so far, and the command
 *   COPY --chown=1:2 a b /dir/       flags that matter, sources, destination
 *   ENV A=b C=d                      values as they came out
 *   CMD ["nginx" "-g" "daemon off;"]
 *   WORKDIR /srv/www                 the path that became of it
 *
 * ONBUILD has none. Each entry says at first that it made no layer
 * (image_made_layer()). It has no time: image_assemble() puts in when the layer
 * was made, or the epoch, so that a build whose steps all come out of the cache
 * gives the same image again.
 *
 * Of the base image's config is kept what the OCI specification and docker's
 * builder know. Where its history tells of fewer or more layers than there are
 * it is put right, or later entries would be taken for those of other layers.
 *
 * A stage that begins with another has all of that, the ARGs for the history
 * too, but for a CMD that an ENTRYPOINT is to clear.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "storage/dockerfile/dockerfile.h"
#include "storage/dockerfile/expand.h"
#include "storage/store/platform.h"

struct image_draft {
	cJSON *json;   /* a whole OCI config, without "created" and "rootfs" */
	cJSON *config; /* its "config": Env, Cmd, …; borrowed */
	char **arguments;   /* "NAME=VALUE" or "NAME": ARGs in their order,
			      each once */
	bool with_command;  /* CMD stood in this stage */
	size_t base_layers; /* of the image at the bottom: --squash keeps them
			     */
};

#define cleanup_image_draft CLEANUP(image_draft_release)

void image_draft_release(struct image_draft *image);

/*
 * FROM an image: base is its config, whole (struct image's). NULL: FROM
 * scratch, whose platform it then is. ERROR_CORRUPT when base has members of
 * the wrong type.
 */
int image_begin(const cJSON *base, const struct platform *platform,
		struct image_draft *ret_image, struct error *err);
/* FROM another stage, at its end. */
void image_begin_with(const struct image_draft *base,
		      struct image_draft *ret_image);

/*
 * As members "image", "arguments" and "baseLayers" of object, for a stage that
 * is built by another process.
 */
void image_draft_save(const struct image_draft *image, cJSON *object);
int image_draft_load(const cJSON *object, struct image_draft *ret_image,
		     struct error *err);

/*
 * The base's ONBUILD instructions, which come before the stage's own and are
 * not inherited. NULL: none; strv_free().
 */
char **image_take_triggers(struct image_draft *image);

/* MAINTAINER, and what config_takes(): changes the config, adds an entry. */
bool image_takes(enum dockerfile_keyword keyword);
int image_apply(struct image_draft *image,
		const struct dockerfile_instruction *instruction,
		const struct expand *expand, struct error *err);
/* One of an ARG's: "NAME=VALUE" with the value it has now, "NAME" without. */
void image_declare(struct image_draft *image, const char *argument);
/* The whole ARG: declares all, one entry. */
void image_add_arguments(struct image_draft *image, char *const *arguments);
/* RUN: the command with its shell. lookup: the environment, ARGs included. */
void image_add_run(struct image_draft *image, char *const *argv,
		   expand_lookup lookup, void *data);

struct image_copy {
	bool is_add;
	bool parents;
	const char *owner;	 /* --chown, expanded; NULL: none */
	const char *mode;	 /* --chmod, likewise */
	char *const *sources;	 /* expanded; "<<NAME" of a here-document */
	const char *destination; /* expanded, as written */
};
void image_add_copy(struct image_draft *image, const struct image_copy *copy);

/* What the last entry is about made a layer. */
void image_made_layer(struct image_draft *image);

/* --label: "NAME=VALUE" or "NAME", after all instructions. */
void image_add_labels(struct image_draft *image, char *const *labels);
