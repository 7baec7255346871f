/*
 * Resource limits are cgroup v2's, and an ordinary user has them only where
 * systemd (or the administrator) has delegated a cgroup with its controllers.
 * Setting them is not there yet; until then a limit is refused with what is in
 * the way, never dropped.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"

/* Is there a cgroup v2 of ours, writable, with this controller? */
bool limits_delegated(const char *controller);

/* "cannot limit …": always an error. option: "--memory" or NULL. */
int limits_refuse(const char *member, const char *option,
		  const char *controller, struct error *err);
