#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "core/monitor/log.h"
#include "core/monitor/log_attributes.h"

#define LOCAL_MAX_SIZE 20000000 /* docker's of its local driver */
#define LOCAL_MAX_FILE 5

/* units.FromHumanSize of docker: a decimal number, powers of 1000. */
static int parse_size(const char *text, int64_t *ret_bytes)
{
	static const char suffixes[] = "kmgtp";
	const char *suffix;
	double value;
	char *end;

	if (*text < '0' || *text > '9')
		return -EINVAL;
	value = strtod(text, &end);
	if (*end == ' ')
		end++;
	if (*end) {
		suffix = strchr(suffixes, *end | 0x20);
		if (suffix) {
			for (const char *s = suffixes; s <= suffix; s++)
				value *= 1000;
			end++;
		}
		if (*end == 'i' || *end == 'I')
			end++;
		if (*end == 'b' || *end == 'B')
			end++;
	}
	if (*end)
		return -EINVAL;
	if (!(value >= 1) || value > 9e18)
		return -ERANGE;
	*ret_bytes = (int64_t)value;
	return 0;
}

static int parse_max_size(const char *text, struct log_options *options,
			  struct error *err)
{
	if (parse_size(text, &options->max_size) < 0)
		return err_set(err, ERROR_INVALID,
			       "invalid value for log option max-size: \"%s\"",
			       text);
	return 0;
}

static int parse_max_file(const char *text, struct log_options *options,
			  struct error *err)
{
	uint64_t count;

	if (parse_u64(text, &count) < 0 || count > INT_MAX)
		return err_set(err, ERROR_INVALID,
			       "invalid value for log option max-file: \"%s\"",
			       text);
	if (count < 1)
		return err_set(err, ERROR_INVALID,
			       "log option max-file cannot be less than 1");
	options->max_file = (int)count;
	return 0;
}

static int parse_compress(const char *text, struct log_options *options,
			  struct error *err)
{
	if (parse_bool(text, &options->compress) < 0)
		return err_set(err, ERROR_INVALID,
			       "invalid value for log option compress: \"%s\"",
			       text);
	return 0;
}

/* Nothing of the output is ever dropped: its writer waits instead. */
static int parse_mode(const char *text, struct log_options *options,
		      struct error *err)
{
	(void)options;
	if (str_equal(text, "blocking"))
		return 0;
	if (!str_equal(text, "non-blocking"))
		return err_set(err, ERROR_INVALID,
			       "logger: logging mode not supported: %s", text);
	err_set(err, ERROR_UNSUPPORTED,
		"log option mode: non-blocking loses lines, which moss does "
		"not");
	return err_hint(err, "leave it out");
}

static int parse_nothing(const char *text, struct log_options *options,
			 struct error *err)
{
	(void)text;
	(void)options;
	(void)err;
	return 0;
}

static int parse_regex(const char *text, struct log_options *options,
		       struct error *err)
{
	(void)options;
	return log_regex_check(text, err);
}

static int parse_tag(const char *text, struct log_options *options,
		     struct error *err)
{
	(void)options;
	return log_tag_check(text, err);
}

static const struct {
	const char *name;
	int (*parse)(const char *text, struct log_options *options,
		     struct error *err);
} option_table[] = {
	{"max-size", parse_max_size},
	{"max-file", parse_max_file},
	{"compress", parse_compress},
	{"mode", parse_mode},
	{"labels", parse_nothing},
	{"env", parse_nothing},
	{"labels-regex", parse_regex},
	{"env-regex", parse_regex},
	{"tag", parse_tag},
};

static int parse_option(const cJSON *item, const char *driver,
			struct log_options *options, struct error *err)
{
	if (!cJSON_IsString(item))
		return err_set(err, ERROR_INVALID,
			       "LogConfig.Config.%s: expected a string",
			       item->string);
	for (size_t i = 0; i < ARRAY_SIZE(option_table); i++) {
		if (str_equal(item->string, option_table[i].name))
			return option_table[i].parse(item->valuestring, options,
						     err);
	}
	err_set(err, ERROR_INVALID, "unknown log opt '%s' for %s log driver",
		item->string, driver);
	return err_hint(err, "known are max-size, max-file, compress, "
			     "labels, labels-regex, env, env-regex and tag");
}

int log_options_parse(const cJSON *log_config, struct log_options *ret_options,
		      struct error *err)
{
	struct log_options options = {.max_size = -1, .max_file = 1};
	const cJSON *config = NULL;
	const char *driver = NULL;
	const cJSON *item;
	int r;

	if (log_config && !cJSON_IsNull(log_config)) {
		r = json_get_string(log_config, "LogConfig", "Type", &driver,
				    err);
		if (r < 0)
			return r;
		r = json_get_object(log_config, "LogConfig", "Config", &config,
				    err);
		if (r < 0)
			return r;
	}
	if (str_empty(driver))
		driver = "json-file";
	options.disabled = str_equal(driver, "none");
	if (str_equal(driver, "local")) {
		options.max_size = LOCAL_MAX_SIZE;
		options.max_file = LOCAL_MAX_FILE;
	} else if (!options.disabled && !str_equal(driver, "json-file")) {
		err_set(err, ERROR_INVALID, "unknown log driver \"%s\"",
			driver);
		return err_hint(err, "json-file, local and none are known; "
				     "`moss logs -f` can feed another");
	}
	cJSON_ArrayForEach(item, config)
	{
		r = parse_option(item, driver, &options, err);
		if (r < 0)
			return r;
	}
	if (options.compress && (options.max_file < 2 || options.max_size < 0))
		return err_set(err, ERROR_INVALID,
			       "compress cannot be true when max-file is less "
			       "than 2 or max-size is not set");
	*ret_options = options;
	return 0;
}
