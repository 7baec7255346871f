/*
 * What moss-image and moss-layer are asked to do, see storage/transfer.h for
 * the other side: a request (one JSON object), a store, a result (one JSON
 * object), and a descriptor for messages on the way, whose form
 * storage/transfer.h tells.
 *
 * Messages may come from any thread of the job.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdatomic.h>
#include <stdint.h>
#include <time.h>

#include "base/error.h"
#include "storage/job/stage.h"
#include "storage/store/platform.h"
#include "storage/store/store.h"

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
	/* Set by the first failure of several things that go on at once
	   (storage/tar/parallel.h): whatever waits looks here. */
	atomic_bool cancelled;
};

int assemble_run(struct job *job, struct error *err);
int add_digest_run(struct job *job, struct error *err);
int cache_fetch_run(struct job *job, struct error *err);
int cache_read_run(struct job *job, struct error *err);
int check_run(struct job *job, struct error *err);
int commit_run(struct job *job, struct error *err);
int context_run(struct job *job, struct error *err);
int copy_digest_run(struct job *job, struct error *err);
int copy_in_run(struct job *job, struct error *err);
int copy_out_run(struct job *job, struct error *err);
int diff_run(struct job *job, struct error *err);
int export_run(struct job *job, struct error *err);
int layer_diff_run(struct job *job, struct error *err);
int import_run(struct job *job, struct error *err);
int layer_add_run(struct job *job, struct error *err);
int layer_copy_run(struct job *job, struct error *err);
int layout_read_run(struct job *job, struct error *err);
int load_run(struct job *job, struct error *err);
int prepare_run(struct job *job, struct error *err);
int save_run(struct job *job, struct error *err);
int pull_run(struct job *job, struct error *err);
int login_run(struct job *job, struct error *err);
int search_run(struct job *job, struct error *err);
int manifest_run(struct job *job, struct error *err);
int push_run(struct job *job, struct error *err);

/* Member of the request; NULL when it is absent. */
const char *job_string(const struct job *job, const char *key);
/* --platform, or the host's; *ret_given tells which. */
int job_platform(const struct job *job, struct platform *ret_platform,
		 bool *ret_given, struct error *err);
/* -ECANCELED when the job is to end, because a part of it failed. */
int job_check_cancelled(struct job *job, struct error *err);
/* A warning for the user. */
void job_note(struct job *job, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/*
 * What is true of id from now on: "Waiting", "Pull complete". An id is a
 * layer's first 12 digits (digest_short() of the packed one), or a tag; NULL:
 * of the whole job ("Digest: sha256:…").
 */
void job_status(struct job *job, const char *id, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* When a meter last spoke; one for each id and status, zero at first. */
struct job_meter {
	struct timespec told;
};
/*
 * So many bytes of total (0: not known) are done: at most ten lines a second
 * from a meter, and always the one that reaches the total.
 */
void job_progress(struct job *job, struct job_meter *meter, const char *id,
		  const char *status, uint64_t current, uint64_t total);
/* Notes about what unpacking could not keep. */
void job_note_stage(struct job *job, const struct stage *stage);
