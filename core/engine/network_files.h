/* A container's hosts, hostname and resolv.conf: net/files.h. */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "core/engine/container.h"

/*
 * Below its directory. in_place: of a running container, which has the files
 * themselves mounted.
 */
int network_files_write(const struct container *container, bool in_place,
			struct error *err);
