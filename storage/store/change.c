#include "storage/store/change.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/path.h"
#include "base/proc.h"
#include "base/str.h"
#include "storage/store/change_words.h"

#define PORT_RANGE_MAX 65535

struct change {
	cJSON *config;
	const char *name; /* of the instruction */
	const char *text; /* what follows it, trimmed */
};

typedef int (*change_handler)(const struct change *change, struct error *err);

static const char *lookup_env(const char *name, void *data)
{
	const cJSON *config = data;
	const cJSON *env = cJSON_GetObjectItemCaseSensitive(config, "Env");
	const cJSON *item;
	size_t length = strlen(name);

	cJSON_ArrayForEach(item, env)
	{
		if (cJSON_IsString(item) &&
		    strncmp(item->valuestring, name, length) == 0 &&
		    item->valuestring[length] == '=')
			return item->valuestring + length + 1;
	}
	return NULL;
}

static int expand(const struct change *change, const char *word,
		  char **ret_text, struct error *err)
{
	return change_expand(word, lookup_env, change->config, ret_text, err);
}

/* The member, made an object or array when it is not there. */
static cJSON *member(cJSON *object, const char *key, bool array)
{
	cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);

	if (array ? cJSON_IsArray(item) : cJSON_IsObject(item))
		return item;
	json_set(object, key, array ? json_array() : json_object());
	return cJSON_GetObjectItemCaseSensitive(object, key);
}

static int need_argument(const struct change *change, struct error *err)
{
	if (*change->text)
		return 0;
	return err_set(err, ERROR_INVALID, "%s requires at least one argument",
		       change->name);
}

/*
 * The exec form: a JSON array of strings. 1 and the array; 0 for the shell
 * form; an error for an array of other things, and for what can only be meant
 * as one.
 */
static int exec_form(const struct change *change, cJSON **ret_array,
		     struct error *err)
{
	cleanup_json cJSON *json = NULL;
	const char *text = change->text;
	size_t length = strlen(text);
	const cJSON *item;

	if (*text != '[')
		return 0;
	if (json_parse(text, length, change->name, &json, NULL) < 0) {
		const char *first = text + 1 + strspn(text + 1, " \t");

		if (text[length - 1] != ']' || !strchr("'\"", *first) ||
		    !*first)
			return 0; /* "[ -e /x ] && y" is for the shell */
		err_set(err, ERROR_INVALID, "%s: not a JSON array: %.128s",
			change->name, text);
		return err_hint(err, "write [\"program\", \"argument\"], with "
				     "double quotes and commas");
	}
	if (!cJSON_IsArray(json))
		return 0;
	cJSON_ArrayForEach(item, json)
	{
		if (!cJSON_IsString(item))
			return err_set(err, ERROR_INVALID,
				       "%s: when using JSON array syntax, "
				       "arrays must be comprised of strings "
				       "only",
				       change->name);
	}
	*ret_array = steal_ptr(&json);
	return 1;
}

static cJSON *shell_form(const char *text)
{
	cJSON *array = json_array();

	json_push_string(array, "/bin/sh");
	json_push_string(array, "-c");
	json_push_string(array, text);
	return array;
}

static int set_command(const struct change *change, const char *key,
		       struct error *err)
{
	cJSON *array = NULL;
	int r = need_argument(change, err);

	if (r == 0)
		r = exec_form(change, &array, err);
	if (r < 0)
		return r;
	if (r == 0)
		array = shell_form(change->text);
	json_set(change->config, key, array);
	return 0;
}

static int on_cmd(const struct change *change, struct error *err)
{
	return set_command(change, "Cmd", err);
}

static int on_entrypoint(const struct change *change, struct error *err)
{
	return set_command(change, "Entrypoint", err);
}

typedef void (*pair_setter)(cJSON *config, const char *name, const char *value);

static void set_env(cJSON *config, const char *name, const char *value)
{
	cleanup_strv char **env = NULL;

	if (json_get_strv(config, "", "Env", &env, NULL) < 0)
		env = NULL;
	env_set(&env, name, value);
	json_set_strv(config, "Env", env);
}

static void set_label(cJSON *config, const char *name, const char *value)
{
	json_set_string(member(config, "Labels", false), name, value);
}

static int set_pair(const struct change *change, const char *raw_name,
		    const char *raw_value, pair_setter set, struct error *err)
{
	cleanup_free char *name = NULL;
	cleanup_free char *value = NULL;
	int r = expand(change, raw_name, &name, err);

	if (r == 0)
		r = expand(change, raw_value, &value, err);
	if (r < 0)
		return err_wrap(err, "%s", change->name);
	if (!*name)
		return err_set(err, ERROR_INVALID, "%s names can not be blank",
			       change->name);
	set(change->config, name, value);
	return 0;
}

/* "a=b c='d e'", or of old "a b c" for a="b c". */
static int set_pairs(const struct change *change, pair_setter set,
		     struct error *err)
{
	cleanup_strv char **words = change_split(change->text);
	int r = need_argument(change, err);

	if (r < 0)
		return r;
	if (!strchr(words[0], '=')) {
		const char *rest = change->text + strlen(words[0]);

		rest += strspn(rest, " \t");
		if (!*rest)
			return err_set(err, ERROR_INVALID,
				       "%s must have two arguments: %.128s",
				       change->name, change->text);
		return set_pair(change, words[0], rest, set, err);
	}
	for (size_t i = 0; words[i]; i++) {
		char *equals = strchr(words[i], '=');

		if (!equals)
			return err_set(err, ERROR_INVALID,
				       "%s: can't find = in \"%.128s\", must "
				       "be of the form: name=value",
				       change->name, words[i]);
		*equals = '\0';
		r = set_pair(change, words[i], equals + 1, set, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int on_env(const struct change *change, struct error *err)
{
	return set_pairs(change, set_env, err);
}

static int on_label(const struct change *change, struct error *err)
{
	return set_pairs(change, set_label, err);
}

static int bad_port(const char *text, struct error *err)
{
	err_set(err, ERROR_INVALID, "EXPOSE: invalid port \"%.64s\"", text);
	return err_hint(err,
			"write PORT, PORT/udp or FIRST-LAST/tcp, with "
			"ports from 1 to %d",
			PORT_RANGE_MAX);
}

static int expose(const struct change *change, char *text, struct error *err)
{
	cleanup_free char *whole = xstrdup(text);
	cJSON *ports = member(change->config, "ExposedPorts", false);
	char *protocol = strchr(text, '/');
	char *dash;
	uint64_t first;
	uint64_t last;

	if (protocol)
		*protocol++ = '\0';
	for (char *c = protocol; c && *c; c++)
		*c = (char)tolower((unsigned char)*c);
	if (protocol && !str_equal(protocol, "tcp") &&
	    !str_equal(protocol, "udp") && !str_equal(protocol, "sctp"))
		return bad_port(whole, err);
	dash = strchr(text, '-');
	if (dash)
		*dash++ = '\0';
	if (parse_u64(text, &first) < 0 ||
	    parse_u64(dash ? dash : text, &last) < 0 || first == 0 ||
	    last > PORT_RANGE_MAX || first > last)
		return bad_port(whole, err);
	for (; first <= last; first++) {
		cleanup_free char *port =
			xasprintf("%llu/%s", (unsigned long long)first,
				  protocol ? protocol : "tcp");

		json_set(ports, port, json_object());
	}
	return 0;
}

static int on_expose(const struct change *change, struct error *err)
{
	cleanup_strv char **words = change_split(change->text);
	int r = need_argument(change, err);

	for (size_t i = 0; r == 0 && words && words[i]; i++) {
		cleanup_free char *text = NULL;

		r = expand(change, words[i], &text, err);
		if (r < 0)
			return err_wrap(err, "EXPOSE");
		r = expose(change, text, err);
	}
	return r;
}

/* Exactly one argument, expanded; caller frees. */
static int one_argument(const struct change *change, char **ret_text,
			struct error *err)
{
	cleanup_strv char **words = change_split(change->text);
	int r;

	if (strv_length(words) != 1)
		return err_set(err, ERROR_INVALID,
			       "%s requires exactly one argument",
			       change->name);
	r = expand(change, words[0], ret_text, err);
	return r < 0 ? err_wrap(err, "%s", change->name) : 0;
}

static int on_user(const struct change *change, struct error *err)
{
	cleanup_free char *text = NULL;
	int r = one_argument(change, &text, err);

	if (r < 0)
		return r;
	json_set_string(change->config, "User", text);
	return 0;
}

/* The whole line is the path, blanks and all. */
static int on_workdir(const struct change *change, struct error *err)
{
	cleanup_free char *text = NULL;
	cleanup_free char *path = NULL;
	const char *before = NULL;
	int r = need_argument(change, err);

	if (r == 0)
		r = expand(change, change->text, &text, err);
	if (r < 0)
		return r;
	if (!*text)
		return err_set(err, ERROR_INVALID,
			       "WORKDIR: the path is empty");
	if (json_get_string(change->config, "", "WorkingDir", &before, NULL) <
		    1 ||
	    str_empty(before))
		before = "/";
	path = *text == '/' ? path_clean(text) : path_join(before, text);
	json_set_string(change->config, "WorkingDir", path);
	return 0;
}

static int on_stopsignal(const struct change *change, struct error *err)
{
	cleanup_free char *text = NULL;
	int r = one_argument(change, &text, err);

	if (r < 0)
		return r;
	if (signal_from_name(text) < 0)
		return err_set(err, ERROR_INVALID,
			       "STOPSIGNAL: invalid signal: %.64s", text);
	json_set_string(change->config, "StopSignal", text);
	return 0;
}

static int add_volume(const struct change *change, const char *text,
		      struct error *err)
{
	if (!*text)
		return err_set(err, ERROR_INVALID,
			       "VOLUME specified can not be an empty string");
	json_set(member(change->config, "Volumes", false), text, json_object());
	return 0;
}

static int on_volume(const struct change *change, struct error *err)
{
	cleanup_json cJSON *array = NULL;
	cleanup_strv char **words = NULL;
	const cJSON *item;
	int r = need_argument(change, err);

	if (r == 0)
		r = exec_form(change, &array, err);
	if (r < 0)
		return r;
	if (r == 0)
		words = change_split(change->text);
	cJSON_ArrayForEach(item, array)
	{
		strv_push(&words, item->valuestring);
	}
	for (size_t i = 0; words && words[i]; i++) {
		cleanup_free char *text = NULL;

		r = expand(change, words[i], &text, err);
		if (r < 0)
			return err_wrap(err, "VOLUME");
		r = add_volume(change, text, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int on_onbuild(const struct change *change, struct error *err)
{
	static const char *const refused[] = {"ONBUILD", "FROM", "MAINTAINER"};
	size_t length = strcspn(change->text, " \t");
	int r = need_argument(change, err);

	if (r < 0)
		return r;
	for (size_t i = 0; i < ARRAY_SIZE(refused); i++) {
		if (strlen(refused[i]) == length &&
		    strncasecmp(change->text, refused[i], length) == 0)
			return err_set(err, ERROR_INVALID,
				       "%s isn't allowed as an ONBUILD trigger",
				       refused[i]);
	}
	json_push_string(member(change->config, "OnBuild", true), change->text);
	return 0;
}

static const struct health_option {
	const char *flag;
	const char *key;
	bool is_duration;
} health_options[] = {
	{"--interval=", "Interval", true},
	{"--timeout=", "Timeout", true},
	{"--start-period=", "StartPeriod", true},
	{"--start-interval=", "StartInterval", true},
	{"--retries=", "Retries", false},
};

static int health_option(cJSON *health, const char *word, struct error *err)
{
	for (size_t i = 0; i < ARRAY_SIZE(health_options); i++) {
		const struct health_option *option = &health_options[i];
		const char *text = word + strlen(option->flag);
		int64_t value;
		int r;

		if (!str_starts(word, option->flag))
			continue;
		r = option->is_duration ? parse_duration(text, &value)
					: parse_i64(text, &value);
		/* Docker: below a millisecond is a mistake; 0 inherits. */
		if (r < 0 || value < 0 ||
		    (option->is_duration && value != 0 && value < 1000000))
			return err_set(err, ERROR_INVALID,
				       "HEALTHCHECK: invalid value in "
				       "\"%.64s\"",
				       word);
		json_set_i64(health, option->key, value);
		return 0;
	}
	return err_set(err, ERROR_INVALID, "HEALTHCHECK: unknown flag: %.64s",
		       word);
}

static int set_health_test(cJSON *health, const struct change *command,
			   struct error *err)
{
	cJSON *test = json_array();
	cJSON *array = NULL;
	int r;

	json_set(health, "Test", test);
	if (!*command->text)
		return err_set(err, ERROR_INVALID,
			       "HEALTHCHECK: missing command after CMD");
	r = exec_form(command, &array, err);
	if (r < 0)
		return r;
	json_push_string(test, r ? "CMD" : "CMD-SHELL");
	if (r == 0)
		json_push_string(test, command->text);
	while (array && array->child)
		json_push(test, cJSON_DetachItemFromArray(array, 0));
	cJSON_Delete(array);
	return 0;
}

static int on_healthcheck(const struct change *change, struct error *err)
{
	cleanup_json cJSON *health = json_object();
	struct change command = *change;
	const char *text = change->text;
	int r = need_argument(change, err);

	while (r == 0 && str_starts(text, "--")) {
		cleanup_free char *word = xstrndup(text, strcspn(text, " \t"));

		text += strlen(word);
		text += strspn(text, " \t");
		r = health_option(health, word, err);
	}
	if (r < 0)
		return r;
	command.text = text + 4;
	command.text += strspn(command.text, " \t");
	if (strcasecmp(text, "NONE") == 0) {
		cJSON *test = json_array();

		json_push_string(test, "NONE");
		json_set(health, "Test", test);
	} else if (strncasecmp(text, "CMD", 3) == 0 &&
		   (!text[3] || isspace((unsigned char)text[3]))) {
		if (!text[3])
			command.text = "";
		r = set_health_test(health, &command, err);
		if (r < 0)
			return r;
	} else {
		return err_set(err, ERROR_INVALID,
			       "HEALTHCHECK: expected CMD or NONE, not "
			       "\"%.64s\"",
			       text);
	}
	json_set(change->config, "Healthcheck", steal_ptr(&health));
	return 0;
}

static const struct instruction {
	const char *name;
	change_handler apply;
} instructions[] = {
	{"CMD", on_cmd},
	{"ENTRYPOINT", on_entrypoint},
	{"ENV", on_env},
	{"EXPOSE", on_expose},
	{"HEALTHCHECK", on_healthcheck},
	{"LABEL", on_label},
	{"ONBUILD", on_onbuild},
	{"STOPSIGNAL", on_stopsignal},
	{"USER", on_user},
	{"VOLUME", on_volume},
	{"WORKDIR", on_workdir},
};

/* What a Dockerfile has but a finished image cannot take. */
static const char *const other_instructions[] = {
	"ADD", "ARG", "COPY", "FROM", "MAINTAINER", "RUN", "SHELL",
};

static int apply_line(cJSON *config, char *line, struct error *err)
{
	struct change change = {.config = config};
	size_t length = strcspn(line, " \t");
	size_t end = strlen(line);

	while (end > length && isspace((unsigned char)line[end - 1]))
		line[--end] = '\0';
	change.text = line + length + strspn(line + length, " \t");
	for (size_t i = 0; i < ARRAY_SIZE(instructions); i++) {
		const struct instruction *instruction = &instructions[i];

		if (strlen(instruction->name) != length ||
		    strncasecmp(line, instruction->name, length) != 0)
			continue;
		change.name = instruction->name;
		return instruction->apply(&change, err);
	}
	for (size_t i = 0; i < ARRAY_SIZE(other_instructions); i++) {
		if (strlen(other_instructions[i]) == length &&
		    strncasecmp(line, other_instructions[i], length) == 0)
			return err_set(err, ERROR_INVALID,
				       "%s is not a valid change command",
				       other_instructions[i]);
	}
	err_set(err, ERROR_INVALID, "unknown instruction: %.*s",
		length > 64 ? 64 : (int)length, line);
	return err_hint(err,
			"CMD, ENTRYPOINT, ENV, EXPOSE, HEALTHCHECK, LABEL, "
			"ONBUILD, STOPSIGNAL, USER, VOLUME and WORKDIR "
			"can be changed");
}

/* Takes a line's "\" off; true when it goes on in the next one. */
static bool continues(char *line)
{
	size_t end = strlen(line);

	while (end > 0 && isspace((unsigned char)line[end - 1]))
		end--;
	if (end == 0 || line[end - 1] != '\\')
		return false;
	line[end - 1] = '\0';
	return true;
}

int change_apply(cJSON *config, const char *text, struct error *err)
{
	cleanup_strv char **lines = NULL;
	bool several;
	bool any = false;

	if (strlen(text) > CHANGE_TEXT_MAX)
		return err_set(err, ERROR_INVALID,
			       "change: longer than %u bytes", CHANGE_TEXT_MAX);
	lines = strv_split(text, '\n');
	several = strv_length(lines) > 1;
	for (size_t i = 0; lines && lines[i]; i++) {
		cleanup_str struct str whole = {0};
		size_t first = i;
		const char *start = lines[i] + strspn(lines[i], " \t\r");
		int r;

		if (!*start || *start == '#')
			continue;
		while (continues(lines[i]) && lines[i + 1]) {
			str_append(&whole, lines[i]);
			i++;
			/* Comments between the parts are left out. */
			while (lines[i + 1] &&
			       lines[i][strspn(lines[i], " \t")] == '#')
				i++;
		}
		str_append(&whole, lines[i]);
		any = true;
		r = apply_line(config, whole.data + strspn(whole.data, " \t\r"),
			       err);
		if (r < 0 && several)
			return err_wrap(err, "change, line %zu", first + 1);
		if (r < 0)
			return err_wrap(err, "change");
	}
	if (!any)
		return err_set(err, ERROR_INVALID, "change: no instruction");
	return 0;
}
