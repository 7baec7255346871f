#include "core/monitor/event.h"

#include <stdio.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"

static const cJSON *member(const cJSON *object, const char *name)
{
	return cJSON_GetObjectItemCaseSensitive(object, name);
}

static const char *text(const cJSON *object, const char *name)
{
	return cJSON_GetStringValue(member(object, name));
}

/* Labels last: they go first when there is no room. */
static void add_all(cJSON *attributes, const cJSON *texts)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, texts)
	{
		if (cJSON_IsString(item) && !member(attributes, item->string))
			json_set_string(attributes, item->string,
					item->valuestring);
	}
}

void container_event(const struct store *store, const char *id,
		     const cJSON *container, const char *action, cJSON *details)
{
	cleanup_json cJSON *owned = details;
	const cJSON *config = member(container, "Config");
	const char *name = text(container, "Name");
	cJSON *attributes;

	if (store_containers_are_private(store))
		return;
	attributes =
		event_attributes("image", text(config, "Image"), "name",
				 name && *name == '/' ? name + 1 : name, NULL);
	add_all(attributes, owned);
	add_all(attributes, member(config, "Labels"));
	event_write(store, EVENT_CONTAINER, action, id, attributes);
}

cJSON *container_event_read(const struct record *record)
{
	static const char *const members[] = {"Name", "Config.Image",
					      "Config.Labels", NULL};
	cJSON *container = NULL;

	(void)record_read_members(record, members, &container, NULL);
	return container;
}

void record_event(const struct store *store, const struct record *record,
		  const char *action, cJSON *details)
{
	cleanup_json cJSON *container = container_event_read(record);

	container_event(store, record->id, container, action, details);
}

void container_volume_events(const struct store *store, const char *id,
			     const cJSON *container, const char *action)
{
	bool is_mount = str_equal(action, "mount");
	const cJSON *mount;

	if (store_containers_are_private(store))
		return;
	cJSON_ArrayForEach(mount, member(container, "Mounts"))
	{
		const char *name = text(mount, "Name");
		cJSON *attributes;

		if (!str_equal(text(mount, "Type"), "volume") || !name)
			continue;
		attributes = event_attributes("container", id, "driver",
					      "local", NULL);
		if (is_mount) {
			json_set_string(attributes, "destination",
					text(mount, "Destination"));
			json_set_string(attributes, "propagation",
					text(mount, "Propagation"));
			json_set_string(attributes, "read/write",
					cJSON_IsTrue(member(mount, "RW"))
						? "true"
						: "false");
		}
		event_write(store, EVENT_VOLUME, action, name, attributes);
	}
}

/* A network's ID is its name; one that was joined is another container's. */
void container_network_event(const struct store *store, const char *id,
			     const cJSON *container, const char *action)
{
	const char *mode = text(member(container, "HostConfig"), "NetworkMode");
	const char *type = "bridge";

	if (!container || (mode && str_starts(mode, "container:")) ||
	    store_containers_are_private(store))
		return;
	if (!mode || *mode == '\0' || str_equal(mode, "default"))
		mode = "bridge";
	/* Named ones are told of as they are joined (networks.h). */
	if (!str_equal(mode, "bridge") && !str_equal(mode, "host") &&
	    !str_equal(mode, "none") && !str_starts(mode, "slirp"))
		return;
	if (str_equal(mode, "host"))
		type = "host";
	else if (str_equal(mode, "none"))
		type = "null";
	event_write(store, EVENT_NETWORK, action, mode,
		    event_attributes("container", id, "name", mode, "type",
				     type, NULL));
}

void container_event_die(const struct store *store, const char *id,
			 const cJSON *container, int exit_code, int64_t ran_s)
{
	char code[16], duration[32];

	snprintf(code, sizeof(code), "%d", exit_code);
	snprintf(duration, sizeof(duration), "%lld", (long long)ran_s);
	container_event(store, id, container, "die",
			event_attributes("execDuration", duration, "exitCode",
					 code, NULL));
}
