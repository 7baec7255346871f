/*
 * Where a build's files come from: the operand PATH | URL | - of `moss build`
 * and -f, as members "context" and "dockerfile" of a request
 * (core/build/build.h). Standard input may be a context (an archive, known by
 * how it begins), a Dockerfile without one, or, with -f -, the Dockerfile of
 * another context.
 *
 * What was read of an archive to know it for one cannot be put back into a
 * pipe: a child process writes it into another, and the rest behind it.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

struct build_context {
	int input_fd; /* of the archive; -1: none */
	pid_t pid;    /* of who fills it; 0: nobody */
};

#define BUILD_CONTEXT_NONE ((struct build_context){.input_fd = -1})

/* Is it a URL, of an archive or a git repository, that a context may be? */
bool build_context_is_remote(const char *text);
void build_context_release(struct build_context *context);
/* dockerfile: -f's value, NULL: not given. */
int build_context_open(const char *operand, const char *dockerfile,
		       cJSON *request, struct build_context *ret_context,
		       struct error *err);
