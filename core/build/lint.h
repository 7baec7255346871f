/*
 * What storage/dockerfile/lint.h says of a build's Dockerfile: warnings of a
 * build, or all that is wanted of it (--check). The options are those of
 * --build-arg BUILDKIT_DOCKERFILE_CHECK, or else of "# check=" in the file.
 */
#pragma once

#include <cjson/cJSON.h>

#include "base/error.h"
#include "core/build/builder.h"

/* Does the request want a check and no build? */
bool lint_only(const struct builder *builder);
/* Behind bases_find(): reports the warnings; fails for them where the options
   say so. */
int lint_report(const struct builder *builder, struct error *err);
/*
 * Behind definition_read(), without base images:
 *
 *   {"warnings":[{"rule","url","detail","file","line","last",
 *                 "excerpt":[[NUMBER,"text"]]}]}
 */
int lint_result(const struct builder *builder, cJSON **ret_result,
		struct error *err);
