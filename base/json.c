#include "base/json.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/str.h"

#define JSON_INTEGER_MAX 9007199254740992.0 /* 2^53 */
/* From here on cJSON prints a number with an exponent. */
#define JSON_PLAIN_MAX 999999999999999

void cleanup_json_function(cJSON **json)
{
	cJSON_Delete(*json);
}

/* Position at as "line:column" into the error, both counted from 1. */
static int parse_error(const char *text, size_t at, const char *name,
		       const char *what, struct error *err)
{
	size_t line = 1;
	size_t column = 1;

	for (size_t i = 0; i < at; i++) {
		column++;
		if (text[i] == '\n') {
			line++;
			column = 1;
		}
	}
	return err_set(err, ERROR_INVALID, "%s:%zu:%zu: %s", name, line, column,
		       what);
}

/* What is wrong with the escape sequence at text, NULL when nothing is. */
static const char *check_escape(const char *text, size_t length)
{
	if (length < 6 || text[1] != 'u')
		return NULL;
	for (int i = 2; i < 6; i++) {
		if (!isxdigit((unsigned char)text[i]))
			return "invalid \\u escape";
	}
	return memcmp(text, "\\u0000", 6) ? NULL : "\\u0000 in a string";
}

/*
 * What cJSON lets through or would do silently: NUL bytes as blanks, raw
 * control characters in strings, \u0000 that cuts a string short and malformed
 * \u escapes that it takes for it, depth.
 * *ret_open tells whether the text ends within a string, object or array.
 */
static const char *check_text(const char *text, size_t length, size_t *ret_at,
			      bool *ret_open)
{
	bool in_string = false;
	int depth = 0;

	for (size_t i = 0; i < length; i++) {
		unsigned char byte = (unsigned char)text[i];

		*ret_at = i;
		if (byte < 0x20 && (in_string || !memchr("\t\n\r", byte, 3)))
			return "control character";
		if (in_string && byte == '\\') {
			const char *what = check_escape(text + i, length - i);

			if (what)
				return what;
			i++;
		} else if (byte == '"') {
			in_string = !in_string;
		} else if (!in_string && (byte == '{' || byte == '[')) {
			if (++depth > JSON_DEPTH_MAX)
				return "nested too deeply";
		} else if (!in_string && (byte == '}' || byte == ']')) {
			depth--;
		}
	}
	*ret_open = in_string || depth > 0;
	return NULL;
}

/* text has a byte of its own behind its end: cJSON may look at it. */
static int parse(const char *text, size_t length, const char *name,
		 cJSON **ret_json, struct error *err)
{
	cleanup_json cJSON *json = NULL;
	const char *end = NULL;
	const char *what;
	bool open = false;
	size_t at = 0;

	what = check_text(text, length, &at, &open);
	if (what)
		return parse_error(text, at, name, what, err);
	json = cJSON_ParseWithLengthOpts(text, length, &end, 0);
	at = end ? (size_t)(end - text) : 0;
	if (!json) {
		/* cJSON names the last character when it runs out of text. */
		if (strspn(text, " \t\r\n") == length ||
		    (open && at + 1 >= length))
			return parse_error(text, length, name,
					   "JSON text ends too early", err);
		return parse_error(text, at, name, "malformed JSON", err);
	}
	at += strspn(text + at, " \t\r\n");
	if (at < length)
		return parse_error(text, at, name, "text after the JSON value",
				   err);
	*ret_json = steal_ptr(&json);
	return 0;
}

int json_parse(const char *text, size_t length, const char *name,
	       cJSON **ret_json, struct error *err)
{
	cleanup_free char *copy = NULL;

	if (length > JSON_FILE_MAX)
		return err_set(err, ERROR_INVALID,
			       "%s: JSON text is larger than %u bytes", name,
			       JSON_FILE_MAX);
	copy = xrealloc(NULL, length + 1, 1);
	if (length > 0)
		memcpy(copy, text, length);
	copy[length] = '\0';
	return parse(copy, length, name, ret_json, err);
}

static int compare_keys(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int check_object(const cJSON *object, const char *name,
			struct error *err)
{
	size_t count = (size_t)cJSON_GetArraySize(object);
	cleanup_free const char **keys = NULL;
	const cJSON *child;
	size_t i = 0;

	if (count < 2)
		return 0;
	keys = xcalloc(count, sizeof(*keys));
	cJSON_ArrayForEach(child, object)
	{
		keys[i++] = child->string;
	}
	qsort(keys, count, sizeof(*keys), compare_keys);
	for (i = 1; i < count; i++) {
		if (str_equal(keys[i - 1], keys[i]))
			return err_set(err, ERROR_INVALID,
				       "%s: \"%.64s\" is there twice", name,
				       keys[i]);
	}
	return 0;
}

int json_check_unique(const cJSON *json, const char *name, struct error *err)
{
	const cJSON *child;
	int r = cJSON_IsObject(json) ? check_object(json, name, err) : 0;

	/* The parser has limited the depth. */
	cJSON_ArrayForEach(child, json)
	{
		if (r == 0)
			r = json_check_unique(child, name, err);
	}
	return r;
}

int json_read_at(int dir_fd, const char *path, cJSON **ret_json,
		 struct error *err)
{
	cleanup_free char *text = NULL;
	size_t length;
	int r;

	r = file_read_at(dir_fd, path, JSON_FILE_MAX, &text, &length, err);
	return r < 0 ? r : parse(text, length, path, ret_json, err);
}

int json_write_at(int dir_fd, const char *path, const cJSON *json,
		  unsigned int flags, struct error *err)
{
	cleanup_free char *text = json_print(json);
	size_t length = strlen(text);

	/* Nobody could read it back. */
	if (length > JSON_FILE_MAX)
		return err_set(err, ERROR_INVALID,
			       "%s would be larger than %u bytes", path,
			       JSON_FILE_MAX);
	return file_write_atomic_at(dir_fd, path, text, length, 0644, flags,
				    err);
}

char *json_print(const cJSON *json)
{
	char *text = cJSON_PrintUnformatted(json);

	if (!text)
		str_oom();
	return text;
}

static void print_break(struct str *text, int depth)
{
	str_append_char(text, '\n');
	for (int i = 0; i < depth; i++)
		str_append(text, "    ");
}

static void print_string(struct str *text, const char *value)
{
	cJSON string = {.type = cJSON_String};
	cleanup_free char *quoted = NULL;
	cleanup_free char *copy = xstrdup(value ? value : "");

	string.valuestring = copy;
	quoted = json_print(&string);
	str_append(text, quoted);
}

static void print_pretty(struct str *text, const cJSON *json, int depth)
{
	bool object = cJSON_IsObject(json);
	const cJSON *child;

	if (!object && !cJSON_IsArray(json)) {
		cleanup_free char *scalar = json_print(json);

		str_append(text, scalar);
		return;
	}
	str_append_char(text, object ? '{' : '[');
	cJSON_ArrayForEach(child, json)
	{
		print_break(text, depth + 1);
		if (object) {
			print_string(text, child->string);
			str_append(text, ": ");
		}
		print_pretty(text, child, depth + 1);
		if (child->next)
			str_append_char(text, ',');
	}
	if (json->child)
		print_break(text, depth);
	str_append_char(text, object ? '}' : ']');
}

char *json_print_pretty(const cJSON *json)
{
	struct str text = {0};

	print_pretty(&text, json, 0);
	return str_steal(&text);
}

const cJSON *json_member(const cJSON *object, const char *key)
{
	const cJSON *member;

	cJSON_ArrayForEach(member, object)
	{
		/* The first letters tell most of them apart. */
		if (member->string && *member->string == *key &&
		    strcmp(member->string, key) == 0)
			break;
	}
	return member;
}

static int type_error(const char *path, const char *key, const char *expected,
		      struct error *err)
{
	return err_set(err, ERROR_INVALID, "%s%s%s: expected %s",
		       path ? path : "", str_empty(path) || !*key ? "" : ".",
		       key, expected);
}

/* 1 and the member, 0 when absent or null, -EINVAL when there is no object. */
static int get_member(const cJSON *object, const char *path, const char *key,
		      const cJSON **ret_member, struct error *err)
{
	const cJSON *member;

	if (!object || cJSON_IsNull(object))
		return 0;
	if (!cJSON_IsObject(object))
		return type_error(path, str_empty(path) ? key : "", "an object",
				  err);
	member = json_member(object, key);
	if (!member || cJSON_IsNull(member))
		return 0;
	*ret_member = member;
	return 1;
}

int json_get_string(const cJSON *object, const char *path, const char *key,
		    const char **ret_borrowed, struct error *err)
{
	const cJSON *member = NULL;
	int r = get_member(object, path, key, &member, err);

	if (r <= 0)
		return r;
	if (!cJSON_IsString(member) || !member->valuestring)
		return type_error(path, key, "a string", err);
	*ret_borrowed = member->valuestring;
	return 1;
}

int json_get_bool(const cJSON *object, const char *path, const char *key,
		  bool *ret_value, struct error *err)
{
	const cJSON *member = NULL;
	int r = get_member(object, path, key, &member, err);

	if (r <= 0)
		return r;
	if (!cJSON_IsBool(member))
		return type_error(path, key, "true or false", err);
	*ret_value = cJSON_IsTrue(member);
	return 1;
}

int json_get_i64(const cJSON *object, const char *path, const char *key,
		 int64_t *ret_value, struct error *err)
{
	const cJSON *member = NULL;
	int r = get_member(object, path, key, &member, err);
	double value;

	if (r <= 0)
		return r;
	/* json_set_i64() keeps large ones as text. */
	if (cJSON_IsRaw(member) &&
	    parse_i64(member->valuestring, ret_value) == 0)
		return 1;
	value = member->valuedouble;
	if (!cJSON_IsNumber(member) || !(value >= -JSON_INTEGER_MAX) ||
	    !(value <= JSON_INTEGER_MAX) || value != (double)(int64_t)value)
		return type_error(path, key, "an integer", err);
	*ret_value = (int64_t)value;
	return 1;
}

int json_get_object(const cJSON *object, const char *path, const char *key,
		    const cJSON **ret_borrowed, struct error *err)
{
	const cJSON *member = NULL;
	int r = get_member(object, path, key, &member, err);

	if (r <= 0)
		return r;
	if (!cJSON_IsObject(member))
		return type_error(path, key, "an object", err);
	*ret_borrowed = member;
	return 1;
}

int json_get_array(const cJSON *object, const char *path, const char *key,
		   const cJSON **ret_borrowed, struct error *err)
{
	const cJSON *member = NULL;
	int r = get_member(object, path, key, &member, err);

	if (r <= 0)
		return r;
	if (!cJSON_IsArray(member))
		return type_error(path, key, "an array", err);
	*ret_borrowed = member;
	return 1;
}

int json_get_strv(const cJSON *object, const char *path, const char *key,
		  char ***ret_strv, struct error *err)
{
	const cJSON *array = NULL;
	const cJSON *item;
	char **strv;
	size_t count = 0;
	int r = json_get_array(object, path, key, &array, err);

	if (r <= 0)
		return r;
	cJSON_ArrayForEach(item, array)
	{
		cleanup_free char *name = xasprintf("%s[%zu]", key, count++);

		if (!cJSON_IsString(item) || !item->valuestring)
			return type_error(path, name, "a string", err);
	}
	/* Filled in one go: strv_push() counts each time. */
	strv = xcalloc(count + 1, sizeof(char *));
	count = 0;
	cJSON_ArrayForEach(item, array)
	{
		strv[count++] = xstrdup(item->valuestring);
	}
	*ret_strv = strv;
	return 1;
}

static cJSON *checked(cJSON *json)
{
	if (!json)
		str_oom();
	return json;
}

cJSON *json_object(void)
{
	return checked(cJSON_CreateObject());
}

cJSON *json_array(void)
{
	return checked(cJSON_CreateArray());
}

void json_set(cJSON *object, const char *key, cJSON *value)
{
	cJSON_bool done;

	if (!value)
		value = checked(cJSON_CreateNull());
	if (json_member(object, key))
		done = cJSON_ReplaceItemInObjectCaseSensitive(object, key,
							      value);
	else
		done = cJSON_AddItemToObject(object, key, value);
	if (!done)
		str_oom();
}

void json_set_string(cJSON *object, const char *key, const char *value)
{
	json_set(object, key,
		 value ? checked(cJSON_CreateString(value)) : NULL);
}

void json_set_text(cJSON *object, const char *key, const char *value)
{
	if (value)
		json_set_string(object, key, value);
}

void json_set_bool(cJSON *object, const char *key, bool value)
{
	json_set(object, key, checked(cJSON_CreateBool(value)));
}

void json_set_i64(cJSON *object, const char *key, int64_t value)
{
	cleanup_free char *text = NULL;

	if (value >= -JSON_PLAIN_MAX && value <= JSON_PLAIN_MAX) {
		json_set(object, key,
			 checked(cJSON_CreateNumber((double)value)));
		return;
	}
	text = xasprintf("%lld", (long long)value);
	json_set(object, key, checked(cJSON_CreateRaw(text)));
}

void json_set_strv(cJSON *object, const char *key, char *const *strv)
{
	cJSON *array = json_array();

	for (size_t i = 0; strv && strv[i]; i++)
		json_push_string(array, strv[i]);
	json_set(object, key, array);
}

void json_push(cJSON *array, cJSON *value)
{
	if (!value)
		value = checked(cJSON_CreateNull());
	if (!cJSON_AddItemToArray(array, value))
		str_oom();
}

void json_push_string(cJSON *array, const char *value)
{
	json_push(array, value ? checked(cJSON_CreateString(value)) : NULL);
}
