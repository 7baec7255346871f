/*
 * The end of a build: from the target's result to an image in the store, to
 * archives and directories.
 */
#pragma once

#include <cjson/cJSON.h>

#include "base/error.h"
#include "core/build/builder.h"

/* Before anything is built: what can be found wrong already is. */
int finish_begin(struct builder *builder, struct error *err);
int finish(struct builder *builder, cJSON **ret_result, struct error *err);
