/*
 * moss-image load: images out of an archive, whichever form it has.
 *
 *   oci-layout + index.json     an OCI image layout (image-layout.md)
 *   manifest.json               docker save since 1.10, skopeo's docker-archive
 *   repositories                docker save before 1.10
 *
 * The first that is there counts; docker's archives of today have the first two
 * and names from manifest.json complete those of index.json. Every digest that
 * an archive claims is checked, of manifests, configs, packed layers and
 * unpacked ones. All images of the archive are loaded or none.
 *
 * A name in index.json is io.containerd.image.name, or ref.name: a reference,
 * or a word for one ("web"), unless it looks like a tag ("latest", "1.2",
 * "v3"): then the image stays nameless, there being nothing to put it under.
 */
#pragma once

#include "base/error.h"
#include "storage/archive/load_files.h"
#include "storage/job/job.h"
#include "storage/job/stage.h"
#include "storage/store/platform.h"

struct load {
	struct job *job;
	struct stage stage;
	struct load_files files;
	struct platform platform;
	bool platform_given;
	struct stage_image *images;
	size_t count;
	size_t name_count; /* of all of them */
};

/* One layer of an image in the archive. */
struct load_layer {
	char *file; /* name in the archive */
	char *what; /* for messages: "image web: layer 2 (FILE)" */
	const struct descriptor *expected; /* the packed layer's, or NULL */
	const char *diff_id;		   /* or NULL: not known */

	/* Set when it is staged; blob is *expected, or what was made of the
	   file. */
	struct descriptor blob;
	struct layer layer;

	/* load_layers()'s own */
	struct load_files *files;
	struct load_file *entry;
};
/*
 * Stages all layers of an image, unless they are there, several at once.
 * *ret_size: of all of them unpacked.
 */
int load_layers(struct load *load, struct load_layer *layers, size_t count,
		uint64_t *ret_size, struct error *err);
void load_layers_free(struct load_layer *layers, size_t count);

/* Adds the image, or its names to the same one; takes image's content. */
int load_add_image(struct load *load, struct stage_image *image,
		   struct error *err);
/* Adds name (any written form) to image; -EINVAL when it cannot be one. */
int load_add_name(struct stage_image *image, const char *name,
		  struct error *err);
/* Checks os and count of diff_ids, and --platform: 1, or 0 when not wanted. */
int load_check_config(struct load *load, const cJSON *config, const char *what,
		      size_t layers, char ***ret_diff_ids, struct error *err);

int load_oci(struct load *load, struct error *err);
int load_docker(struct load *load, struct error *err);
int load_docker_names(struct load *load, struct error *err);
int load_legacy(struct load *load, struct error *err);

/* Stages config and a manifest for layers that came without one. */
struct load_parts {
	const char *config; /* its text */
	size_t config_length;
	struct descriptor *layers;
	size_t layer_count;
	uint64_t size; /* unpacked */
};
int load_make_image(struct load *load, const struct load_parts *parts,
		    struct stage_image *ret_image, struct error *err);
