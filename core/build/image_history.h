/*
 * Texts of an image's history, for core/build/image.c: what the instructions
 * look like there, in the words of BuildKit (Go's fmt and strconv).
 */
#pragma once

#include <cjson/cJSON.h>

#include "base/error.h"
#include "base/str.h"
#include "storage/dockerfile/dockerfile.h"
#include "storage/dockerfile/expand.h"

/*
 * Of one that config_takes(), before it is applied to config. *ret_text: NULL
 * for ONBUILD, which has none; caller frees. Errors as config_apply().
 */
int history_text(const cJSON *config,
		 const struct dockerfile_instruction *instruction,
		 const struct expand *expand, char **ret_text,
		 struct error *err);
/* Go's strconv.Quote(). */
void history_quote(struct str *str, const char *text);
