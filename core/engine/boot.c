/* What runs from boot on: engine_boot_list() of core/engine/engine.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "core/engine/container.h"
#include "core/engine/members.h"

struct entry {
	char created[TIME_TEXT_MAX];
	char *name;
};

struct entries {
	struct entry *list;
	size_t count;
};

static void entries_release(struct entries *entries)
{
	for (size_t i = 0; i < entries->count; i++)
		free(entries->list[i].name);
	free(entries->list);
}

/* As docker's daemon decides at its start, but for on-failure. */
static bool is_wanted(const struct container *container)
{
	const struct container_state *state = &container->state;
	const cJSON *host = member_get(container->json, "HostConfig");
	const char *policy =
		member_string(member_get(host, "RestartPolicy"), "Name");

	if (container_is_running(container) ||
	    str_equal(state->started_at, CONTAINER_TIME_NONE))
		return false;
	return str_equal(policy, "always") ||
	       (str_equal(policy, "unless-stopped") && !state->stopped_by_hand);
}

static void add(struct engine *engine, const char *id, struct entries *entries)
{
	CLEANUP(container_close) struct container container = CONTAINER_INIT;
	struct entry *entry;

	/* One that vanishes or cannot be read does not keep the others. */
	if (container_open(engine, id, &container, NULL) < 0 ||
	    !is_wanted(&container))
		return;
	entries->list = xrealloc(entries->list, entries->count + 1,
				 sizeof(*entries->list));
	entry = &entries->list[entries->count++];
	snprintf(entry->created, sizeof(entry->created), "%s",
		 member_string(container.json, "Created"));
	entry->name = xstrdup(container.name);
}

/* Who joins another's namespaces is younger than that one. */
static int compare(const void *a, const void *b)
{
	const struct entry *left = a;
	const struct entry *right = b;
	int order = strcmp(left->created, right->created);

	return order ? order : strcmp(left->name, right->name);
}

int engine_boot_list(struct engine *engine, char ***ret_names,
		     struct error *err)
{
	CLEANUP(entries_release) struct entries entries = {0};
	cleanup_strv char **names = NULL;
	cleanup_strv char **ids = NULL;
	int r = record_list(&engine->store, &ids, err);

	if (r < 0)
		return r;
	for (size_t i = 0; ids && ids[i]; i++)
		add(engine, ids[i], &entries);
	if (entries.count > 0)
		qsort(entries.list, entries.count, sizeof(*entries.list),
		      compare);
	for (size_t i = 0; i < entries.count; i++)
		strv_push(&names, entries.list[i].name);
	*ret_names = steal_ptr(&names);
	return 0;
}
