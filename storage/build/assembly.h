/* Parts of moss-layer assemble, see storage/build/assemble.c. */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "base/error.h"
#include "storage/job/job.h"
#include "storage/job/stage.h"
#include "storage/store/manifest.h"
#include "storage/transfer_build.h"

struct assembly {
	struct job *job;
	struct stage stage;
	struct layer_chain chain;
	char **diff_ids;
	struct manifest manifest;
	char **annotations;
	struct stage_image image;
	bool keep;
};

/* Makes diff_ids and the manifest's layers those of the chain. */
void assembly_use_chain(struct assembly *assembly);
/*
 * --squash, if it is wanted: makes one layer of those above the base's, puts it
 * into chain and config, whose history says from then on that the steps above
 * the base made none, and has one entry more for the layer they came to.
 */
int assembly_squash(struct assembly *assembly, cJSON *config,
		    struct error *err);
