/*
 * Variables in the words of a Dockerfile, and its quotes and escapes:
 *
 *   $NAME ${NAME}          the value, nothing if unset
 *   ${NAME:-W} ${NAME-W}   W if unset (or, with ":", empty)
 *   ${NAME:+W} ${NAME+W}   W if set (and not empty)
 *   ${NAME:?W} ${NAME?W}   an error that says W if unset (or empty)
 *   ${NAME#P} ${NAME##P}   without the shortest, longest prefix that P matches
 *   ${NAME%P} ${NAME%%P}   likewise a suffix
 *   ${NAME/P/W} ${NAME//P/W}
 *                          with the first, each match of P replaced by W
 *
 * In a pattern "?" is one character, "*" any number, the escape character takes
 * a meaning away; there are no brackets. W is expanded itself. Single quotes
 * keep everything, double quotes all but variables; in the text of a file, a
 * here-document's, they are nothing special.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"

/* The value of a variable; NULL: unset. Borrowed until the next call. */
typedef const char *(*expand_lookup)(const char *name, void *data);

struct expand {
	char escape; /* '\\' or '`' */
	expand_lookup lookup;
	void *data;
	bool text; /* of a file: quotes are characters like any other */
};

/* word with variables; caller frees. Errors: bad syntax, ${NAME:?}. */
int expand_word(const struct expand *expand, const char *word, char **ret_word,
		struct error *err);
/* What one word becomes where a list may be: split at white space that came
   out of variables or is not quoted. NULL-terminated; strv_free(). */
int expand_words(const struct expand *expand, const char *word,
		 char ***ret_words, struct error *err);
