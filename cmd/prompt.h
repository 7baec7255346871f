/*
 * Questions to the user on the terminal, apart from standard input and output,
 * which may be a pipe's. -ENOTTY without an error text when there is none.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"

#define PROMPT_MAX 4096 /* bytes of an answer */

/* One line, without its end; caller frees. echo false: it is not shown. */
int prompt_ask(const char *question, bool echo, char **ret_answer,
	       struct error *err);

/*
 * A question on standard output, and "y" on standard input for a yes; its end
 * is a no. As docker asks before it removes things.
 */
bool prompt_confirm(const char *question);
