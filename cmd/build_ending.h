/*
 * What is below a build once it has ended: what the step that failed wrote, the
 * lines of the Dockerfile that it failed at, and warnings.
 */
#pragma once

#include "cmd/build_steps.h"

/* Without the last newline; NULL: nothing. Caller frees. */
char *build_ending_text(const struct build_steps *steps);
