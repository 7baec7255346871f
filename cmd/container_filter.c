#include "cmd/container_filter.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "cmd/member.h"
#include "cmd/rows.h"

static const char *const filter_keys[] = {
	"ancestor", "before",	 "exited", "expose", "health",	"id",
	"is-task",  "isolation", "label",  "name",   "network", "publish",
	"since",    "status",	 "volume", NULL,
};

static bool match_id(const char *value, const void *data)
{
	return str_starts(text_of(data, "Id"), value);
}

static bool match_name(const char *value, const void *data)
{
	return name_matches(value, container_name(data));
}

static bool match_status(const char *value, const void *data)
{
	return str_equal(text_of(data, "State"), value);
}

static bool match_label(const char *value, const void *data)
{
	return label_matches(value, member_of(data, "Labels"));
}

static bool match_exited(const char *value, const void *data)
{
	int code;

	return str_equal(text_of(data, "State"), "exited") &&
	       sscanf(text_of(data, "Status"), "Exited (%d)", &code) == 1 &&
	       code == atoi(value);
}

static bool match_volume(const char *value, const void *data)
{
	const cJSON *mount;

	cJSON_ArrayForEach(mount, member_of(data, "Mounts"))
	{
		if (str_equal(text_of(mount, "Name"), value) ||
		    str_equal(text_of(mount, "Source"), value) ||
		    str_equal(text_of(mount, "Destination"), value))
			return true;
	}
	return false;
}

/* By name or by ID. */
static bool match_network(const char *value, const void *data)
{
	const cJSON *network;

	cJSON_ArrayForEach(
		network,
		member_of(member_of(data, "NetworkSettings"), "Networks"))
	{
		if (str_equal(network->string, value) ||
		    str_equal(text_of(network, "NetworkID"), value))
			return true;
	}
	return false;
}

/* "80", "80/udp", "8000-8100/tcp": tcp unless it says otherwise. */
struct port_range {
	unsigned int first, last;
	const char *type;
};

static bool parse_range(const char *value, struct port_range *ret_range)
{
	static const char *const types[] = {"tcp", "udp", "sctp"};
	const char *slash = strchr(value, '/');
	size_t length = slash ? (size_t)(slash - value) : strlen(value);
	struct port_range range = {.type = slash ? slash + 1 : "tcp"};
	int end = 0;
	size_t type = 0;

	if (sscanf(value, "%5u%n", &range.first, &end) != 1 ||
	    !isdigit((unsigned char)*value))
		return false;
	range.last = range.first;
	if (value[end] == '-' &&
	    (sscanf(value, "%*u-%5u%n", &range.last, &end) != 1 ||
	     !isdigit((unsigned char)strchr(value, '-')[1])))
		return false;
	while (type < ARRAY_SIZE(types) && !str_equal(types[type], range.type))
		type++;
	*ret_range = range;
	return (size_t)end == length && type < ARRAY_SIZE(types) &&
	       range.first <= range.last && range.last <= 65535;
}

/* side: which member of docker's Port. */
static bool match_port(const char *value, const cJSON *container,
		       const char *side)
{
	struct port_range range;
	const cJSON *port;

	if (!parse_range(value, &range))
		return false;
	cJSON_ArrayForEach(port, member_of(container, "Ports"))
	{
		int64_t number = number_of(port, side);

		if (number >= range.first && number <= range.last &&
		    str_equal(text_of(port, "Type"), range.type))
			return true;
	}
	return false;
}

static bool match_publish(const char *value, const void *data)
{
	return match_port(value, data, "PublicPort");
}

static bool match_expose(const char *value, const void *data)
{
	return match_port(value, data, "PrivatePort");
}

/* Of a swarm's service; there are none. */
static bool match_task(const char *value, const void *data)
{
	bool wanted = false;

	(void)parse_bool(value, &wanted);
	return !wanted;
}

/* A word of Windows: on Linux every container has it. */
static bool match_isolation(const char *value, const void *data)
{
	return true;
}

static bool match_health(const char *value, const void *data)
{
	const char *health = text_of(member_of(data, "Health"), "Status");

	return str_equal(*health ? health : "none", value);
}

static const struct {
	const char *key;
	filter_match match;
} matches[] = {
	{"exited", match_exited},
	{"health", match_health},
	{"id", match_id},
	{"is-task", match_task},
	{"isolation", match_isolation},
	{"label", match_label},
	{"name", match_name},
	{"network", match_network},
	{"status", match_status},
	{"volume", match_volume},
};

static const char *const states[] = {"created",	   "running",  "paused",
				     "restarting", "removing", "exited",
				     "dead",	   NULL};
static const char *const healths[] = {"none", "starting", "healthy",
				      "unhealthy", NULL};

static bool is_one_of(const char *value, const char *const *words)
{
	while (*words && !str_equal(*words, value))
		words++;
	return *words != NULL;
}

/* Filters whose values are not free text. */
static int check_value(const char *filter, struct error *err)
{
	const char *value = strchr(filter, '=') + 1;
	struct port_range range;
	int64_t code;
	bool flag;
	bool fine = true;

	if (str_starts(filter, "exited="))
		fine = parse_i64(value, &code) == 0;
	else if (str_starts(filter, "status="))
		fine = is_one_of(value, states);
	else if (str_starts(filter, "health="))
		fine = is_one_of(value, healths);
	else if (str_starts(filter, "is-task="))
		fine = parse_bool(value, &flag) == 0;
	else if (str_starts(filter, "publish=") ||
		 str_starts(filter, "expose="))
		fine = parse_range(value, &range);
	return fine ? 0
		    : err_set(err, ERROR_INVALID, "invalid filter '%s'",
			      filter);
}

int container_filters_check(const struct filters *filters, struct error *err)
{
	int r = filters_check(filters, filter_keys, err);

	for (size_t i = 0; r >= 0 && filters->list[i]; i++)
		r = check_value(filters->list[i], err);
	return r;
}

bool container_filters_ask_all(const struct filters *filters)
{
	for (size_t i = 0; filters->list[i]; i++)
		if (str_starts(filters->list[i], "status=") ||
		    str_starts(filters->list[i], "exited="))
			return true;
	return false;
}

/*
 * As in docker, one of the two is enough; what is not running has no ports,
 * whatever it is to get.
 */
static bool pass_ports(const struct filters *filters, const cJSON *container)
{
	cleanup_strv char **publish = filters_values(filters, "publish");
	cleanup_strv char **expose = filters_values(filters, "expose");

	return (!publish && !expose) ||
	       (publish &&
		filters_pass(filters, "publish", match_publish, container)) ||
	       (expose &&
		filters_pass(filters, "expose", match_expose, container));
}

bool container_filters_pass(const struct filters *filters,
			    const cJSON *container)
{
	for (size_t i = 0; i < ARRAY_SIZE(matches); i++)
		if (!(str_equal(matches[i].key, "label")
			      ? filters_pass_all
			      : filters_pass)(filters, matches[i].key,
					      matches[i].match, container))
			return false;
	return pass_ports(filters, container);
}

bool container_runs(const cJSON *container)
{
	static const char *const running[] = {"running", "paused", "restarting",
					      NULL};

	return is_one_of(text_of(container, "State"), running);
}

/* The last of them counts, as in docker. */
static int read_bound(struct engine *engine, const struct filters *filters,
		      const char *key, char ret_id[ID_TEXT_MAX],
		      struct error *err)
{
	cleanup_strv char **values = filters_values(filters, key);
	size_t count = strv_length(values);

	*ret_id = '\0';
	return count ? engine_container_resolve(engine, values[count - 1],
						ret_id, err)
		     : 0;
}

int container_bounds_read(struct engine *engine, const struct filters *filters,
			  struct container_bounds *ret_bounds,
			  struct error *err)
{
	struct container_bounds bounds = {0};
	int r = read_bound(engine, filters, "before", bounds.before, err);

	r = r < 0 ? r : read_bound(engine, filters, "since", bounds.since, err);
	bounds.any = *bounds.before || *bounds.since;
	*ret_bounds = bounds;
	return r;
}

bool container_bounds_pass(struct container_bounds *bounds,
			   const cJSON *container)
{
	const char *id = text_of(container, "Id");
	bool pass;

	bounds->behind_since =
		bounds->behind_since || str_equal(id, bounds->since);
	pass = !bounds->behind_since &&
	       (!*bounds->before || bounds->behind_before);
	bounds->behind_before =
		bounds->behind_before || str_equal(id, bounds->before);
	return pass;
}

void container_ancestors_open(struct engine *engine,
			      const struct filters *filters,
			      struct container_ancestors *ret_ancestors)
{
	struct container_ancestors ancestors = {
		.engine = engine,
		.names = filters_values(filters, "ancestor"),
	};

	/* One that is not there any more is known by its name only. */
	if (ancestors.names)
		ancestors.images = json_array();
	for (size_t i = 0; ancestors.names && ancestors.names[i]; i++) {
		cJSON *image = NULL;

		if (engine_image_inspect(engine, ancestors.names[i], &image,
					 NULL) >= 0)
			json_push(ancestors.images, image);
	}
	*ret_ancestors = ancestors;
}

void container_ancestors_close(struct container_ancestors *ancestors)
{
	strv_free(ancestors->names);
	cJSON_Delete(ancestors->images);
	cJSON_Delete(ancestors->image);
	*ancestors = (struct container_ancestors){0};
}

static const cJSON *layers_of(const cJSON *image)
{
	return member_of(member_of(image, "RootFS"), "Layers");
}

/* All of base's layers, and others on top. */
static bool is_built_on(const cJSON *image, const cJSON *base)
{
	const cJSON *layer = layers_of(image) ? layers_of(image)->child : NULL;
	const cJSON *below;

	if (!layers_of(base) || !layers_of(base)->child)
		return false;
	cJSON_ArrayForEach(below, layers_of(base))
	{
		if (!layer || !cJSON_Compare(layer, below, true))
			return false;
		layer = layer->next;
	}
	return layer != NULL;
}

/* The container's image; the same as of the last one most of the time. */
static const cJSON *image_of(struct container_ancestors *ancestors,
			     const char *id)
{
	if (ancestors->image && str_equal(text_of(ancestors->image, "Id"), id))
		return ancestors->image;
	cJSON_Delete(ancestors->image);
	ancestors->image = NULL;
	(void)engine_image_inspect(ancestors->engine, id, &ancestors->image,
				   NULL);
	return ancestors->image;
}

static bool is_named(const char *image, char *const *names)
{
	for (size_t i = 0; names[i]; i++) {
		size_t length = strlen(names[i]);

		if (strncmp(image, names[i], length) == 0 &&
		    (image[length] == '\0' || image[length] == ':'))
			return true;
	}
	return false;
}

bool container_ancestors_pass(struct container_ancestors *ancestors,
			      const cJSON *container)
{
	const char *id = text_of(container, "ImageID");
	const cJSON *base, *image;

	if (!ancestors->names)
		return true;
	cJSON_ArrayForEach(base, ancestors->images)
	{
		if (str_equal(text_of(base, "Id"), id))
			return true;
	}
	image = image_of(ancestors, id);
	cJSON_ArrayForEach(base, ancestors->images)
	{
		if (image && is_built_on(image, base))
			return true;
	}
	return !image &&
	       is_named(text_of(container, "Image"), ancestors->names);
}
