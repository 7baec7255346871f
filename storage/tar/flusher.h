/*
 * Writing out what was made, ahead of the one who has to wait for it: a thread
 * that asks the kernel for it each time so much has been added. The disk works
 * then while layers are still unpacked, and the syncfs() at their end
 * (storage/job/stage.h) finds little left. It promises nothing itself.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

struct flusher {
	int fd; /* its own, so that errors are kept for the one who asks */
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	uint64_t added; /* since the last time */
	bool stopped;
};

/* dir_fd is on the file system; without a thread nothing is flushed. */
void flusher_start(struct flusher *flusher, int dir_fd);
void flusher_add(struct flusher *flusher, uint64_t bytes);
void flusher_stop(struct flusher *flusher);
