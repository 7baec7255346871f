/* cmd/listing.h, cmd/format.h, the tables of cmd/output.c and the bar of
   cmd/progress.h, through standard output. */
#include "cmd/listing.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "cmd/command.h"
#include "cmd/format.h"

static const struct listing_column columns[] = {
	{"ID", "CONTAINER ID"},
	{"Names", "NAMES"},
	{"Ports", "PORTS"},
	{0},
};
static const char *const shown[] = {"ID", "Names", NULL};

static const char rows_text[] =
	"[{\"ID\":\"1234\",\"Names\":\"www\",\"Ports\":\"80/tcp\"},"
	"{\"ID\":\"5\",\"Names\":\"a-longer-name\",\"Ports\":\"\"}]";
static const char labels_text_json[] = "[{\"com.x.site-name\":\"one\"},null]";

/* Standard output as a file for a while. */
struct capture {
	int saved;
	int fd;
};

static void capture_begin(struct capture *capture)
{
	fflush(stdout);
	capture->fd = memfd_create("output", MFD_CLOEXEC);
	capture->saved = dup(STDOUT_FILENO);
	assert_true(capture->fd >= 0 && capture->saved >= 0);
	dup2(capture->fd, STDOUT_FILENO);
}

static char *capture_end(struct capture *capture)
{
	char *text = xcalloc(65536, 1);

	fflush(stdout);
	dup2(capture->saved, STDOUT_FILENO);
	close(capture->saved);
	assert_true(pread(capture->fd, text, 65535, 0) >= 0);
	close(capture->fd);
	return text;
}

static cJSON *parse(const char *text)
{
	cJSON *json = NULL;

	assert_int_equal(json_parse(text, strlen(text), "test", &json, NULL),
			 0);
	return json;
}

static void check_listing(const char *format, bool quiet, const char *expected,
			  const char *error)
{
	cleanup_json cJSON *rows = parse(rows_text);
	cleanup_json cJSON *labels = parse(labels_text_json);
	struct listing listing = {
		.columns = columns,
		.shown = shown,
		.format = format,
		.raw = "id: {{.ID}}\n",
		.quiet = quiet,
		.quiet_field = "ID",
		.labels = labels,
	};
	cleanup_free char *output = NULL;
	struct capture capture;
	struct error err = {0};
	int r;

	capture_begin(&capture);
	r = listing_print(&listing, rows, &err);
	output = capture_end(&capture);
	if (error) {
		assert_true(r < 0);
		assert_non_null(strstr(err.message, error));
		assert_string_equal(output, "");
	} else {
		assert_int_equal(r, 0);
		assert_string_equal(output, expected);
	}
}

static void test_formats(void **state)
{
	static const char table[] = "CONTAINER ID   NAMES\n"
				    "1234           www\n"
				    "5              a-longer-name\n";

	check_listing(NULL, false, table, NULL);
	check_listing("", false, table, NULL);
	check_listing("table", false, table, NULL);
	check_listing(NULL, true, "1234\n5\n", NULL);
	check_listing("table", true, "1234\n5\n", NULL);
	/* A format of one's own wins. */
	check_listing("{{.Names}}", true, "www\na-longer-name\n", NULL);
	check_listing("raw", false, "id: 1234\n\nid: 5\n\n", NULL);
	/* Headings keep their words. */
	check_listing("table {{lower .ID}}\\t{{truncate .Names 2}}\\t"
		      "{{json .ID}}",
		      false,
		      "CONTAINER ID   NAMES     CONTAINER ID\n"
		      "1234           ww        \"1234\"\n"
		      "5              a-        \"5\"\n",
		      NULL);
	check_listing("{{.Names}}", false, "www\na-longer-name\n", NULL);
	check_listing("{{.ID}}\\t{{.Ports}}", false, "1234\t80/tcp\n5\t\n",
		      NULL);
	check_listing("table {{.Names}}\\t{{.ID}}", false,
		      "NAMES           CONTAINER ID\n"
		      "www             1234\n"
		      "a-longer-name   5\n",
		      NULL);
	check_listing("json", false,
		      "{\"ID\":\"1234\",\"Names\":\"www\",\"Ports\":"
		      "\"80/tcp\"}\n"
		      "{\"ID\":\"5\",\"Names\":\"a-longer-name\",\"Ports\":"
		      "\"\"}\n",
		      NULL);
	check_listing("{{json .}}", false,
		      "{\"ID\":\"1234\",\"Names\":\"www\",\"Ports\":"
		      "\"80/tcp\"}\n"
		      "{\"ID\":\"5\",\"Names\":\"a-longer-name\",\"Ports\":"
		      "\"\"}\n",
		      NULL);
	check_listing("table {{.ID}}\\t{{.Label \"com.x.site-name\"}}", false,
		      "CONTAINER ID   site name\n"
		      "1234           one\n"
		      "5              \n",
		      NULL);
	check_listing("{{.Label \"com.x.site-name\"}};", false, "one;\n;\n",
		      NULL);
	check_listing("{{.Nope}}", false, NULL, "\"Nope\"");
	check_listing("table {{.Nope}}", false, NULL, "\"Nope\"");
	check_listing("{{.ID", false, NULL, "unclosed action");
}

/* A value cannot break its row or steer the terminal. */
static void test_hostile_table(void **state)
{
	struct table table = {0};
	char **row = NULL;
	cleanup_free char *output = NULL;
	struct capture capture;

	strv_push(&row, "a\nb\033[2J");
	strv_push(&row, "x");
	table_add(&table, row);
	row = NULL;
	strv_push(&row, "grün");
	strv_push(&row, "y");
	table_add(&table, row);
	capture_begin(&capture);
	table_print(&table);
	output = capture_end(&capture);
	table_release(&table);
	assert_string_equal(output, "a\\x0ab\\x1b[2J   x\n"
				    "grün            y\n");
}

/* No column but the last is narrower than ten, as in docker's tables. */
static void test_narrow_columns(void **state)
{
	struct table table = {0};
	char **row = NULL;
	cleanup_free char *output = NULL;
	struct capture capture;

	strv_push(&row, "TAG");
	strv_push(&row, "12345678");
	strv_push(&row, "SIZE");
	table_add(&table, row);
	capture_begin(&capture);
	table_print(&table);
	output = capture_end(&capture);
	table_release(&table);
	assert_string_equal(output, "TAG       12345678   SIZE\n");
}

static bool equals(const char *value, const void *data)
{
	return str_equal(value, data);
}

static void test_filters(void **state)
{
	static const char *const known[] = {"name", "dangling", "na", NULL};
	static const struct {
		const char *list[3];
		const char *error; /* NULL: taken */
		bool one, two;	   /* what passes "name" */
		bool all, refused; /* "one": all of them; as if negated */
	} rows[] = {
		{{NULL}, NULL, true, true, true, false},
		{{"name=one"}, NULL, true, false, true, true},
		{{"name=one", "name=two"}, NULL, true, true, false, false},
		{{"name=one", "name=one"}, NULL, true, false, true, true},
		{{"name="}, NULL, false, false, false, false},
		{{"na=one"}, NULL, true, true, true, false},
		{{"dangling=true"}, NULL, true, true, true, false},
		{{"dangling=maybe"}, "expected true or false", 0, 0, 0, 0},
		{{"nosuch=x"}, "invalid filter 'nosuch'", 0, 0, 0, 0},
		{{"name"}, "bad format of filter", 0, 0, 0, 0},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char **list = xcalloc(1, sizeof(char *));
		struct filters filters;
		struct error err = {0};
		int r;

		for (size_t w = 0; rows[i].list[w]; w++)
			strv_push(&list, rows[i].list[w]);
		filters.list = list;
		r = filters_check(&filters, known, &err);
		if (rows[i].error) {
			assert_true(r < 0);
			assert_non_null(strstr(err.message, rows[i].error));
		} else {
			assert_int_equal(r, 0);
			assert_int_equal(
				filters_pass(&filters, "name", equals, "one"),
				rows[i].one);
			assert_int_equal(
				filters_pass(&filters, "name", equals, "two"),
				rows[i].two);
			assert_int_equal(filters_pass_all(&filters, "name",
							  equals, "one"),
					 rows[i].all);
			assert_int_equal(
				filters_refuse(&filters, "name", equals, "one"),
				rows[i].refused);
		}
		strv_free(list);
	}
}

static void test_labels(void **state)
{
	cleanup_json cJSON *labels = parse("{\"a\":\"1\",\"b\":\"\"}");
	cleanup_free char *text = labels_text(labels);
	cleanup_free char *none = labels_text(NULL);

	assert_string_equal(text, "a=1,b=");
	assert_string_equal(none, "");
	assert_true(label_matches("a", labels));
	assert_true(label_matches("a=1", labels));
	assert_true(label_matches("b=", labels));
	assert_false(label_matches("a=2", labels));
	assert_false(label_matches("c", labels));
	assert_false(label_matches("a", NULL));
}

static void test_objects(void **state)
{
	static const struct {
		const char *format;
		const char *output;
		int code;
	} rows[] = {
		{NULL,
		 "[\n    {\n        \"A\": 1\n    },\n    {\n"
		 "        \"A\": 2\n    }\n]\n",
		 0},
		{"json", "[{\"A\":1},{\"A\":2}]\n", 0},
		{"<{{.A}}>", "<1>\n<2>\n", 0},
		/* As docker's inspect: no escapes outside of quotes. */
		{"{{.A}}\\t", "1\\t\n2\\t\n", 0},
		{"{{.B}}", "", 1},
		{"{{.A", "", 64},
	};
	cleanup_json cJSON *objects = parse("[{\"A\":1},{\"A\":2}]");
	struct context context = {0};
	int saved = dup(STDERR_FILENO);
	int null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		cleanup_free char *output = NULL;
		struct capture capture;
		int code;

		dup2(null_fd, STDERR_FILENO);
		capture_begin(&capture);
		code = format_objects(&context, rows[i].format, objects);
		output = capture_end(&capture);
		dup2(saved, STDERR_FILENO);
		assert_int_equal(code, rows[i].code);
		assert_string_equal(output, rows[i].output);
	}
	close(saved);
	close(null_fd);
}

static void test_no_objects(void **state)
{
	cleanup_json cJSON *none = json_array();
	cleanup_free char *output = NULL;
	struct context context = {0};
	struct capture capture;

	capture_begin(&capture);
	assert_int_equal(format_objects(&context, NULL, none), 0);
	output = capture_end(&capture);
	assert_string_equal(output, "[]\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_formats),
		cmocka_unit_test(test_hostile_table),
		cmocka_unit_test(test_narrow_columns),
		cmocka_unit_test(test_filters),
		cmocka_unit_test(test_labels),
		cmocka_unit_test(test_objects),
		cmocka_unit_test(test_no_objects),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
