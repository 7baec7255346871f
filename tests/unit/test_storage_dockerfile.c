/* storage/dockerfile/dockerfile.h */
#include "storage/dockerfile/dockerfile.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/str.h"

/* "[a|b]", "-" for none. */
static void show_words(struct str *text, char *const *words)
{
	str_append_char(text, '[');
	for (size_t i = 0; words && words[i]; i++)
		str_appendf(text, "%s%s", i ? "|" : "", words[i]);
	str_append_char(text, ']');
}

static void show(struct str *text,
		 const struct dockerfile_instruction *instruction)
{
	str_append(text, dockerfile_keyword_name(instruction->keyword));
	if (instruction->flags)
		show_words(text, instruction->flags);
	if (instruction->json)
		str_append(text, " json");
	str_append_char(text, ' ');
	if (instruction->trigger)
		show(text, instruction->trigger);
	else
		show_words(text, instruction->words);
	for (size_t i = 0; i < instruction->heredoc_count; i++) {
		const struct dockerfile_heredoc *heredoc =
			&instruction->heredocs[i];

		str_appendf(text, " %u<<%s%s%s(%s)", heredoc->fd,
			    heredoc->chomp ? "-" : "",
			    heredoc->expand ? "" : "'", heredoc->name,
			    heredoc->content);
	}
}

/* "1-2 RUN [a]; 3 CMD …" */
static char *parse(const char *source)
{
	cleanup_dockerfile struct dockerfile dockerfile = {0};
	cleanup_str struct str text = {0};
	struct dockerfile_range range;
	struct error err = {0};

	if (dockerfile_parse(source, strlen(source), &dockerfile, &range,
			     &err) < 0)
		return xasprintf("error %u-%u: %s", range.first_line,
				 range.last_line, err.message);
	for (size_t i = 0; i < dockerfile.count; i++) {
		const struct dockerfile_instruction *instruction =
			&dockerfile.instructions[i];

		str_appendf(&text, "%s%u-%u ", i ? "; " : "",
			    instruction->first_line, instruction->last_line);
		show(&text, instruction);
	}
	for (size_t i = 0; i < dockerfile.empty_line_count; i++)
		str_appendf(&text, "; empty line %u",
			    dockerfile.empty_lines[i]);
	return str_steal(&text);
}

struct row {
	const char *source;
	const char *wanted;
};

static void check(const struct row *rows, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		cleanup_free char *is = parse(rows[i].source);

		if (!str_equal(is, rows[i].wanted))
			print_message("of: %s\n", rows[i].source);
		assert_string_equal(is, rows[i].wanted);
	}
}

static void test_lines(void **state)
{
	static const struct row rows[] = {
		{"FROM a", "1-1 FROM [a]"},
		{"\xef\xbb\xbf"
		 "FROM a\r\n\r\n  # c\r\n\trun b \r\n",
		 "1-1 FROM [a]; 4-4 RUN [b]"},
		{"FROM a\nRUN b \\\n  c\\\n# no\n\td", "1-1 FROM [a]; "
						       "2-5 RUN [b   c\td]"},
		{"RUN a \\  \n && b", "1-2 RUN [a  && b]"},
		{"RUN a \\\\\nRUN b", "1-1 RUN [a \\\\]; 2-2 RUN [b]"},
		{"RUN a \\\n\n  b\nRUN c",
		 "1-3 RUN [a   b]; 4-4 RUN [c]; empty line 3"},
		{"RUN a \\\n # c \\\n b", "1-3 RUN [a  b]"},
		{"\\\nRUN a", "1-2 RUN [a]"},
		{"RUN a \\", "1-1 RUN [a]"},
		{"", "error 0-0: there is no instruction"},
		{"# just a comment\n\n", "error 0-0: there is no instruction"},
		{"FROM a\nFORM b", "error 2-2: line 2: unknown instruction: "
				   "FORM (did you mean FROM?)"},
		{"FROM a\nXYZ \\\n b\n", "error 2-3: line 2: unknown "
					 "instruction: XYZ"},
	};

	check(rows, ARRAY_SIZE(rows));
}

static void test_directives(void **state)
{
	cleanup_dockerfile struct dockerfile dockerfile = {0};
	static const char source[] = "# syntax=docker/dockerfile:1 \n"
				     "#Check = skip=all;error=true\n"
				     "#  eScape = `\n"
				     "# comment\n"
				     "# syntax=other\n"
				     "RUN a `\n b \\\n";
	static const struct row rows[] = {
		{"# escape=`\n# escape=`\nRUN a",
		 "error 2-2: line 2: only one escape parser directive can be "
		 "used"},
		{"# syntax=a\n# syntax=b\nRUN a",
		 "error 2-2: line 2: only one syntax parser directive can be "
		 "used"},
		{"# escape=x\nRUN a",
		 "error 1-1: line 1: invalid escape token 'x': it must be \\ "
		 "or `"},
		/* behind a comment, an empty line or an instruction: comments
		 */
		{"# a comment\n# escape=`\nRUN a \\\n b", "3-4 RUN [a  b]"},
		{"# unknown=1\n# escape=`\nRUN a \\\n b", "3-4 RUN [a  b]"},
		{"\n# escape=`\nRUN a \\\n b", "3-4 RUN [a  b]"},
		{"RUN b\n# escape=x\n", "1-1 RUN [b]"},
	};

	assert_int_equal(dockerfile_parse(source, strlen(source), &dockerfile,
					  NULL, NULL),
			 0);
	assert_string_equal(dockerfile.syntax, "docker/dockerfile:1");
	assert_string_equal(dockerfile.check, "skip=all;error=true");
	assert_int_equal(dockerfile.escape, '`');
	assert_int_equal(dockerfile.count, 1);
	assert_string_equal(dockerfile.instructions[0].words[0], "a  b \\");
	check(rows, ARRAY_SIZE(rows));
}

static void test_words(void **state)
{
	static const struct row rows[] = {
		{"from  a\tAS b", "1-1 FROM [a|AS|b]"},
		{"FROM --platform=linux/amd64 a",
		 "1-1 FROM[--platform=linux/amd64] [a]"},
		{"ARG A B=\"c d\" C='x\\' D=\\\"e",
		 "1-1 ARG [A|B=\"c d\"|C='x\\'|D=\\\"e]"},
		{"ENV a=b c=\"d e\" f=g\\ h",
		 "1-1 ENV [a|b|c|\"d e\"|f|g\\ h]"},
		{"ENV a b c  d", "1-1 ENV [a|b c  d]"},
		{"LABEL \"a b\"=c", "1-1 LABEL [\"a b\"|c]"},
		{"ENV a", "error 1-1: line 1: ENV must have two arguments"},
		{"ENV a=b c", "error 1-1: line 1: c has no \"=\": it must be "
			      "NAME=VALUE"},
		{"LABEL =b", "error 1-1: line 1: LABEL names can not be "
			     "blank"},
		{"CMD [\"a\", \"b\\\"c\"]", "1-1 CMD json [a|b\"c]"},
		{"CMD []", "1-1 CMD json []"},
		{"CMD [a]", "1-1 CMD [[a]]"},
		{"CMD ['a']", "1-1 CMD [['a']]"},
		{"CMD [\"a\"] b", "1-1 CMD [[\"a\"] b]"},
		{"CMD [\"a\", 1]", "error 1-1: line 1: an array of arguments "
				   "must have strings only"},
		{"CMD a  'b' ", "1-1 CMD [a  'b']"},
		{"CMD", "1-1 CMD []"},
		{"COPY --from=a --chown=\"1:2 3\" b c /d",
		 "1-1 COPY[--from=a|--chown=1:2 3] [b|c|/d]"},
		{"COPY [\"a b\", \"c\"]", "1-1 COPY json [a b|c]"},
		{"COPY -- --a b", "1-1 COPY [--a|b]"},
		{"RUN --mount=type=cache,target=/x --network=none a --b",
		 "1-1 RUN[--mount=type=cache,target=/x|--network=none] "
		 "[a --b]"},
		{"VOLUME /a /b", "1-1 VOLUME [/a|/b]"},
		{"VOLUME [\"/a\"]", "1-1 VOLUME json [/a]"},
		{"USER a b", "1-1 USER [a b]"},
		{"HEALTHCHECK NONE", "1-1 HEALTHCHECK [NONE]"},
		{"HEALTHCHECK --interval=5s CMD curl a",
		 "1-1 HEALTHCHECK[--interval=5s] [CMD|curl a]"},
		{"HEALTHCHECK CMD [\"a\",\"b\"]",
		 "1-1 HEALTHCHECK json [CMD|a|b]"},
		{"ONBUILD RUN a b", "1-1 ONBUILD RUN [a b]"},
		{"ONBUILD copy --from=a b c", "1-1 ONBUILD COPY[--from=a] "
					      "[b|c]"},
		{"ONBUILD ONBUILD RUN a",
		 "error 1-1: line 1: chaining ONBUILD via `ONBUILD ONBUILD` is "
		 "not allowed"},
		{"ONBUILD FROM a", "error 1-1: line 1: FROM is not allowed as "
				   "an ONBUILD trigger"},
		{"ONBUILD xyz", "error 1-1: line 1: unknown instruction: xyz"},
	};

	check(rows, ARRAY_SIZE(rows));
}

static void test_heredocs(void **state)
{
	static const struct row rows[] = {
		{"RUN <<EOF\na\n  b $c\nEOF\nRUN d",
		 "1-4 RUN [<<EOF] 0<<EOF(a\n  b $c\n); 5-5 RUN [d]"},
		{"RUN <<-'E' cat\n\ta\n\tE\n",
		 "1-3 RUN [<<-'E' cat] 0<<-'E(\ta\n)"},
		{"COPY <<a <<\"b\" /x\n1\na\n2\nb\n",
		 "1-5 COPY [<<a|<<\"b\"|/x] 0<<a(1\n) 0<<'b(2\n)"},
		{"RUN 3<<E cat\nE", "1-2 RUN [3<<E cat] 3<<E()"},
		{"RUN << E cat\nx\nE", "1-3 RUN [<< E cat] 0<<E(x\n)"},
		/* not these */
		{"RUN cat <<<E\nRUN b", "1-1 RUN [cat <<<E]; 2-2 RUN [b]"},
		{"RUN echo $((1<<2))\nRUN b",
		 "1-1 RUN [echo $((1<<2))]; 2-2 RUN [b]"},
		{"RUN echo '<<E'\nRUN b", "1-1 RUN [echo '<<E']; 2-2 RUN [b]"},
		{"RUN [\"<<E\"]\nRUN b", "1-1 RUN json [<<E]; 2-2 RUN [b]"},
		{"RUN << -E cat\nx\n-E", "1-3 RUN [<< -E cat] 0<<-E(x\n)"},
		{"ENV a=<<E\nRUN b", "1-1 ENV [a|<<E]; 2-2 RUN [b]"},
		{"RUN <<E\na\n", "error 1-2: line 1: unterminated heredoc: no "
				 "line has E alone"},
		/* comments and continuations in it are its own */
		{"RUN <<E\n# a\nb \\\n\nE\n",
		 "1-5 RUN [<<E] 0<<E(# a\nb \\\n\n)"},
		{"ONBUILD RUN <<E\na\nE\n", "1-3 ONBUILD RUN [<<E] 0<<E(a\n)"},
	};
	cleanup_free char *chomped =
		dockerfile_heredoc_chomped("\t\ta\n\n\tb\tc\n");

	check(rows, ARRAY_SIZE(rows));
	assert_string_equal(chomped, "a\n\nb\tc\n");
}

/* What would take memory or time beyond measure. */
static void test_hostile(void **state)
{
	cleanup_dockerfile struct dockerfile dockerfile = {0};
	size_t length = DOCKERFILE_MAX;
	cleanup_free char *text = xcalloc(length + 1, 1);

	for (size_t i = 0; i < length; i++)
		text[i] = "ONBUILD "[i % 8];
	assert_true(dockerfile_parse(text, length, &dockerfile, NULL, NULL) <
		    0);
	assert_true(dockerfile_parse(text, length + 1, &dockerfile, NULL,
				     NULL) < 0);
	assert_true(dockerfile_parse("RUN a\0b", 7, &dockerfile, NULL, NULL) <
		    0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_directives),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_heredocs),
		cmocka_unit_test(test_hostile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
