/*
 * What a step's container writes, as its monitor sends it (docker's frames, see
 * core/monitor/control.h), told as progress.
 */
#pragma once

#include "base/error.h"

struct report;

/* Until the stream's end. */
int run_output(int stream_fd, const struct report *report, unsigned int vertex,
	       struct error *err);
