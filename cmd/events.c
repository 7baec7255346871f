/* moss events: what happened in the store, and what happens. */
#include "cmd/command.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "cmd/commands.h"
#include "cmd/format.h"
#include "cmd/listing.h"
#include "cmd/member.h"
#include "cmd/template.h"
#include "cmd/text.h"
#include "cmd/time_option.h"

#define NS_PER_SECOND 1000000000

/* clang-format off */
static const struct option events_options[] = {
	{'f', "filter", OPTION_LIST, "filter", NULL, "Filter output based on conditions provided", false},
	{0, "format", OPTION_STRING, NULL, NULL, FORMAT_HELP, false},
	{0, "since", OPTION_STRING, NULL, NULL, "Show all events created since timestamp", false},
	{0, "until", OPTION_STRING, NULL, NULL, "Stream events until this timestamp", false},
	{0},
};
/* clang-format on */

DEFINE_CLEANUP(struct template *, template_free);
DEFINE_CLEANUP(struct event_stream *, event_stream_close);

struct printer {
	bool json;
	struct template *template; /* NULL: docker's line */
};

static int compare_members(const void *a, const void *b)
{
	return strcmp((*(const cJSON *const *)a)->string,
		      (*(const cJSON *const *)b)->string);
}

/* "(image=web, name=www)", by name. */
static void append_attributes(struct str *line, const cJSON *attributes)
{
	size_t count = (size_t)cJSON_GetArraySize(attributes);
	cleanup_free const cJSON **members = NULL;
	const cJSON *member;
	size_t i = 0;

	if (count == 0)
		return;
	members = xcalloc(count, sizeof(*members));
	cJSON_ArrayForEach(member, attributes)
	{
		members[i++] = member;
	}
	qsort(members, count, sizeof(*members), compare_members);
	for (i = 0; i < count; i++) {
		str_append(line, i == 0 ? " (" : ", ");
		str_append(line, members[i]->string);
		str_append_char(line, '=');
		str_append(line, text_of(attributes, members[i]->string));
	}
	str_append_char(line, ')');
}

/* In local time, with all nine digits: "2026-01-02T03:04:05.000000006+01:00" */
static void append_time(struct str *line, int64_t time_ns)
{
	time_t seconds = (time_t)(time_ns / NS_PER_SECOND);
	char date[32], zone[16];
	struct tm local;

	localtime_r(&seconds, &local);
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &local);
	strftime(zone, sizeof(zone), "%z", &local);
	str_appendf(line, "%s.%09lld", date,
		    (long long)(time_ns % NS_PER_SECOND));
	if (local.tm_gmtoff == 0)
		str_append_char(line, 'Z');
	else
		str_appendf(line, "%.3s:%s", zone, zone + 3);
}

static void print_line(const cJSON *event, int64_t time_ns)
{
	const cJSON *actor = member_of(event, "Actor");
	cleanup_str struct str line = {0};
	cleanup_free char *plain = NULL;

	append_time(&line, time_ns);
	str_appendf(&line, " %s %s %s", text_of(event, "Type"),
		    text_of(event, "Action"), text_of(actor, "ID"));
	append_attributes(&line, member_of(actor, "Attributes"));
	plain = text_printable(str_text(&line), true);
	printf("%s\n", plain);
}

static const char *go_name(const char *name)
{
	static const char *const names[][2] = {
		{"status", "Status"}, {"id", "ID"},
		{"from", "From"},     {"scope", "Scope"},
		{"time", "Time"},     {"timeNano", "TimeNano"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		if (str_equal(names[i][0], name))
			return names[i][1];
	return name;
}

/* As a template of docker's knows it: members that are absent are there. */
static cJSON *template_event(const cJSON *event)
{
	static const char *const texts[] = {"Status", "ID", "From"};
	cJSON *known = json_object();
	const cJSON *member;

	cJSON_ArrayForEach(member, event)
	{
		cJSON *copy = cJSON_Duplicate(member, true);

		if (!copy)
			str_oom();
		json_set(known, go_name(member->string), copy);
	}
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		if (!member_of(known, texts[i]))
			json_set_string(known, texts[i], "");
	return known;
}

static int print_event(const struct printer *printer, const cJSON *event,
		       int64_t time_ns, struct error *err)
{
	cleanup_str struct str line = {0};
	cleanup_json cJSON *known = NULL;
	cleanup_free char *text = NULL;
	int r;

	if (printer->json) {
		text = json_print(event);
		printf("%s\n", text);
	} else if (printer->template) {
		known = template_event(event);
		r = template_execute(printer->template, known, NULL, &line,
				     err);
		if (r < 0)
			return r;
		printf("%s\n", str_text(&line));
	} else {
		print_line(event, time_ns);
	}
	return 0;
}

/* All that is there now. */
static int print_present(const struct printer *printer,
			 struct event_stream *stream, struct error *err)
{
	cJSON *next = NULL;
	int64_t time_ns;
	int r;

	while ((r = event_stream_next(stream, &next, &time_ns, err)) > 0) {
		cleanup_json cJSON *event = next;

		r = print_event(printer, event, time_ns, err);
		if (r < 0)
			return r;
	}
	if (fflush(stdout) != 0) {
		if (errno == EPIPE)
			output_broken_pipe();
		return err_errno(err, "cannot write events");
	}
	return r;
}

static int print_all(const struct printer *printer, struct event_stream *stream,
		     int64_t deadline_ms, struct error *err)
{
	for (;;) {
		int timeout = time_left_ms(deadline_ms);
		struct pollfd fds[] = {
			{.fd = event_stream_fd(stream), .events = POLLIN},
			/* Only to learn that nobody reads any more. */
			{.fd = STDOUT_FILENO, .events = 0},
		};
		int r = print_present(printer, stream, err);

		if (r < 0 || timeout == 0)
			return r;
		r = poll(fds, ARRAY_SIZE(fds), timeout);
		if (r < 0 && errno != EINTR)
			return err_errno(err, "cannot wait for events");
		if (r > 0 && fds[1].revents)
			output_broken_pipe();
	}
}

/* {"type": ["container"], …} */
static int read_filters(char *const *list, cJSON **ret_filters,
			struct error *err)
{
	const struct filters filters = {list};

	for (size_t i = 0; list[i]; i++)
		if (!strchr(list[i], '='))
			return err_set(err, ERROR_INVALID,
				       "invalid argument \"%s\" for \"-f, "
				       "--filter\" flag: bad format of filter "
				       "(expected name=value)",
				       list[i]);
	*ret_filters = filters_json(&filters);
	return 0;
}

static int read_times(const struct options *options,
		      struct events_options *times, struct error *err)
{
	const char *since = option_string(options, "since");
	const char *until = option_string(options, "until");
	int r = 0;

	if (!str_empty(since))
		r = time_option_parse("since", since, &times->since, err);
	if (r >= 0 && !str_empty(until))
		r = time_option_parse("until", until, &times->until, err);
	return r;
}

/* "{{json .}}" is the message itself, whose members a template knows by other
   names. */
static int read_format(const char *format, struct printer *printer,
		       struct error *err)
{
	cleanup_str struct str dense = {0};

	for (const char *c = format; c && *c; c++)
		if (*c != ' ')
			str_append_char(&dense, *c);
	printer->json = str_equal(str_text(&dense), "json") ||
			str_equal(str_text(&dense), "{{json.}}");
	return str_empty(format) || printer->json
		       ? 0
		       : template_parse(format, &printer->template, err);
}

static int events_main(struct context *context, const struct options *options)
{
	CLEANUP(template_free_cleanup) struct template *template = NULL;
	CLEANUP(event_stream_close_cleanup) struct event_stream *stream = NULL;
	cleanup_json cJSON *filters = NULL;
	struct events_options how = {0};
	struct printer printer = {0};
	struct error err = {0};
	int r = read_format(option_string(options, "format"), &printer, &err);

	if (r < 0) {
		command_fail(context, &err);
		return EXIT_TEMPLATE;
	}
	template = printer.template;
	r = read_times(options, &how, &err);
	r = r < 0 ? r
		  : read_filters(option_list(options, "filter"), &filters,
				 &err);
	how.filters = filters;
	r = r < 0 ? r : engine_events(&context->engine, &how, &stream, &err);
	r = r < 0 ? r
		  : print_all(&printer, stream, time_deadline_ms(&how.until),
			      &err);
	return r < 0 ? command_fail(context, &err) : 0;
}

static const struct option *const tables[] = {events_options, NULL};

const struct command command_events = {
	.name = "events",
	.usage = "[OPTIONS]",
	.summary = "Get real time events from the server",
	.aliases = "moss system events, moss events",
	.options = tables,
	.run = events_main,
	.group = "Commands",
};
