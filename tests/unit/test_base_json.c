/* base/json.h */
#include "base/json.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/str.h"

static cJSON *parse(const char *text)
{
	cJSON *json = NULL;
	struct error err = {0};

	if (json_parse(text, strlen(text), "t", &json, &err) < 0)
		fail_msg("%s: %s", text, err.message);
	return json;
}

static void test_parse_errors(void **state)
{
	static const struct {
		const char *text;
		const char *message;
	} rows[] = {
		{"", "t:1:1: JSON text ends too early"},
		{"  \n ", "t:2:2: JSON text ends too early"},
		{"{", "t:1:2: JSON text ends too early"},
		{"{\"a\": 1", "t:1:8: JSON text ends too early"},
		{"{\"a\": 1,\n \"b\": x}", "t:2:7: malformed JSON"},
		{"{\"a\" 1}", "t:1:6: malformed JSON"},
		{"[1, 2,]", "t:1:7: malformed JSON"},
		{"[1 2]", "t:1:4: malformed JSON"},
		{"{} {}", "t:1:4: text after the JSON value"},
		{"1\n\n]", "t:3:1: text after the JSON value"},
		{"tru", "t:1:1: malformed JSON"},
		{"\"a\nb\"", "t:1:3: control character"},
		{"{\"a\":\v1}", "t:1:6: control character"},
		{"[\"a\\u0000b\"]", "t:1:4: \\u0000 in a string"},
		{"[\"a\\uzzzzb\"]", "t:1:4: invalid \\u escape"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cJSON *json = NULL;
		struct error err = {0};

		assert_int_equal(json_parse(rows[i].text, strlen(rows[i].text),
					    "t", &json, &err),
				 -EINVAL);
		assert_string_equal(err.message, rows[i].message);
		assert_int_equal(err.kind, ERROR_INVALID);
		assert_null(json);
	}
}

static void test_parse_unterminated(void **state)
{
	static const char text[] = {'{', '"', 'a', '"', ':', '1', ','};
	cJSON *json = NULL;

	/* A heap copy of the exact size, so that ASan sees a look too far. */
	for (size_t length = 0; length <= sizeof(text); length++) {
		cleanup_free char *copy = malloc(length ? length : 1);

		memcpy(copy, text, length);
		assert_int_equal(json_parse(copy, length, "t", &json, NULL),
				 -EINVAL);
	}
	assert_int_equal(json_parse("1\0", 2, "t", &json, NULL), -EINVAL);
	assert_int_equal(json_parse("12]", 2, "t", &json, NULL), 0);
	assert_int_equal(json->valueint, 12);
	cJSON_Delete(json);
}

static void test_parse_limits(void **state)
{
	static const struct {
		int depth;
		int result;
	} rows[] = {
		{JSON_DEPTH_MAX, 0},
		{JSON_DEPTH_MAX + 1, -EINVAL},
		{100000, -EINVAL},
	};
	cleanup_free char *large = malloc(JSON_FILE_MAX + 1);
	cleanup_json cJSON *escaped = NULL;
	cJSON *json = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_str struct str text = {0};

		for (int j = 0; j < rows[i].depth; j++)
			str_append_char(&text, '[');
		for (int j = 0; j < rows[i].depth; j++)
			str_append_char(&text, ']');
		assert_int_equal(
			json_parse(text.data, text.length, "t", &json, NULL),
			rows[i].result);
		if (rows[i].result == 0)
			cJSON_Delete(json);
	}

	memset(large, ' ', JSON_FILE_MAX + 1);
	large[0] = '1';
	assert_int_equal(json_parse(large, JSON_FILE_MAX, "t", &json, NULL), 0);
	cJSON_Delete(json);
	assert_int_equal(json_parse(large, JSON_FILE_MAX + 1, "t", &json, NULL),
			 -EINVAL);

	/* Brackets and quotes inside strings are no structure. */
	escaped = parse("[\"[[\\\"{{\", \"\\\\\", \"\\\\u0000\"]");
	assert_string_equal(cJSON_GetArrayItem(escaped, 0)->valuestring,
			    "[[\"{{");
	assert_string_equal(cJSON_GetArrayItem(escaped, 2)->valuestring,
			    "\\u0000");
}

static const char *document =
	"{\"s\":\"x\",\"t\":true,\"f\":false,\"n\":null,\"i\":-42,"
	"\"max\":9007199254740992,\"huge\":1e300,\"half\":1.5,"
	"\"o\":{\"k\":1},\"a\":[\"p\",\"q\"],\"mixed\":[\"p\",1],\"e\":[]}";

static void test_look_ups(void **state)
{
	cleanup_json cJSON *json = parse(document);
	cleanup_strv char **strv = NULL;
	const cJSON *item = NULL;
	const char *text = "old";
	int64_t number = 5;
	bool flag = true;

	assert_int_equal(json_get_string(json, "", "s", &text, NULL), 1);
	assert_string_equal(text, "x");
	assert_int_equal(json_get_string(json, "", "n", &text, NULL), 0);
	assert_int_equal(json_get_string(json, "", "none", &text, NULL), 0);
	assert_int_equal(json_get_string(json, "", "S", &text, NULL), 0);
	assert_int_equal(json_get_string(NULL, "", "s", &text, NULL), 0);
	assert_string_equal(text, "x");

	assert_int_equal(json_get_bool(json, "", "f", &flag, NULL), 1);
	assert_false(flag);
	assert_int_equal(json_get_bool(json, "", "t", &flag, NULL), 1);
	assert_true(flag);

	assert_int_equal(json_get_i64(json, "", "i", &number, NULL), 1);
	assert_int_equal(number, -42);
	assert_int_equal(json_get_i64(json, "", "max", &number, NULL), 1);
	assert_int_equal(number, 9007199254740992);

	assert_int_equal(json_get_object(json, "", "o", &item, NULL), 1);
	assert_int_equal(json_get_i64(item, "o", "k", &number, NULL), 1);
	assert_int_equal(number, 1);
	assert_int_equal(json_get_array(json, "", "a", &item, NULL), 1);
	assert_int_equal(cJSON_GetArraySize(item), 2);

	assert_int_equal(json_get_strv(json, "", "none", &strv, NULL), 0);
	assert_null(strv);
	assert_int_equal(json_get_strv(json, "", "a", &strv, NULL), 1);
	assert_int_equal(strv_length(strv), 2);
	assert_string_equal(strv[1], "q");
	strv_free(strv);
	strv = NULL;
	assert_int_equal(json_get_strv(json, "", "e", &strv, NULL), 1);
	assert_int_equal(strv_length(strv), 0);
}

enum getter { STRING, BOOL, I64, OBJECT, ARRAY, STRV };

static int get(enum getter getter, const cJSON *json, const char *path,
	       const char *key, struct error *err)
{
	const cJSON *item = NULL;
	const char *text = NULL;
	char **strv = NULL;
	int64_t number;
	bool flag;

	switch (getter) {
	case STRING:
		return json_get_string(json, path, key, &text, err);
	case BOOL:
		return json_get_bool(json, path, key, &flag, err);
	case I64:
		return json_get_i64(json, path, key, &number, err);
	case OBJECT:
		return json_get_object(json, path, key, &item, err);
	case ARRAY:
		return json_get_array(json, path, key, &item, err);
	case STRV:
		return json_get_strv(json, path, key, &strv, err);
	}
	return 0;
}

static void test_wrong_types(void **state)
{
	static const struct {
		enum getter getter;
		const char *path;
		const char *key;
		const char *message;
	} rows[] = {
		{STRING, "syscalls[3]", "i",
		 "syscalls[3].i: expected a string"},
		{STRING, "", "o", "o: expected a string"},
		{STRING, NULL, "o", "o: expected a string"},
		{BOOL, "x", "i", "x.i: expected true or false"},
		{I64, "x", "half", "x.half: expected an integer"},
		{I64, "x", "huge", "x.huge: expected an integer"},
		{I64, "x", "s", "x.s: expected an integer"},
		{OBJECT, "x", "a", "x.a: expected an object"},
		{ARRAY, "x", "o", "x.o: expected an array"},
		{STRV, "x", "mixed", "x.mixed[1]: expected a string"},
		{STRV, "x", "s", "x.s: expected an array"},
	};
	cleanup_json cJSON *json = parse(document);
	cleanup_json cJSON *array = parse("[]");
	struct error err = {0};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(get(rows[i].getter, json, rows[i].path,
				     rows[i].key, &err),
				 -EINVAL);
		assert_string_equal(err.message, rows[i].message);
	}
	assert_int_equal(get(STRING, array, "list", "k", &err), -EINVAL);
	assert_string_equal(err.message, "list: expected an object");
}

static void test_build_and_print(void **state)
{
	cleanup_json cJSON *json = json_object();
	cleanup_free char *compact = NULL;
	cleanup_free char *pretty = NULL;
	char word[] = "w";
	char *strv[] = {word, NULL};
	cJSON *list = json_array();
	int64_t number = 0;

	json_set_string(json, "s", "a\"b\n");
	json_set_string(json, "s2", NULL);
	json_set_bool(json, "b", true);
	json_set_bool(json, "b", false);
	json_set_i64(json, "i", -7);
	json_set_i64(json, "ns", 1767323045000000006);
	json_set_i64(json, "big", 1000000000000000);
	json_set_strv(json, "v", strv);
	json_set_strv(json, "none", NULL);
	json_push_string(list, "x");
	json_push(list, json_object());
	json_set(json, "list", list);

	compact = json_print(json);
	assert_string_equal(
		compact,
		"{\"s\":\"a\\\"b\\n\",\"s2\":null,\"b\":false,\"i\":-7,"
		"\"ns\":1767323045000000006,\"big\":1000000000000000,"
		"\"v\":[\"w\"],\"none\":[],\"list\":[\"x\",{}]}");
	pretty = json_print_pretty(json);
	assert_string_equal(pretty, "{\n"
				    "    \"s\": \"a\\\"b\\n\",\n"
				    "    \"s2\": null,\n"
				    "    \"b\": false,\n"
				    "    \"i\": -7,\n"
				    "    \"ns\": 1767323045000000006,\n"
				    "    \"big\": 1000000000000000,\n"
				    "    \"v\": [\n"
				    "        \"w\"\n"
				    "    ],\n"
				    "    \"none\": [],\n"
				    "    \"list\": [\n"
				    "        \"x\",\n"
				    "        {}\n"
				    "    ]\n"
				    "}");
	assert_int_equal(json_get_i64(json, "", "ns", &number, NULL), 1);
	assert_int_equal(number, 1767323045000000006);
}

static void test_files(void **state)
{
	char directory[] = "/tmp/moss-test-XXXXXX";
	cleanup_fd int fd = -1;
	cleanup_json cJSON *json = json_object();
	cleanup_json cJSON *back = NULL;
	cleanup_json cJSON *again = NULL;
	cleanup_free char *long_text = NULL;
	struct error err = {0};

	assert_non_null(mkdtemp(directory));
	fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	json_set_i64(json, "a", 3);
	assert_int_equal(json_write_at(fd, "x.json", json, 0, &err), 0);
	assert_int_equal(json_read_at(fd, "x.json", &back, &err), 0);
	assert_true(cJSON_Compare(json, back, 1));

	assert_int_equal(json_read_at(fd, "none", &back, &err), -ENOENT);
	assert_string_equal(err.message,
			    "cannot open none: No such file or directory");
	assert_int_equal(file_write_atomic_at(fd, "bad", "{", 1, 0600, 0, NULL),
			 0);
	assert_int_equal(json_read_at(fd, "bad", &back, &err), -EINVAL);
	assert_string_equal(err.message, "bad:1:2: JSON text ends too early");

	/* What could not be read back is not written. */
	long_text = xcalloc(JSON_FILE_MAX, 1);
	memset(long_text, 'x', JSON_FILE_MAX - 1);
	json_set_string(json, "b", long_text);
	assert_int_equal(json_write_at(fd, "x.json", json, 0, &err), -EINVAL);
	assert_non_null(strstr(err.message, "x.json would be larger than"));
	assert_int_equal(json_read_at(fd, "x.json", &again, &err), 0);
	assert_true(cJSON_Compare(again, back, 1));
	assert_int_equal(tree_remove_at(AT_FDCWD, directory, &err), 0);
}

static const char members_text[] =
	" {\"a\": {\"x\": [1, {\"b\": 2}], \"y\": \"\\\"}\"},\n"
	"\"skip\": [{\"a\": \"]\\\\\"}, 1.5, null], \"b\": {\"x\": 1, "
	"\"xx\": true, \"y\": {}}, \"c\": 3, \"n\": null, \"ab\": {}, "
	"\"d\" : -4 } ";

static void test_members(void **state)
{
	static const struct {
		const char *members[4];
		const char *expected;
	} rows[] = {
		{{"a"}, "{\"a\":{\"x\":[1,{\"b\":2}],\"y\":\"\\\"}\"}}"},
		{{"b.x", "d"}, "{\"b\":{\"x\":1},\"d\":-4}"},
		{{"b.y", "b.xx"}, "{\"b\":{\"xx\":true,\"y\":{}}}"},
		{{"b.none", "x"}, "{\"b\":{}}"},
		/* No object: whole. */
		{{"c.x", "n.x", "n"}, "{\"c\":3,\"n\":null}"},
		{{NULL}, "{}"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_json cJSON *json = NULL;
		cleanup_free char *text = NULL;
		struct error err = {0};

		assert_int_equal(
			json_parse_members(members_text, strlen(members_text),
					   "t", rows[i].members, &json, &err),
			0);
		text = json_print(json);
		assert_string_equal(text, rows[i].expected);
	}
}

/* Nothing but a whole object is one, wherever its text is cut. */
static void test_members_malformed(void **state)
{
	static const char *const bad[] = {
		"",	     "[]",	    "1",	  "{a:1}",
		"{\"a\"}",   "{\"a\":}",    "{\"a\":1,}", "{\"a\":1}}",
		"{\"b\":]}", "{\"a\":tru}", "{\"b\" 1}",  "{\"b\":1 \"a\":2}",
		"{,}",
	};
	static const char *const members[] = {"a", "c", NULL};
	char text[sizeof(members_text)] = "";
	cJSON *json = NULL;
	struct error err = {0};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		if (json_parse_members(bad[i], strlen(bad[i]), "t", members,
				       &json, &err) != -EINVAL)
			fail_msg("accepted: %s", bad[i]);
		assert_string_equal(err.message, "t: malformed JSON");
	}
	for (size_t i = 0; i < strlen(members_text) - 1; i++) {
		memcpy(text, members_text, i);
		assert_int_equal(
			json_parse_members(text, i, "t", members, &json, &err),
			-EINVAL);
	}
	/* A NUL within is no end. */
	assert_int_equal(
		json_parse_members("{}\0{}", 5, "t", members, &json, &err),
		-EINVAL);
	assert_null(json);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse_errors),
		cmocka_unit_test(test_parse_unterminated),
		cmocka_unit_test(test_parse_limits),
		cmocka_unit_test(test_look_ups),
		cmocka_unit_test(test_wrong_types),
		cmocka_unit_test(test_build_and_print),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_members),
		cmocka_unit_test(test_members_malformed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
