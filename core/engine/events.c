/* Events, past and coming: core/engine/engine.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "core/engine/engine.h"
#include "core/engine/members.h"
#include "storage/store/events.h"

struct event_stream {
	struct event_reader *reader;
	cJSON *filters; /* {key: [value…]} */
	int64_t since_ns, until_ns;
};

/* A value of a filter against an event. */
typedef bool (*event_match)(const char *value, const cJSON *event);

static const char *attribute(const cJSON *event, const char *name)
{
	const cJSON *actor = member_get(event, "Actor");

	return member_string(member_get(actor, "Attributes"), name);
}

static const char *actor_id(const cJSON *event)
{
	return member_string(member_get(event, "Actor"), "ID");
}

static bool is_type(const char *type, const cJSON *event)
{
	return str_equal(type, member_string(event, "Type"));
}

/* Docker's: the beginning of an ID or name will do. */
static bool is_object(const char *type, const char *value, const cJSON *event)
{
	return is_type(type, event) &&
	       (str_starts(actor_id(event), value) ||
		str_starts(attribute(event, "name"), value));
}

static bool match_container(const char *value, const cJSON *event)
{
	return is_object(EVENT_CONTAINER, value, event);
}

static bool match_volume(const char *value, const cJSON *event)
{
	return is_object(EVENT_VOLUME, value, event);
}

static bool match_network(const char *value, const cJSON *event)
{
	return is_object("network", value, event);
}

/* "exec_start" stands for "exec_start: ls -l", but "exec_start: ls" does not.
 */
static bool match_action(const char *value, const cJSON *event)
{
	static const char *const open[] = {"health_status", "exec_create",
					   "exec_start"};
	const char *action = member_string(event, "Action");

	for (size_t i = 0; i < ARRAY_SIZE(open); i++)
		if (str_equal(value, open[i]))
			return str_starts(action, value);
	return str_equal(action, value);
}

static bool is_image_name(const char *value, const char *name)
{
	const char *slash = strrchr(name, '/');
	const char *tag = strchr(slash ? slash : name, ':');
	size_t length = tag ? (size_t)(tag - name) : strlen(name);

	return str_equal(value, name) ||
	       (strlen(value) == length && strncmp(value, name, length) == 0);
}

static bool match_image(const char *value, const cJSON *event)
{
	bool is_image = is_type(EVENT_IMAGE, event);

	if (!is_image && !is_type(EVENT_CONTAINER, event))
		return false;
	return is_image_name(value,
			     attribute(event, is_image ? "name" : "image")) ||
	       (is_image && is_image_name(value, actor_id(event)));
}

static bool match_label(const char *value, const cJSON *event)
{
	const cJSON *attributes =
		member_get(member_get(event, "Actor"), "Attributes");
	const char *equals = strchr(value, '=');
	cleanup_free char *key = NULL;
	const cJSON *label;

	key = equals ? xstrndup(value, (size_t)(equals - value))
		     : xstrdup(value);
	label = member_get(attributes, key);
	return label && (!equals || str_equal(item_string(label), equals + 1));
}

static bool match_scope(const char *value, const cJSON *event)
{
	return str_equal(member_string(event, "scope"), value);
}

static bool match_type(const char *value, const cJSON *event)
{
	return is_type(value, event);
}

/* Objects that moss does not have. */
static bool match_none(const char *value, const cJSON *event)
{
	return false;
}

static const struct {
	const char *key;
	event_match match;
	bool all; /* every value has to match, not just one */
} filters[] = {
	{"config", match_none, false},
	{"container", match_container, false},
	{"daemon", match_none, false},
	{"event", match_action, false},
	{"image", match_image, false},
	{"label", match_label, true},
	{"network", match_network, false},
	{"node", match_none, false},
	{"plugin", match_none, false},
	{"scope", match_scope, false},
	{"secret", match_none, false},
	{"service", match_none, false},
	{"type", match_type, false},
	{"volume", match_volume, false},
};

static bool passes(const cJSON *values, event_match match, bool all,
		   const cJSON *event)
{
	const cJSON *value;

	cJSON_ArrayForEach(value, values)
	{
		if (match(item_string(value), event) != all)
			return !all;
	}
	return all || cJSON_GetArraySize(values) == 0;
}

static bool passes_all(const struct event_stream *stream, const cJSON *event)
{
	for (size_t i = 0; i < ARRAY_SIZE(filters); i++)
		if (!passes(member_get(stream->filters, filters[i].key),
			    filters[i].match, filters[i].all, event))
			return false;
	return true;
}

static int check_filters(const cJSON *wanted, struct error *err)
{
	const cJSON *values;

	cJSON_ArrayForEach(values, wanted)
	{
		size_t i = 0;

		while (i < ARRAY_SIZE(filters) &&
		       !str_equal(filters[i].key, values->string))
			i++;
		if (i == ARRAY_SIZE(filters))
			return err_set(err, ERROR_INVALID,
				       "invalid filter '%s'", values->string);
	}
	return 0;
}

static int64_t nanoseconds(const struct timespec *time)
{
	return (int64_t)time->tv_sec * 1000000000 + time->tv_nsec;
}

int engine_events(struct engine *engine, const struct events_options *options,
		  struct event_stream **ret_stream, struct error *err)
{
	struct event_stream *stream;
	int64_t since_ns = nanoseconds(&options->since);
	int64_t until_ns = nanoseconds(&options->until);
	struct event_reader *reader;
	int r = check_filters(options->filters, err);

	if (r < 0)
		return r;
	if (until_ns != 0 && since_ns > until_ns)
		return err_set(err, ERROR_INVALID,
			       "`since` time is later than `until` time");
	r = event_reader_open(&engine->store,
			      since_ns == 0 && until_ns == 0 ? EVENTS_NEW
							     : EVENTS_PAST,
			      &reader, err);
	if (r < 0)
		return r;
	stream = xcalloc(1, sizeof(*stream));
	stream->reader = reader;
	stream->since_ns = since_ns;
	stream->until_ns = until_ns;
	stream->filters = options->filters
				  ? cJSON_Duplicate(options->filters, true)
				  : json_object();
	if (!stream->filters)
		str_oom();
	*ret_stream = stream;
	return 0;
}

void event_stream_close(struct event_stream *stream)
{
	if (!stream)
		return;
	event_reader_close(stream->reader);
	cJSON_Delete(stream->filters);
	free(stream);
}

/* A double has no room for nanoseconds since the epoch. */
static void set_exact_time(cJSON *event, int64_t time_ns)
{
	cleanup_free char *text = xasprintf("%lld", (long long)time_ns);

	cJSON_ReplaceItemInObjectCaseSensitive(event, "timeNano",
					       cJSON_CreateRaw(text));
}

int event_stream_next(struct event_stream *stream, cJSON **ret_event,
		      int64_t *ret_time_ns, struct error *err)
{
	for (;;) {
		cleanup_json cJSON *event = NULL;
		const char *line = NULL;
		int64_t time_ns;
		int r = event_reader_next(stream->reader, &line, &time_ns, err);

		if (r <= 0)
			return r;
		if (time_ns < stream->since_ns ||
		    (stream->until_ns != 0 && time_ns > stream->until_ns) ||
		    json_parse(line, strlen(line), "event", &event, NULL) < 0 ||
		    !passes_all(stream, event))
			continue;
		set_exact_time(event, time_ns);
		*ret_event = steal_ptr(&event);
		*ret_time_ns = time_ns;
		return 1;
	}
}

int event_stream_fd(const struct event_stream *stream)
{
	return event_reader_fd(stream->reader);
}
