/*
 * What a stage comes to, on its way from the worker that made it to those that
 * begin with it or take from it: the file "stage-N" in the build's work.
 *
 *   {"chain": [layers], "image", "arguments"}: see image_draft_save()
 *
 * It is written whole before anybody is told of it.
 */
#pragma once

#include "base/error.h"
#include "core/build/image.h"
#include "storage/store/store.h"
#include "storage/transfer_build.h"

struct stage_result {
	struct layer_chain chain;
	struct image_draft image;
};

#define cleanup_stage_result CLEANUP(stage_result_release)

void stage_result_release(struct stage_result *result);
int stage_result_write(const struct store_work *work, size_t stage,
		       const struct stage_result *result, struct error *err);
int stage_result_read(const struct store_work *work, size_t stage,
		      struct stage_result *ret_result, struct error *err);
