/*
 * Changes to an image's config written as Dockerfile instructions, as
 * `import --change` takes them (docker's list: CMD, ENTRYPOINT, ENV, EXPOSE,
 * HEALTHCHECK, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME, WORKDIR).
 *
 * Quotes, backslashes and $NAME, ${NAME}, ${NAME:-word}, ${NAME:+word} are
 * treated as a Dockerfile does, with the config's own Env for variables, in all
 * but CMD, ENTRYPOINT, ONBUILD and HEALTHCHECK, which the container's shell
 * sees.
 */
#pragma once

#include <cjson/cJSON.h>

#include "base/error.h"

#define CHANGE_TEXT_MAX (256u << 10) /* bytes of one change */

/*
 * Applies text (one instruction, or several on lines of their own with
 * comments and "\" at the end of a line) to config, the "config" object of an
 * image: {"Cmd":[…],"Env":[…],…}. ERROR_INVALID names the line when there are
 * several, the instruction and what is wrong with it.
 */
int change_apply(cJSON *config, const char *text, struct error *err);
