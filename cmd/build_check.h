/*
 * What moss build --check prints of the result of core/build/lint.h: buildx's
 * form, on standard output.
 */
#pragma once

#include <cjson/cJSON.h>

/* Caller frees. */
char *build_check_text(const cJSON *result);
