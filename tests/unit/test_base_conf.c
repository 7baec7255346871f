/* base/conf.h */
#include "base/conf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/str.h"

static const struct conf_key host_keys[] = {
	{"host", "mirror", CONF_STRING, CONF_NAMED | CONF_REPEATED, 0, 0},
	{"host", "blocked", CONF_BOOL, CONF_NAMED, 0, 0},
	{"host", "ca", CONF_PATH, CONF_NAMED, 0, 0},
	{0},
};
static const struct conf_key limit_keys[] = {
	{"limits", "count", CONF_NUMBER, 0, 1, 10},
	{"limits", "bytes", CONF_BYTES, 0, 0, 1 << 30},
	{0},
};
static const struct conf_key *const schema[] = {host_keys, limit_keys, NULL};

/* "section/name/key=value@line;…" of everything that was read. */
static char *spell(const struct conf *conf)
{
	struct str text = {0};

	for (size_t i = 0; i < conf->count; i++) {
		const struct conf_entry *entry = &conf->entries[i];

		str_appendf(&text, "%s%s/%s/%s=%s", i ? ";" : "",
			    entry->key->section, entry->name ? entry->name : "",
			    entry->key->key, entry->value);
		if (entry->key->type != CONF_STRING &&
		    entry->key->type != CONF_PATH)
			str_appendf(&text, "(%lld)", (long long)entry->number);
		str_appendf(&text, "@%u", entry->line);
	}
	return str_steal(&text);
}

static void test_values(void **state)
{
	static const struct {
		const char *text;
		const char *read;
	} rows[] = {
		{"", ""},
		{"# only\n ; comments\n\n", ""},
		{"[limits]\ncount = 3", "limits//count=3(3)@2"},
		{"[limits] count=3 # three\r\n", "limits//count=3(3)@1"},
		{"\xef\xbb\xbf[limits]\n\tbytes =  64m\t\n",
		 "limits//bytes=64m(67108864)@2"},
		{"[host \"a.b:5000\"]\nmirror = x\nmirror=\" y z \";c",
		 "host/a.b:5000/mirror=x@2;host/a.b:5000/mirror= y z @3"},
		{"[host \"q\\\"\\\\\"]\nmirror = a\"b#\\t\\\"\"c  d ",
		 "host/q\"\\/mirror=ab#\t\"c  d@2"},
		{"[host \"x\"]\nblocked\n", "host/x/blocked=true(1)@2"},
		{"[ host \"x\" ]\nblocked = Off\n", "host/x/blocked=Off(0)@2"},
		{"[host \"x\"]\nca = ~/a/../b\n", "host/x/ca=/home/me/b@2"},
		{"[host \"x\"]\nca = /c\n[host \"y\"]\nca = /d",
		 "host/x/ca=/c@2;host/y/ca=/d@4"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		CLEANUP(conf_release)
		struct conf conf = {.schema = schema, .home = "/home/me"};
		cleanup_free char *spelt = NULL;
		struct error err = {0};

		if (conf_parse(&conf, rows[i].text, strlen(rows[i].text),
			       "file", &err) < 0)
			fail_msg("%s: %s", rows[i].text, err.message);
		spelt = spell(&conf);
		assert_string_equal(spelt, rows[i].read);
	}
}

static void test_refused(void **state)
{
	static const struct {
		const char *text;
		const char *message;
		const char *hint;
	} rows[] = {
		{"count = 1", "file:1: count stands before any [section]", ""},
		{"\n[limit]", "file:2: unknown section [limit]",
		 "Known sections: host, limits."},
		{"[limits]\n\ncuont = 1",
		 "file:3: unknown key cuont in [limits]",
		 "Known keys in [limits]: count, bytes."},
		{"[limits \"x\"]", "file:1: section [limits] has no name", ""},
		{"[host]",
		 "file:1: section [host] needs a name: [host \"NAME\"]", ""},
		{"[host \"\"]", "file:1: the name of [host] is empty", ""},
		{"[host \"x\"",
		 "file:1: expected [section] or [section "
		 "\"name\"]",
		 ""},
		{"[host \"x]", "file:1: a quote is not closed", ""},
		{"[host \"x\"]\nmirror", "file:2: mirror has no value", ""},
		{"[host \"x\"]\nmirror = # y", "file:2: mirror has no value",
		 ""},
		{"[host \"x\"]\nmirror: y", "file:2: expected \"key = value\"",
		 ""},
		{"[host \"x\"]\nmirror = \"\\x\"",
		 "file:2: unknown escape after a backslash in a quoted text",
		 ""},
		{"[host \"x\"]\nblocked = maybe",
		 "file:2: blocked = maybe: expected true or false", ""},
		{"[host \"x\"]\nca = ca.pem",
		 "file:2: ca = ca.pem: expected a path that starts with / or "
		 "~/",
		 ""},
		{"[limits]\ncount = 0",
		 "file:2: count = 0: expected a value from 1 to 10", ""},
		{"[limits]\ncount = 99999999999999999999",
		 "file:2: count = 99999999999999999999: expected a value from "
		 "1 to 10",
		 ""},
		{"[limits]\ncount = two",
		 "file:2: count = two: expected a number", ""},
		{"[limits]\nbytes = 2g",
		 "file:2: bytes = 2g: expected a value from 0 to 1073741824",
		 ""},
		{"[limits]\nbytes = lots",
		 "file:2: bytes = lots: expected a size such as 512m", ""},
		{"[limits]\ncount = 1\ncount = 2",
		 "file:3: count is set in line 2 already", ""},
		{"[limits]\n= 1",
		 "file:2: expected [section] or \"key = "
		 "value\"",
		 ""},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		CLEANUP(conf_release)
		struct conf conf = {.schema = schema, .home = "/home/me"};
		struct error err = {0};

		if (conf_parse(&conf, rows[i].text, strlen(rows[i].text),
			       "file", &err) == 0)
			fail_msg("accepted: %s", rows[i].text);
		assert_int_equal(err.kind, ERROR_INVALID);
		assert_string_equal(err.message, rows[i].message);
		assert_string_equal(err.hint, rows[i].hint);
	}
}

static void test_nul(void **state)
{
	CLEANUP(conf_release) struct conf conf = {.schema = schema};
	static const char text[] = "[limits]\ncount\0= 1";
	struct error err = {0};

	assert_true(conf_parse(&conf, text, sizeof(text), "file", &err) < 0);
	assert_string_equal(err.message,
			    "file is not a text: it has a NUL byte");
}

static void test_no_home(void **state)
{
	CLEANUP(conf_release) struct conf conf = {.schema = schema};
	static const char text[] = "[host \"x\"]\nca = ~/ca.pem";
	struct error err = {0};

	assert_true(conf_parse(&conf, text, strlen(text), "file", &err) < 0);
	assert_string_equal(err.message,
			    "file:2: ca = ~/ca.pem: HOME is not set");
}

static void parse(struct conf *conf, const char *text, const char *file)
{
	struct error err = {0};

	if (conf_parse(conf, text, strlen(text), file, &err) < 0)
		fail_msg("%s", err.message);
}

/* A later file's values replace an earlier one's, a repeated key's all. */
static void test_files(void **state)
{
	CLEANUP(conf_release) struct conf conf = {.schema = schema};
	const struct conf_entry *entry;
	cleanup_free char *where = NULL;
	size_t index = 0;

	parse(&conf,
	      "[limits]\ncount = 1\n"
	      "[host \"x\"]\nmirror = a\nmirror = b\n"
	      "[host \"y\"]\nmirror = c\n",
	      "one");
	parse(&conf,
	      "[limits]\ncount = 2\n"
	      "[host \"x\"]\nmirror = d\n[host \"x\"]\nmirror = e\n",
	      "two");
	entry = conf_get(&conf, "limits", NULL, "count");
	assert_int_equal(entry->number, 2);
	where = conf_where(&conf, entry);
	assert_string_equal(where, "two:2");
	entry = conf_next(&conf, "host", "x", "mirror", &index);
	assert_string_equal(entry->value, "d");
	entry = conf_next(&conf, "host", "x", "mirror", &index);
	assert_string_equal(entry->value, "e");
	assert_null(conf_next(&conf, "host", "x", "mirror", &index));
	index = 0;
	entry = conf_next(&conf, "host", "y", "mirror", &index);
	assert_string_equal(entry->value, "c");
	assert_null(conf_next(&conf, "host", "y", "mirror", &index));
	assert_null(conf_get(&conf, "host", "z", "mirror"));
	assert_null(conf_get(&conf, "limits", NULL, "bytes"));
}

static void write_text(const char *path, const char *text)
{
	cleanup_file FILE *file = fopen(path, "w");

	assert_non_null(file);
	assert_true(fputs(text, file) >= 0);
}

static void test_read(void **state)
{
	char directory[] = "/tmp/moss-conf-XXXXXX";
	cleanup_free char *below = NULL;
	cleanup_free char *path = NULL;
	cleanup_free char *other = NULL;
	struct error err = {0};

	assert_non_null(mkdtemp(directory));
	below = xasprintf("%s/moss", directory);
	path = xasprintf("%s/moss.conf", below);
	other = xasprintf("%s/other.conf", directory);
	assert_int_equal(mkdir(below, 0700), 0);
	write_text(path, "[limits]\ncount = 4\n");
	setenv("XDG_CONFIG_HOME", directory, 1);
	unsetenv("MOSS_CONFIG");
	{
		CLEANUP(conf_release) struct conf conf = {.schema = schema};

		assert_int_equal(conf_read_all(&conf, &err), 0);
		assert_int_equal(
			conf_get(&conf, "limits", NULL, "count")->number, 4);
	}
	setenv("MOSS_CONFIG", other, 1);
	{
		CLEANUP(conf_release) struct conf conf = {.schema = schema};

		assert_true(conf_read_all(&conf, &err) < 0);
		assert_string_equal(err.hint, "MOSS_CONFIG names it.");
		write_text(other, "[limits]\ncount = 5\n");
		assert_int_equal(conf_read_all(&conf, &err), 0);
		assert_int_equal(strv_length(conf.files), 1);
		assert_int_equal(
			conf_get(&conf, "limits", NULL, "count")->number, 5);
	}
	setenv("MOSS_CONFIG", directory, 1);
	{
		CLEANUP(conf_release) struct conf conf = {.schema = schema};

		assert_true(conf_read_all(&conf, &err) < 0);
		assert_non_null(strstr(err.message, "is not a file"));
	}
	unlink(path);
	unlink(other);
	rmdir(below);
	rmdir(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_values), cmocka_unit_test(test_refused),
		cmocka_unit_test(test_nul),    cmocka_unit_test(test_no_home),
		cmocka_unit_test(test_files),  cmocka_unit_test(test_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
