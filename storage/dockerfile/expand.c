#include "storage/dockerfile/expand.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "storage/dockerfile/glob.h"

/* "${a:-${b:-${c…": as deep as that. */
#define DEPTH_MAX 64

/* Values that hold values double in a line; this is where it ends. */
#define RESULT_MAX GLOB_RESULT_MAX

/* A walk over one word. */
struct walk {
	const struct expand *expand;
	const char *next;
	unsigned int depth;
	struct error *err;
};

/* What comes of it: as one text, and as words. */
struct result {
	struct str text;
	struct str word; /* the one that is being made */
	bool in_word;
	char **words;
};

#define cleanup_result CLEANUP(result_release)

static void result_release(struct result *result)
{
	str_release(&result->text);
	str_release(&result->word);
	strv_free(result->words);
}

static void end_word(struct result *result)
{
	if (result->word.length > 0)
		strv_push(&result->words, str_text(&result->word));
	str_clear(&result->word);
	result->in_word = false;
}

/* A character that is one of a word, whatever it is. */
static void add_quoted(struct result *result, char character)
{
	str_append_char(&result->text, character);
	str_append_char(&result->word, character);
	result->in_word = true;
}

static void add_plain(struct result *result, char character)
{
	if (!isspace((unsigned char)character)) {
		add_quoted(result, character);
		return;
	}
	str_append_char(&result->text, character);
	if (result->in_word)
		end_word(result);
}

static void add_plain_text(struct result *result, const char *text)
{
	for (; *text; text++)
		add_plain(result, *text);
}

static void add_quoted_text(struct result *result, const char *text)
{
	for (; *text; text++)
		add_quoted(result, *text);
	result->in_word = true;
}

static int bad(struct walk *walk, const char *what)
{
	return err_set(walk->err, ERROR_INVALID, "%s", what);
}

static int walk_dollar(struct walk *walk, char **ret_value);

/* ---- quotes ---- */

static int walk_single(struct walk *walk, struct result *result)
{
	for (walk->next++; *walk->next != '\''; walk->next++) {
		if (!*walk->next)
			return bad(walk, "a single quote has no other");
		add_quoted(result, *walk->next);
	}
	walk->next++;
	result->in_word = true;
	return 0;
}

/* Of what stands behind an escape character in double quotes. */
static bool is_escapable(const struct walk *walk, char character)
{
	return character == '"' || character == '$' ||
	       character == walk->expand->escape;
}

static int walk_double(struct walk *walk, struct result *result, bool raw)
{
	for (walk->next++; *walk->next != '"';) {
		cleanup_free char *value = NULL;
		int r;

		if (!*walk->next)
			return bad(walk, "a double quote has no other");
		if (result->text.length > RESULT_MAX)
			return bad(walk, "it gets too long");
		if (*walk->next == '$') {
			r = walk_dollar(walk, &value);
			if (r < 0)
				return r;
			add_quoted_text(result, value);
			continue;
		}
		if (*walk->next == walk->expand->escape) {
			if (is_escapable(walk, walk->next[1])) {
				if (raw)
					add_quoted(result, *walk->next);
				walk->next++;
			} else if (!walk->next[1]) {
				walk->next++;
				continue;
			}
		}
		add_quoted(result, *walk->next++);
	}
	walk->next++;
	result->in_word = true;
	return 0;
}

/*
 * Up to stop, which is passed over, or to the end for '\0'. raw: escapes stay,
 * as what comes of it is a pattern.
 */
static int walk_until(struct walk *walk, char stop, bool raw,
		      struct result *result)
{
	bool quotes = !walk->expand->text;
	int r = 0;

	while (r == 0 && *walk->next) {
		cleanup_free char *value = NULL;

		if (result->text.length > RESULT_MAX)
			return bad(walk, "it gets too long");
		if (stop && *walk->next == stop) {
			walk->next++;
			return 0;
		}
		if (quotes && *walk->next == '\'') {
			r = walk_single(walk, result);
		} else if (quotes && *walk->next == '"') {
			r = walk_double(walk, result, raw);
		} else if (*walk->next == '$') {
			r = walk_dollar(walk, &value);
			if (r == 0)
				add_plain_text(result, value);
		} else if (*walk->next == walk->expand->escape) {
			if (raw)
				add_quoted(result, *walk->next);
			walk->next++;
			if (*walk->next)
				add_quoted(result, *walk->next++);
		} else {
			add_plain(result, *walk->next++);
		}
	}
	if (r == 0 && stop)
		return err_set(walk->err, ERROR_INVALID,
			       "a substitution has no closing %c", stop);
	return r;
}

/* ---- variables ---- */

/* "NAME", "12" or one of the shell's "@*#?-$!"; caller frees. */
static char *read_name(struct walk *walk)
{
	const char *start = walk->next;

	if (isdigit((unsigned char)*start)) {
		while (isdigit((unsigned char)*walk->next))
			walk->next++;
	} else if (*start && strchr("@*#?-$!", *start)) {
		walk->next++;
	} else {
		while (isalnum((unsigned char)*walk->next) ||
		       *walk->next == '_')
			walk->next++;
	}
	return xstrndup(start, (size_t)(walk->next - start));
}

static int read_text(struct walk *walk, char stop, bool raw, char **ret_text)
{
	cleanup_result struct result result = {0};
	int r = walk_until(walk, stop, raw, &result);

	if (r == 0)
		*ret_text = str_steal(&result.text);
	return r;
}

static int require(struct walk *walk, const char *name, const char *value,
		   bool filled, const char *word)
{
	const char *what = filled ? "is not allowed to be empty"
				  : "is not allowed to be unset";

	if (value && (*value || !filled))
		return 0;
	if (!value)
		what = "is not allowed to be unset";
	return err_set(walk->err, ERROR_INVALID, "%.80s: %.400s", name,
		       *word ? word : what);
}

/* ${NAME-W}, ${NAME:-W} and the like, from the sign on. */
static int substitute(struct walk *walk, const char *name, const char *value,
		      char sign, bool filled, char **ret_value)
{
	cleanup_free char *word = NULL;
	bool set = value && (*value || !filled);
	int r = read_text(walk, '}', false, &word);

	if (r < 0)
		return r;
	if (sign == '?')
		r = require(walk, name, value, filled, word);
	if (r < 0)
		return r;
	if (sign == '+')
		*ret_value = xstrdup(set ? word : "");
	else
		*ret_value = xstrdup(set ? value : word);
	return 0;
}

static int trim(struct walk *walk, const char *value, char sign,
		char **ret_value)
{
	cleanup_free char *pattern = NULL;
	cleanup_glob struct glob *glob = NULL;
	bool longest = *walk->next == sign;
	size_t length = 0;
	int r;

	if (longest)
		walk->next++;
	r = read_text(walk, '}', true, &pattern);
	if (r == 0)
		r = glob_compile(pattern, GLOB_WORD, &glob, walk->err);
	if (r < 0)
		return r;
	value = value ? value : "";
	if (sign == '#') {
		(void)glob_prefix(glob, value, longest, &length);
		*ret_value = xstrdup(value + length);
	} else {
		(void)glob_suffix(glob, value, longest, &length);
		*ret_value = xstrndup(value, strlen(value) - length);
	}
	return 0;
}

static int replace(struct walk *walk, const char *value, char **ret_value)
{
	cleanup_free char *pattern = NULL;
	cleanup_free char *replacement = NULL;
	cleanup_glob struct glob *glob = NULL;
	bool each = *walk->next == '/';
	int r;

	if (each)
		walk->next++;
	r = read_text(walk, '/', true, &pattern);
	if (r == 0)
		r = read_text(walk, '}', true, &replacement);
	if (r == 0)
		r = glob_compile(pattern, GLOB_WORD, &glob, walk->err);
	if (r == 0)
		*ret_value = glob_replace(glob, value ? value : "", replacement,
					  each);
	if (r == 0 && !*ret_value)
		return bad(walk, "replacing makes too much of it");
	return r;
}

/* Behind "${". */
static int walk_braces(struct walk *walk, char **ret_value)
{
	cleanup_free char *name = NULL;
	cleanup_free char *value = NULL;
	bool filled;
	char sign;

	if (!*walk->next)
		return bad(walk, "a substitution has no closing }");
	if (strchr("{}:", *walk->next))
		return bad(walk, "bad substitution");
	name = read_name(walk);
	/* What is looked up may not outlive the next look-up. */
	value = xstrdup(walk->expand->lookup(name, walk->expand->data));
	sign = *walk->next;
	if (!sign)
		return bad(walk, "a substitution has no closing }");
	walk->next++;
	if (sign == '}') {
		*ret_value = xstrdup(value ? value : "");
		return 0;
	}
	filled = sign == ':';
	if (filled)
		sign = *walk->next ? *walk->next++ : '\0';
	if (sign && strchr("-+?", sign))
		return substitute(walk, name, value, sign, filled, ret_value);
	if (!filled && (sign == '#' || sign == '%'))
		return trim(walk, value, sign, ret_value);
	if (!filled && sign == '/')
		return replace(walk, value, ret_value);
	return err_set(walk->err, ERROR_INVALID,
		       "unsupported modifier (%s%c) in substitution",
		       filled ? ":" : "", sign ? sign : ' ');
}

/* At "$". */
static int walk_dollar(struct walk *walk, char **ret_value)
{
	cleanup_free char *name = NULL;
	const char *value;
	int r;

	walk->next++;
	if (*walk->next == '{') {
		if (++walk->depth > DEPTH_MAX)
			return bad(walk, "substitutions are nested too deep");
		walk->next++;
		r = walk_braces(walk, ret_value);
		walk->depth--;
		return r;
	}
	name = read_name(walk);
	if (!*name) {
		*ret_value = xstrdup("$");
		return 0;
	}
	value = walk->expand->lookup(name, walk->expand->data);
	*ret_value = xstrdup(value ? value : "");
	return 0;
}

static int walk_all(const struct expand *expand, const char *word,
		    struct result *result, struct error *err)
{
	struct walk walk = {.expand = expand, .next = word, .err = err};
	int r = walk_until(&walk, '\0', false, result);

	if (r < 0)
		return err_wrap(err, "cannot expand \"%.200s\"", word);
	end_word(result);
	return 0;
}

int expand_word(const struct expand *expand, const char *word, char **ret_word,
		struct error *err)
{
	cleanup_result struct result result = {0};
	int r = walk_all(expand, word, &result, err);

	if (r == 0)
		*ret_word = str_steal(&result.text);
	return r;
}

int expand_words(const struct expand *expand, const char *word,
		 char ***ret_words, struct error *err)
{
	cleanup_result struct result result = {0};
	int r = walk_all(expand, word, &result, err);

	if (r < 0)
		return r;
	*ret_words =
		result.words ? result.words : xcalloc(1, sizeof(*result.words));
	result.words = NULL;
	return 0;
}
