/*
 * Values of a template in the making; shared by its evaluator and its
 * functions.
 */
#pragma once

#include <cjson/cJSON.h>

#include "base/error.h"
#include "base/str.h"

#define TEMPLATE_STEPS_MAX 1000000     /* of one execution: ranges in ranges */
#define TEMPLATE_MADE_MAX  (64u << 20) /* bytes of what functions make */

/* Keeps what functions make until the execution ends. */
struct template_arena {
	cJSON *made; /* array */
	size_t size; /* bytes of texts in it */
};

const cJSON *template_keep(struct template_arena *arena, cJSON *value);
bool template_truth(const cJSON *value);
/* A number without a fraction that a long long and a double both hold. */
bool template_is_whole(const cJSON *value);
/* As Go's %v prints it. */
void template_print(struct str *output, const cJSON *value);

/*
 * Calls a function by name; -ENOENT when there is none of that name. arguments
 * may hold NULL (nil).
 */
int template_call(struct template_arena *arena, const char *name,
		  const cJSON *const *arguments, size_t count,
		  const cJSON **ret_value, struct error *err);
bool template_function_exists(const char *name);
