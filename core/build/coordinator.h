/*
 * The process that forks the workers of a build and hears from them
 * (builder.h). It ends them all at the first failure, and at SIGINT or SIGTERM.
 */
#pragma once

#include "base/error.h"
#include "core/build/builder.h"

/* Until the target's result, and that of all that it needs, is written. */
int coordinator_run(const struct builder *builder, struct error *err);
