/*
 * What is allowed in a Dockerfile and seldom meant: the build checks of
 * BuildKit's frontend, by its names and in its words. A rule is a row of a
 * table in lint.c and looks at what is written, not at what comes of it: where
 * that depends on a variable, nothing is said.
 *
 *   # check=skip=RULE,RULE;error=true;experimental=RULE
 *
 * leaves rules out ("all": each) and makes a build fail for the others.
 * There are no experimental rules here; their names are read and mean nothing.
 *
 * Rules about names and spelling look at the whole file; those about what an
 * instruction does only at stages that are built.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "storage/dockerfile/dockerfile.h"

#define LINT_WARNINGS_MAX 100 /* of a Dockerfile; further ones are left out */

struct lint_options {
	uint64_t skipped; /* a bit for each rule */
	bool error;	  /* a warning is a failure */
};

/* text: behind "check="; NULL or "": nothing is said. */
int lint_options_parse(const char *text, struct lint_options *ret_options,
		       struct error *err);

/* One stage, as far as it is known. */
struct lint_stage {
	bool built;  /* the target needs it */
	bool shell;  /* its base image has a SHELL */
	size_t base; /* the stage that it begins with; (size_t)-1: none */
};

struct lint_request {
	const struct dockerfile *dockerfile; /* checked */
	struct lint_options options;
	const struct lint_stage *stages; /* one for each FROM */
	char *const *arguments; /* "NAME=VALUE" for FROM, of the ARGs before */
	char *const *platform_args; /* "TARGETPLATFORM=…" and the others */
};

struct lint_warning {
	const char *rule; /* its name */
	const char *page; /* its part of the address of its documentation */
	struct dockerfile_range range;
	char *text;
};

struct lint {
	struct lint_warning *warnings; /* in the order of their lines */
	size_t count;
};

/* Zeroed at first: *ret_lint. Nothing here fails: what cannot be read is not
   judged. */
void dockerfile_lint(const struct lint_request *request, struct lint *ret_lint);
void lint_release(struct lint *lint);
