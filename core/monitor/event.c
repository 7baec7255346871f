#include "core/monitor/event.h"

#include <stdio.h>
#include <time.h>

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

	attributes =
		event_attributes("image", text(config, "Image"), "name",
				 name && *name == '/' ? name + 1 : name, NULL);
	add_all(attributes, owned);
	add_all(attributes, member(config, "Labels"));
	event_write(store, EVENT_CONTAINER, action, id, attributes);
}

void record_event(const struct store *store, const struct record *record,
		  const char *action, cJSON *details)
{
	cleanup_json cJSON *container = NULL;

	/* Better told without its name than not at all. */
	(void)record_read(record, &container, NULL);
	container_event(store, record->id, container, action, details);
}

void container_volume_events(const struct store *store, const char *id,
			     const cJSON *container, const char *action)
{
	bool is_mount = str_equal(action, "mount");
	const cJSON *mount;

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

void container_event_die(const struct store *store, const char *id,
			 const cJSON *container, int exit_code,
			 const char *started_at)
{
	char code[16], duration[32];
	struct timespec started, now;

	snprintf(code, sizeof(code), "%d", exit_code);
	duration[0] = '\0';
	if (started_at && parse_time(started_at, &started) == 0) {
		clock_gettime(CLOCK_REALTIME, &now);
		snprintf(duration, sizeof(duration), "%lld",
			 (long long)(now.tv_sec - started.tv_sec));
	}
	container_event(store, id, container, "die",
			event_attributes("execDuration", duration, "exitCode",
					 code, NULL));
}
