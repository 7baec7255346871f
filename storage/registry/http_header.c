#include "storage/registry/http_header.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/str.h"

static const char *skip_blanks(const char *at)
{
	while (*at == ' ' || *at == '\t')
		at++;
	return at;
}

/* Blanks and commas: empty elements of a list are allowed. */
static const char *skip_separators(const char *at)
{
	while (*at == ' ' || *at == '\t' || *at == ',')
		at++;
	return at;
}

static bool is_token(char character)
{
	return isalnum((unsigned char)character) ||
	       (character && strchr("!#$%&'*+-.^_`|~", character));
}

static size_t token_length(const char *at)
{
	size_t length = 0;

	while (is_token(at[length]))
		length++;
	return length;
}

static int malformed(const char *field, const char *at, struct error *err)
{
	return err_set(err, ERROR_INVALID,
		       "malformed list of parameters at byte %zu",
		       (size_t)(at - field));
}

/* "a \"b\"" or a token; the bytes after it, NULL when it is neither. */
static const char *read_value(const char *at, char **ret_value)
{
	cleanup_str struct str value = {0};

	if (*at != '"') {
		size_t length = token_length(at);

		/* Not quite a token, but seen: realm=https://host/token */
		while (at[length] && !strchr(" \t,;\"", at[length]))
			length++;
		if (length == 0 || length > CHALLENGE_VALUE_MAX)
			return NULL;
		*ret_value = xstrndup(at, length);
		return at + length;
	}
	for (at++; *at && *at != '"'; at++) {
		if (*at == '\\' && at[1])
			at++;
		if (value.length >= CHALLENGE_VALUE_MAX)
			return NULL;
		str_append_char(&value, *at);
	}
	if (*at != '"')
		return NULL;
	*ret_value = str_steal(&value);
	return at + 1;
}

static void challenge_release(struct challenge *challenge)
{
	free(challenge->realm);
	free(challenge->service);
	free(challenge->scope);
	free(challenge->error);
	*challenge = (struct challenge){0};
}

void challenges_release(struct challenges *challenges)
{
	for (size_t i = 0; i < challenges->count; i++)
		challenge_release(&challenges->items[i]);
	challenges->count = 0;
}

/* The first of a name counts. Takes value. */
static void set_parameter(struct challenge *challenge, const char *name,
			  size_t length, char *value)
{
	const struct {
		const char *name;
		char **slot;
	} known[] = {
		{"realm", &challenge->realm},
		{"service", &challenge->service},
		{"scope", &challenge->scope},
		{"error", &challenge->error},
	};

	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		if (strlen(known[i].name) != length ||
		    strncasecmp(known[i].name, name, length) != 0)
			continue;
		if (!*known[i].slot) {
			*known[i].slot = value;
			return;
		}
	}
	free(value);
}

/* Is there NAME = at this place? *ret_value: what follows the "=". */
static bool is_parameter(const char *at, size_t length, const char **ret_value)
{
	const char *equals = skip_blanks(at + length);

	if (length == 0 || *equals != '=')
		return false;
	equals = skip_blanks(equals + 1);
	/* "=" and nothing, or "==": the end of a token68. */
	if (!*equals || *equals == '=' || *equals == ',')
		return false;
	*ret_value = equals;
	return true;
}

/* Up to the next challenge or the end. NULL when malformed. */
static const char *read_parameters(const char *at, struct challenge *challenge)
{
	const char *text;
	size_t length;

	at = skip_blanks(at);
	length = token_length(at);
	/* A token68. */
	if (*at && *at != ',' && !is_parameter(at, length, &text))
		return at + strcspn(at, " \t,");
	for (;;) {
		char *value = NULL;

		at = skip_separators(at);
		length = token_length(at);
		if (!is_parameter(at, length, &text))
			return at;
		text = read_value(text, &value);
		if (!text)
			return NULL;
		set_parameter(challenge, at, length, value);
		at = skip_blanks(text);
		if (*at && *at != ',')
			return NULL;
	}
}

int challenges_parse(const char *field, struct challenges *ret_challenges,
		     struct error *err)
{
	CLEANUP(challenges_release) struct challenges found = {0};
	const char *at = skip_separators(field);

	while (*at && found.count < CHALLENGES_MAX) {
		struct challenge *challenge = &found.items[found.count];
		size_t length = token_length(at);
		const char *next;

		if (length == 0 || length >= sizeof(challenge->scheme))
			return malformed(field, at, err);
		for (size_t i = 0; i < length; i++)
			challenge->scheme[i] =
				(char)tolower((unsigned char)at[i]);
		found.count++;
		if (at[length] && !strchr(" \t,", at[length]))
			return malformed(field, at + length, err);
		next = at + length;
		/* "Negotiate, Basic realm=…" */
		if (*skip_blanks(next) != ',')
			next = read_parameters(next, challenge);
		if (!next)
			return malformed(field, at, err);
		at = skip_separators(next);
	}
	*ret_challenges = found;
	found.count = 0;
	return 0;
}

const struct challenge *challenges_find(const struct challenges *challenges,
					const char *scheme)
{
	for (size_t i = 0; i < challenges->count; i++) {
		if (str_equal(challenges->items[i].scheme, scheme))
			return &challenges->items[i];
	}
	return NULL;
}

/* One of the words of a rel? */
static bool has_word(const char *words, const char *word)
{
	size_t length = strlen(word);

	while (*words) {
		size_t part = strcspn(words, " \t");

		if (part == length && strncasecmp(words, word, length) == 0)
			return true;
		words += part;
		words += strspn(words, " \t");
	}
	return false;
}

/* Parameters of one link, from ";" on. NULL when malformed. */
static const char *read_link(const char *at, bool *ret_next)
{
	*ret_next = false;
	for (at = skip_blanks(at); *at == ';'; at = skip_blanks(at)) {
		cleanup_free char *value = NULL;
		const char *name = skip_blanks(at + 1);
		size_t length = token_length(name);

		at = skip_blanks(name + length);
		if (*at != '=')
			continue;
		at = read_value(skip_blanks(at + 1), &value);
		if (!at)
			return NULL;
		if (length == 3 && strncasecmp(name, "rel", 3) == 0 &&
		    has_word(value, "next"))
			*ret_next = true;
	}
	return *at == ',' || !*at ? at : NULL;
}

char *link_next(const char *field)
{
	const char *at = skip_separators(field);

	while (*at == '<') {
		const char *target = at + 1;
		const char *end = strchr(target, '>');
		bool next;

		if (!end)
			return NULL;
		at = read_link(end + 1, &next);
		if (!at)
			return NULL;
		if (next)
			return xstrndup(target, (size_t)(end - target));
		at = skip_separators(at);
	}
	return NULL;
}

int retry_after(const char *field, time_t now, uint64_t *ret_seconds)
{
	struct tm tm = {0};
	const char *end;
	time_t then;

	if (parse_u64(field, ret_seconds) == 0)
		return 0;
	end = strptime(field, "%a, %d %b %Y %H:%M:%S GMT", &tm);
	if (!end || *end)
		return -EINVAL;
	then = timegm(&tm);
	*ret_seconds = then > now ? (uint64_t)(then - now) : 0;
	return 0;
}

/* Digits up to `end`; the byte after it, NULL when there are none. */
static const char *read_number(const char *at, char end, uint64_t *ret_value)
{
	size_t length = strspn(at, "0123456789");
	cleanup_free char *digits = xstrndup(at, length);

	if (length == 0 || length > 19 || at[length] != end ||
	    parse_u64(digits, ret_value) < 0)
		return NULL;
	return end ? at + length + 1 : at + length;
}

int content_range(const char *field, uint64_t *ret_first, uint64_t *ret_last,
		  uint64_t *ret_total)
{
	uint64_t first;
	uint64_t last;
	uint64_t total = UINT64_MAX;
	const char *at = field;

	if (strncasecmp(at, "bytes ", 6) != 0)
		return -EINVAL;
	at = read_number(skip_blanks(at + 6), '-', &first);
	if (at)
		at = read_number(at, '/', &last);
	if (at && !str_equal(at, "*"))
		at = read_number(at, '\0', &total);
	if (!at || last < first || last >= total)
		return -EINVAL;
	*ret_first = first;
	*ret_last = last;
	*ret_total = total;
	return 0;
}

int upload_range(const char *field, uint64_t *ret_length)
{
	uint64_t first;
	uint64_t last;
	const char *at = field;

	if (strncasecmp(at, "bytes=", 6) == 0)
		at += 6;
	at = read_number(at, '-', &first);
	if (at)
		at = read_number(at, '\0', &last);
	if (!at || first != 0 || last >= UINT64_MAX)
		return -EINVAL;
	/* "0-0" is one byte, but what servers say that have none. */
	*ret_length = last == 0 ? 0 : last + 1;
	return 0;
}
