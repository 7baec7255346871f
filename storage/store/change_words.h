/* Words of a Dockerfile instruction; for storage/store/change*.c. */
#pragma once

#include "base/error.h"

/* Value of a variable, borrowed, or NULL. */
typedef const char *(*change_lookup)(const char *name, void *data);

/*
 * Splits at blanks outside of quotes; quotes and backslashes stay. Caller
 * frees.
 */
char **change_split(const char *text);
/* Takes quotes and backslashes away and puts variables in; caller frees. */
int change_expand(const char *word, change_lookup lookup, void *data,
		  char **ret_text, struct error *err);
