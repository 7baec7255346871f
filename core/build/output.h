/*
 * Where the result of a build goes. Members of the request's "outputs", or the
 * store where there are none:
 *
 *   {"type":"image"}                 an image in the store
 *   {"type":"docker","dest"}         an archive for `docker load`
 *   {"type":"oci","dest"}            an archive with an OCI image layout; with
 *                                    "tar": false (docker as well) a directory
 *                                    that is new or empty, or has one already
 *   {"type":"tar","dest"}            the files of the root, as an archive
 *   {"type":"local","dest"}          the files of the root, into a directory
 *
 * dest: absolute, or "-", standard output. docker without dest is image.
 *
 * A directory for files is made with those above it, or merged into: a file
 * gives way to a file, but no directory to a file and no file to a directory.
 * Nothing follows a link in it (storage/root/copy.h). All becomes the user's,
 * without set-ID bits. Files and archives are there whole or not at all, a
 * directory that is merged into as far as it came.
 *
 * Nothing stays in the store of an image that is only written out, whatever
 * ends the build: its layers are the build's, leased.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "core/build/image.h"
#include "core/build/report.h"
#include "storage/store/store.h"
#include "storage/transfer_build.h"

/* What can be found wrong before anything is built. */
int output_check(const cJSON *outputs, struct error *err);

struct output_request {
	const cJSON *outputs; /* NULL: the store */
	const struct layer_chain *chain;
	const struct image_draft *image;
	char *const *references; /* full; NULL: none */
	char *const *annotations;
	bool squash;   /* layers above the base image's become one */
	int output_fd; /* of "-" */
	int64_t epoch; /* -1: none */
	const struct report *report;
	unsigned int vertex;
};
struct output_result {
	bool assembled; /* an image was made of it, else only files */
	bool stored;	/* and it is in the store */
	struct assembled_image image;
};
int output_write(struct store *store, const struct output_request *request,
		 struct output_result *ret_result, struct error *err);
