#include "cmd/listing.h"

#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "cmd/command.h"
#include "cmd/template.h"

DEFINE_CLEANUP(struct template *, template_free);
#define cleanup_template CLEANUP(template_free_cleanup)

static const char *member_text(const cJSON *row, const char *field)
{
	const char *text = cJSON_GetStringValue(json_member(row, field));

	return text ? text : "";
}

static const char *heading_of(const struct listing *listing, const char *field)
{
	for (const struct listing_column *c = listing->columns; c->field; c++)
		if (str_equal(c->field, field))
			return c->heading;
	return field;
}

static void print_table(const struct listing *listing, const cJSON *rows)
{
	struct table table = {0};
	char **cells = NULL;
	const cJSON *row;

	for (size_t i = 0; listing->shown[i]; i++)
		strv_push(&cells, heading_of(listing, listing->shown[i]));
	table_add(&table, cells);
	cJSON_ArrayForEach(row, rows)
	{
		cells = NULL;
		for (size_t i = 0; listing->shown[i]; i++)
			strv_push(&cells, member_text(row, listing->shown[i]));
		table_add(&table, cells);
	}
	table_print(&table);
	table_release(&table);
}

/* docker takes "\t" and "\n" in a format for the bytes they stand for. */
static char *unescape(const char *text)
{
	struct str plain = {0};

	for (; *text; text++) {
		if (text[0] == '\\' && (text[1] == 't' || text[1] == 'n'))
			str_append_char(&plain, *++text == 't' ? '\t' : '\n');
		else
			str_append_char(&plain, *text);
	}
	return str_steal(&plain);
}

/* The headings of a "table TEMPLATE", by running it over the headings. */
static cJSON *headings_row(const struct listing *listing)
{
	cJSON *row = json_object();

	for (const struct listing_column *c = listing->columns; c->field; c++)
		json_set_string(row, c->field, c->heading);
	return row;
}

/* A label's heading is the last part of its name: "com.x.web-root", "web
   root". */
static cJSON *headings_labels(const struct listing *listing)
{
	cJSON *headings;
	const cJSON *labels, *label;

	if (!listing->labels)
		return NULL;
	headings = json_object();
	cJSON_ArrayForEach(labels, listing->labels)
	{
		cJSON_ArrayForEach(label, labels)
		{
			const char *dot = strrchr(label->string, '.');
			cleanup_free char *text = NULL;

			text = xstrdup(dot ? dot + 1 : label->string);
			for (char *c = text; *c; c++)
				if (*c == '-' || *c == '_')
					*c = ' ';
			json_set_string(headings, label->string, text);
		}
	}
	return headings;
}

static int template_row(const struct template *template, const cJSON *row,
			const cJSON *labels, bool headings, struct table *table,
			struct error *err)
{
	cleanup_str struct str line = {0};
	int r = headings ? template_execute_headings(template, row, labels,
						     &line, err)
			 : template_execute(template, row, labels, &line, err);

	if (r < 0)
		return r;
	table_add(table, strv_split(str_text(&line), '\t'));
	return 0;
}

static int print_template_table(const struct listing *listing,
				const struct template *template,
				const cJSON *rows, struct error *err)
{
	cleanup_json cJSON *headings = headings_row(listing);
	cleanup_json cJSON *heading_labels = headings_labels(listing);
	const cJSON *labels = listing->labels ? listing->labels->child : NULL;
	struct table table = {0};
	const cJSON *row;
	int r;

	r = template_row(template, headings, heading_labels, true, &table, err);
	cJSON_ArrayForEach(row, rows)
	{
		if (r >= 0)
			r = template_row(template, row, labels, false, &table,
					 err);
		labels = labels ? labels->next : NULL;
	}
	if (r >= 0)
		table_print(&table);
	table_release(&table);
	return r;
}

static int print_template(const struct listing *listing,
			  const struct template *template, const cJSON *rows,
			  struct error *err)
{
	const cJSON *labels = listing->labels ? listing->labels->child : NULL;
	const cJSON *row;
	int r;

	cJSON_ArrayForEach(row, rows)
	{
		cleanup_str struct str line = {0};

		r = template_execute(template, row, labels, &line, err);
		if (r < 0)
			return r;
		printf("%s\n", str_text(&line));
		labels = labels ? labels->next : NULL;
	}
	return 0;
}

static int print_format(const struct listing *listing, const cJSON *rows,
			struct error *err)
{
	cleanup_template struct template *template = NULL;
	cleanup_free char *text = NULL;
	const char *format = listing->format;
	bool table = str_starts(format, "table ");
	int r;

	if (listing->raw && str_equal(format, "raw"))
		format = listing->raw;
	text = unescape(table ? format + strlen("table ") : format);
	r = template_parse(text, &template, err);
	if (r < 0)
		return r;
	if (table)
		return print_template_table(listing, template, rows, err);
	return print_template(listing, template, rows, err);
}

static void print_quiet(const struct listing *listing, const cJSON *rows)
{
	const cJSON *row;

	cJSON_ArrayForEach(row, rows)
	{
		printf("%s\n", member_text(row, listing->quiet_field));
	}
}

int listing_print(const struct listing *listing, const cJSON *rows,
		  struct error *err)
{
	const cJSON *row;

	if (str_empty(listing->format) || str_equal(listing->format, "table")) {
		if (listing->quiet)
			print_quiet(listing, rows);
		else
			print_table(listing, rows);
		return 0;
	}
	if (str_equal(listing->format, "json")) {
		cJSON_ArrayForEach(row, rows)
		{
			cleanup_free char *text = json_print(row);

			printf("%s\n", text);
		}
		return 0;
	}
	return print_format(listing, rows, err);
}

int filters_check(const struct filters *filters, const char *const *known,
		  struct error *err)
{
	for (size_t i = 0; filters->list[i]; i++) {
		const char *equals = strchr(filters->list[i], '=');
		cleanup_free char *key = NULL;
		bool found = false;
		bool flag;

		if (!equals)
			return err_set(err, ERROR_INVALID,
				       "invalid argument \"%s\" for \"-f, "
				       "--filter\" flag: bad format of filter "
				       "(expected name=value)",
				       filters->list[i]);
		key = xstrndup(filters->list[i],
			       (size_t)(equals - filters->list[i]));
		for (size_t k = 0; known[k]; k++)
			found = found || str_equal(known[k], key);
		if (!found)
			return err_set(err, ERROR_INVALID,
				       "invalid filter '%s'", key);
		if (str_equal(key, "dangling") &&
		    parse_bool(equals + 1, &flag) < 0)
			return err_set(err, ERROR_INVALID,
				       "invalid filter '%s': expected true or "
				       "false",
				       filters->list[i]);
	}
	return 0;
}

/* The value of a filter of that key, NULL for another. */
static const char *value_of(const char *filter, const char *key)
{
	size_t length = strlen(key);

	return strncmp(filter, key, length) == 0 && filter[length] == '='
		       ? filter + length + 1
		       : NULL;
}

struct answers {
	size_t asked;
	size_t matched;
};

static struct answers ask(const struct filters *filters, const char *key,
			  filter_match match, const void *data)
{
	struct answers answers = {0, 0};

	for (size_t i = 0; filters->list[i]; i++) {
		const char *value = value_of(filters->list[i], key);

		answers.asked += value != NULL;
		answers.matched += value && match(value, data);
	}
	return answers;
}

bool filters_pass(const struct filters *filters, const char *key,
		  filter_match match, const void *data)
{
	struct answers answers = ask(filters, key, match, data);

	return answers.asked == 0 || answers.matched > 0;
}

bool filters_pass_all(const struct filters *filters, const char *key,
		      filter_match match, const void *data)
{
	struct answers answers = ask(filters, key, match, data);

	return answers.asked == answers.matched;
}

bool filters_refuse(const struct filters *filters, const char *key,
		    filter_match match, const void *data)
{
	struct answers answers = ask(filters, key, match, data);

	return answers.asked > 0 && answers.asked == answers.matched;
}

cJSON *filters_json(const struct filters *filters)
{
	cJSON *json = json_object();

	for (size_t i = 0; filters->list[i]; i++) {
		const char *text = filters->list[i];
		const char *equals = strchr(text, '=');
		cleanup_free char *key =
			equals ? xstrndup(text, (size_t)(equals - text))
			       : xstrdup(text);

		if (!json_member(json, key))
			json_set(json, key, json_array());
		json_push_string(cJSON_GetObjectItemCaseSensitive(json, key),
				 equals ? equals + 1 : "");
	}
	return json;
}

char **filters_values(const struct filters *filters, const char *key)
{
	char **values = NULL;

	for (size_t i = 0; filters->list[i]; i++) {
		const char *value = value_of(filters->list[i], key);

		if (value)
			strv_push(&values, value);
	}
	return values;
}

char *labels_text(const cJSON *labels)
{
	struct str text = {0};
	const cJSON *label;

	cJSON_ArrayForEach(label, labels)
	{
		const char *value = cJSON_GetStringValue(label);

		str_appendf(&text, "%s%s=%s", text.length ? "," : "",
			    label->string, value ? value : "");
	}
	return str_steal(&text);
}

char *created_text(int64_t epoch)
{
	time_t seconds = (time_t)epoch;
	char text[64];
	struct tm tm;

	localtime_r(&seconds, &tm);
	strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S %z %Z", &tm);
	return xstrdup(text);
}

bool name_matches(const char *value, const char *name)
{
	regex_t regex;
	bool matched;

	if (regcomp(&regex, value, REG_EXTENDED | REG_NOSUB) != 0)
		return strstr(name, value) != NULL;
	matched = regexec(&regex, name, 0, NULL, 0) == 0;
	regfree(&regex);
	return matched;
}

bool label_matches(const char *value, const void *labels)
{
	const char *equals = strchr(value, '=');
	cleanup_free char *key = NULL;
	const cJSON *label;

	key = equals ? xstrndup(value, (size_t)(equals - value))
		     : xstrdup(value);
	label = cJSON_GetObjectItemCaseSensitive(labels, key);
	if (!label)
		return false;
	return !equals || str_equal(cJSON_GetStringValue(label), equals + 1);
}
