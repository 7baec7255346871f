/*
 * Commands of moss-image (storage/transfer.h) on the roots of containers and
 * images: commit.
 */
#pragma once

#include <cjson/cJSON.h>
#include <sys/types.h>

#include "base/error.h"
#include "storage/snapshot.h"
#include "storage/store.h"

struct commit_request {
	const char *directory; /* the container's, absolute */
	enum snapshot_driver driver;
	const char *image;     /* ID of the image it was made from */
	pid_t init;	       /* of a running one on a FUSE root, else 0 */
	const cJSON *config;   /* "config" of an image, before changes */
	char *const *changes;  /* Dockerfile instructions */
	const char *reference; /* NULL: nameless */
	const char *author;    /* these may be NULL */
	const char *message;
	const char *created_by;
	int progress_fd;
};
/* *ret_id: "sha256:HEX", caller frees. */
int image_commit(struct store *store, const struct commit_request *request,
		 char **ret_id, struct error *err);
