/*
 * A container's changes as a new layer of the stage, unpacked and packed: the
 * last step of `commit` and of a build's RUN (storage/job/layer_pack.h).
 */
#pragma once

#include <sys/types.h>

#include "base/error.h"
#include "storage/job/job.h"
#include "storage/job/stage.h"
#include "storage/root/diff.h"
#include "storage/store/layer.h"
#include "storage/store/manifest.h"

/* 1 and the layer, or 0: nothing has changed, and the stage is as before. */
int diff_layer_stage(struct stage *stage, int upper_fd,
		     const struct diff_request *request,
		     struct descriptor *ret_blob, struct layer *ret_layer,
		     struct diff_report *ret_report, struct error *err);

/* Tells the user what could not be kept. */
void diff_layer_note(struct job *job, const struct diff_report *report);

/*
 * Has the kernel hand over what it holds back of a running container's root to
 * the root's FUSE server, so that upper/ has it. init is the container's first
 * process, start_time when that started: one that has ended has left nothing to
 * be handed over. Bounded in time, as the container may have mounted something
 * there that never answers; then it is an error.
 */
int diff_flush_root(pid_t init, uint64_t start_time, struct error *err);
