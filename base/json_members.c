#include <errno.h>
#include <string.h>

#include "base/file.h"
#include "base/json.h"
#include "base/str.h"

struct reader {
	const char *at;
	const char *end; /* of the text, where its NUL is */
};

/* The members wanted of one object: its slice of the list, and where in them
   the names below that object begin. */
struct wanted {
	const char *const *members;
	size_t count;
	size_t offset;
};

enum want { WANT_NOT, WANT_PART, WANT_WHOLE };

/* Most do not even begin alike: that is seen without a call. */
static bool begins_with(const char *name, const char *start, size_t length)
{
	return *name == *start && strncmp(name, start, length) == 0;
}

/* key: with its length. *ret_inner is what is wanted of a part. */
static enum want is_wanted(const struct wanted *wanted, const char *key,
			   size_t length, struct wanted *ret_inner)
{
	struct wanted inner = {NULL, 0, wanted->offset + length + 1};

	for (size_t i = 0; i < wanted->count; i++) {
		const char *name = wanted->members[i] + wanted->offset;

		if (!begins_with(name, key, length)) {
			if (inner.count > 0)
				break;
			continue;
		}
		if (name[length] == '\0')
			return WANT_WHOLE;
		if (name[length] == '.' && inner.count++ == 0)
			inner.members = &wanted->members[i];
	}
	*ret_inner = inner;
	return inner.count > 0 ? WANT_PART : WANT_NOT;
}

static void skip_blanks(struct reader *reader)
{
	while (*reader->at == ' ' || *reader->at == '\n' ||
	       *reader->at == '\t' || *reader->at == '\r')
		reader->at++;
}

static bool take_char(struct reader *reader, char expected)
{
	skip_blanks(reader);
	if (*reader->at != expected)
		return false;
	reader->at++;
	return true;
}

/* From its opening quote to after its closing one. */
static bool skip_string(struct reader *reader)
{
	const char *at = reader->at + 1;

	for (; *at != '"'; at++) {
		if (*at == '\\')
			at++;
		if (*at == '\0')
			return false;
	}
	reader->at = at + 1;
	return true;
}

static bool skip_value(struct reader *reader)
{
	int depth = 0;

	skip_blanks(reader);
	do {
		switch (*reader->at) {
		case '\0':
			return false;
		case '"':
			if (!skip_string(reader))
				return false;
			continue;
		case '{':
		case '[':
			depth++;
			break;
		case '}':
		case ']':
			depth--;
			break;
		default:
			if (depth == 0) {
				reader->at += strcspn(reader->at, ",}] \t\r\n");
				return true;
			}
			break;
		}
		reader->at++;
	} while (depth > 0);
	return depth == 0;
}

static cJSON *take_value(struct reader *reader)
{
	const char *end = NULL;
	cJSON *json;

	json = cJSON_ParseWithLengthOpts(
		reader->at, (size_t)(reader->end - reader->at), &end, 0);
	if (json)
		reader->at = end;
	return json;
}

static cJSON *take_object(struct reader *reader, const struct wanted *wanted);

/* A member from its key on, into object. */
static bool take_member(struct reader *reader, const struct wanted *wanted,
			cJSON *object)
{
	cleanup_free char *name = NULL;
	const char *key = reader->at + 1;
	struct wanted inner;
	enum want want;
	size_t length;
	cJSON *value;

	if (*reader->at != '"' || !skip_string(reader))
		return false;
	length = (size_t)(reader->at - key) - 1;
	if (!take_char(reader, ':'))
		return false;
	want = is_wanted(wanted, key, length, &inner);
	if (want == WANT_NOT)
		return skip_value(reader);
	skip_blanks(reader);
	if (want == WANT_PART && *reader->at == '{')
		value = take_object(reader, &inner);
	else
		value = take_value(reader);
	if (!value)
		return false;
	name = xstrndup(key, length);
	if (!cJSON_AddItemToObject(object, name, value))
		str_oom();
	return true;
}

static cJSON *take_object(struct reader *reader, const struct wanted *wanted)
{
	cleanup_json cJSON *object = json_object();

	if (!take_char(reader, '{'))
		return NULL;
	if (take_char(reader, '}'))
		return steal_ptr(&object);
	do {
		skip_blanks(reader);
		if (!take_member(reader, wanted, object))
			return NULL;
	} while (take_char(reader, ','));
	return take_char(reader, '}') ? steal_ptr(&object) : NULL;
}

int json_parse_members(const char *text, size_t length, const char *name,
		       const char *const *members, cJSON **ret_json,
		       struct error *err)
{
	struct reader reader = {text, text + length};
	struct wanted wanted = {members, 0, 0};
	cleanup_json cJSON *json = NULL;

	while (members[wanted.count])
		wanted.count++;
	json = take_object(&reader, &wanted);
	if (json)
		skip_blanks(&reader);
	if (!json || reader.at != reader.end)
		return err_set(err, ERROR_INVALID, "%s: malformed JSON", name);
	*ret_json = steal_ptr(&json);
	return 0;
}

int json_read_members_at(int dir_fd, const char *path,
			 const char *const *members, cJSON **ret_json,
			 struct error *err)
{
	cleanup_free char *text = NULL;
	size_t length;
	int r;

	r = file_read_at(dir_fd, path, JSON_FILE_MAX, &text, &length, err);
	if (r < 0)
		return r;
	return json_parse_members(text, length, path, members, ret_json, err);
}
