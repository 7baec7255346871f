#include "core/build/result.h"

#include <stdio.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/json.h"
#include "core/engine/members.h"

#define RESULT_NAME_MAX 32

static void result_name(char ret_name[RESULT_NAME_MAX], size_t stage)
{
	snprintf(ret_name, RESULT_NAME_MAX, "stage-%zu", stage);
}

void stage_result_release(struct stage_result *result)
{
	layer_chain_release(&result->chain);
	image_draft_release(&result->image);
}

int stage_result_write(const struct store_work *work, size_t stage,
		       const struct stage_result *result, struct error *err)
{
	cleanup_json cJSON *json = json_object();
	char name[RESULT_NAME_MAX];

	result_name(name, stage);
	json_set(json, "chain", layer_chain_json(&result->chain));
	image_draft_save(&result->image, json);
	return json_write_at(work->fd, name, json, FILE_VOLATILE, err);
}

int stage_result_read(const struct store_work *work, size_t stage,
		      struct stage_result *ret_result, struct error *err)
{
	cleanup_stage_result struct stage_result result = {0};
	cleanup_json cJSON *json = NULL;
	char name[RESULT_NAME_MAX];
	int r;

	result_name(name, stage);
	r = json_read_at(work->fd, name, &json, err);
	if (r == 0)
		r = layer_chain_from_json(member_get(json, "chain"), name,
					  &result.chain, err);
	if (r == 0)
		r = image_draft_load(json, &result.image, err);
	if (r < 0)
		return r;
	*ret_result = result;
	result = (struct stage_result){0};
	return 0;
}
