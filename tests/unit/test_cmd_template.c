/* cmd/template.h */
#include "cmd/template.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/json.h"

DEFINE_CLEANUP(struct template *, template_free);
#define cleanup_template CLEANUP(template_free_cleanup)

static const char data[] =
	"{\"Id\":\"x1\",\"Name\":\"/"
	"www\",\"Empty\":\"\",\"Null\":null,\"Yes\":true,"
	"\"No\":false,\"Int\":42,\"Big\":8589934592,\"Float\":1.5,"
	"\"List\":[\"a\",\"b\",\"c\"],\"None\":[],"
	"\"State\":{\"Status\":\"running\",\"Pid\":7},"
	"\"Labels\":{\"com.x\":\"1\",\"maintainer\":\"me\"},"
	"\"Map\":{},"
	"\"Ports\":{\"80/tcp\":[{\"HostIp\":\"0.0.0.0\","
	"\"HostPort\":\"8080\"}],\"53/udp\":null},"
	"\"Mounts\":[{\"Source\":\"/a\",\"RW\":true},"
	"{\"Source\":\"/b\",\"RW\":false}],\"Html\":\"<a>&\"}";

static const char labels[] = "{\"com.x.web-root\":\"/srv\"}";

struct row {
	const char *template;
	const char *output; /* NULL: refused … */
	const char *error;  /* … with this in the message */
};

/* 0 and *output, or the error. */
static int run(const char *text, struct str *output, struct error *err)
{
	cleanup_template struct template *template = NULL;
	cleanup_json cJSON *json = NULL;
	cleanup_json cJSON *label_json = NULL;
	int r;

	assert_int_equal(json_parse(data, strlen(data), "data", &json, NULL),
			 0);
	assert_int_equal(
		json_parse(labels, strlen(labels), "labels", &label_json, NULL),
		0);
	r = template_parse(text, &template, err);
	if (r < 0)
		return r;
	return template_execute(template, json, label_json, output, err);
}

static void check(const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		cleanup_str struct str output = {0};
		struct error err = {0};
		int r = run(rows[i].template, &output, &err);

		if (rows[i].output) {
			if (r < 0)
				fail_msg("%s: %s", rows[i].template,
					 err.message);
			if (strcmp(str_text(&output), rows[i].output) != 0)
				fail_msg("%s: \"%s\"", rows[i].template,
					 str_text(&output));
			continue;
		}
		if (r >= 0)
			fail_msg("%s: accepted, \"%s\"", rows[i].template,
				 str_text(&output));
		if (!strstr(err.message, rows[i].error))
			fail_msg("%s: %s", rows[i].template, err.message);
	}
}

static void test_values(void **state)
{
	static const struct row rows[] = {
		{"", "", NULL},
		{"plain", "plain", NULL},
		{"{ { } }", "{ { } }", NULL},
		{"{{.Name}}", "/www", NULL},
		{"{{ .Name }}", "/www", NULL},
		{"a{{.Name}}b{{.Int}}c", "a/wwwb42c", NULL},
		{"{{.State.Status}}", "running", NULL},
		{"{{.Yes}} {{.No}} {{.Null}}", "true false <no value>", NULL},
		{"{{.Int}} {{.Big}} {{.Float}}", "42 8589934592 1.5", NULL},
		{"{{.List}}", "[a b c]", NULL},
		/* A struct and a map. */
		{"{{.State}}", "{running 7}", NULL},
		{"{{.Labels}}", "map[com.x:1 maintainer:me]", NULL},
		{"{{$.Name}}", "/www", NULL},
		{"{{(.State).Status}}", "running", NULL},
		{"{{\"text\"}}", "text", NULL},
		{"{{`raw \\n`}}", "raw \\n", NULL},
		{"{{\"a\\tb\\\"c\\n\"}}", "a\tb\"c\n", NULL},
		{"{{\"}}\"}}", "}}", NULL},
		{"{{12}} {{-3}} {{1.25}}", "12 -3 1.25", NULL},
		{"{{true}} {{false}}", "true false", NULL},
		{"{{.Html}}", "<a>&", NULL},
		/* Go's name and JSON's. */
		{"{{.ID}} {{.Id}}", "x1 x1", NULL},
	};

	check(rows, ARRAY_SIZE(rows));
}

static void test_missing(void **state)
{
	static const struct row rows[] = {
		{"{{.Nope}}", NULL, "map has no entry for key \"Nope\""},
		{"{{.State.Nope}}", NULL, "at <.State.Nope>"},
		{"{{.Nope.More}}", NULL, "Nope"},
		{"{{.Null.More}}", NULL, "nil pointer evaluating field More"},
		{"{{.Name.More}}", NULL, "can't evaluate field More"},
		{"{{.nope}}", NULL, "map has no entry for key \"nope\""},
		/* A map's absent key is no error. */
		{"{{.Labels.nope}}", "<no value>", NULL},
		{"{{.Map.nope}}", "<no value>", NULL},
		{"{{index .Labels \"com.x\"}}", "1", NULL},
		{"{{index .Labels \"nope\"}}", "", NULL},
		{"{{index .Map \"nope\"}}", "", NULL},
		/* docker leaves out what is empty. */
		{"{{if .State.Health}}{{.State.Health.Status}}{{else}}none"
		 "{{end}}",
		 "none", NULL},
		{"{{with .State.Health}}{{.Status}}{{end}}", "", NULL},
		{"{{if .State.Health.Status}}x{{end}}", NULL, "Health"},
		{"{{range .Nope}}{{end}}", NULL, "Nope"},
		{"{{if .State.Health}}{{else}}{{.Nope}}{{end}}", NULL, "Nope"},
	};

	check(rows, ARRAY_SIZE(rows));
}

static void test_trim(void **state)
{
	static const struct row rows[] = {
		{"a {{- .Int}} b", "a42 b", NULL},
		{"a {{.Int -}} b", "a 42b", NULL},
		{"a \n\t{{- .Int -}}\n b", "a42b", NULL},
		{"a {{-.Int}} b", NULL, "bad number"},
		{"a {{- /* note */ -}} b", "ab", NULL},
		{"a {{/* note */}} b", "a  b", NULL},
		{"{{/* }} */}}x", "x", NULL},
		{"{{- 3 -}}", "3", NULL},
		{"a {{- \"}}\" -}} b", "a}}b", NULL},
	};

	check(rows, ARRAY_SIZE(rows));
}

static void test_conditions(void **state)
{
	static const struct row rows[] = {
		{"{{if .Yes}}y{{end}}", "y", NULL},
		{"{{if .No}}y{{end}}", "", NULL},
		{"{{if .Empty}}y{{else}}n{{end}}", "n", NULL},
		{"{{if .None}}y{{else}}n{{end}}", "n", NULL},
		{"{{if 0}}y{{else}}n{{end}}", "n", NULL},
		{"{{if .No}}a{{else if .Yes}}b{{else}}c{{end}}", "b", NULL},
		{"{{if .No}}a{{else if .Null}}b{{else}}c{{end}}d", "cd", NULL},
		{"{{if not .No}}y{{end}}", "y", NULL},
		{"{{if and .Yes .Name}}y{{end}}", "y", NULL},
		{"{{if or .No .Empty}}y{{else}}n{{end}}", "n", NULL},
		{"{{or .Empty \"default\"}}", "default", NULL},
		{"{{and .Yes 3}}", "3", NULL},
		/* and, or: what is behind the certain result is not looked at.
		 */
		{"{{if and .Null .Null.More}}y{{else}}n{{end}}", "n", NULL},
		{"{{or .Yes .Null.More}}", "true", NULL},
		{"{{if eq .State.Status \"running\"}}up{{end}}", "up", NULL},
		{"{{eq .Int 1 2 42}} {{ne .Int 42}}", "true false", NULL},
		{"{{lt 1 2}} {{le 2 2}} {{gt 1 2}} {{ge 1 2}}",
		 "true true false false", NULL},
		{"{{eq .Name 3}}", NULL, "incompatible types"},
		{"{{with .State}}{{.Pid}}{{end}}", "7", NULL},
		{"{{with .Null}}x{{else}}none{{end}}", "none", NULL},
		{"{{with .Null}}x{{else with .State}}{{.Pid}}{{end}}", "7",
		 NULL},
		{"{{with $x := .State}}{{$x.Pid}}{{$.Int}}{{end}}", "742",
		 NULL},
	};

	check(rows, ARRAY_SIZE(rows));
}

static void test_ranges(void **state)
{
	static const struct row rows[] = {
		{"{{range .List}}<{{.}}>{{end}}", "<a><b><c>", NULL},
		{"{{range $v := .List}}{{$v}};{{end}}", "a;b;c;", NULL},
		{"{{range $i, $v := .List}}{{$i}}{{$v}} {{end}}", "0a 1b 2c ",
		 NULL},
		{"{{range $k, $v := .Labels}}{{$k}}={{$v}},{{end}}",
		 "com.x=1,maintainer=me,", NULL},
		{"{{range .None}}x{{else}}none{{end}}", "none", NULL},
		{"{{range .Null}}x{{else}}none{{end}}", "none", NULL},
		{"{{range 3}}{{.}}{{end}}", "012", NULL},
		{"{{range .Mounts}}{{.Source}}{{if .RW}}*{{end}} {{end}}",
		 "/a* /b ", NULL},
		{"{{range .Mounts}}{{$.Int}}{{end}}", "4242", NULL},
		{"{{range $p, $c := .Ports}}{{$p}} -> "
		 "{{with $c}}{{(index . 0).HostPort}}{{end}};{{end}}",
		 "53/udp -> ;80/tcp -> 8080;", NULL},
		{"{{(index (index .Ports \"80/tcp\") 0).HostPort}}", "8080",
		 NULL},
		{"{{range .Name}}{{end}}", NULL, "can't iterate"},
		{"{{range $i, $v := .List}}{{end}}{{$v}}", NULL,
		 "undefined variable \"$v\""},
	};

	check(rows, ARRAY_SIZE(rows));
}

static void test_variables(void **state)
{
	static const struct row rows[] = {
		{"{{$x := .Int}}{{$x}}", "42", NULL},
		{"{{$x := 1}}{{if .Yes}}{{$x = 2}}{{end}}{{$x}}", "2", NULL},
		{"{{$x := 1}}{{if .Yes}}{{$x := 2}}{{$x}}{{end}}{{$x}}", "21",
		 NULL},
		{"{{$x := .State}}{{$x.Pid}}", "7", NULL},
		{"{{$x}}", NULL, "undefined variable \"$x\""},
		{"{{$x = 1}}", NULL, "undefined variable \"$x\""},
		{"{{if .Yes}}{{$x := 1}}{{end}}{{$x}}", NULL, "undefined"},
	};

	check(rows, ARRAY_SIZE(rows));
}

static void test_functions(void **state)
{
	static const struct row rows[] = {
		{"{{json .State}}", "{\"Status\":\"running\",\"Pid\":7}", NULL},
		{"{{json .Name}} {{json .Null}}", "\"/www\" null", NULL},
		{"{{.List | json}}", "[\"a\",\"b\",\"c\"]", NULL},
		{"{{join .List \", \"}}", "a, b, c", NULL},
		{"{{join .None \",\"}}", "", NULL},
		{"{{split \"a,b\" \",\"}} {{split \"aé\" \"\"}} {{split \"\" "
		 "\",\"}}",
		 "[a b] [a é] []", NULL},
		{"{{upper .State.Status}} {{lower \"AbC\"}} {{title \"a b\"}}",
		 "RUNNING abc A B", NULL},
		{"{{.State.Status | upper | printf \"<%s>\"}}", "<RUNNING>",
		 NULL},
		{"{{printf \"%s %d %v %q %%\" .Name .Int .Yes \"a\\\"b\"}}",
		 "/www 42 true \"a\\\"b\" %", NULL},
		{"{{printf \"[%5s][%-5s][%05d][%.2f][%.1s]\" \"ab\" \"ab\" 42 "
		 "1.255 \"ab\"}}",
		 "[   ab][ab   ][00042][1.25][a]", NULL},
		{"{{printf \"%s\"}}", "%!s(MISSING)", NULL},
		{"{{printf \"%d\" .Name}}", "%!d(string=/www)", NULL},
		{"{{printf \"%q\" nil}}", "%!q(<nil>)", NULL},
		{"{{print 1 2 \"x\" \"y\"}}", "1 2xy", NULL},
		{"{{println \"x\" 1}}", "x 1\n", NULL},
		{"{{len .List}} {{len .Name}} {{len .Labels}}", "3 4 2", NULL},
		{"{{index .List 1}}", "b", NULL},
		{"{{index .List 9}}", NULL, "out of range"},
		{"{{slice .Name 1}} {{slice .Name 1 3}}", "www ww", NULL},
		{"{{slice .Name 3 9}}", NULL, "out of range"},
		{"{{pad .State.Status 1 2}}|", " running  |", NULL},
		{"{{truncate .Name 2}}", "/w", NULL},
		{"{{.Label \"com.x.web-root\"}}", "/srv", NULL},
		{"{{.Label \"nope\"}}", "", NULL},
		{"{{\"com.x.web-root\" | .Label}}", "/srv", NULL},
		{"{{.Label 3}}", NULL, "Label takes a text"},
		{"{{.Name \"x\"}}", NULL,
		 "Name is not a method but has arguments"},
		{"{{1 2}}", NULL, "can't give argument to non-function 1"},
		{"{{nosuch .Name}}", NULL, "function \"nosuch\" not defined"},
		{"{{len}}", NULL, "wrong number of args for len: want 1 got 0"},
		{"{{len .Int}}", NULL, "error calling len"},
	};

	check(rows, ARRAY_SIZE(rows));
}

static void test_syntax_errors(void **state)
{
	static const struct row rows[] = {
		{"{{", NULL, "template: :1: unclosed action"},
		{"a\nb\n{{.Name", NULL, "template: :3: unclosed action"},
		{"{{}}", NULL, "missing value for command"},
		{"{{.Name}", NULL, "unclosed action"},
		{"{{end}}", NULL, "unexpected {{end}}"},
		{"{{else}}", NULL, "unexpected {{else}}"},
		{"{{if .Yes}}", NULL, "unexpected EOF"},
		{"{{if}}x{{end}}", NULL, "missing value"},
		{"{{if .Yes}}{{else}}{{else}}{{end}}", NULL, "{{else}}"},
		{"{{if .Yes}}{{end x}}", NULL, "in end"},
		{"{{if .Yes}}{{else x}}{{end}}", NULL, "in else"},
		{"{{.Name | }}", NULL, "missing value for command"},
		{"{{\"open}}", NULL, "unterminated quoted string"},
		{"{{(.Name}}", NULL, "unclosed left paren"},
		{"{{.Name)}}", NULL, "unexpected right paren"},
		{"{{/* open }}", NULL, "unclosed"},
		{"{{/* a */ .Name}}", NULL, "comment ends"},
		{"{{@}}", NULL, "unexpected \"@\""},
		{"{{1e999}}", NULL, "bad number"},
		/* Blanks are what Go takes for them, in front of a comment too.
		 */
		{"{{\f/* a }}", NULL, "unexpected"},
		{"{{\v.Name}}", NULL, "unexpected"},
	};

	check(rows, ARRAY_SIZE(rows));
}

/* before, and count times after, in the middle of prefix and suffix. */
static void check_nested(const char *open, const char *middle,
			 const char *close, int count, const char *error)
{
	cleanup_str struct str text = {0};
	cleanup_str struct str output = {0};
	struct error err = {0};

	for (int i = 0; i < count; i++)
		str_append(&text, open);
	str_append(&text, middle);
	for (int i = 0; i < count; i++)
		str_append(&text, close);
	assert_true(run(str_text(&text), &output, &err) < 0);
	if (!strstr(err.message, error))
		fail_msg("%s", err.message);
}

static void test_hostile(void **state)
{
	cleanup_str struct str text = {0};
	cleanup_str struct str output = {0};
	struct error err = {0};

	check_nested("{{if true}}", "x", "{{end}}", 30000 / 11,
		     "nested too deeply");
	check_nested("{{range 1000}}", "{{1}}", "{{end}}", 10, "steps");
	check_nested("{{range 100000}}", "", "{{end}}", 3, "steps");

	str_append(&text, "{{");
	for (int i = 0; i < 10000; i++)
		str_append_char(&text, '(');
	str_append(&text, "}}");
	assert_true(run(str_text(&text), &output, &err) < 0);
	assert_non_null(strstr(err.message, "nested too deeply"));

	/* A text that doubles. */
	assert_true(run("{{$x := \"aaaaaaaaaaaaaaaa\"}}{{range 60}}"
			"{{$x = printf \"%s%s\" $x $x}}{{end}}",
			&output, &err) < 0);
	assert_non_null(strstr(err.message, "too much text"));

	/* A width for each item of a long list, and one that is too large. */
	assert_true(run("{{$x := \"aaaaaaaaaaaaaaaa\"}}{{range 12}}"
			"{{$x = print $x $x}}{{end}}"
			"{{printf \"%4000s\" (split $x \"\")}}",
			&output, &err) < 0);
	assert_non_null(strstr(err.message, "too much text"));
	str_clear(&output);
	assert_int_equal(run("{{printf \"%999999999d|%.999999999f\" 1 1.5}}",
			     &output, &err),
			 0);
	assert_true(output.length < 100);

	/* Templates that run each other without end, or twice each. */
	assert_true(run("{{define \"r\"}}{{template \"r\" .}}{{end}}"
			"{{template \"r\" .}}",
			&output, &err) < 0);
	assert_non_null(strstr(err.message, "exceeded maximum template depth"));
	str_clear(&text);
	for (int i = 0; i < 30; i++) {
		str_appendf(&text, "{{define \"t%d\"}}", i);
		str_appendf(&text, "{{template \"t%d\"}}{{template \"t%d\"}}",
			    i + 1, i + 1);
		str_append(&text, "{{end}}");
	}
	str_append(&text, "{{define \"t30\"}}{{end}}{{template \"t0\"}}");
	assert_true(run(str_text(&text), &output, &err) < 0);
	assert_non_null(strstr(err.message, "steps"));
	check_nested("{{block \"b\" .}}", "x", "{{end}}", 100,
		     "nested too deeply");

	str_clear(&text);
	for (int i = 0; i <= TEMPLATE_TEXT_MAX; i++)
		str_append_char(&text, 'x');
	assert_true(run(str_text(&text), &output, &err) < 0);
	assert_non_null(strstr(err.message, "longer than"));
}

/* A value is never parsed, whatever it holds. */
static void test_values_are_data(void **state)
{
	cleanup_template struct template *template = NULL;
	cleanup_json cJSON *json = json_object();
	cleanup_str struct str output = {0};

	json_set_string(json, "A", "{{.B}}{{end}}");
	json_set_string(json, "B", "secret");
	assert_int_equal(template_parse("{{.A}}", &template, NULL), 0);
	assert_int_equal(template_execute(template, json, NULL, &output, NULL),
			 0);
	assert_string_equal(str_text(&output), "{{.B}}{{end}}");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values),
		cmocka_unit_test(test_missing),
		cmocka_unit_test(test_trim),
		cmocka_unit_test(test_conditions),
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_variables),
		cmocka_unit_test(test_functions),
		cmocka_unit_test(test_syntax_errors),
		cmocka_unit_test(test_hostile),
		cmocka_unit_test(test_values_are_data),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
