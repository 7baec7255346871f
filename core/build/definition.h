/*
 * What is to be built: the Dockerfile, read from where the request says, and
 * its stages. What is wrong with it is told with the lines that it is about.
 */
#pragma once

#include "base/error.h"
#include "core/build/builder.h"

/* Opens the context and fills file, text, dockerfile and stages of builder. */
int definition_read(struct builder *builder, struct error *err);
/* The end of the build is about these lines; exit_code -1: of no command. */
void definition_failed(const struct builder *builder,
		       const struct dockerfile_range *range,
		       unsigned int vertex, int exit_code);
