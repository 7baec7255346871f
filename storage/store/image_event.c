#include "storage/store/image_event.h"

#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "storage/store/image.h"
#include "storage/store/reference.h"

#define UNTAGGED "Untagged: "
#define DELETED	 "Deleted: "

static cJSON *attributes_of(const struct image *image, const char *name)
{
	cJSON *attributes = event_attributes("name", name, NULL);
	const cJSON *config =
		cJSON_GetObjectItemCaseSensitive(image->config, "config");
	const cJSON *label;

	cJSON_ArrayForEach(label,
			   cJSON_GetObjectItemCaseSensitive(config, "Labels"))
	{
		if (cJSON_IsString(label) && !cJSON_GetObjectItemCaseSensitive(
						     attributes, label->string))
			json_set_string(attributes, label->string,
					label->valuestring);
	}
	return attributes;
}

void image_event(struct store *store, const char *action, const char *image,
		 const char *id, const char *name)
{
	CLEANUP(image_release) struct image found = {0};
	const char *own = image;

	if (image_find(store, image, &found, NULL) >= 0)
		own = found.id;
	event_write(store, EVENT_IMAGE, action, id ? id : own,
		    attributes_of(&found, name ? name : own));
}

void image_event_registry(struct store *store, const char *action,
			  const char *reference)
{
	struct reference parsed;
	cleanup_free char *familiar = NULL;
	cleanup_free char *name = NULL;

	if (reference_parse(reference, &parsed, NULL) < 0)
		return;
	familiar = reference_familiar(&parsed);
	name = reference_familiar_name(&parsed);
	image_event(store, action, reference, familiar, name);
}

/* The lines of one image come together, its names before itself. */
static const char *deleted_after(char *const *lines)
{
	for (; *lines; lines++)
		if (str_starts(*lines, DELETED))
			return *lines + strlen(DELETED);
	return NULL;
}

void image_events_removed(const struct store *store, const char *id,
			  char *const *report)
{
	for (; report && *report; report++) {
		const char *shown = id ? id : deleted_after(report);
		const char *name = *report + strlen(UNTAGGED);

		if (str_starts(*report, UNTAGGED))
			event_write(store, EVENT_IMAGE, "untag",
				    shown ? shown : name,
				    event_attributes("name", name, NULL));
		else
			event_write(store, EVENT_IMAGE, "delete", shown,
				    event_attributes("name", shown, NULL));
	}
}

void event_write_prune(const struct store *store, const char *type,
		       int64_t bytes)
{
	cleanup_free char *text = xasprintf("%lld", (long long)bytes);

	event_write(store, type, "prune", "",
		    event_attributes("reclaimed", text, NULL));
}
