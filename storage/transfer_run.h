/*
 * One run of a helper program that speaks moss-image's way, see
 * storage/transfer.h and storage/job/job.h: a request, a result, an error.
 */
#pragma once

#include <cjson/cJSON.h>
#include <sys/types.h>

#include "base/error.h"
#include "storage/store/store.h"

/* Descriptors of the helper; storage/job/job.h has the first ones, too. */
enum transfer_fd {
	TRANSFER_REQUEST = 3,
	TRANSFER_RESULT = 4,
	TRANSFER_ERROR = 5,
	TRANSFER_PROGRESS = 6,
	/* Of moss-build only (core/build/build.h): */
	TRANSFER_QUESTIONS = 7,
	TRANSFER_RUN = 8,
};

struct transfer {
	const char *helper; /* NULL: moss-image */
	const char *command;
	cJSON *request;	 /* gets the store's path */
	int input_fd;	 /* -1: none */
	int output_fd;	 /* -1: none */
	int progress_fd; /* -1: none */
	int question_fd; /* 0: none */
	int run_fd;	 /* 0: none */
};

/* A helper at work. */
struct transfer_process {
	const struct store *store;
	const struct transfer *transfer;
	pid_t pid;
	int result_fd, error_fd;
};
/* Then transfer_finish() is to be called, which waits for its end. */
int transfer_start(const struct store *store, const struct transfer *transfer,
		   struct transfer_process *ret_process, struct error *err);
int transfer_finish(struct transfer_process *process, cJSON **ret_result,
		    struct error *err);
/* Both: the helper's result, or its error. */
int transfer_run(const struct store *store, const struct transfer *transfer,
		 cJSON **ret_result, struct error *err);

/* The same of a command that makes an image: its ID (caller frees). */
int transfer_run_image(const struct store *store,
		       const struct transfer *transfer, char **ret_id,
		       struct error *err);

/* cJSON's own copies of what nobody else should read: the credentials of the
   request's endpoints, when it is done. */
void transfer_wipe_secrets(cJSON *request);
