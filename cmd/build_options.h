/* The options of `moss build`, and their way into a request of
   core/build/build.h. */
#pragma once

#include <cjson/cJSON.h>

#include "cmd/command.h"

extern const struct option build_option_table[];

/*
 * All of a request but where its files come from (build_context.h). Errors are
 * about what the user typed.
 */
int build_options_request(const struct options *options, cJSON *request,
			  struct error *err);
/* The image's full names, from -t and from outputs that name it (strv, caller
   frees). */
int build_options_names(const struct options *options, char ***ret_names,
			struct error *err);
/* By --push, or an output that says so. */
bool build_options_push(const struct options *options);

/* build_values.c: options whose values are lists of fields, as members of a
   request. */
int build_values_add(const struct options *options, cJSON *request,
		     struct error *err);
/* What *outputs* say beside "outputs": the names in them are appended. */
int build_values_output_names(const struct options *options, char ***names,
			      bool *ret_push, struct error *err);

/* A path of the user's as an absolute one; caller frees. */
int build_path(const char *path, char **ret_path, struct error *err);
