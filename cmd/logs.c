/*
 * moss logs: what a container wrote, its standard output to ours and its
 * standard error to ours; with a terminal there is only the one stream.
 */
#include "cmd/command.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "base/str.h"
#include "cmd/commands.h"
#include "cmd/egress_log.h"
#include "cmd/time_option.h"

/* clang-format off */
static const struct option logs_options[] = {
	{0, "details", OPTION_FLAG, NULL, NULL, "Show extra details provided to logs", false},
	{0, "egress", OPTION_FLAG, NULL, NULL, "Show what the egress policy has refused instead", false},
	{0, "egress-policy", OPTION_FLAG, NULL, NULL, "Print the egress policy that allows what the container used (run with --egress record)", false},
	{'f', "follow", OPTION_FLAG, NULL, NULL, "Follow log output", false},
	{0, "since", OPTION_STRING, NULL, NULL, "Show logs since timestamp (e.g. \"2013-01-02T13:23:37Z\") or relative (e.g. \"42m\" for 42 minutes)", false},
	{'n', "tail", OPTION_STRING, NULL, "all", "Number of lines to show from the end of the logs", false},
	{'t', "timestamps", OPTION_FLAG, NULL, NULL, "Show timestamps", false},
	{0, "until", OPTION_STRING, NULL, NULL, "Show logs before a timestamp (e.g. \"2013-01-02T13:23:37Z\") or relative (e.g. \"42m\" for 42 minutes)", false},
	{0},
};
/* clang-format on */

DEFINE_CLEANUP(struct log_reader *, log_reader_close);
#define cleanup_reader CLEANUP(log_reader_close_cleanup)

#define BUFFER_SIZE (128u << 10)

struct printer {
	bool timestamps;
	bool details;
	bool terminal;
	bool inside_line[3]; /* by stream: the next entry goes on with it */
	/* The attributes of the last line, and how they are shown. */
	char *attributes;
	char *shown;
	struct time_formatter formatter;
	/* What is not written yet, of the one stream. */
	int fd;
	char *buffer;
	size_t filled;
};

static void printer_release(struct printer *printer)
{
	free(printer->attributes);
	free(printer->shown);
}

/* As in the query of a URL, which is docker's form. */
static void append_escaped(struct str *text, const char *value)
{
	for (const char *c = value; *c; c++) {
		if ((*c >= '0' && *c <= '9') || (*c >= 'a' && *c <= 'z') ||
		    (*c >= 'A' && *c <= 'Z') || strchr("-_.~", *c))
			str_append_char(text, *c);
		else if (*c == ' ')
			str_append_char(text, '+');
		else
			str_appendf(text, "%%%02X", (unsigned char)*c);
	}
}

/* "a=b,c=d" of {"a":"b","c":"d"}; "" when they cannot be read. */
static char *attributes_text(const char *json_text)
{
	cleanup_json cJSON *json = NULL;
	struct str text = {0};
	const cJSON *item;

	if (json_parse(json_text, strlen(json_text), "attrs", &json, NULL) < 0)
		return xstrdup("");
	cJSON_ArrayForEach(item, json)
	{
		const char *value = cJSON_GetStringValue(item);

		if (text.length)
			str_append_char(&text, ',');
		append_escaped(&text, item->string ? item->string : "");
		str_append_char(&text, '=');
		append_escaped(&text, value ? value : "");
	}
	return str_steal(&text);
}

/* They are the same in line after line. */
static const char *details_of(struct printer *printer,
			      const struct log_entry *entry)
{
	size_t length = entry->attributes_length;

	if (!entry->attributes)
		return "";
	if (!printer->attributes || strlen(printer->attributes) != length ||
	    memcmp(printer->attributes, entry->attributes, length) != 0) {
		free(printer->attributes);
		free(printer->shown);
		printer->attributes = xstrndup(entry->attributes, length);
		printer->shown = attributes_text(printer->attributes);
	}
	return printer->shown;
}

static int write_out(int fd, const char *text, size_t length, struct error *err)
{
	int r = write_all(fd, text, length);

	/* Its reader may just be gone. */
	if (r == -EPIPE)
		output_broken_pipe();
	return r < 0 ? err_number(err, r, "cannot write the log") : 0;
}

static int flush(struct printer *printer, struct error *err)
{
	size_t length = printer->filled;

	printer->filled = 0;
	return write_out(printer->fd, printer->buffer, length, err);
}

static int put(struct printer *printer, const char *text, size_t length,
	       struct error *err)
{
	if (length > BUFFER_SIZE - printer->filled) {
		int r = flush(printer, err);

		if (r < 0)
			return r;
	}
	if (length > BUFFER_SIZE)
		return write_out(printer->fd, text, length, err);
	memcpy(printer->buffer + printer->filled, text, length);
	printer->filled += length;
	return 0;
}

static int print_entry(struct printer *printer, const struct log_entry *entry,
		       struct error *err)
{
	int fd = entry->stream == 2 && !printer->terminal ? STDERR_FILENO
							  : STDOUT_FILENO;
	bool *inside = &printer->inside_line[fd];
	int r = 0;

	/* The two may be one file: keep the order. */
	if (fd != printer->fd)
		r = flush(printer, err);
	printer->fd = fd;
	/* A long line is kept in parts; it gets one timestamp. */
	if (r == 0 && !*inside && printer->timestamps) {
		const char *text =
			format_time_again(&printer->formatter, &entry->time);

		r = put(printer, text, strlen(text), err);
		r = r < 0 ? r : put(printer, " ", 1, err);
	}
	if (r == 0 && !*inside && printer->details) {
		const char *details = details_of(printer, entry);

		r = put(printer, details, strlen(details), err);
		r = r < 0 ? r : put(printer, " ", 1, err);
	}
	if (r == 0)
		r = put(printer, entry->text, entry->length, err);
	*inside = entry->length > 0 && entry->text[entry->length - 1] != '\n';
	return r;
}

/* All that is there now. */
static int print_present(struct printer *printer, struct log_reader *reader,
			 struct error *err)
{
	struct log_entry entry;
	int r;

	while ((r = log_reader_next(reader, &entry, err)) > 0) {
		r = print_entry(printer, &entry, err);
		if (r < 0)
			return r;
	}
	if (r < 0) {
		(void)flush(printer, NULL);
		return r;
	}
	return flush(printer, err);
}

static int follow(struct printer *printer, struct log_reader *reader,
		  int64_t deadline_ms, int wait_fd, struct error *err)
{
	for (;;) {
		int timeout = time_left_ms(deadline_ms);
		struct pollfd fds[] = {
			{.fd = log_reader_fd(reader), .events = POLLIN},
			{.fd = wait_fd, .events = POLLIN},
			/* Only to learn that nobody reads any more. */
			{.fd = STDOUT_FILENO, .events = 0},
		};
		int r;

		if (fds[0].fd < 0 || timeout == 0)
			return 0;
		r = poll(fds, ARRAY_SIZE(fds), timeout);
		if (r < 0 && errno != EINTR)
			return err_errno(err, "cannot wait for the log");
		if (r <= 0)
			continue;
		if (fds[2].revents)
			output_broken_pipe();
		/* Whatever it wrote was in the log before it ended. */
		r = print_present(printer, reader, err);
		if (r < 0 || fds[1].revents)
			return r;
	}
}

static int tail_option(const struct options *options, int64_t *ret_tail,
		       struct error *err)
{
	const char *text = option_string(options, "tail");

	*ret_tail = -1;
	if (str_equal(text, "all"))
		return 0;
	if (parse_i64(text, ret_tail) < 0)
		return err_set(err, ERROR_INVALID,
			       "invalid argument \"%s\" for \"-n, --tail\" "
			       "flag: expected a number of lines or \"all\"",
			       text);
	if (*ret_tail < 0)
		*ret_tail = -1;
	return 0;
}

static int reader_options(const struct options *options,
			  struct log_reader_options *ret_options,
			  struct error *err)
{
	const char *since = option_string(options, "since");
	const char *until = option_string(options, "until");
	int r;

	r = tail_option(options, &ret_options->tail, err);
	if (r >= 0 && !str_empty(since))
		r = time_option_parse("since", since, &ret_options->since, err);
	if (r >= 0 && !str_empty(until))
		r = time_option_parse("until", until, &ret_options->until, err);
	ret_options->follow = option_flag(options, "follow");
	return r;
}

/* 1 when that is what was asked for. */
static int print_egress(struct context *context, const struct options *options,
			const char *id, struct error *err)
{
	bool log = option_flag(options, "egress");
	bool policy = option_flag(options, "egress-policy");
	int r;

	if (!log && !policy)
		return 0;
	for (const struct option *o = logs_options; o->name; o++) {
		const char *own = log ? "egress" : "egress-policy";

		if (!str_equal(o->name, own) && option_given(options, o->name))
			return err_set(err, ERROR_INVALID,
				       "conflicting options: --%s and --%s",
				       own, o->name);
	}
	r = log ? egress_log_print(context, id, err)
		: egress_policy_print(context, id, err);
	return r < 0 ? r : 1;
}

static int logs_main(struct context *context, const struct options *options)
{
	cleanup_free char *buffer = xrealloc(NULL, BUFFER_SIZE, 1);
	CLEANUP(printer_release)
	struct printer printer = {
		.timestamps = option_flag(options, "timestamps"),
		.details = option_flag(options, "details"),
		.fd = STDOUT_FILENO,
		.buffer = buffer,
	};
	cleanup_reader struct log_reader *reader = NULL;
	struct log_reader_options how = {0};
	cleanup_fd int wait_fd = -1;
	struct error err = {0};
	char id[ID_TEXT_MAX];
	int r;

	r = reader_options(options, &how, &err);
	r = r < 0 ? r
		  : engine_container_resolve(&context->engine,
					     options->operands[0], id, &err);
	r = r < 0 ? r : print_egress(context, options, id, &err);
	if (r > 0)
		return 0;
	r = r < 0 ? r
		  : engine_container_logs(&context->engine, id, &how, &reader,
					  &wait_fd, &printer.terminal, &err);
	r = r < 0 ? r : print_present(&printer, reader, &err);
	if (r >= 0 && how.follow && wait_fd >= 0)
		r = follow(&printer, reader, time_deadline_ms(&how.until),
			   wait_fd, &err);
	return r < 0 ? command_fail(context, &err) : 0;
}

static const struct option *const tables[] = {logs_options, NULL};

const struct command command_logs = {
	.name = "logs",
	.usage = "[OPTIONS] CONTAINER",
	.summary = "Fetch the logs of a container",
	.aliases = "moss container logs, moss logs",
	.options = tables,
	.operands_min = 1,
	.operands_max = 1,
	.run = logs_main,
	.group = "Commands",
	.completes = "container",
};
