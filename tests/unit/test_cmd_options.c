/* cmd/options.c and the consistency of the tables. */
#include "cmd/command.h"

#include <ctype.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/str.h"

#define WORDS_MAX 12

static const struct option table_a[] = {
	{'d', "detach", OPTION_FLAG, NULL, NULL, "", false},
	{'e', "env", OPTION_LIST, NULL, NULL, "", false},
	{'i', "interactive", OPTION_FLAG, NULL, NULL, "", false},
	{'p', "publish", OPTION_LIST, NULL, NULL, "", false},
	{'t', "tty", OPTION_FLAG, NULL, NULL, "", false},
	{0, "sig-proxy", OPTION_FLAG, NULL, "true", "", false},
	{0},
};
static const struct option table_b[] = {
	{'n', "count", OPTION_INT, NULL, NULL, "", false},
	{'m', "memory", OPTION_BYTES, NULL, NULL, "", false},
	{0, "name", OPTION_STRING, NULL, "none", "", false},
	{0, "name-long", OPTION_STRING, NULL, NULL, "", false},
	{0, "wait", OPTION_DURATION, NULL, NULL, "", false},
	{0},
};
static const struct option *const tables[] = {table_a, table_b, NULL};

static const struct command any = {
	.name = "any", .options = tables, .operands_max = -1};
static const struct command stopping = {.name = "stopping",
					.options = tables,
					.operands_min = 1,
					.operands_max = -1,
					.stop_at_operand = true};

/* "d e=[A,B] n=3 | operand operand", of what differs from nothing given. */
static char *spell(const struct options *options)
{
	struct str text = {0};

	for (size_t i = 0; i < options->count; i++) {
		const struct option_value *value = &options->values[i];
		cleanup_free char *joined = NULL;

		if (!value->given)
			continue;
		joined = strv_join(value->values, ",");
		str_appendf(&text, "%s=%s ", value->option->name, joined);
	}
	str_append(&text, "|");
	for (size_t i = 0; options->operands && options->operands[i]; i++)
		str_appendf(&text, " %s", options->operands[i]);
	return str_steal(&text);
}

struct row {
	const struct command *command;
	const char *words[WORDS_MAX];
	const char *expected; /* NULL: refused … */
	const char *error;    /* … with this message */
};

static int parse(const struct row *row, struct options *ret_options,
		 bool *ret_help, struct error *err)
{
	char **argv = NULL;
	int r;

	for (size_t i = 0; row->words[i]; i++)
		strv_push(&argv, row->words[i]);
	r = options_parse(row->command, "group any", (int)strv_length(argv),
			  argv, ret_options, ret_help, err);
	strv_free(argv);
	return r;
}

static void check(const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct options options = {0};
		struct error err = {0};
		cleanup_free char *spelt = NULL;
		bool help;
		int r = parse(&rows[i], &options, &help, &err);

		if (rows[i].expected) {
			if (r < 0)
				fail_msg("row %zu: %s", i, err.message);
			spelt = spell(&options);
			assert_string_equal(spelt, rows[i].expected);
			assert_false(help);
		} else {
			if (r >= 0)
				fail_msg("row %zu: accepted", i);
			assert_string_equal(err.message, rows[i].error);
			assert_int_equal(err.kind, ERROR_INVALID);
		}
		options_release(&options);
	}
}

static void test_forms(void **state)
{
	static const struct row rows[] = {
		{&any, {NULL}, "|", NULL},
		{&any, {"-d"}, "detach=true |", NULL},
		{&any,
		 {"-dit", "x"},
		 "detach=true interactive=true tty=true | x",
		 NULL},
		{&any, {"-p8080:80"}, "publish=8080:80 |", NULL},
		{&any, {"-p", "8080:80"}, "publish=8080:80 |", NULL},
		{&any, {"-p=8080:80"}, "publish=8080:80 |", NULL},
		{&any, {"-dp", "80:80"}, "detach=true publish=80:80 |", NULL},
		{&any, {"-dp80:80"}, "detach=true publish=80:80 |", NULL},
		{&any, {"-d=false"}, "detach=false |", NULL},
		{&any,
		 {"-e", "A=1", "--env=B=2", "-eC=3", "--env", "D"},
		 "env=A=1,B=2,C=3,D |",
		 NULL},
		{&any, {"-e", ""}, "env= |", NULL},
		{&any, {"--name=x", "--name", "y"}, "name=y |", NULL},
		{&any, {"--name="}, "name= |", NULL},
		{&any, {"--name-long", "-d"}, "name-long=-d |", NULL},
		{&any, {"--sig-proxy=false"}, "sig-proxy=false |", NULL},
		{&any, {"--sig-proxy=0"}, "sig-proxy=0 |", NULL},
		{&any, {"-n", "-3"}, "count=-3 |", NULL},
		{&any, {"-m512m"}, "memory=512m |", NULL},
		{&any, {"--wait", "1m30s"}, "wait=1m30s |", NULL},
		{&any, {"-"}, "| -", NULL},
		{&any, {"--", "-d", "--nosuch"}, "| -d --nosuch", NULL},
		{&any, {"a", "-d", "b"}, "detach=true | a b", NULL},
		{&stopping,
		 {"-d", "web", "-d", "--", "--x"},
		 "detach=true | web -d -- --x",
		 NULL},
		{&stopping, {"--", "-web", "-d"}, "| -web -d", NULL},
	};

	check(rows, ARRAY_SIZE(rows));
}

static void test_errors(void **state)
{
	static const struct row rows[] = {
		{&any, {"--nosuch"}, NULL, "unknown flag: --nosuch"},
		{&any, {"--nosuch=3"}, NULL, "unknown flag: --nosuch"},
		{&any, {"--nam"}, NULL, "unknown flag: --nam"},
		{&any, {"--=x"}, NULL, "unknown flag: --"},
		{&any, {"-dzt"}, NULL, "unknown shorthand flag: 'z' in -dzt"},
		{&any, {"--name"}, NULL, "flag needs an argument: --name"},
		{&any, {"-p"}, NULL, "flag needs an argument: 'p' in -p"},
		{&any, {"-dp"}, NULL, "flag needs an argument: 'p' in -dp"},
		{&any,
		 {"-d=maybe"},
		 NULL,
		 "invalid argument \"maybe\" for \"-d, --detach\" flag: "
		 "expected true or false"},
		{&any,
		 {"-n", "x"},
		 NULL,
		 "invalid argument \"x\" for \"-n, --count\" flag: expected a "
		 "whole number"},
		{&any,
		 {"-m", "lots"},
		 NULL,
		 "invalid argument \"lots\" for \"-m, --memory\" flag: "
		 "expected a size such as 64m or 1g"},
		{&any,
		 {"--wait=3"},
		 NULL,
		 "invalid argument \"3\" for \"--wait\" flag: expected a "
		 "duration such as 30s or 1m30s"},
		{&stopping,
		 {"-d"},
		 NULL,
		 "'moss group any' requires at least 1 argument"},
	};

	check(rows, ARRAY_SIZE(rows));
}

static void test_operand_counts(void **state)
{
	static const struct {
		int min, max;
		const char *message; /* for three operands, then for none */
		const char *none;
	} rows[] = {
		{0, 0, "'moss x' accepts no arguments", NULL},
		{1, 1, "'moss x' requires 1 argument",
		 "'moss x' requires 1 argument"},
		{2, 2, "'moss x' requires 2 arguments",
		 "'moss x' requires 2 arguments"},
		{0, 1, "'moss x' requires at most 1 argument", NULL},
		{1, 2, "'moss x' requires at least 1 and at most 2 arguments",
		 "'moss x' requires at least 1 and at most 2 arguments"},
		{2, -1, NULL, "'moss x' requires at least 2 arguments"},
	};
	char *three[] = {(char[]){"a"}, (char[]){"b"}, (char[]){"c"}, NULL};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		struct command command = {.name = "x",
					  .operands_min = rows[i].min,
					  .operands_max = rows[i].max};

		for (int count = 0; count <= 3; count += 3) {
			const char *message =
				count ? rows[i].message : rows[i].none;
			struct options options = {0};
			struct error err = {0};
			bool help;
			int r = options_parse(&command, "x", count, three,
					      &options, &help, &err);

			/* Apart from wrong options: they exit with 125. */
			assert_int_equal(r, message ? -E2BIG : 0);
			assert_string_equal(err.message,
					    message ? message : "");
			options_release(&options);
		}
	}
}

static void test_help(void **state)
{
	static const struct row rows[] = {
		{&any, {"--help"}, NULL, NULL},
		{&any, {"-h"}, NULL, NULL},
		{&any, {"-d", "--help", "--nosuch"}, NULL, NULL},
		/* Help does not ask for operands. */
		{&stopping, {"--help"}, NULL, NULL},
	};
	static const struct row operand = {
		&stopping, {"web", "--help"}, NULL, NULL};
	struct options options = {0};
	bool help = false;

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		assert_int_equal(parse(&rows[i], &options, &help, NULL), 0);
		assert_true(help);
		options_release(&options);
	}
	assert_int_equal(parse(&operand, &options, &help, NULL), 0);
	assert_false(help);
	options_release(&options);
}

static void test_look_ups(void **state)
{
	static const struct row row = {&any,
				       {"-t", "-e", "A", "-e", "B", "-n", "7",
					"-m", "2k", "--wait", "1s"},
				       NULL,
				       NULL};
	struct options options = {0};
	bool help;

	assert_int_equal(parse(&row, &options, &help, NULL), 0);
	assert_true(option_flag(&options, "tty"));
	assert_false(option_flag(&options, "detach"));
	assert_true(option_flag(&options, "sig-proxy"));
	assert_false(option_given(&options, "sig-proxy"));
	assert_string_equal(option_string(&options, "name"), "none");
	assert_null(option_string(&options, "name-long"));
	assert_int_equal(option_number(&options, "count"), 7);
	assert_int_equal(option_number(&options, "memory"), 2048);
	assert_int_equal(option_number(&options, "wait"), 1000000000);
	assert_string_equal(option_list(&options, "env")[1], "B");
	assert_null(option_list(&options, "env")[2]);
	assert_null(option_list(&options, "publish")[0]);
	options_release(&options);
}

/* Every row of the real tables is one that can be typed and parsed. */
static void test_real_tables(void **state)
{
	for (size_t i = 0; command_paths[i].group; i++)
		if (!command_by_name(command_paths[i].command))
			fail_msg("%s", command_paths[i].command);
	for (size_t i = 0; command_table[i]; i++) {
		const struct command *command = command_table[i];
		char **names = NULL;
		bool letters[128] = {false};

		assert_ptr_equal(command_by_name(command->name), command);
		assert_non_null(command->run);
		assert_non_null(command->summary);
		for (size_t t = 0; command->options && command->options[t]; t++)
			for (const struct option *o = command->options[t];
			     o->name; o++) {
				unsigned char letter =
					(unsigned char)o->short_name;

				if (strv_contains(names, o->name) ||
				    (letter && letters[letter]))
					fail_msg("%s: two --%s or -%c",
						 command->name, o->name,
						 letter ? letter : '?');
				letters[letter] = true;
				strv_push(&names, o->name);
				if (o->help[0] == '\0' ||
				    islower((unsigned char)o->help[0]))
					fail_msg("%s: help of --%s",
						 command->name, o->name);
			}
		strv_free(names);
	}
}

static void test_find(void **state)
{
	static const struct {
		const char *words[4];
		const char *command; /* NULL: there is none */
		const char *path;
		int left;
	} rows[] = {
		{{"run", "x"}, "run", "run", 1},
		{{"container", "run", "x"}, "run", "container run", 1},
		{{"container", "ls"}, "ps", "container ls", 0},
		{{"volume", "create", "x"},
		 "volume-create",
		 "volume create",
		 1},
		{{"volume-create"}, NULL, NULL, 1},
		{{"container-inspect"}, NULL, NULL, 1},
		{{"volume"}, NULL, NULL, 1},
		{{"volume", "nosuch"}, NULL, NULL, 2},
		{{"nosuch"}, NULL, NULL, 1},
	};

	for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
		char **argv = NULL;
		char **rest;
		const struct command *command;
		const char *path = NULL;
		int argc;

		for (size_t w = 0; rows[i].words[w]; w++)
			strv_push(&argv, rows[i].words[w]);
		rest = argv;
		argc = (int)strv_length(argv);
		command = command_find(&argc, &rest, &path);
		if (rows[i].command) {
			assert_non_null(command);
			assert_string_equal(command->name, rows[i].command);
			assert_string_equal(path, rows[i].path);
		} else {
			assert_null(command);
		}
		assert_int_equal(argc, rows[i].left);
		strv_free(argv);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_errors),
		cmocka_unit_test(test_operand_counts),
		cmocka_unit_test(test_help),
		cmocka_unit_test(test_look_ups),
		cmocka_unit_test(test_real_tables),
		cmocka_unit_test(test_find),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
