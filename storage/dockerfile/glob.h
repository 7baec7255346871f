/*
 * Wildcards, in the three dialects that a build knows. Matching is a walk over
 * the value with a set of states: its time is bounded by the product of the two
 * lengths, whatever the pattern. Characters are those of UTF-8; what is none is
 * a byte.
 *
 *   GLOB_WORD    of ${NAME#P} and ${NAME/P/W}: "?" and "*" match anything, "\"
 *                takes a meaning away
 *   GLOB_PATH    of the sources of COPY and ADD, as Go's path/filepath.Match:
 *                "?" and "*" do not match "/", "[a-z]", "[^a]", "\"
 *   GLOB_IGNORE  of .dockerignore, --exclude: as GLOB_PATH, and "**" matches
 *                any number of directories
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

#define GLOB_MAX	4096	   /* bytes of a pattern */
#define GLOB_RESULT_MAX (1u << 20) /* bytes that replacing may make */

enum glob_dialect { GLOB_WORD, GLOB_PATH, GLOB_IGNORE };

struct glob;

/* Errors: "[" without "]", longer than GLOB_MAX. */
int glob_compile(const char *pattern, enum glob_dialect dialect,
		 struct glob **ret_glob, struct error *err);
void glob_free(struct glob *glob);
void cleanup_glob_function(struct glob **glob);
#define cleanup_glob CLEANUP(cleanup_glob_function)

/* All of value? The glob is scratch space, too: one thread at a time. */
bool glob_matches(struct glob *glob, const char *value);
/* The first bytes of value, as few or as many as can be. */
bool glob_prefix(struct glob *glob, const char *value, bool longest,
		 size_t *ret_length);
/* The last ones. GLOB_WORD only. */
bool glob_suffix(struct glob *glob, const char *value, bool longest,
		 size_t *ret_length);
/*
 * The first (each: every) match replaced; caller frees. NULL: it would be
 * longer than GLOB_RESULT_MAX, or take too long to find out. GLOB_WORD only.
 */
char *glob_replace(struct glob *glob, const char *value,
		   const char *replacement, bool each);
