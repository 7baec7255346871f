#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/nearest.h"
#include "base/str.h"
#include "storage/dockerfile/dockerfile_internal.h"

/* Of what is no keyword, as much as an error repeats. */
#define NAME_SHOWN 80

/* How the text behind a keyword is taken apart. */
enum shape {
	SHAPE_TEXT,	  /* all of it as one word */
	SHAPE_WORDS,	  /* between white space */
	SHAPE_JSON_TEXT,  /* a JSON array, or all of it as one word */
	SHAPE_JSON_WORDS, /* a JSON array, or words */
	SHAPE_NAMES,	  /* words with quotes, "NAME" or "NAME=VALUE" */
	SHAPE_PAIRS,	  /* "NAME=VALUE …", or "NAME VALUE" */
	SHAPE_HEALTH,
	SHAPE_TRIGGER,
};

static const struct {
	const char *name;
	enum shape shape;
	bool heredocs;
} keywords[DOCKERFILE_KEYWORDS] = {
	[DOCKERFILE_ADD] = {"ADD", SHAPE_JSON_WORDS, true},
	[DOCKERFILE_ARG] = {"ARG", SHAPE_NAMES, false},
	[DOCKERFILE_CMD] = {"CMD", SHAPE_JSON_TEXT, false},
	[DOCKERFILE_COPY] = {"COPY", SHAPE_JSON_WORDS, true},
	[DOCKERFILE_ENTRYPOINT] = {"ENTRYPOINT", SHAPE_JSON_TEXT, false},
	[DOCKERFILE_ENV] = {"ENV", SHAPE_PAIRS, false},
	[DOCKERFILE_EXPOSE] = {"EXPOSE", SHAPE_WORDS, false},
	[DOCKERFILE_FROM] = {"FROM", SHAPE_WORDS, false},
	[DOCKERFILE_HEALTHCHECK] = {"HEALTHCHECK", SHAPE_HEALTH, false},
	[DOCKERFILE_LABEL] = {"LABEL", SHAPE_PAIRS, false},
	[DOCKERFILE_MAINTAINER] = {"MAINTAINER", SHAPE_TEXT, false},
	[DOCKERFILE_ONBUILD] = {"ONBUILD", SHAPE_TRIGGER, false},
	[DOCKERFILE_RUN] = {"RUN", SHAPE_JSON_TEXT, true},
	[DOCKERFILE_SHELL] = {"SHELL", SHAPE_JSON_TEXT, false},
	[DOCKERFILE_STOPSIGNAL] = {"STOPSIGNAL", SHAPE_TEXT, false},
	[DOCKERFILE_USER] = {"USER", SHAPE_TEXT, false},
	[DOCKERFILE_VOLUME] = {"VOLUME", SHAPE_JSON_WORDS, false},
	[DOCKERFILE_WORKDIR] = {"WORKDIR", SHAPE_TEXT, false},
};

const char *dockerfile_keyword_name(enum dockerfile_keyword keyword)
{
	return keywords[keyword].name;
}

static bool is_space(char character)
{
	return isspace((unsigned char)character);
}

static const char *skip_space(const char *text)
{
	while (is_space(*text))
		text++;
	return text;
}

static const char *find_space(const char *text)
{
	while (*text && !is_space(*text))
		text++;
	return text;
}

/* A word with its quotes and escapes; where it ends. */
static const char *read_word(const char *text, char escape, struct str *word)
{
	char quote = '\0';

	for (; *text && (quote || !is_space(*text)); text++) {
		if (*text == escape && quote != '\'') {
			/* At the end of the line it is nobody's. */
			if (!text[1])
				return text + 1;
			str_append_char(word, *text++);
		} else if (*text == quote) {
			quote = '\0';
		} else if (!quote && (*text == '\'' || *text == '"')) {
			quote = *text;
		}
		str_append_char(word, *text);
	}
	return text;
}

/* NULL-terminated; never NULL. */
static char **quoted_words(const char *text, char escape)
{
	char **words = xcalloc(1, sizeof(*words));

	while (*(text = skip_space(text))) {
		cleanup_str struct str word = {0};

		text = read_word(text, escape, &word);
		if (word.length > 0)
			strv_push(&words, str_text(&word));
	}
	return words;
}

static char **plain_words(const char *text)
{
	char **words = xcalloc(1, sizeof(*words));

	while (*(text = skip_space(text))) {
		const char *end = find_space(text);

		strv_push_take(&words, xstrndup(text, (size_t)(end - text)));
		text = end;
	}
	return words;
}

/* ---- flags ---- */

/* A word without its quotes and escapes; where it ends. */
static const char *read_flag(const char *text, char escape, struct str *word)
{
	char quote = '\0';

	for (; *text && (quote || !is_space(*text)); text++) {
		if (*text == quote) {
			quote = '\0';
			continue;
		}
		if (!quote && (*text == '\'' || *text == '"')) {
			quote = *text;
			continue;
		}
		if (*text == escape) {
			if (!text[1])
				return text + 1;
			text++;
		}
		str_append_char(word, *text);
	}
	return text;
}

/* Takes the "--flags" off the start; "--" alone ends them. */
static const char *take_flags(const char *text, char escape, char ***flags)
{
	for (;;) {
		cleanup_str struct str word = {0};

		text = skip_space(text);
		if (!str_starts(text, "--"))
			return text;
		text = read_flag(text, escape, &word);
		if (str_equal(str_text(&word), "--"))
			return skip_space(text);
		strv_push(flags, str_text(&word));
	}
}

/* ---- words ---- */

/* 1: words are its elements; 0: it is no JSON array. */
static int json_words(const char *text, char ***ret_words, struct error *err)
{
	cleanup_json cJSON *json = NULL;
	cleanup_strv char **words = xcalloc(1, sizeof(*words));
	const cJSON *element;

	if (*text != '[' ||
	    json_parse(text, strlen(text), "array", &json, NULL) < 0 ||
	    !cJSON_IsArray(json))
		return 0;
	cJSON_ArrayForEach(element, json)
	{
		if (!cJSON_IsString(element))
			return err_set(err, ERROR_INVALID,
				       "an array of arguments must have "
				       "strings only");
		strv_push(&words, element->valuestring);
	}
	*ret_words = words;
	words = NULL;
	return 1;
}

static int read_pairs(struct dockerfile_instruction *instruction,
		      const char *text, char escape, struct error *err)
{
	cleanup_strv char **words = quoted_words(text, escape);
	const char *end = find_space(text);

	/* The old form: all behind the name is the value. */
	if (words[0] && !strchr(words[0], '=')) {
		if (!*skip_space(end))
			return err_set(err, ERROR_INVALID,
				       "%s must have two arguments",
				       keywords[instruction->keyword].name);
		strv_push_take(&instruction->words,
			       xstrndup(text, (size_t)(end - text)));
		strv_push(&instruction->words, skip_space(end));
		return 0;
	}
	for (size_t i = 0; words[i]; i++) {
		const char *sign = strchr(words[i], '=');

		if (!sign)
			return err_set(err, ERROR_INVALID,
				       "%s has no \"=\": it must be NAME=VALUE",
				       words[i]);
		if (sign == words[i])
			return err_set(err, ERROR_INVALID,
				       "%s names can not be blank",
				       keywords[instruction->keyword].name);
		strv_push_take(&instruction->words,
			       xstrndup(words[i], (size_t)(sign - words[i])));
		strv_push(&instruction->words, sign + 1);
	}
	return 0;
}

/* All of text as one word, if there is any. */
static void push_text(struct dockerfile_instruction *instruction,
		      const char *text)
{
	if (*text)
		strv_push(&instruction->words, text);
}

static int read_json_or(struct dockerfile_instruction *instruction,
			const char *text, bool split, struct error *err)
{
	char **words = NULL;
	int r = json_words(text, &words, err);

	if (r < 0)
		return r;
	instruction->json = r == 1;
	if (r == 0 && !split) {
		push_text(instruction, text);
		return 0;
	}
	if (r == 0)
		words = plain_words(text);
	for (size_t i = 0; words[i]; i++)
		strv_push(&instruction->words, words[i]);
	strv_free(words);
	return 0;
}

static int read_health(struct dockerfile_instruction *instruction,
		       const char *text, struct error *err)
{
	const char *end = find_space(text);

	if (end == text)
		return 0;
	strv_push_take(&instruction->words,
		       xstrndup(text, (size_t)(end - text)));
	return read_json_or(instruction, skip_space(end), false, err);
}

/* What may not stand behind ONBUILD, checked before it is looked into. */
static int check_trigger(enum dockerfile_keyword keyword, struct error *err)
{
	if (keyword == DOCKERFILE_ONBUILD)
		return err_set(err, ERROR_INVALID,
			       "chaining ONBUILD via `ONBUILD ONBUILD` is not "
			       "allowed");
	if (keyword == DOCKERFILE_FROM || keyword == DOCKERFILE_MAINTAINER)
		return err_set(err, ERROR_INVALID,
			       "%s is not allowed as an ONBUILD trigger",
			       keywords[keyword].name);
	return 0;
}

static int parse_one(const char *text, char escape, bool trigger,
		     struct dockerfile_instruction *ret_instruction,
		     struct error *err);

static int read_trigger(struct dockerfile_instruction *instruction,
			const char *text, char escape, struct error *err)
{
	struct dockerfile_instruction trigger;
	int r;

	if (!*text)
		return 0;
	r = parse_one(text, escape, true, &trigger, err);
	if (r < 0)
		return r;
	instruction->trigger = xcalloc(1, sizeof(*instruction->trigger));
	*instruction->trigger = trigger;
	return 0;
}

static int read_words(struct dockerfile_instruction *instruction,
		      const char *text, char escape, struct error *err)
{
	switch (keywords[instruction->keyword].shape) {
	case SHAPE_TEXT:
		push_text(instruction, text);
		return 0;
	case SHAPE_WORDS:
		instruction->words = plain_words(text);
		return 0;
	case SHAPE_NAMES:
		instruction->words = quoted_words(text, escape);
		return 0;
	case SHAPE_JSON_TEXT:
		return read_json_or(instruction, text, false, err);
	case SHAPE_JSON_WORDS:
		return read_json_or(instruction, text, true, err);
	case SHAPE_PAIRS:
		return read_pairs(instruction, text, escape, err);
	case SHAPE_HEALTH:
		return read_health(instruction, text, err);
	case SHAPE_TRIGGER:
		return read_trigger(instruction, text, escape, err);
	}
	return 0;
}

/* ---- heredocs ---- */

/* An unquoted name; false when quotes do not end. */
static bool read_name(const char *text, struct dockerfile_heredoc *heredoc)
{
	cleanup_str struct str name = {0};
	char quote = '\0';

	heredoc->expand = true;
	for (; *text; text++) {
		if (*text == quote) {
			quote = '\0';
		} else if (!quote && (*text == '\'' || *text == '"')) {
			quote = *text;
			heredoc->expand = false;
		} else if (!quote && is_space(*text)) {
			return false;
		} else {
			if (*text == '\\' && !quote && text[1])
				text++;
			str_append_char(&name, *text);
		}
	}
	if (quote || name.length == 0)
		return false;
	heredoc->name = str_steal(&name);
	return true;
}

bool dockerfile_heredoc_word(const char *word,
			     struct dockerfile_heredoc *ret_heredoc)
{
	struct dockerfile_heredoc heredoc = {0};

	for (; isdigit((unsigned char)*word); word++) {
		if (heredoc.fd > 1000000)
			return false;
		heredoc.fd = 10 * heredoc.fd + (unsigned int)(*word - '0');
	}
	if (!str_starts(word, "<<"))
		return false;
	word += 2;
	if (*word == '-') {
		heredoc.chomp = true;
		word++;
	}
	word = skip_space(word);
	if (strchr(word, '<') || !read_name(word, &heredoc))
		return false;
	*ret_heredoc = heredoc;
	return true;
}

void dockerfile_heredoc_release(struct dockerfile_heredoc *heredoc)
{
	free(heredoc->name);
	free(heredoc->content);
	*heredoc = (struct dockerfile_heredoc){0};
}

char *dockerfile_heredoc_chomped(const char *content)
{
	cleanup_str struct str text = {0};
	bool start = true;

	for (; *content; content++) {
		if (start && *content == '\t')
			continue;
		start = *content == '\n';
		str_append_char(&text, *content);
	}
	return str_steal(&text);
}

/* As read_word(), and "<< NAME" is one word. */
static const char *read_heredoc_word(const char *text, struct str *word)
{
	char quote = '\0';

	for (; *text && (quote || !is_space(*text)); text++) {
		if (*text == '\\' && quote != '\'' && text[1]) {
			str_append_char(word, *text++);
		} else if (*text == quote) {
			quote = '\0';
		} else if (!quote && (*text == '\'' || *text == '"')) {
			quote = *text;
		} else if (!quote && str_starts(text, "<<")) {
			const char *end = skip_space(text + 2);

			str_append_bytes(word, text, (size_t)(end - text));
			text = end - 1;
			continue;
		}
		str_append_char(word, *text);
	}
	return text;
}

size_t instruction_heredocs(const char *text,
			    struct dockerfile_heredoc **ret_heredocs)
{
	struct dockerfile_heredoc *heredocs = NULL;
	size_t count = 0;

	while (*(text = skip_space(text))) {
		cleanup_str struct str word = {0};
		struct dockerfile_heredoc heredoc;

		text = read_heredoc_word(text, &word);
		if (!dockerfile_heredoc_word(str_text(&word), &heredoc))
			continue;
		heredocs = xrealloc(heredocs, count + 1, sizeof(*heredocs));
		heredocs[count++] = heredoc;
	}
	*ret_heredocs = heredocs;
	return count;
}

/* ---- instructions ---- */

void instruction_release(struct dockerfile_instruction *instruction)
{
	free(instruction->text);
	strv_free(instruction->flags);
	strv_free(instruction->words);
	for (size_t i = 0; i < instruction->heredoc_count; i++)
		dockerfile_heredoc_release(&instruction->heredocs[i]);
	free(instruction->heredocs);
	if (instruction->trigger) {
		instruction_release(instruction->trigger);
		free(instruction->trigger);
	}
	*instruction = (struct dockerfile_instruction){0};
}

static bool find_keyword(const char *name, size_t length,
			 enum dockerfile_keyword *ret_keyword)
{
	for (size_t i = 0; i < DOCKERFILE_KEYWORDS; i++) {
		if (strlen(keywords[i].name) == length &&
		    strncasecmp(keywords[i].name, name, length) == 0) {
			*ret_keyword = (enum dockerfile_keyword)i;
			return true;
		}
	}
	return false;
}

/* Without the white space around it; caller frees. */
static char *trimmed(const char *text)
{
	size_t length;

	text = skip_space(text);
	length = strlen(text);
	while (length > 0 && is_space(text[length - 1]))
		length--;
	return xstrndup(text, length);
}

static int unknown_keyword(const char *name, size_t length, struct error *err)
{
	cleanup_free char *text =
		xstrndup(name, length > NAME_SHOWN ? NAME_SHOWN : length);
	cleanup_free char *question = NULL;
	struct nearest nearest = {.text = text};

	for (size_t i = 0; i < DOCKERFILE_KEYWORDS; i++)
		nearest_try(&nearest, keywords[i].name);
	question = nearest_question(&nearest);
	return err_set(err, ERROR_INVALID, "unknown instruction: %s%s", text,
		       question);
}

static int parse_one(const char *text, char escape, bool trigger,
		     struct dockerfile_instruction *ret_instruction,
		     struct error *err)
{
	struct dockerfile_instruction instruction = {.text = trimmed(text)};
	const char *name = instruction.text;
	const char *end = find_space(name);
	int r = 0;

	if (!find_keyword(name, (size_t)(end - name), &instruction.keyword))
		r = unknown_keyword(name, (size_t)(end - name), err);
	else if (trigger)
		r = check_trigger(instruction.keyword, err);
	if (r == 0)
		r = read_words(
			&instruction,
			take_flags(skip_space(end), escape, &instruction.flags),
			escape, err);
	if (r < 0) {
		instruction_release(&instruction);
		return r;
	}
	*ret_instruction = instruction;
	return 0;
}

int instruction_parse(const char *text, char escape,
		      struct dockerfile_instruction *ret_instruction,
		      struct error *err)
{
	return parse_one(text, escape, false, ret_instruction, err);
}

bool instruction_takes_heredocs(
	const struct dockerfile_instruction *instruction)
{
	if (instruction->trigger)
		instruction = instruction->trigger;
	return keywords[instruction->keyword].heredocs && !instruction->json;
}
