#include "core/engine/settings.h"

#include <stddef.h>

#include "base/cleanup.h"
#include "core/engine/build_cache.h"
#include "net/port.h"
#include "storage/registry/registries.h"
#include "storage/store/limits.h"

/* A module with settings adds its rows here. */
static const struct conf_key *const schema[] = {
	build_conf_keys,
	limits_conf_keys,
	port_conf_keys,
	registries_conf_keys,
	NULL,
};

int settings_read(const struct engine *engine, struct conf *ret_conf,
		  struct error *err)
{
	struct conf conf = {.schema = schema, .home = engine->home};
	int r = conf_read_all(&conf, err);

	if (r < 0) {
		conf_release(&conf);
		return r;
	}
	*ret_conf = conf;
	return 0;
}

int engine_read_limits(struct engine *engine, struct error *err)
{
	CLEANUP(conf_release) struct conf conf = {0};
	int r = settings_read(engine, &conf, err);

	if (r < 0)
		return r;
	limits_from_conf(&conf, &engine->store.limits);
	return 0;
}

void settings_for_each(void (*each)(const struct conf_key *key, void *data),
		       void *data)
{
	for (size_t i = 0; schema[i]; i++)
		for (const struct conf_key *key = schema[i]; key->section;
		     key++)
			each(key, data);
}
