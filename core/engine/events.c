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
#include "storage/store/reference.h"

struct event_stream {
	struct event_reader *reader;
	cJSON *filters; /* {key: [value…]} */
	int64_t since_ns, until_ns;
};

/* What an event is held against: the values of one filter. */
typedef bool (*event_match)(const cJSON *values, const cJSON *event);

static const cJSON *attributes_of(const cJSON *event)
{
	return member_get(member_get(event, "Actor"), "Attributes");
}

static const char *attribute(const cJSON *event, const char *name)
{
	return member_string(attributes_of(event), name);
}

static const char *actor_id(const cJSON *event)
{
	return member_string(member_get(event, "Actor"), "ID");
}

static bool is_one_of(const cJSON *values, const char *text)
{
	const cJSON *value;

	cJSON_ArrayForEach(value, values)
	{
		if (str_equal(item_string(value), text))
			return true;
	}
	return false;
}

static bool begins_with_one_of(const cJSON *values, const char *text)
{
	const cJSON *value;

	cJSON_ArrayForEach(value, values)
	{
		if (str_starts(text, item_string(value)))
			return true;
	}
	return false;
}

/* Docker's: the beginning of an ID or name will do, whatever its type is. */
static bool match_object(const cJSON *values, const cJSON *event)
{
	return begins_with_one_of(values, actor_id(event)) ||
	       begins_with_one_of(values, attribute(event, "name"));
}

/* With one of those that have a text behind them beginnings will do. */
static bool match_action(const cJSON *values, const cJSON *event)
{
	static const char *const open[] = {"health_status", "exec_create",
					   "exec_start"};
	const char *action = member_string(event, "Action");

	for (size_t i = 0; i < ARRAY_SIZE(open); i++)
		if (is_one_of(values, open[i]))
			return begins_with_one_of(values, action);
	return is_one_of(values, action);
}

/* By its name with or without its tag. */
static bool is_one_of_images(const cJSON *values, const char *name)
{
	cleanup_free char *bare = NULL;
	struct reference reference;

	if (is_one_of(values, name))
		return true;
	if (reference_parse(name, &reference, NULL) < 0)
		return false;
	bare = reference_familiar_name(&reference);
	return is_one_of(values, bare);
}

static bool match_image(const cJSON *values, const cJSON *event)
{
	bool is_image = str_equal(member_string(event, "Type"), EVENT_IMAGE);

	return is_one_of_images(values, actor_id(event)) ||
	       is_one_of_images(values,
				attribute(event, is_image ? "name" : "image"));
}

static bool has_label(const cJSON *event, const char *wanted)
{
	const char *equals = strchr(wanted, '=');
	cleanup_free char *key = NULL;
	const cJSON *label;

	key = equals ? xstrndup(wanted, (size_t)(equals - wanted))
		     : xstrdup(wanted);
	label = member_get(attributes_of(event), key);
	return label && (!equals || str_equal(item_string(label), equals + 1));
}

/* All of them. */
static bool match_labels(const cJSON *values, const cJSON *event)
{
	const cJSON *value;

	cJSON_ArrayForEach(value, values)
	{
		if (!has_label(event, item_string(value)))
			return false;
	}
	return true;
}

static bool match_scope(const cJSON *values, const cJSON *event)
{
	return is_one_of(values, member_string(event, "scope"));
}

static bool match_type(const cJSON *values, const cJSON *event)
{
	return is_one_of(values, member_string(event, "Type"));
}

static const struct {
	const char *key;
	event_match match;
} filters[] = {
	{"config", match_object},  {"container", match_object},
	{"daemon", match_object},  {"event", match_action},
	{"image", match_image},	   {"label", match_labels},
	{"network", match_object}, {"node", match_object},
	{"plugin", match_object},  {"scope", match_scope},
	{"secret", match_object},  {"service", match_object},
	{"type", match_type},	   {"volume", match_object},
};

static bool passes_all(const struct event_stream *stream, const cJSON *event)
{
	for (size_t i = 0; i < ARRAY_SIZE(filters); i++) {
		const cJSON *values =
			member_get(stream->filters, filters[i].key);

		if (cJSON_GetArraySize(values) > 0 &&
		    !filters[i].match(values, event))
			return false;
	}
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
