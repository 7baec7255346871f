/* ContainerInspect and ContainerSummary: core/engine/engine.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "core/engine/container.h"
#include "core/engine/members.h"
#include "core/engine/status.h"

static void copy_member(cJSON *to, const cJSON *from, const char *name)
{
	const cJSON *value = json_member(from, name);
	cJSON *copy = value ? cJSON_Duplicate(value, true) : NULL;

	if (value && !copy)
		str_oom();
	json_set(to, name, copy);
}

/* The default network has a name, as in docker. */
static void name_network(cJSON *host)
{
	const char *mode = member_string(host, "NetworkMode");

	if (*mode == '\0' || str_equal(mode, "default"))
		json_set_string(host, "NetworkMode", "bridge");
}

static void set_path(cJSON *json, const char *member, const char *directory,
		     const char *file)
{
	cleanup_free char *path = xasprintf("%s/%s", directory, file);

	json_set_string(json, member, path);
}

static cJSON *graph_driver(const struct engine *engine,
			   const struct container *container,
			   const char *directory)
{
	cleanup_strv char **layers = NULL;
	cleanup_str struct str lower = {0};
	cJSON *json = json_object();
	cJSON *data = json_object();

	layers = member_strv(member_get(container->json, "Moss"), "DiffIds");
	for (size_t i = strv_length(layers); i > 0; i--)
		str_appendf(&lower, "%s%s/layers/%s/diff",
			    lower.length ? ":" : "", engine->store.path,
			    str_starts(layers[i - 1], "sha256:")
				    ? layers[i - 1] + strlen("sha256:")
				    : layers[i - 1]);
	json_set_string(data, "LowerDir", str_text(&lower));
	set_path(data, "MergedDir", directory, "merged");
	set_path(data, "UpperDir", directory, "upper");
	set_path(data, "WorkDir", directory, "work");
	json_set(json, "Data", data);
	json_set_string(json, "Name", member_string(container->json, "Driver"));
	return json;
}

/* NULL: none, or its monitor does not say. */
static cJSON *exec_ids(const struct container *container)
{
	cleanup_strv char **ids = NULL;
	cJSON *array;

	if (!container_is_running(container) ||
	    monitor_execs(&container->record, &ids, NULL) < 0 ||
	    strv_length(ids) == 0)
		return NULL;
	array = json_array();
	for (size_t i = 0; ids[i]; i++)
		json_push_string(array, ids[i]);
	return array;
}

int engine_container_inspect(struct engine *engine, const char *id,
			     cJSON **ret_json, struct error *err)
{
	static const char *const head[] = {"Id", "Created", "Path", "Args"};
	CLEANUP(container_close) struct container container = CONTAINER_INIT;
	cleanup_free char *directory = NULL;
	const cJSON *host;
	const char *log_type;
	cJSON *json;
	int r;

	r = container_open(engine, id, &container, err);
	if (r < 0)
		return r;
	host = member_get(container.json, "HostConfig");
	log_type = member_string(member_get(host, "LogConfig"), "Type");
	directory = container_path(engine, container.record.id);
	json = json_object();
	for (size_t i = 0; i < ARRAY_SIZE(head); i++)
		copy_member(json, container.json, head[i]);
	json_set(json, "State",
		 status_json(&container.state, container.record.directory_fd));
	copy_member(json, container.json, "Image");
	set_path(json, "ResolvConfPath", directory, "resolv.conf");
	set_path(json, "HostnamePath", directory, "hostname");
	set_path(json, "HostsPath", directory, "hosts");
	if (str_equal(log_type, "none"))
		json_set_string(json, "LogPath", "");
	else
		set_path(json, "LogPath", directory, "container.log");
	copy_member(json, container.json, "Name");
	json_set_i64(json, "RestartCount",
		     (int64_t)container.state.restart_count);
	copy_member(json, container.json, "Driver");
	copy_member(json, container.json, "Platform");
	json_set_string(json, "MountLabel", "");
	json_set_string(json, "ProcessLabel", "");
	json_set_string(json, "AppArmorProfile", "");
	json_set(json, "ExecIDs", exec_ids(&container));
	copy_member(json, container.json, "HostConfig");
	name_network(cJSON_GetObjectItemCaseSensitive(json, "HostConfig"));
	json_set(json, "GraphDriver",
		 graph_driver(engine, &container, directory));
	copy_member(json, container.json, "Mounts");
	copy_member(json, container.json, "Config");
	json_set(json, "NetworkSettings",
		 status_network(container.json, &container.state));
	*ret_json = json;
	return 0;
}

/* docker's: arguments with a blank in single quotes. */
static char *command_text(const cJSON *container)
{
	struct str text = {0};
	const cJSON *item;

	str_append(&text, member_string(container, "Path"));
	cJSON_ArrayForEach(item, member_get(container, "Args"))
	{
		const char *argument = item_string(item);

		if (strchr(argument, ' '))
			str_appendf(&text, " '%s'", argument);
		else
			str_appendf(&text, " %s", argument);
	}
	return str_steal(&text);
}

static int64_t created_seconds(const cJSON *container)
{
	struct timespec time;

	if (parse_time(member_string(container, "Created"), &time) < 0)
		return 0;
	return time.tv_sec;
}

static void set_sizes(cJSON *json, const struct container *container)
{
	const cJSON *engine = member_get(container->json, "Engine");
	uint64_t bytes = 0;

	(void)tree_size_at(container->record.directory_fd, "upper", &bytes,
			   NULL);
	json_set_i64(json, "SizeRw", (int64_t)bytes);
	json_set_i64(json, "SizeRootFs",
		     (int64_t)bytes + member_i64(engine, "Layers"));
}

int engine_container_sizes(struct engine *engine, const char *id, cJSON *json,
			   struct error *err)
{
	CLEANUP(container_close) struct container container = CONTAINER_INIT;
	int r = container_open(engine, id, &container, err);

	if (r >= 0)
		set_sizes(json, &container);
	return r < 0 ? r : 0;
}

struct entry {
	char created[TIME_TEXT_MAX];
	cJSON *json;
};

struct summaries {
	struct engine *engine;
	unsigned int flags;
	struct timespec now;
	struct entry *entries;
	size_t count;
	size_t swept; /* half-made ones */
};

static void set_host_config(cJSON *json, const cJSON *host)
{
	cJSON *object = json_object();

	copy_member(object, host, "NetworkMode");
	name_network(object);
	if (member_get(host, "Annotations"))
		copy_member(object, host, "Annotations");
	json_set(json, "HostConfig", object);
}

static cJSON *summary(const struct summaries *summaries,
		      const struct container *container)
{
	const cJSON *config = member_get(container->json, "Config");
	const cJSON *host = member_get(container->json, "HostConfig");
	const struct container_state *state = &container->state;
	cleanup_free char *command = command_text(container->json);
	cleanup_free char *status = status_text(state, &summaries->now);
	cJSON *json = json_object();
	cJSON *names = json_array();
	cJSON *networks;

	json_push_string(names, member_string(container->json, "Name"));
	json_set_string(json, "Id", container->record.id);
	json_set(json, "Names", names);
	copy_member(json, config, "Image");
	json_set_string(json, "ImageID",
			member_string(container->json, "Image"));
	json_set_string(json, "Command", command);
	json_set_i64(json, "Created", created_seconds(container->json));
	json_set(json, "Ports",
		 container_is_running(container) &&
				 state->status != CONTAINER_RESTARTING
			 ? status_port_summary(
				   &state->ports,
				   member_get(config, "ExposedPorts"))
			 : json_array());
	json_set_string(json, "State", container_status_name(state->status));
	json_set_string(json, "Status", status);
	if (summaries->flags & CONTAINER_LIST_BRIEF)
		return json;
	if (summaries->flags & CONTAINER_LIST_SIZE)
		set_sizes(json, container);
	copy_member(json, config, "Labels");
	if (!str_empty(state->health)) {
		cJSON *health = json_object();

		json_set_string(health, "Status", state->health);
		json_set(json, "Health", health);
	}
	set_host_config(json, host);
	networks = json_object();
	json_set(networks, "Networks", status_networks(container->json, state));
	json_set(json, "NetworkSettings", networks);
	copy_member(json, container->json, "Mounts");
	return json;
}

/* Newest first; the times are of one width and zone. */
static int compare_entries(const void *a, const void *b)
{
	const struct entry *left = a;
	const struct entry *right = b;
	int order = strcmp(right->created, left->created);

	return order ? order
		     : strcmp(member_string(left->json, "Id"),
			      member_string(right->json, "Id"));
}

/* What summary() and what it calls look at, first of a brief one. */
static const char *const brief_members[] = {
	"Created",
	"Path",
	"Args",
	"Image",
	"Name",
	"Config.Image",
	"Config.ExposedPorts",
	"HostConfig.AutoRemove",
	NULL,
};
static const char *const summary_members[] = {
	"Id",
	"Created",
	"Path",
	"Args",
	"Image",
	"Name",
	"Mounts",
	"Config.Image",
	"Config.Labels",
	"Config.ExposedPorts",
	"HostConfig.NetworkMode",
	"HostConfig.Annotations",
	"HostConfig.AutoRemove",
	"Moss.Network",
	"Moss.Address",
	"Moss.Mac",
	"Moss.Networks",
	"Engine.Layers",
	NULL,
};

static void add_summary(struct summaries *summaries, const char *id)
{
	CLEANUP(container_close) struct container container = CONTAINER_INIT;
	bool brief = summaries->flags & CONTAINER_LIST_BRIEF;
	struct error err = {0};
	struct entry *entry;
	int r;

	/* One that vanishes or cannot be read does not spoil the list. */
	r = container_open_listed(
		summaries->engine, id, summaries->flags & CONTAINER_LIST_ALL,
		brief ? brief_members : summary_members, &container, &err);
	if (r < 0 && err.kind == ERROR_NOT_FOUND)
		summaries->swept += record_sweep_half_made(
					    &summaries->engine->store, id) > 0;
	if (r <= 0)
		return;
	summaries->entries = xrealloc(summaries->entries, summaries->count + 1,
				      sizeof(*summaries->entries));
	entry = &summaries->entries[summaries->count++];
	snprintf(entry->created, sizeof(entry->created), "%s",
		 member_string(container.json, "Created"));
	entry->json = summary(summaries, &container);
}

int engine_container_list(struct engine *engine, unsigned int flags,
			  cJSON **ret_array, struct error *err)
{
	struct summaries summaries = {.engine = engine, .flags = flags};
	cleanup_strv char **ids = NULL;
	int r;

	r = record_list_unchecked(&engine->store, &ids, err);
	if (r < 0)
		return r;
	clock_gettime(CLOCK_REALTIME, &summaries.now);
	for (size_t i = 0; ids && ids[i]; i++)
		add_summary(&summaries, ids[i]);
	record_list_checked(&engine->store, strv_length(ids) - summaries.swept);
	if (summaries.count > 0)
		qsort(summaries.entries, summaries.count,
		      sizeof(*summaries.entries), compare_entries);
	*ret_array = json_array();
	for (size_t i = 0; i < summaries.count; i++)
		json_push(*ret_array, summaries.entries[i].json);
	free(summaries.entries);
	return 0;
}
