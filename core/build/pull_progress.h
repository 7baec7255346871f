/*
 * What a pull says (storage/transfer.h) as statuses of a step, told by a child
 * process, since the pull keeps its caller busy.
 */
#pragma once

#include <sys/types.h>

#include "core/build/report.h"

struct pull_progress {
	int fd; /* for the pull; -1: nobody listens */
	pid_t pid;
};

void pull_progress_open(const struct report *report, unsigned int vertex,
			struct pull_progress *ret_pull);
void pull_progress_close(struct pull_progress *pull);
