/*
 * What moss-image is asked to do, see storage/transfer.c for the other side:
 * a request (one JSON object), a store, a result (one JSON object), and a
 * descriptor for lines on the way:
 *
 *   layer HEX BYTES TOTAL   so much of a packed layer is read; HEX "-" while
 *                           its digest is not known, TOTAL 0 likewise
 *   note TEXT               for the user, after the work is done
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdint.h>
#include <time.h>

#include "base/error.h"
#include "storage/platform.h"
#include "storage/stage.h"
#include "storage/store.h"

/* Descriptors of the helper, as storage/transfer.c passes them. */
enum job_fd {
	JOB_INPUT = 0,
	JOB_OUTPUT = 1,
	JOB_REQUEST = 3,
	JOB_RESULT = 4,
	JOB_ERROR = 5,
	JOB_PROGRESS = 6,
};

struct job {
	struct store store;
	const cJSON *request;
	int progress_fd; /* -1: nobody listens */
	cJSON *result;
	struct timespec told; /* last line about a layer */
};

int import_run(struct job *job, struct error *err);
int load_run(struct job *job, struct error *err);
int save_run(struct job *job, struct error *err);

/* Member of the request; NULL when it is absent. */
const char *job_string(const struct job *job, const char *key);
/* --platform, or the host's; *ret_given tells which. */
int job_platform(const struct job *job, struct platform *ret_platform,
		 bool *ret_given, struct error *err);
void job_note(struct job *job, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* At most ten lines a second, and always the last one. */
void job_progress(struct job *job, const char *hex, uint64_t bytes,
		  uint64_t total);
/* Notes about what unpacking could not keep. */
void job_note_stage(struct job *job, const struct stage *stage);
