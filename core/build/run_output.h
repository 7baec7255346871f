/*
 * What a step's container writes, as its monitor sends it (docker's frames, see
 * core/monitor/control.h), told as progress.
 */
#pragma once

#include "base/error.h"

struct progress;

/* Until the stream's end. */
int run_output(int stream_fd, const struct progress *progress,
	       unsigned int vertex, struct error *err);
