#include "storage/store/change_words.h"

#include <ctype.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"

#define NESTING_MAX 16

char **change_split(const char *text)
{
	char **words = NULL;

	for (;;) {
		const char *start;
		char quote = '\0';

		while (isspace((unsigned char)*text))
			text++;
		if (!*text)
			return words;
		start = text;
		for (; *text && (quote || !isspace((unsigned char)*text));
		     text++) {
			if (*text == '\\' && text[1] && quote != '\'')
				text++;
			else if (quote && *text == quote)
				quote = '\0';
			else if (!quote && (*text == '"' || *text == '\''))
				quote = *text;
		}
		strv_push_take(&words, xstrndup(start, (size_t)(text - start)));
	}
}

struct expansion {
	change_lookup lookup;
	void *data;
	int depth;
	struct error *err;
};

static int expand(struct expansion *expansion, const char *text, size_t length,
		  struct str *out);

static size_t name_length(const char *text, const char *end)
{
	size_t length = 0;

	if (text < end && isdigit((unsigned char)*text))
		return 0;
	while (text + length < end &&
	       (isalnum((unsigned char)text[length]) || text[length] == '_'))
		length++;
	return length;
}

static int bad_substitution(struct expansion *expansion, const char *text,
			    const char *why)
{
	return err_set(expansion->err, ERROR_INVALID,
		       "%s in substitution \"$%.64s\"", why, text);
}

/* The "}" that ends the braces opened before text, or NULL. */
static const char *closing_brace(const char *text, const char *end)
{
	int depth = 1;

	for (; text < end; text++) {
		if (*text == '\\' && text + 1 < end)
			text++;
		else if (*text == '$' && text + 1 < end && text[1] == '{')
			depth++;
		else if (*text == '}' && --depth == 0)
			return text;
	}
	return NULL;
}

/* text is after "${"; moves *text behind the "}". */
static int expand_braces(struct expansion *expansion, const char **text,
			 const char *end, struct str *out)
{
	const char *start = *text;
	const char *close = closing_brace(start, end);
	size_t length = name_length(start, end);
	cleanup_free char *name = xstrndup(start, length);
	const char *value;
	const char *word = start + length;
	bool with_empty = false;

	if (!close)
		return bad_substitution(expansion, start - 1, "no closing }");
	if (length == 0)
		return bad_substitution(expansion, start - 1, "no name");
	*text = close + 1;
	value = expansion->lookup(name, expansion->data);
	if (*word == ':') {
		with_empty = true;
		word++;
	}
	if (word == close && !with_empty) {
		str_append(out, value ? value : "");
		return 0;
	}
	if (with_empty && str_empty(value))
		value = NULL;
	switch (*word) {
	case '-':
		if (value) {
			str_append(out, value);
			return 0;
		}
		return expand(expansion, word + 1, (size_t)(close - word - 1),
			      out);
	case '+':
		if (!value)
			return 0;
		return expand(expansion, word + 1, (size_t)(close - word - 1),
			      out);
	default:
		return bad_substitution(expansion, start - 1,
					"unsupported modifier");
	}
}

static int expand_variable(struct expansion *expansion, const char **text,
			   const char *end, struct str *out)
{
	cleanup_free char *name = NULL;
	const char *value;
	size_t length;

	if (*text < end && **text == '{') {
		(*text)++;
		return expand_braces(expansion, text, end, out);
	}
	length = name_length(*text, end);
	if (length == 0) {
		str_append_char(out, '$');
		return 0;
	}
	name = xstrndup(*text, length);
	value = expansion->lookup(name, expansion->data);
	str_append(out, value ? value : "");
	*text += length;
	return 0;
}

static int expand_text(struct expansion *expansion, const char *text,
		       const char *end, struct str *out)
{
	char quote = '\0';
	int r;

	while (text < end) {
		char c = *text++;

		if (quote != '\'' && c == '$') {
			r = expand_variable(expansion, &text, end, out);
			if (r < 0)
				return r;
		} else if (quote != '\'' && c == '\\' && text < end) {
			/* In double quotes only these lose the backslash. */
			if (quote && !strchr("\"$\\", *text))
				str_append_char(out, c);
			str_append_char(out, *text++);
		} else if (quote && c == quote) {
			quote = '\0';
		} else if (!quote && (c == '"' || c == '\'')) {
			quote = c;
		} else {
			str_append_char(out, c);
		}
	}
	if (quote)
		return err_set(expansion->err, ERROR_INVALID,
			       "unterminated %s quote",
			       quote == '"' ? "double" : "single");
	return 0;
}

static int expand(struct expansion *expansion, const char *text, size_t length,
		  struct str *out)
{
	int r;

	if (++expansion->depth > NESTING_MAX)
		return bad_substitution(expansion, "{", "too deep nesting");
	r = expand_text(expansion, text, text + length, out);
	expansion->depth--;
	return r;
}

int change_expand(const char *word, change_lookup lookup, void *data,
		  char **ret_text, struct error *err)
{
	struct expansion expansion = {
		.lookup = lookup,
		.data = data,
		.err = err,
	};
	cleanup_str struct str out = {0};
	int r = expand(&expansion, word, strlen(word), &out);

	if (r < 0)
		return r;
	*ret_text = str_steal(&out);
	return 0;
}
