/*
 * Changes to an image's config written as Dockerfile instructions, as
 * `import --change` and `commit --change` take them (docker's list: CMD,
 * ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, ONBUILD, STOPSIGNAL, USER,
 * VOLUME, WORKDIR), with the config's own Env for variables.
 */
#pragma once

#include <cjson/cJSON.h>

#include "base/error.h"

#define CHANGE_TEXT_MAX (256u << 10) /* bytes of one change */

/*
 * Applies text (one instruction, or several on lines of their own, with all
 * that a Dockerfile may have) to config, the "config" object of an image.
 * ERROR_INVALID names the line when there are several, the instruction and what
 * is wrong with it.
 */
int change_apply(cJSON *config, const char *text, struct error *err);
