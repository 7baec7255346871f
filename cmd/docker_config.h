/*
 * What docker's config.json says besides credentials:
 * $DOCKER_CONFIG/config.json or ~/.docker/config.json, of which moss reads
 *     "detachKeys": "ctrl-e,e"        as with --detach-keys, which goes before
 *     "proxies": {"default": {"httpProxy", "httpsProxy", "ftpProxy",
 *                             "noProxy", "allProxy"}}
 *                                     variables of new containers
 *     "psFormat", "imagesFormat" …    as with --format of a list
 * A file that cannot be read is said so once and does not stop anything, as
 * with docker.
 */
#pragma once

#include <cjson/cJSON.h>

#include "cmd/command.h"

/* The file's absolute path; NULL: the user has no home. Caller frees. */
char *docker_config_path(void);

/* An object, empty when there is no such file. Caller frees. */
cJSON *docker_config_read(void);
/* NULL when it names none; borrowed from config. */
const char *docker_config_detach_keys(const cJSON *config);
/* Sets HTTP_PROXY and http_proxy … as far as it has them. */
void docker_config_add_proxies(const cJSON *config, char ***env);
/* --format, or what the file's member ("psFormat") says, unless quiet, which
   shows no columns. Caller frees; NULL: neither. */
char *docker_config_format(const struct options *options, const char *member,
			   bool quiet);
