#include "core/monitor/log_attributes.h"

#include <regex.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"

#define SHORT_ID 12

static const cJSON *member(const cJSON *object, const char *name)
{
	return cJSON_GetObjectItemCaseSensitive(object, name);
}

static const char *text_member(const cJSON *object, const char *name)
{
	const char *text = cJSON_GetStringValue(member(object, name));

	return text ? text : "";
}

/* ---- tag ---- */

static const char *without_prefix(const char *text, const char *prefix)
{
	return str_starts(text, prefix) ? text + strlen(prefix) : text;
}

static char *short_id(const cJSON *container, const char *name)
{
	return xstrndup(without_prefix(text_member(container, name), "sha256:"),
			SHORT_ID);
}

/* container NULL: only whether there is such a field. */
static char *tag_field(const cJSON *container, const char *field)
{
	if (str_equal(field, ".ID"))
		return short_id(container, "Id");
	if (str_equal(field, ".FullID"))
		return xstrdup(text_member(container, "Id"));
	if (str_equal(field, ".Name"))
		return xstrdup(
			without_prefix(text_member(container, "Name"), "/"));
	if (str_equal(field, ".FullName"))
		return xstrdup(text_member(container, "Name"));
	if (str_equal(field, ".ImageID"))
		return short_id(container, "Image");
	if (str_equal(field, ".ImageFullID"))
		return xstrdup(text_member(container, "Image"));
	if (str_equal(field, ".ImageName"))
		return xstrdup(
			text_member(member(container, "Config"), "Image"));
	if (str_equal(field, ".DaemonName"))
		return xstrdup("moss");
	return NULL;
}

static int tag_expand(const char *tag, const cJSON *container, char **ret_text,
		      struct error *err)
{
	cleanup_str struct str text = {0};

	for (const char *at = tag; *at;) {
		const char *open = strstr(at, "{{");
		const char *close = open ? strstr(open, "}}") : NULL;
		cleanup_free char *field = NULL;
		cleanup_free char *value = NULL;

		if (!open) {
			str_append(&text, at);
			break;
		}
		str_append_bytes(&text, at, (size_t)(open - at));
		if (close) {
			const char *start = open + 2;
			const char *end = close;

			while (*start == ' ')
				start++;
			while (end > start && end[-1] == ' ')
				end--;
			field = xstrndup(start, (size_t)(end - start));
			value = tag_field(container, field);
		}
		if (!value) {
			err_set(err, ERROR_INVALID,
				"log option tag: cannot expand %s", open);
			return err_hint(err, "known are {{.ID}}, {{.FullID}}, "
					     "{{.Name}}, {{.ImageID}}, "
					     "{{.ImageFullID}} and "
					     "{{.ImageName}}");
		}
		str_append(&text, value);
		at = close + 2;
	}
	*ret_text = str_steal(&text);
	return 0;
}

int log_tag_check(const char *tag, struct error *err)
{
	cleanup_free char *text = NULL;

	return tag_expand(tag, NULL, &text, err);
}

/* ---- labels and variables ---- */

static int compile(const char *pattern, regex_t *ret_regex, struct error *err)
{
	int problem = regcomp(ret_regex, pattern, REG_EXTENDED | REG_NOSUB);
	char text[128];

	if (problem == 0)
		return 0;
	regerror(problem, ret_regex, text, sizeof(text));
	return err_set(err, ERROR_INVALID, "invalid regular expression %s: %s",
		       pattern, text);
}

int log_regex_check(const char *pattern, struct error *err)
{
	regex_t regex;
	int r = compile(pattern, &regex, err);

	if (r == 0)
		regfree(&regex);
	return r;
}

static void add(cJSON *found, const char *name, const char *value)
{
	cJSON_DeleteItemFromObjectCaseSensitive(found, name);
	json_set_string(found, name, value);
}

/* Those of values that are in the list, or whose names fit the pattern. */
static int choose(const cJSON *values, const char *list, const char *pattern,
		  cJSON *found, struct error *err)
{
	cleanup_strv char **names = strv_split(list, ',');
	const cJSON *item;
	regex_t regex;
	int r;

	cJSON_ArrayForEach(item, values)
	{
		if (strv_contains(names, item->string))
			add(found, item->string, cJSON_GetStringValue(item));
	}
	if (*pattern == '\0')
		return 0;
	r = compile(pattern, &regex, err);
	if (r < 0)
		return r;
	cJSON_ArrayForEach(item, values)
	{
		if (regexec(&regex, item->string, 0, NULL, 0) == 0)
			add(found, item->string, cJSON_GetStringValue(item));
	}
	regfree(&regex);
	return 0;
}

/* An array of "NAME=value" as an object. */
static cJSON *variables_of(const cJSON *env)
{
	cJSON *object = json_object();
	const cJSON *item;

	cJSON_ArrayForEach(item, env)
	{
		const char *text = cJSON_GetStringValue(item);
		const char *equals = text ? strchr(text, '=') : NULL;
		cleanup_free char *name = NULL;

		if (!equals)
			continue;
		name = xstrndup(text, (size_t)(equals - text));
		add(object, name, equals + 1);
	}
	return object;
}

static int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static char *print_sorted(const cJSON *found)
{
	cleanup_json cJSON *sorted = json_object();
	cleanup_strv char **names = NULL;
	const cJSON *item;

	cJSON_ArrayForEach(item, found)
	{
		strv_push(&names, item->string);
	}
	if (!names)
		return NULL;
	qsort(names, strv_length(names), sizeof(*names), compare_names);
	for (size_t i = 0; names[i]; i++)
		json_set_string(sorted, names[i], text_member(found, names[i]));
	return json_print(sorted);
}

int log_attributes_make(const cJSON *container, char **ret_text,
			struct error *err)
{
	const cJSON *config = member(container, "Config");
	const cJSON *options = member(
		member(member(container, "HostConfig"), "LogConfig"), "Config");
	cleanup_json cJSON *found = json_object();
	cleanup_json cJSON *variables = NULL;
	cleanup_free char *tag = NULL;
	cleanup_free char *text = NULL;
	int r;

	*ret_text = NULL;
	if (!options || !options->child)
		return 0;
	r = choose(member(config, "Labels"), text_member(options, "labels"),
		   text_member(options, "labels-regex"), found, err);
	if (r < 0)
		return r;
	variables = variables_of(member(config, "Env"));
	r = choose(variables, text_member(options, "env"),
		   text_member(options, "env-regex"), found, err);
	if (r >= 0)
		r = tag_expand(text_member(options, "tag"), container, &tag,
			       err);
	if (r < 0)
		return r;
	if (!str_empty(tag))
		add(found, "tag", tag);
	text = print_sorted(found);
	if (text && strlen(text) > LOG_ATTRIBUTES_MAX)
		return err_set(err, ERROR_INVALID,
			       "log options labels, env and tag: more than %u "
			       "bytes for each line of the log",
			       LOG_ATTRIBUTES_MAX);
	*ret_text = steal_ptr(&text);
	return 0;
}
