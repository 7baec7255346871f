/* Parts of an image made here: also for archives that bring no manifest. */
#pragma once

#include <cjson/cJSON.h>

#include "storage/manifest.h"
#include "storage/stream.h"

/* The OCI media type of a layer packed like that. */
const char *layer_media_type(enum compression compression);
/* An OCI manifest; caller owns. */
cJSON *manifest_json(const struct manifest *manifest);
