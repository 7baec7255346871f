/*
 * Paths of /proc and /sys that a container does not see (masked) or may not
 * change (read-only): the list of Docker's current default, as arrays.
 */
#pragma once

#include <cjson/cJSON.h>

cJSON *paths_masked(void);
cJSON *paths_readonly(void);
