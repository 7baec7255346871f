/*
 * docker's options before the command. `--config DIRECTORY` is DOCKER_CONFIG;
 * what is about a daemon, its host and its certificates is refused, as is what
 * would change nothing.
 */
#pragma once

#include "base/error.h"

/* Moves *argc and *argv past them. An option that is not docker's is left. */
int global_options_take(int *argc, char ***argv, struct error *err);
