/*
 * Options of a tmpfs in a container. It starts with docker's noexec, nosuid,
 * nodev; a later option replaces an earlier one of the same kind.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "base/error.h"

/* "exec,size=64m" → "nosuid,nodev,rprivate,exec,size=64m"; caller frees. */
int tmpfs_options_merge(const char *given, char **ret_options,
			struct error *err);
/* TmpfsOptions {SizeBytes, Mode, Options} of HostConfig.Mounts. */
int tmpfs_options_of_spec(const cJSON *options, bool read_only,
			  char **ret_options, struct error *err);
