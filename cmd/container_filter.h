/*
 * The filters of `moss ps` over ContainerSummary objects, with docker's keys.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "base/error.h"
#include "cmd/listing.h"
#include "core/engine/engine.h"

/* Keys and values. */
int container_filters_check(const struct filters *filters, struct error *err);
/* They ask for containers that do not run. */
bool container_filters_ask_all(const struct filters *filters);
bool container_filters_pass(const struct filters *filters,
			    const cJSON *container);
bool container_runs(const cJSON *container);

/* before=X and since=X, by the order of the list, newest first. */
struct container_bounds {
	char before[ID_TEXT_MAX]; /* "": none */
	char since[ID_TEXT_MAX];
	bool any;
	bool behind_before; /* how far the list has been gone through */
	bool behind_since;
};
int container_bounds_read(struct engine *engine, const struct filters *filters,
			  struct container_bounds *ret_bounds,
			  struct error *err);
/* To be asked for each of all containers in the list's order. */
bool container_bounds_pass(struct container_bounds *bounds,
			   const cJSON *container);

/*
 * ancestor=IMAGE: containers of that image, or of one that is built on it,
 * which the layers tell.
 */
struct container_ancestors {
	struct engine *engine;
	char **names;  /* strv, NULL: all pass */
	cJSON *images; /* ImageInspect of those that are here */
	cJSON *image;  /* of the last container that was looked at */
};
void container_ancestors_open(struct engine *engine,
			      const struct filters *filters,
			      struct container_ancestors *ret_ancestors);
void container_ancestors_close(struct container_ancestors *ancestors);
bool container_ancestors_pass(struct container_ancestors *ancestors,
			      const cJSON *container);
