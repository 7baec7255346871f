/*
 * Options of docker's that moss has nothing behind. They are known all the
 * same, so that whoever uses one reads why it is refused and what to do
 * instead, not "unknown flag". They are in no help and no completion.
 *
 * A value that asks for nothing (--use-api-socket=false, --provenance=false) is
 * accepted.
 */
#pragma once

#include "cmd/command.h"

extern const struct option refused_container_options[]; /* run, create */
extern const struct option refused_build_options[];
extern const struct option refused_rm_options[];
extern const struct option refused_start_options[];

/* ERROR_UNSUPPORTED for the first of them that was given. */
int refused_options_check(const struct options *options, struct error *err);
