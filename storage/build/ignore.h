/*
 * Which files of a context a build does not see: .dockerignore, and the
 * --exclude of COPY and ADD.
 *
 * A pattern a line, relative to the context's root whether or not it begins
 * with "/"; "#" at the start of a line is a comment, "!" takes files back in.
 * A pattern matches a path or a directory above it, and of all that match the
 * last one has the say. Wildcards are those of GLOB_IGNORE.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

#define IGNORE_MAX (1u << 20) /* bytes of a file */

struct ignore;

/* An empty one, which ignores nothing. */
struct ignore *ignore_new(void);
void ignore_free(struct ignore *ignore);
void cleanup_ignore_function(struct ignore **ignore);
#define cleanup_ignore CLEANUP(cleanup_ignore_function)

/* Adds a pattern as of --exclude; "" and "." are none. */
int ignore_add(struct ignore *ignore, const char *pattern, struct error *err);
/* Adds the lines of a file; an error names its line. */
int ignore_add_file(struct ignore *ignore, const char *text, size_t length,
		    struct error *err);

/* path: relative, without "." and "..", "a/b". */
bool ignore_matches(struct ignore *ignore, const char *path);
/*
 * May nothing below the directory path be seen? Then it need not be read. False
 * where a "!" pattern could take something back in.
 */
bool ignore_prunes(struct ignore *ignore, const char *path);
