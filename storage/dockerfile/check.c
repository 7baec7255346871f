#include "storage/dockerfile/check.h"

#include <limits.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/nearest.h"
#include "base/str.h"

#define FLAGS_MAX 8
#define MANY	  UINT_MAX

enum flag_kind { FLAG_TEXT, FLAG_BOOL, FLAG_LIST };

struct flag {
	const char *name;
	enum flag_kind kind;
};

static const struct {
	unsigned int least, most; /* words */
	struct flag flags[FLAGS_MAX];
} rules[DOCKERFILE_KEYWORDS] = {
	[DOCKERFILE_ADD] = {2,
			    MANY,
			    {{"checksum", FLAG_TEXT},
			     {"chmod", FLAG_TEXT},
			     {"chown", FLAG_TEXT},
			     {"exclude", FLAG_LIST},
			     {"keep-git-dir", FLAG_BOOL},
			     {"link", FLAG_BOOL},
			     {"unpack", FLAG_BOOL}}},
	[DOCKERFILE_ARG] = {1, MANY, {{0}}},
	[DOCKERFILE_CMD] = {0, MANY, {{0}}},
	[DOCKERFILE_COPY] = {2,
			     MANY,
			     {{"chmod", FLAG_TEXT},
			      {"chown", FLAG_TEXT},
			      {"exclude", FLAG_LIST},
			      {"from", FLAG_TEXT},
			      {"link", FLAG_BOOL},
			      {"parents", FLAG_BOOL}}},
	[DOCKERFILE_ENTRYPOINT] = {0, MANY, {{0}}},
	[DOCKERFILE_ENV] = {2, MANY, {{0}}},
	[DOCKERFILE_EXPOSE] = {1, MANY, {{0}}},
	[DOCKERFILE_FROM] = {1, 3, {{"platform", FLAG_TEXT}}},
	[DOCKERFILE_HEALTHCHECK] = {1,
				    MANY,
				    {{"interval", FLAG_TEXT},
				     {"retries", FLAG_TEXT},
				     {"start-interval", FLAG_TEXT},
				     {"start-period", FLAG_TEXT},
				     {"timeout", FLAG_TEXT}}},
	[DOCKERFILE_LABEL] = {2, MANY, {{0}}},
	[DOCKERFILE_MAINTAINER] = {1, 1, {{0}}},
	[DOCKERFILE_ONBUILD] = {0, 0, {{0}}},
	[DOCKERFILE_RUN] = {1,
			    MANY,
			    {{"mount", FLAG_LIST},
			     {"network", FLAG_TEXT},
			     {"security", FLAG_TEXT}}},
	[DOCKERFILE_SHELL] = {1, MANY, {{0}}},
	[DOCKERFILE_STOPSIGNAL] = {1, 1, {{0}}},
	[DOCKERFILE_USER] = {1, 1, {{0}}},
	[DOCKERFILE_VOLUME] = {1, MANY, {{0}}},
	[DOCKERFILE_WORKDIR] = {1, 1, {{0}}},
};

/* ---- flags ---- */

/* The value of flag, "--NAME" or "--NAME=VALUE", if it is that of name. */
static const char *flag_value(const char *flag, const char *name)
{
	size_t length = strlen(name);

	if (strncmp(flag + 2, name, length) != 0)
		return NULL;
	if (flag[2 + length] == '=')
		return flag + 2 + length + 1;
	return flag[2 + length] ? NULL : flag + 2 + length;
}

const char *
instruction_next_flag(const struct dockerfile_instruction *instruction,
		      const char *name, size_t *at)
{
	while (instruction->flags && instruction->flags[*at]) {
		const char *value =
			flag_value(instruction->flags[(*at)++], name);

		if (value)
			return value;
	}
	return NULL;
}

const char *instruction_flag(const struct dockerfile_instruction *instruction,
			     const char *name)
{
	size_t at = 0;

	return instruction_next_flag(instruction, name, &at);
}

static const struct flag *find_flag(enum dockerfile_keyword keyword,
				    const char *text)
{
	const struct flag *flags = rules[keyword].flags;

	for (size_t i = 0; i < FLAGS_MAX && flags[i].name; i++) {
		if (flag_value(text, flags[i].name))
			return &flags[i];
	}
	return NULL;
}

static int unknown_flag(enum dockerfile_keyword keyword, const char *text,
			struct error *err)
{
	const struct flag *flags = rules[keyword].flags;
	cleanup_free char *name = xstrndup(text, strcspn(text, "="));
	cleanup_free char *question = NULL;
	struct nearest nearest = {.text = name + 2};

	for (size_t i = 0; i < FLAGS_MAX && flags[i].name; i++)
		nearest_try(&nearest, flags[i].name);
	question = nearest_question(&nearest);
	return err_set(err, ERROR_INVALID, "unknown flag: %.80s%s", name,
		       question);
}

static int check_flag(const struct dockerfile_instruction *instruction,
		      size_t i, struct error *err)
{
	const char *text = instruction->flags[i];
	const struct flag *flag = find_flag(instruction->keyword, text);
	const char *value;
	size_t at = 0;

	if (!flag)
		return unknown_flag(instruction->keyword, text, err);
	value = flag_value(text, flag->name);
	if (flag->kind == FLAG_BOOL && *value &&
	    strcasecmp(value, "true") != 0 && strcasecmp(value, "false") != 0)
		return err_set(err, ERROR_INVALID,
			       "expecting boolean value for flag %s, not: "
			       "%.80s",
			       flag->name, value);
	if (flag->kind != FLAG_BOOL && !strchr(text, '='))
		return err_set(err, ERROR_INVALID,
			       "missing a value on flag: %s", flag->name);
	if (flag->kind == FLAG_LIST)
		return 0;
	(void)instruction_next_flag(instruction, flag->name, &at);
	if (at != i + 1)
		return err_set(err, ERROR_INVALID,
			       "duplicate flag specified: %s", flag->name);
	return 0;
}

/* ---- words ---- */

static int wrong_count(enum dockerfile_keyword keyword, size_t count,
		       struct error *err)
{
	const char *name = dockerfile_keyword_name(keyword);

	if (rules[keyword].most == 1)
		return err_set(err, ERROR_INVALID,
			       "%s requires exactly one argument", name);
	if (keyword == DOCKERFILE_FROM && count > 0)
		return err_set(err, ERROR_INVALID,
			       "FROM requires either one or three arguments: "
			       "FROM IMAGE [AS NAME]");
	if (rules[keyword].least == 2 && count == 1)
		return err_set(err, ERROR_INVALID,
			       "%s requires at least two arguments, but only "
			       "one was provided: the last is where to",
			       name);
	return err_set(err, ERROR_INVALID, "%s requires at least one argument",
		       name);
}

static int check_health(const struct dockerfile_instruction *instruction,
			struct error *err)
{
	const char *type = instruction->words[0];
	size_t count = strv_length(instruction->words);

	if (strcasecmp(type, "NONE") == 0)
		return count == 1 ? 0
				  : err_set(err, ERROR_INVALID,
					    "HEALTHCHECK NONE takes no "
					    "arguments");
	if (strcasecmp(type, "CMD") != 0)
		return err_set(err, ERROR_INVALID,
			       "Unknown type \"%.80s\" in HEALTHCHECK (try "
			       "CMD)",
			       type);
	if (count == 1)
		return err_set(err, ERROR_INVALID,
			       "Missing command after HEALTHCHECK CMD");
	return 0;
}

static int check_arguments(const struct dockerfile_instruction *instruction,
			   struct error *err)
{
	for (size_t i = 0; instruction->words[i]; i++) {
		if (*instruction->words[i] == '=' || !*instruction->words[i])
			return err_set(err, ERROR_INVALID,
				       "ARG names can not be blank");
	}
	return 0;
}

/* "FROM a AS b": what b may look like. */
static int check_from(const struct dockerfile_instruction *instruction,
		      struct error *err)
{
	char *const *words = instruction->words;
	const char *name;

	if (!words[1])
		return 0;
	if (!words[2] || strcasecmp(words[1], "AS") != 0)
		return wrong_count(DOCKERFILE_FROM, 2, err);
	name = words[2];
	if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
		    *name) ||
	    name[strspn(name, "abcdefghijklmnopqrstuvwxyz"
			      "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.")])
		return err_set(err, ERROR_INVALID,
			       "invalid name for build stage: \"%.80s\", name "
			       "can't start with a number or contain symbols",
			       name);
	return 0;
}

static int check_destination(const struct dockerfile_instruction *instruction,
			     struct error *err)
{
	size_t count = strv_length(instruction->words);
	struct dockerfile_heredoc heredoc;

	if (instruction->json ||
	    !dockerfile_heredoc_word(instruction->words[count - 1], &heredoc))
		return 0;
	dockerfile_heredoc_release(&heredoc);
	return err_set(err, ERROR_INVALID,
		       "%s cannot accept a heredoc as a destination",
		       dockerfile_keyword_name(instruction->keyword));
}

static int check_words(const struct dockerfile_instruction *instruction,
		       struct error *err)
{
	enum dockerfile_keyword keyword = instruction->keyword;
	size_t count = strv_length(instruction->words);

	if (count < rules[keyword].least || count > rules[keyword].most)
		return wrong_count(keyword, count, err);
	if (keyword == DOCKERFILE_SHELL && !instruction->json)
		return err_set(err, ERROR_INVALID,
			       "SHELL requires the arguments to be in JSON "
			       "form");
	if (keyword == DOCKERFILE_HEALTHCHECK)
		return check_health(instruction, err);
	if (keyword == DOCKERFILE_ARG)
		return check_arguments(instruction, err);
	if (keyword == DOCKERFILE_FROM)
		return check_from(instruction, err);
	if (keyword == DOCKERFILE_ADD || keyword == DOCKERFILE_COPY)
		return check_destination(instruction, err);
	return 0;
}

int instruction_check(const struct dockerfile_instruction *instruction,
		      struct error *err)
{
	int r = 0;

	for (size_t i = 0;
	     r == 0 && instruction->flags && instruction->flags[i]; i++)
		r = check_flag(instruction, i, err);
	if (r < 0)
		return r;
	if (instruction->keyword != DOCKERFILE_ONBUILD)
		return check_words(instruction, err);
	if (!instruction->trigger)
		return wrong_count(DOCKERFILE_ONBUILD, 0, err);
	return instruction_check(instruction->trigger, err);
}
