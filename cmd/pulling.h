/* Pulling and pushing an image and showing it, for `moss pull` and `push`, and
   for run, create and build. */
#pragma once

#include <stdbool.h>

#include "base/error.h"
#include "cmd/command.h"

struct pulling {
	const char *name;     /* as the user gave it */
	const char *platform; /* NULL: this machine's */
	bool all_tags;
	bool quiet;
	int fd; /* where progress is shown */
};

/* --disable-content-trust=false asks for signatures, which moss does not
   check: ERROR_UNSUPPORTED. */
int content_trust_check(const struct options *options, struct error *err);

int pulling_run(struct context *context, const struct pulling *pulling,
		struct error *err);

/* The same the other way. */
int pushing_run(struct context *context, const struct pulling *pushing,
		struct error *err);

/*
 * engine_container_create() with an image that may have to be pulled first, as
 * the options say (--pull, --platform, --quiet).
 */
int create_pulling(struct context *context, const struct options *options,
		   const cJSON *body, const char *name,
		   char ret_id[ID_TEXT_MAX], char ***ret_warnings,
		   struct error *err);
