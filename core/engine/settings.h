/*
 * moss.conf as a whole (base/conf.h): every section that some module of moss
 * knows. Read when something needs it, not when the engine is opened, so that
 * the start of a container never waits for it.
 */
#pragma once

#include "base/conf.h"
#include "core/engine/engine.h"

/* Caller releases with conf_release(). */
int settings_read(const struct engine *engine, struct conf *ret_conf,
		  struct error *err);
/* Every key there is. */
void settings_for_each(void (*each)(const struct conf_key *key, void *data),
		       void *data);
