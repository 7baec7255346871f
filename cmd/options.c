#include "cmd/command.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"

static struct option_value *value_find(const struct options *options,
				       const char *name, size_t length)
{
	for (size_t i = 0; i < options->count; i++) {
		const char *candidate = options->values[i].option->name;

		if (strncmp(candidate, name, length) == 0 &&
		    candidate[length] == '\0')
			return &options->values[i];
	}
	return NULL;
}

/* docker's second words for an option, which its help does not show. */
static const struct {
	const char *alias;
	const char *name;
} aliases[] = {
	{"dns-opt", "dns-option"},
	{"net", "network"},
};

static struct option_value *value_find_alias(const struct options *options,
					     const char *word, size_t length)
{
	struct option_value *value = value_find(options, word, length);

	for (size_t i = 0; !value && i < ARRAY_SIZE(aliases); i++)
		if (strlen(aliases[i].alias) == length &&
		    strncmp(aliases[i].alias, word, length) == 0)
			value = value_find(options, aliases[i].name,
					   strlen(aliases[i].name));
	return value;
}

static struct option_value *value_find_short(const struct options *options,
					     char short_name)
{
	for (size_t i = 0; i < options->count; i++)
		if (options->values[i].option->short_name == short_name)
			return &options->values[i];
	return NULL;
}

static int value_check(const struct option *option, const char *shown,
		       const char *text, struct error *err)
{
	const char *problem = NULL;
	int64_t number;
	bool flag;

	switch (option->type) {
	case OPTION_FLAG:
		if (parse_bool(text, &flag) < 0)
			problem = "expected true or false";
		break;
	case OPTION_INT:
		if (parse_i64(text, &number) < 0)
			problem = "expected a whole number";
		break;
	case OPTION_BYTES:
		if (parse_bytes(text, &number) < 0)
			problem = "expected a size such as 64m or 1g";
		break;
	case OPTION_DURATION:
		if (parse_duration(text, &number) < 0)
			problem = "expected a duration such as 30s or 1m30s";
		break;
	case OPTION_STRING:
	case OPTION_LIST:
		break;
	}
	if (problem)
		return err_set(err, ERROR_INVALID,
			       "invalid argument \"%s\" for \"%s\" flag: %s",
			       text, shown, problem);
	return 0;
}

static int value_set(struct option_value *value, const char *text,
		     struct error *err)
{
	cleanup_free char *shown = NULL;
	int r;

	if (value->option->short_name)
		shown = xasprintf("-%c, --%s", value->option->short_name,
				  value->option->name);
	else
		shown = xasprintf("--%s", value->option->name);
	r = value_check(value->option, shown, text, err);
	if (r < 0)
		return r;
	if (value->option->type != OPTION_LIST || !value->given) {
		strv_free(value->values);
		value->values = NULL;
	}
	strv_push(&value->values, text);
	value->given = true;
	return 0;
}

/* "--name", "--name=value" or "--name value". *index may move on. */
static int parse_long(struct options *options, int argc, char **argv,
		      int *index, struct error *err)
{
	const char *name = argv[*index] + 2;
	const char *equals = strchr(name, '=');
	size_t length = equals ? (size_t)(equals - name) : strlen(name);
	struct option_value *value = value_find_alias(options, name, length);

	if (!value)
		return err_set(err, ERROR_INVALID, "unknown flag: --%.*s",
			       (int)length, name);
	if (equals)
		return value_set(value, equals + 1, err);
	if (value->option->type == OPTION_FLAG)
		return value_set(value, "true", err);
	if (*index + 1 >= argc)
		return err_set(err, ERROR_INVALID,
			       "flag needs an argument: --%s",
			       value->option->name);
	return value_set(value, argv[++*index], err);
}

/* "-it", "-p8080:80", "-p 8080:80", "-e=X=1". */
static int parse_short(struct options *options, int argc, char **argv,
		       int *index, struct error *err)
{
	const char *word = argv[*index];
	int r;

	for (const char *c = word + 1; *c; c++) {
		struct option_value *value = value_find_short(options, *c);

		if (!value)
			return err_set(err, ERROR_INVALID,
				       "unknown shorthand flag: '%c' in %s", *c,
				       word);
		if (value->option->type == OPTION_FLAG) {
			if (c[1] == '=')
				return value_set(value, c + 2, err);
			r = value_set(value, "true", err);
			if (r < 0)
				return r;
			continue;
		}
		if (c[1] == '=')
			return value_set(value, c + 2, err);
		if (c[1] != '\0')
			return value_set(value, c + 1, err);
		if (*index + 1 >= argc)
			return err_set(err, ERROR_INVALID,
				       "flag needs an argument: '%c' in %s", *c,
				       word);
		return value_set(value, argv[++*index], err);
	}
	return 0;
}

static void options_init(struct options *options, const struct command *command)
{
	static const struct option *const none[] = {NULL};

	*options = (struct options){
		.tables = command->options ? command->options : none};
	for (size_t t = 0; options->tables[t]; t++) {
		for (const struct option *o = options->tables[t]; o->name;
		     o++) {
			struct option_value *value;

			options->values =
				xrealloc(options->values, options->count + 1,
					 sizeof(*options->values));
			value = &options->values[options->count++];
			*value = (struct option_value){.option = o};
			if (o->default_text)
				strv_push(&value->values, o->default_text);
		}
	}
}

/* docker's words for a wrong number of operands. */
static int check_operands(const struct command *command, const char *path,
			  const struct options *options, struct error *err)
{
	int count = (int)strv_length(options->operands);
	int min = command->operands_min;
	int max = command->operands_max;

	if (count >= min && (max < 0 || count <= max))
		return 0;
	if (max == 0)
		return err_set(err, ERROR_INVALID,
			       "'moss %s' accepts no arguments", path);
	if (min == max)
		return err_set(err, ERROR_INVALID,
			       "'moss %s' requires %d argument%s", path, min,
			       min == 1 ? "" : "s");
	if (max < 0)
		return err_set(err, ERROR_INVALID,
			       "'moss %s' requires at least %d argument%s",
			       path, min, min == 1 ? "" : "s");
	if (min == 0)
		return err_set(err, ERROR_INVALID,
			       "'moss %s' requires at most %d argument%s", path,
			       max, max == 1 ? "" : "s");
	return err_set(err, ERROR_INVALID,
		       "'moss %s' requires at least %d and at most %d "
		       "arguments",
		       path, min, max);
}

int options_parse(const struct command *command, const char *path, int argc,
		  char **argv, struct options *ret_options, bool *ret_help,
		  struct error *err)
{
	struct options options;
	bool only_operands = false;
	int r = 0;

	options_init(&options, command);
	*ret_help = false;
	for (int i = 0; i < argc && r >= 0; i++) {
		const char *word = argv[i];

		if (only_operands || word[0] != '-' || word[1] == '\0') {
			strv_push(&options.operands, word);
			if (command->stop_at_operand)
				only_operands = true;
		} else if (strcmp(word, "--") == 0) {
			only_operands = true;
		} else if (strcmp(word, "--help") == 0 ||
			   (strcmp(word, "-h") == 0 &&
			    !value_find_short(&options, 'h'))) {
			*ret_help = true;
			break;
		} else if (word[1] == '-') {
			r = parse_long(&options, argc, argv, &i, err);
		} else {
			r = parse_short(&options, argc, argv, &i, err);
		}
	}
	if (r >= 0 && !*ret_help &&
	    check_operands(command, path, &options, err) < 0)
		r = -E2BIG;
	if (r < 0) {
		options_release(&options);
		return r;
	}
	*ret_options = options;
	return 0;
}

void options_release(struct options *options)
{
	for (size_t i = 0; i < options->count; i++)
		strv_free(options->values[i].values);
	free(options->values);
	strv_free(options->operands);
	*options = (struct options){0};
}

static const struct option_value *value_get(const struct options *options,
					    const char *name)
{
	const struct option_value *value =
		value_find(options, name, strlen(name));

	assert(value);
	return value;
}

bool option_given(const struct options *options, const char *name)
{
	return value_get(options, name)->given;
}

bool option_flag(const struct options *options, const char *name)
{
	const struct option_value *value = value_get(options, name);
	bool flag = false;

	assert(value->option->type == OPTION_FLAG);
	if (value->values)
		(void)parse_bool(value->values[0], &flag);
	return flag;
}

const char *option_string(const struct options *options, const char *name)
{
	const struct option_value *value = value_get(options, name);

	return value->values ? value->values[0] : NULL;
}

const char *option_platform(const struct options *options)
{
	return option_given(options, "platform")
		       ? option_string(options, "platform")
		       : getenv("DOCKER_DEFAULT_PLATFORM");
}

int64_t option_number(const struct options *options, const char *name)
{
	const struct option_value *value = value_get(options, name);
	int64_t number = 0;

	if (!value->values)
		return 0;
	switch (value->option->type) {
	case OPTION_INT:
		(void)parse_i64(value->values[0], &number);
		break;
	case OPTION_BYTES:
		(void)parse_bytes(value->values[0], &number);
		break;
	case OPTION_DURATION:
		(void)parse_duration(value->values[0], &number);
		break;
	case OPTION_FLAG:
	case OPTION_STRING:
	case OPTION_LIST:
		assert(false);
	}
	return number;
}

char *const *option_list(const struct options *options, const char *name)
{
	static char *const empty[] = {NULL};
	const struct option_value *value = value_get(options, name);

	return value->values ? value->values : empty;
}

cJSON *option_map(char *const *list)
{
	cJSON *map = json_object();

	for (size_t i = 0; list && list[i]; i++) {
		const char *equals = strchr(list[i], '=');
		cleanup_free char *key = NULL;

		key = equals ? xstrndup(list[i], (size_t)(equals - list[i]))
			     : xstrdup(list[i]);
		json_set_string(map, key, equals ? equals + 1 : "");
	}
	return map;
}
