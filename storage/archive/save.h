/* Parts of moss-image save, see storage/archive/save.c. */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "storage/job/job.h"
#include "storage/store/manifest.h"
#include "storage/store/store.h"

struct saved_image {
	struct descriptor manifest;
	struct manifest content;
	char **references; /* full; those it is saved by */
};

struct save {
	struct job *job;
	struct stage *stage;	/* has blobs, too; NULL: all are in the store */
	bool oci_only;		/* no manifest.json, for what is not docker */
	struct store_work work; /* holds the leases */
	struct saved_image *images;
	size_t count;
	char **blobs; /* digests of all that is to be written */
};

cJSON *save_index_json(const struct save *save);  /* index.json */
cJSON *save_docker_json(const struct save *save); /* manifest.json */

/* A tar; fd stays open. */
int save_to_fd(struct save *save, int fd, const char *name, struct error *err);
/* The same whole or not at all; a device or a pipe is written as it goes. */
int save_to_file(struct save *save, const char *path, struct error *err);
/* A directory that is new or empty. */
int save_to_directory(struct save *save, const char *path, struct error *err);
/* The same, or into one that has an OCI image layout already: what is there
   stays, the images get their names. */
int save_to_layout(struct save *save, const char *path, struct error *err);
