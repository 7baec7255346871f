/*
 * What a transfer says while it works (storage/transfer.h): on a terminal a
 * line for each layer, redrawn in place, elsewhere a line whenever something
 * about a layer changes, and the warnings. A child process shows it, since the
 * transfer keeps moss busy; it ends with the descriptor.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define PROGRESS_TEXT_MAX 256

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
/* Waits until everything is shown. */
void progress_close(struct progress *progress);

/*
 * One state of the bar in at most columns: "Importing [==>   ] 1MB/4MB 2MB/s";
 * total 0: not known, no bar.
 */
void progress_text(char ret_text[PROGRESS_TEXT_MAX], const char *verb,
		   uint64_t bytes, uint64_t total, uint64_t rate,
		   unsigned int columns);
