/*
 * What import and load say while they work (storage/transfer.h): notes for the
 * user as warnings, and on a terminal a bar with bytes and rate. A child
 * process draws, since the transfer itself keeps moss busy; it ends with the
 * descriptor.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define PROGRESS_TEXT_MAX 256

struct progress {
	int fd; /* for a request's progress_fd; -1: there is none */
	pid_t pid;
};

/* verb: "Importing". bar false: notes only. */
void progress_open(const char *verb, bool bar, struct progress *ret_progress);
/* Waits until everything is shown and the bar is gone. */
void progress_close(struct progress *progress);

/*
 * One state of the bar in at most columns: "Importing [==>   ] 1MB/4MB 2MB/s";
 * total 0: not known, no bar.
 */
void progress_text(char ret_text[PROGRESS_TEXT_MAX], const char *verb,
		   uint64_t bytes, uint64_t total, uint64_t rate,
		   unsigned int columns);
