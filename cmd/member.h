/* Members of the engine's JSON objects, where absent means empty. */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/json.h"

static inline const cJSON *member_of(const cJSON *object, const char *member)
{
	return json_member(object, member);
}

/* "" when it is absent or no string. */
static inline const char *text_of(const cJSON *object, const char *member)
{
	const char *text = cJSON_GetStringValue(member_of(object, member));

	return text ? text : "";
}

/* 0 when it is absent or no number. */
static inline int64_t number_of(const cJSON *object, const char *member)
{
	const cJSON *number = member_of(object, member);

	return cJSON_IsNumber(number) ? (int64_t)number->valuedouble : 0;
}

static inline bool flag_of(const cJSON *object, const char *member)
{
	return cJSON_IsTrue(member_of(object, member));
}
