#include "core/runtime/spec.h"
#include "core/runtime/spec_field.h"

#include <limits.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/path.h"
#include "base/str.h"

/* Three strings for "%s%s%s": members of the top have no path. */
#define MEMBER(path, key) path, *(path) ? "." : "", key

static int too_many(const char *path, const char *key, size_t max,
		    struct error *err)
{
	return err_set(err, ERROR_INVALID, "%s%s%s: more than %zu entries",
		       MEMBER(path, key), max);
}

int field_u32(const cJSON *object, const char *path, const char *key,
	      uint32_t max, uint32_t *ret_value, struct error *err)
{
	int64_t value = 0;
	int r = json_get_i64(object, path, key, &value, err);

	if (r <= 0)
		return r;
	if (value < 0 || value > max)
		return err_set(err, ERROR_INVALID,
			       "%s%s%s: %lld is not between 0 and %u",
			       MEMBER(path, key), (long long)value, max);
	*ret_value = (uint32_t)value;
	return 1;
}

int field_u64(const cJSON *object, const char *path, const char *key,
	      uint64_t *ret_value, struct error *err)
{
	const cJSON *member = cJSON_GetObjectItemCaseSensitive(object, key);
	int64_t value = 0;
	int r;

	if (cJSON_IsNumber(member) && member->valuedouble >= 0x1p63) {
		*ret_value = UINT64_MAX;
		return 1;
	}
	r = json_get_i64(object, path, key, &value, err);
	if (r <= 0)
		return r;
	if (value < 0)
		return err_set(err, ERROR_INVALID, "%s%s%s: %lld is negative",
			       MEMBER(path, key), (long long)value);
	*ret_value = (uint64_t)value;
	return 1;
}

int field_string(const cJSON *object, const char *path, const char *key,
		 char **ret_owned, struct error *err)
{
	const char *text = NULL;
	int r = json_get_string(object, path, key, &text, err);

	if (r <= 0)
		return r;
	free(*ret_owned);
	*ret_owned = xstrdup(text);
	return 1;
}

static int check_path(const char *path, const char *key, const char *text,
		      struct error *err)
{
	if (text[0] != '/')
		return err_set(err, ERROR_INVALID,
			       "%s%s%s: \"%s\" is not an absolute path",
			       MEMBER(path, key), text);
	if (strlen(text) >= PATH_MAX)
		return err_set(err, ERROR_INVALID, "%s%s%s: path is too long",
			       MEMBER(path, key));
	return 0;
}

int field_path(const cJSON *object, const char *path, const char *key,
	       char **ret_owned, struct error *err)
{
	const char *text = NULL;
	int r = json_get_string(object, path, key, &text, err);

	if (r <= 0)
		return r;
	r = check_path(path, key, text, err);
	if (r < 0)
		return r;
	free(*ret_owned);
	*ret_owned = path_clean(text);
	return 1;
}

int field_array(const cJSON *object, const char *path, const char *key,
		size_t max, const cJSON **ret_borrowed, size_t *ret_count,
		struct error *err)
{
	const cJSON *array = NULL;
	int r = json_get_array(object, path, key, &array, err);

	if (r <= 0)
		return r;
	if ((size_t)cJSON_GetArraySize(array) > max)
		return too_many(path, key, max, err);
	*ret_borrowed = array;
	*ret_count = (size_t)cJSON_GetArraySize(array);
	return 1;
}

int field_strv(const cJSON *object, const char *path, const char *key,
	       size_t max, char ***ret_strv, struct error *err)
{
	const cJSON *array = NULL;
	size_t count = 0;
	char **strv = NULL;
	int r = field_array(object, path, key, max, &array, &count, err);

	if (r <= 0)
		return r;
	r = json_get_strv(object, path, key, &strv, err);
	if (r <= 0)
		return r;
	strv_free(*ret_strv);
	*ret_strv = strv;
	return 1;
}

int field_paths(const cJSON *object, const char *path, const char *key,
		char ***ret_strv, struct error *err)
{
	cleanup_strv char **strv = NULL;
	int r = field_strv(object, path, key, SPEC_PATHS_MAX, &strv, err);

	if (r <= 0)
		return r;
	for (size_t i = 0; strv[i]; i++) {
		r = check_path(path, key, strv[i], err);
		if (r < 0)
			return r;
	}
	strv_free(*ret_strv);
	*ret_strv = steal_ptr(&strv);
	return 1;
}

static bool is_empty(const cJSON *member)
{
	if (!member || cJSON_IsNull(member))
		return true;
	if (cJSON_IsString(member))
		return str_empty(member->valuestring);
	if (cJSON_IsArray(member) || cJSON_IsObject(member)) {
		const cJSON *child;

		/* {"prestart": []} says nothing either. */
		cJSON_ArrayForEach(child, member)
		{
			if (!is_empty(child))
				return false;
		}
		return true;
	}
	return false;
}

int field_refuse(const cJSON *object, const char *path,
		 const struct field_refusal *refusals, size_t count,
		 struct error *err)
{
	for (size_t i = 0; i < count; i++) {
		if (is_empty(cJSON_GetObjectItemCaseSensitive(object,
							      refusals[i].key)))
			continue;
		return err_set(err, ERROR_UNSUPPORTED, "%s%s%s: %s",
			       MEMBER(path, refusals[i].key), refusals[i].why);
	}
	return 0;
}
