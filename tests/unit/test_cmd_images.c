/* cmd/rows.h's images and cmd/images_tree.h: ImageSummary in, text out. */
#include "cmd/images_tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "cmd/text.h"

#define ONE       \
	"sha256:" \
	"1111111111111111111111111111111111111111111111111111111111111111"
#define TWO       \
	"sha256:" \
	"2222222222222222222222222222222222222222222222222222222222222222"
#define THREE     \
	"sha256:" \
	"3333333333333333333333333333333333333333333333333333333333333333"

static cJSON *parse(const char *text)
{
	cJSON *json = NULL;

	assert_int_equal(json_parse(text, strlen(text), "test", &json, NULL),
			 0);
	return json;
}

static void push_name(const struct image_name *name, void *data)
{
	str_appendf(data, "%s:%s@%.9s\n", name->repository, name->tag,
		    name->digest);
}

static void assert_names(const char *json, bool digests, const char *expected)
{
	cleanup_json cJSON *image = parse(json);
	cleanup_str struct str text = {0};

	image_names_visit(image, digests, push_name, &text);
	assert_string_equal(str_text(&text), expected);
}

static void test_names(void **state)
{
	static const char both[] =
		"{\"RepoTags\":[\"web:1\",\"h:5000/web:2\",\"web:3\"],"
		"\"RepoDigests\":[\"web@" ONE "\",\"web@" TWO
		"\",\"other@" THREE "\",\"other@" ONE "\"]}";

	assert_names("{}", false, "<none>:<none>@<none>\n");
	assert_names("{\"RepoTags\":null,\"RepoDigests\":[]}", true,
		     "<none>:<none>@<none>\n");
	assert_names("{\"RepoTags\":[\"web:1\",\"odd\"]}", true,
		     "web:1@<none>\n");
	/* With one digest where they are not asked for, with each where they
	   are; a repository without a tag still has a line. */
	assert_names(both, false,
		     "web:1@sha256:11\nh:5000/web:2@<none>\nweb:3@sha256:11\n"
		     "other:<none>@sha256:33\n");
	assert_names(both, true,
		     "web:1@sha256:11\nweb:1@sha256:22\nh:5000/web:2@<none>\n"
		     "web:3@sha256:11\nweb:3@sha256:22\n"
		     "other:<none>@sha256:33\nother:<none>@sha256:11\n");
}

static void test_row(void **state)
{
	cleanup_json cJSON *image = parse(
		"{\"Id\":\"" ONE "\",\"Size\":1234567,\"SharedSize\":1000000,"
		"\"Containers\":2}");
	cleanup_json cJSON *unknown =
		parse("{\"Id\":\"" ONE "\",\"Size\":999999,\"SharedSize\":-1,"
		      "\"Containers\":-1}");
	const struct image_name names[] = {
		{image, "web", "1", "<none>"},
		{unknown, "web", "1", "<none>"},
	};
	cleanup_json cJSON *row = image_row(&names[0], false);
	cleanup_json cJSON *other = image_row(&names[1], true);
	cleanup_free char *text = json_print(row);
	cleanup_free char *other_text = json_print(other);

	assert_string_equal(
		text, "{\"Containers\":\"2\",\"CreatedAt\":\"N/A\","
		      "\"CreatedSince\":\"N/A\",\"Digest\":\"<none>\","
		      "\"ID\":\"111111111111\",\"Repository\":\"web\","
		      "\"SharedSize\":\"1MB\",\"Size\":\"1.23MB\",\"Tag\":"
		      "\"1\",\"UniqueSize\":\"234.6kB\",\"VirtualSize\":"
		      "\"1.235MB\"}");
	assert_non_null(strstr(other_text, "\"ID\":\"" ONE "\""));
	assert_non_null(strstr(other_text, "\"Size\":\"1MB\""));
	assert_non_null(strstr(other_text, "\"UniqueSize\":\"N/A\""));
}

static void add_image(struct images_tree *tree, const char *id,
		      const char *const *names, int64_t containers)
{
	cleanup_free char *json = xasprintf(
		"{\"Id\":\"%s\",\"Size\":2000,\"Containers\":%d,\"Manifests\":["
		"{\"ID\":\"" TWO
		"\",\"Size\":{\"Content\":1000,\"Total\":3000},"
		"\"ImageData\":{\"Platform\":{\"os\":\"linux\","
		"\"architecture\":\"amd64\"}}},"
		"{\"ID\":\"" THREE "\",\"Size\":{\"Content\":0,\"Total\":0},"
		"\"ImageData\":{\"Platform\":{\"os\":\"linux\","
		"\"architecture\":\"arm\",\"variant\":\"v7\"}}}]}",
		id, (int)containers);
	cleanup_json cJSON *image = parse(json);

	for (size_t i = 0; names[i]; i++) {
		struct image_name name = {image, names[i], "1", TWO};

		if (strcmp(names[i], ROW_NONE) == 0)
			name.tag = ROW_NONE;
		images_tree_add(tree, &name);
	}
}

static void assert_tree(const struct images_tree *tree, size_t columns,
			bool color, const char *expected)
{
	cleanup_free char *text = images_tree_text(tree, columns, color);

	assert_string_equal(text, expected);
}

static void test_tree(void **state)
{
	CLEANUP(images_tree_release) struct images_tree tree = {0};

	assert_tree(&tree, 0, false,
		    "IMAGE   ID             DISK USAGE   CONTENT SIZE   "
		    "EXTRA\n");
	add_image(&tree, ONE, (const char *const[]){"web", "x.y/web", NULL}, 1);
	add_image(&tree, THREE, (const char *const[]){ROW_NONE, NULL}, 0);
	assert_tree(
		&tree, 0, false,
		"IMAGE             ID             DISK USAGE   CONTENT SIZE   "
		"EXTRA\n"
		"web:1\n"
		"x.y/web:1         111111111111          3kB            1kB   "
		"U\n"
		"├─ linux/amd64    222222222222          3kB            1kB\n"
		"└─ linux/arm/v7   333333333333           0B             0B\n"
		"\n"
		"<untagged>        333333333333          3kB            1kB\n"
		"├─ linux/amd64    222222222222          3kB            1kB\n"
		"└─ linux/arm/v7   333333333333           0B             "
		"0B\n");
}

static void test_narrow_tree(void **state)
{
	CLEANUP(images_tree_release) struct images_tree tree = {0};
	const char *const names[] = {"0123456789abcdefghijklmnop\033[2J", NULL};

	add_image(&tree, ONE, names, 0);
	assert_tree(&tree, 32, false,
		    "IMAGE               ID\n"
		    "0123456789abcdef…   111111111111\n"
		    "├─ linux/amd64      222222222222\n"
		    "└─ linux/arm/v7     333333333333\n");
	assert_tree(&tree, 8, true,
		    "\033[1mIMAGE\033[0m   \n"
		    "\033[1m0123456…\033[0m\n"
		    "├─ linu…\n"
		    "└─ linu…\n");
	/* However narrow: no line is longer, nothing steers the terminal. */
	for (size_t columns = 1; columns < 100; columns++) {
		cleanup_free char *text =
			images_tree_text(&tree, columns, false);
		cleanup_strv char **lines = strv_split(text, '\n');

		for (size_t i = 0; lines[i]; i++)
			assert_true(text_width(lines[i]) <= columns);
		assert_null(strchr(text, '\033'));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_row),
		cmocka_unit_test(test_tree),
		cmocka_unit_test(test_narrow_tree),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
