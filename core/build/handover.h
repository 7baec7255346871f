/*
 * The engine on its way into moss-build: what only the process that entered the
 * pinned user namespace knows (policy/userns.h), and the settings' home. The
 * store's path and limits travel with each request (storage/transfer_run.h).
 */
#pragma once

#include <cjson/cJSON.h>

#include "base/error.h"
#include "core/engine/engine.h"

cJSON *handover_json(const struct engine *engine);
/* request: has "store", "limits" and, as "engine", the above. run_fd stays the
   caller's. engine_close() afterwards. */
int handover_open(const cJSON *request, int run_fd, struct engine *ret_engine,
		  struct error *err);
