/*
 * What a transfer says while it works (storage/transfer.h). On a terminal a
 * line for each layer, redrawn in place (progress_rows.h, progress_screen.h);
 * elsewhere, and on a terminal that cannot move its cursor (TERM=dumb), a line
 * whenever a layer's status changes, without counting bytes, as docker does
 * into a pipe. Warnings always go to standard error.
 *
 * A child process shows it all, since the transfer keeps moss busy. It ends
 * when everybody has closed the descriptor for messages; it outlives the moss
 * that is killed just long enough to give the terminal its cursor back.
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

struct progress_options {
	int fd;	    /* where to show it: standard output or error */
	bool quiet; /* warnings only */
};

struct progress {
	int fd; /* for a request's progress_fd; -1: there is none */
	pid_t pid;
};

void progress_open(const struct progress_options *options,
		   struct progress *ret_progress);
/*
 * Waits until everything is shown. Returns the result of the work, or, where
 * that is no failure, the failure to write to standard output.
 */
int progress_close(struct progress *progress, int result, struct error *err);
