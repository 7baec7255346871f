/*
 * What an instruction must look like, whatever its variables are: flags that it
 * knows, as many words as it needs.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "storage/dockerfile/dockerfile.h"

/* What stands behind ONBUILD is checked as well. The error has no line. */
int instruction_check(const struct dockerfile_instruction *instruction,
		      struct error *err);

/* The value of --NAME; NULL: it is not there. Borrowed. */
const char *instruction_flag(const struct dockerfile_instruction *instruction,
			     const char *name);
/* The next of several --NAME=VALUE after *at, which begins with 0; NULL: none.
 */
const char *
instruction_next_flag(const struct dockerfile_instruction *instruction,
		      const char *name, size_t *at);
