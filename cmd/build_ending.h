/*
 * What is below a build once it has ended: what the step that failed wrote, the
 * lines of the Dockerfile that it failed at, and warnings.
 */
#pragma once

#include "base/str.h"
#include "cmd/build_steps.h"

/* Without the last newline; NULL: nothing. Caller frees. */
char *build_ending_text(const struct build_steps *steps);
/* The lines that object, of a report's "failed" or of a check, is about. */
void build_ending_excerpt(const cJSON *object, struct str *text);
