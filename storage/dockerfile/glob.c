#include "storage/dockerfile/glob.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/str.h"

/* Steps looked at for one replacement: less than a second. */
#define WORK_MAX (1ull << 27)

enum step_kind {
	STEP_CHARACTER,
	STEP_ANY,     /* one character */
	STEP_SEVERAL, /* any number of them */
	STEP_CLASS,
	STEP_ALL,  /* any number, "/" too */
	STEP_DEEP, /* directories: nothing, or STEP_INSIDE, which is next */
	STEP_INSIDE,
};

struct step {
	enum step_kind kind;
	const char *text; /* in glob->pattern: the character, the class */
	size_t length;
};

struct glob {
	char *pattern;
	bool slashes; /* ANY and SEVERAL match "/" */
	struct step *steps;
	size_t count;
	bool *here, *next; /* steps[i] is what comes; [count]: matched */
	uint64_t work;	   /* steps looked at */
};

/* A character of UTF-8, or a byte; its length. */
static size_t decode(const char *text, size_t left, uint32_t *ret_character)
{
	const unsigned char *bytes = (const unsigned char *)text;
	size_t length = utf8_length(text, left);
	uint32_t character = bytes[0];

	if (length > 1)
		character &= 0x7fu >> length;
	for (size_t i = 1; i < length; i++)
		character = character << 6 | (bytes[i] & 0x3f);
	*ret_character = character;
	return length ? length : 1;
}

/* ---- patterns ---- */

static struct step *push(struct glob *glob, enum step_kind kind)
{
	struct step *step = &glob->steps[glob->count++];

	*step = (struct step){.kind = kind};
	return step;
}

/* At "["; the bytes of it all, 0: it does not end, or is empty. */
static size_t class_length(const char *text)
{
	const char *next = text + 1;
	bool empty = true;

	if (*next == '^')
		next++;
	for (; *next && (*next != ']' || empty); next++) {
		if (*next == '\\' && next[1])
			next++;
		empty = false;
	}
	return *next ? (size_t)(next - text) + 1 : 0;
}

/* Behind "**": "/" belongs to it. */
static const char *push_deep(struct glob *glob, const char *text)
{
	if (*text == '/')
		text++;
	if (!*text) {
		push(glob, STEP_ALL);
		return text;
	}
	push(glob, STEP_DEEP);
	push(glob, STEP_INSIDE);
	return text;
}

static const char *push_character(struct glob *glob, const char *text)
{
	struct step *step = push(glob, STEP_CHARACTER);
	uint32_t character;

	if (*text == '\\' && text[1])
		text++;
	step->text = text;
	step->length = decode(text, strlen(text), &character);
	return text + step->length;
}

int glob_compile(const char *pattern, enum glob_dialect dialect,
		 struct glob **ret_glob, struct error *err)
{
	size_t room = 2 * strlen(pattern) + 1;
	cleanup_glob struct glob *glob = xcalloc(1, sizeof(*glob));
	const char *text;

	if (strlen(pattern) > GLOB_MAX)
		return err_set(err, ERROR_INVALID,
			       "a pattern may have %d bytes, \"%.40s…\" has "
			       "%zu",
			       GLOB_MAX, pattern, strlen(pattern));
	glob->pattern = xstrdup(pattern);
	glob->slashes = dialect == GLOB_WORD;
	glob->steps = xcalloc(room, sizeof(*glob->steps));
	glob->here = xcalloc(room, sizeof(*glob->here));
	glob->next = xcalloc(room, sizeof(*glob->next));
	for (text = glob->pattern; *text;) {
		if (dialect == GLOB_IGNORE && str_starts(text, "**")) {
			text = push_deep(glob, text + 2);
		} else if (*text == '*') {
			push(glob, STEP_SEVERAL);
			text++;
		} else if (*text == '?') {
			push(glob, STEP_ANY);
			text++;
		} else if (*text == '[' && dialect != GLOB_WORD) {
			struct step *step = push(glob, STEP_CLASS);

			step->text = text;
			step->length = class_length(text);
			if (step->length == 0)
				return err_set(err, ERROR_INVALID,
					       "syntax error in pattern "
					       "\"%.200s\": [ without ]",
					       pattern);
			text += step->length;
		} else {
			text = push_character(glob, text);
		}
	}
	*ret_glob = glob;
	glob = NULL;
	return 0;
}

void glob_free(struct glob *glob)
{
	if (!glob)
		return;
	free(glob->pattern);
	free(glob->steps);
	free(glob->here);
	free(glob->next);
	free(glob);
}

void cleanup_glob_function(struct glob **glob)
{
	glob_free(*glob);
}

/* ---- matching ---- */

/* One end of a range: a character, escaped or not. */
static uint32_t class_character(const char **text)
{
	uint32_t character;

	if (**text == '\\' && (*text)[1])
		(*text)++;
	*text += decode(*text, strlen(*text), &character);
	return character;
}

static bool in_class(const struct step *step, uint32_t character)
{
	const char *text = step->text + 1;
	const char *end = step->text + step->length - 1;
	bool negated = *text == '^';
	bool found = false;

	if (negated)
		text++;
	while (text < end) {
		uint32_t first = class_character(&text);
		uint32_t last = first;

		if (*text == '-' && text + 1 < end) {
			text++;
			last = class_character(&text);
		}
		found |= character >= first && character <= last;
	}
	return found != negated;
}

/* Step i may come next, and so may what is behind it if it may match nothing.
 */
static void reach(const struct glob *glob, bool *states, size_t i)
{
	while (!states[i]) {
		enum step_kind kind;

		states[i] = true;
		if (i == glob->count)
			return;
		kind = glob->steps[i].kind;
		if (kind == STEP_DEEP)
			reach(glob, states, i + 2);
		else if (kind != STEP_SEVERAL && kind != STEP_ALL)
			return;
		i++;
	}
}

/* What step i makes of a character. */
static void take(const struct glob *glob, size_t i, const char *text,
		 size_t length, uint32_t character)
{
	const struct step *step = &glob->steps[i];
	bool wild = glob->slashes || character != '/';

	switch (step->kind) {
	case STEP_CHARACTER:
		if (step->length == length &&
		    memcmp(step->text, text, length) == 0)
			reach(glob, glob->next, i + 1);
		return;
	case STEP_ANY:
		if (wild)
			reach(glob, glob->next, i + 1);
		return;
	case STEP_SEVERAL:
		if (wild)
			reach(glob, glob->next, i);
		return;
	case STEP_CLASS:
		if (wild && in_class(step, character))
			reach(glob, glob->next, i + 1);
		return;
	case STEP_ALL:
		reach(glob, glob->next, i);
		return;
	case STEP_DEEP:
		return;
	case STEP_INSIDE:
		reach(glob, glob->next, i);
		if (character == '/')
			reach(glob, glob->next, i + 1);
		return;
	}
}

/* Takes one character of the value; false: nothing can match any more. */
static bool advance(struct glob *glob, const char *text, size_t length,
		    uint32_t character)
{
	bool *swap = glob->here;

	memset(glob->next, 0, glob->count + 1);
	glob->work += glob->count;
	for (size_t i = 0; i < glob->count; i++) {
		if (glob->here[i])
			take(glob, i, text, length, character);
	}
	glob->here = glob->next;
	glob->next = swap;
	return memchr(glob->here, 1, glob->count + 1) != NULL;
}

static bool match(struct glob *glob, const char *value, size_t left,
		  bool longest, size_t *ret_length)
{
	bool found = false;
	size_t at = 0;

	memset(glob->here, 0, glob->count + 1);
	reach(glob, glob->here, 0);
	for (;;) {
		uint32_t character;
		size_t length;

		if (glob->here[glob->count]) {
			*ret_length = at;
			found = true;
			if (!longest)
				return true;
		}
		if (at == left)
			return found;
		length = decode(value + at, left - at, &character);
		if (!advance(glob, value + at, length, character))
			return found;
		at += length;
	}
}

bool glob_prefix(struct glob *glob, const char *value, bool longest,
		 size_t *ret_length)
{
	return match(glob, value, strlen(value), longest, ret_length);
}

bool glob_matches(struct glob *glob, const char *value)
{
	size_t length;

	return glob_prefix(glob, value, true, &length) && !value[length];
}

/* The characters of text, the last first; caller frees. */
static char *reversed(const char *text)
{
	size_t length = strlen(text);
	char *copy = xcalloc(length + 1, 1);

	for (size_t at = 0; at < length;) {
		uint32_t character;
		size_t size = decode(text + at, length - at, &character);

		memcpy(copy + length - at - size, text + at, size);
		at += size;
	}
	return copy;
}

static void reverse_steps(struct glob *glob)
{
	for (size_t i = 0; i < glob->count / 2; i++) {
		struct step *other = &glob->steps[glob->count - 1 - i];
		struct step swap = glob->steps[i];

		glob->steps[i] = *other;
		*other = swap;
	}
}

bool glob_suffix(struct glob *glob, const char *value, bool longest,
		 size_t *ret_length)
{
	cleanup_free char *backwards = reversed(value);
	bool found;

	reverse_steps(glob);
	found = glob_prefix(glob, backwards, longest, ret_length);
	reverse_steps(glob);
	return found;
}

char *glob_replace(struct glob *glob, const char *value,
		   const char *replacement, bool each)
{
	cleanup_str struct str result = {0};
	const uint64_t work_end = glob->work + WORK_MAX;
	size_t left = strlen(value);
	bool more = true;

	while (more) {
		uint32_t character;
		size_t step = left ? decode(value, left, &character) : 0;
		size_t length = 0;
		bool found = match(glob, value, left, true, &length);

		if (found)
			str_append(&result, replacement);
		if (found && length > 0)
			step = length;
		else
			str_append_bytes(&result, value, step);
		more = left > 0 && (each || !found);
		value += step;
		left -= step;
		/* Behind a match that reaches the end there is no empty one. */
		if (left == 0 && length > 0)
			more = false;
		/* A pattern may look at all of the rest at each character. */
		if (result.length > GLOB_RESULT_MAX || glob->work > work_end)
			return NULL;
	}
	str_append_bytes(&result, value, left);
	return str_steal(&result);
}
