/*
 * The engine's objects as rows of lists (cmd/listing.h): members are docker's
 * template fields, all of them texts. For the commands that list more than
 * their own kind.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "cmd/listing.h"

#define ROW_NONE "<none>"

/* image_rows.c: an image under one of its names. ROW_NONE for what it lacks. */
struct image_name {
	const cJSON *image; /* ImageSummary */
	const char *repository;
	const char *tag;
	const char *digest;
};
/*
 * Calls visit for each name of the image, in docker's way: by each of its tags,
 * digests: with each digest of that repository; by the repositories that have a
 * digest only; a nameless one once.
 */
void image_names_visit(const cJSON *image, bool digests,
		       void (*visit)(const struct image_name *name, void *data),
		       void *data);
/* whole: long ID. */
cJSON *image_row(const struct image_name *name, bool whole);
extern const struct listing_column image_columns[];

/* ps.c, of a ContainerSummary. */
const char *container_name(const cJSON *container); /* without its slash */
cJSON *container_row(const cJSON *container, bool whole);
extern const struct listing_column container_columns[];

/* network.c; whole: long ID. */
cJSON *network_row(const cJSON *network, bool whole);
extern const struct listing_column network_columns[];

/* builder.c; whole: long ID. */
cJSON *build_cache_row(const cJSON *record, bool whole);
extern const struct listing_column build_cache_columns[];

/* volume.c */
cJSON *volume_row(const cJSON *volume);
extern const struct listing_column volume_columns[];
