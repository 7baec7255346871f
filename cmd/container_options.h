/*
 * The options that `run` and `create` share beside those of limits
 * (limit_options.h), and their translation into the
 * body of a Docker Engine API ContainerCreate request.
 */
#pragma once

#include <cjson/cJSON.h>

#include "cmd/command.h"

extern const struct option container_options[];

/*
 * The operands are IMAGE [COMMAND] [ARG...]. detached: no stream is attached.
 * Reads --env-file, --label-file and seccomp profiles. Errors are about what
 * the user typed.
 */
int container_body(const struct options *options, bool detached,
		   cJSON **ret_body, struct error *err);

/* --ulimit, of `build` too: Ulimits of a HostConfig. */
int ulimit_options_add(const struct options *options, cJSON *host,
		       struct error *err);
/* "NAME=value" or "NAME" of --label. */
int label_option_check(const char *label, struct error *err);

/* --restart, of `update` too: a member of a HostConfig. */
int restart_option_add(const char *text, cJSON *host, struct error *err);

/* Lines of an --env-file or --label-file appended to *list: NAME=value, or NAME
   alone (from the environment when from_environment). */
int option_file_read(const char *path, bool from_environment, char ***list,
		     struct error *err);
/* -e as docker: "NAME=value", or "NAME" with the caller's value; when it has
   none, "NAME" alone, which takes the image's variable away. */
int env_option_add(char ***env, const char *text, struct error *err);

/* mount_options.c: -v to Binds, --mount to Mounts, --tmpfs to Tmpfs. */
int mount_options_body(const struct options *options, cJSON *body,
		       cJSON *host_config, struct error *err);
