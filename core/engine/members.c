#include "core/engine/members.h"

#include "base/json.h"
#include "base/str.h"

bool member_is_empty(const cJSON *value)
{
	if (!value || cJSON_IsNull(value) || cJSON_IsFalse(value))
		return true;
	if (cJSON_IsString(value))
		return str_empty(value->valuestring);
	if (cJSON_IsNumber(value))
		return value->valuedouble == 0;
	if (cJSON_IsArray(value) || cJSON_IsObject(value))
		return !value->child;
	return false;
}

const cJSON *member_get(const cJSON *object, const char *name)
{
	const cJSON *member = json_member(object, name);

	return cJSON_IsNull(member) ? NULL : member;
}

const char *member_string(const cJSON *object, const char *name)
{
	return item_string(member_get(object, name));
}

bool member_bool(const cJSON *object, const char *name)
{
	return cJSON_IsTrue(member_get(object, name));
}

int64_t member_i64(const cJSON *object, const char *name)
{
	int64_t value = 0;

	if (json_get_i64(object, "", name, &value, NULL) < 0)
		return 0;
	return value;
}

char **member_strv(const cJSON *object, const char *name)
{
	const cJSON *member = member_get(object, name);
	char **strv = NULL;

	if (cJSON_IsString(member))
		strv_push(&strv, member->valuestring);
	else
		(void)json_get_strv(object, "", name, &strv, NULL);
	return strv;
}

const char *item_string(const cJSON *item)
{
	if (!cJSON_IsString(item) || !item->valuestring)
		return "";
	return item->valuestring;
}

static const char *type_text(enum member_type type)
{
	static const char *const texts[] = {
		[MEMBER_STRING] = "a string",
		[MEMBER_BOOL] = "true or false",
		[MEMBER_INTEGER] = "an integer",
		[MEMBER_STRINGS] = "an array of strings",
		[MEMBER_COMMAND] = "an array of strings",
		[MEMBER_ARRAY] = "an array",
		[MEMBER_OBJECT] = "an object",
		[MEMBER_MAP] = "an object of strings",
		[MEMBER_SET] = "an object",
	};

	return texts[type];
}

static bool all_strings(const cJSON *list)
{
	const cJSON *item;

	cJSON_ArrayForEach(item, list)
	{
		if (!cJSON_IsString(item))
			return false;
	}
	return true;
}

static bool has_type(const cJSON *object, const cJSON *value,
		     enum member_type type)
{
	int64_t number;

	switch (type) {
	case MEMBER_STRING:
		return cJSON_IsString(value);
	case MEMBER_BOOL:
		return cJSON_IsBool(value);
	case MEMBER_INTEGER:
		return json_get_i64(object, "", value->string, &number, NULL) ==
		       1;
	case MEMBER_STRINGS:
		return cJSON_IsArray(value) && all_strings(value);
	case MEMBER_COMMAND:
		return cJSON_IsString(value) ||
		       (cJSON_IsArray(value) && all_strings(value));
	case MEMBER_ARRAY:
		return cJSON_IsArray(value);
	case MEMBER_MAP:
		return cJSON_IsObject(value) && all_strings(value);
	case MEMBER_OBJECT:
	case MEMBER_SET:
		return cJSON_IsObject(value);
	}
	return false;
}

static int check_refused(const cJSON *value, const char *path,
			 const struct member *member, struct error *err)
{
	const char *dot = *path ? "." : "";

	if (member_is_empty(value))
		return 0;
	err_set(err, ERROR_UNSUPPORTED, "%s%s%s%s%s%s is not supported yet",
		member->option ? member->option : "",
		member->option ? " (" : "", path, dot, member->name,
		member->option ? ")" : "");
	return err_hint(err, "leave it out");
}

static int check_member(const cJSON *object, const cJSON *value,
			const char *path, const struct member *member,
			bool strict, struct error *err)
{
	const char *dot = *path ? "." : "";

	if (!has_type(object, value, member->type))
		return err_set(err, ERROR_INVALID, "%s%s%s: expected %s", path,
			       dot, member->name, type_text(member->type));
	if ((cJSON_IsArray(value) || cJSON_IsObject(value)) &&
	    cJSON_GetArraySize(value) > MEMBERS_LIST_MAX)
		return err_set(err, ERROR_INVALID,
			       "%s%s%s: more than %d entries", path, dot,
			       member->name, MEMBERS_LIST_MAX);
	if (member->use != MEMBER_REFUSED || !strict)
		return 0;
	return check_refused(value, path, member, err);
}

int members_check(const cJSON *object, const char *path,
		  const struct member *members, size_t count, bool strict,
		  struct error *err)
{
	const cJSON *value;

	if (!object || cJSON_IsNull(object))
		return 0;
	if (!cJSON_IsObject(object))
		return err_set(err, ERROR_INVALID, "%s: expected an object",
			       *path ? path : "the body");
	cJSON_ArrayForEach(value, object)
	{
		const struct member *member = NULL;
		int r;

		for (size_t i = 0; !member && i < count; i++) {
			if (str_equal(members[i].name, value->string))
				member = &members[i];
		}
		if (member && !cJSON_IsNull(value)) {
			r = check_member(object, value, path, member, strict,
					 err);
			if (r < 0)
				return r;
		} else if (!member && strict && !member_is_empty(value)) {
			return err_set(err, ERROR_INVALID,
				       "unknown member %s%s%s", path,
				       *path ? "." : "", value->string);
		}
	}
	return 0;
}

static cJSON *default_value(enum member_default empty)
{
	switch (empty) {
	case MEMBER_FALSE:
		return cJSON_CreateFalse();
	case MEMBER_ZERO:
		return cJSON_CreateNumber(0);
	case MEMBER_EMPTY:
		return cJSON_CreateString("");
	case MEMBER_NO_ITEMS:
		return json_array();
	case MEMBER_NO_MEMBERS:
		return json_object();
	case MEMBER_OMIT:
	case MEMBER_NULL:
		break;
	}
	return cJSON_CreateNull();
}

/* As Go leaves out what is empty; numbers and flags tell something. */
static bool is_omitted(const cJSON *value)
{
	return !value || (member_is_empty(value) && !cJSON_IsNumber(value) &&
			  !cJSON_IsBool(value));
}

cJSON *members_normalise(const cJSON *object, const struct member *members,
			 size_t count)
{
	cJSON *result = json_object();

	for (size_t i = 0; i < count; i++) {
		const struct member *member = &members[i];
		const cJSON *value = member_get(object, member->name);
		cJSON *copy;

		if (member->empty == MEMBER_OMIT && is_omitted(value))
			continue;
		copy = value ? cJSON_Duplicate(value, true)
			     : default_value(member->empty);
		if (!copy)
			str_oom();
		json_set(result, member->name, copy);
	}
	return result;
}
