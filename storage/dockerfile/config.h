/*
 * What an instruction of a Dockerfile says of the image's config: CMD,
 * ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, SHELL, STOPSIGNAL,
 * USER, VOLUME, WORKDIR. Those that make files are a build's.
 */
#pragma once

#include <cjson/cJSON.h>

#include "storage/dockerfile/dockerfile.h"
#include "storage/dockerfile/expand.h"

/*
 * Applies instruction, which instruction_check() found good, to config, the
 * "config" object of an image: {"Cmd":[…],"Env":[…],…}. Its words are expanded
 * all with what the variables are before it, but for CMD, ENTRYPOINT,
 * HEALTHCHECK, ONBUILD and SHELL, which the container's shell or a later build
 * sees. ERROR_INVALID says what is wrong, without a line; config is unchanged
 * then.
 */
int config_apply(cJSON *config,
		 const struct dockerfile_instruction *instruction,
		 const struct expand *expand, struct error *err);
/* expand_lookup of the config's Env; data is the config. */
const char *config_lookup(const char *name, void *data);
/* Is it one of those above? */
bool config_takes(enum dockerfile_keyword keyword);
