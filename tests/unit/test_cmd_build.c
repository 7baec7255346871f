/*
 * How a build looks: messages in, text out. cmd/build_steps.h, build_plain.h,
 * build_live.h, build_ending.h, output_lines.h.
 */
#include "cmd/build_steps.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cmd/build_ending.h"
#include "cmd/build_live.h"
#include "cmd/build_plain.h"
#include "cmd/output_lines.h"

#define TENTH 100000000LL /* ns */

/* ---- what commands write ---- */

static void take(void *data, const char *line)
{
	struct str *all = data;

	str_appendf(all, "%s|", line);
}

/* In one piece, and byte by byte. */
static void assert_lines(const char *text, bool colors, const char *expected)
{
	for (int whole = 0; whole < 2; whole++) {
		CLEANUP(output_lines_release)
		struct output_lines lines = {.colors = colors};
		cleanup_str struct str all = {0};

		for (size_t i = 0; text[i]; i += whole ? strlen(text) : 1) {
			char piece[] = {text[i], '\0'};

			output_lines_feed(&lines, whole ? text : piece, take,
					  &all);
		}
		output_lines_end(&lines, take, &all);
		assert_string_equal(str_text(&all), expected);
	}
}

static void test_output(void **state)
{
	static const struct {
		const char *text;
		const char *plain;
		const char *colored;
	} cases[] = {
		{"a\nb\n", "a|b|", "a|b|"},
		{"a\n\nb", "a||b|", "a||b|"},
		{"a\tb\n12345678\tc", "a       b|12345678        c|",
		 "a       b|12345678        c|"},
		{"10%\r50%\r100%\r\nok\r", "100%|ok|", "100%|ok|"},
		{"\033[31mred\033[0m x\n", "red x|",
		 "\033[31mred\033[0m x\033[m|"},
		{"\033[1;31mred\nnext\n", "red|next|",
		 "\033[1;31mred\033[m|next|"},
		/* Nothing moves a cursor, clears, sets a title, answers. */
		{"\033[2J\033[5Aup\033[H\033[?25l\n", "up|", "up|"},
		{"\033]0;title\007a\033]8;;http://x\033\\b\n", "ab|", "ab|"},
		{"\033(Ba\0337\0338\033cb\n", "ab|", "ab|"},
		{"a\b\b\b\007\v\f\177b\n", "ab|", "ab|"},
		{"\033P1;2q\033[5n never\nended\n", " never|ended|",
		 " never|ended|"},
		{"\033[31", "", ""},
		/* Private parameters are no colour. */
		{"\033[>4;2ma\033[?1mb\n", "ab|", "ab|"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		assert_lines(cases[i].text, false, cases[i].plain);
		assert_lines(cases[i].text, true, cases[i].colored);
	}
}

static void test_output_c1(void **state)
{
	CLEANUP(output_lines_release) struct output_lines lines = {0};
	cleanup_str struct str all = {0};

	(void)state;
	output_lines_feed(&lines,
			  "a\xc2\x9b"
			  "2Jb\xc3\xa9\n",
			  take, &all);
	assert_string_equal(str_text(&all), "a2Jb\xc3\xa9|");
}

static void test_output_long(void **state)
{
	CLEANUP(output_lines_release)
	struct output_lines lines = {.colors = true};
	cleanup_str struct str all = {0};

	(void)state;
	for (int i = 0; i < 10 * OUTPUT_LINE_MAX; i++)
		output_lines_feed(&lines, i % 2 ? "\033[1m" : "x", take, &all);
	/* It has been given in pieces, not kept. */
	assert_true(lines.line.length <= OUTPUT_LINE_MAX);
	assert_true(all.length > OUTPUT_LINE_MAX);
}

/* ---- messages ---- */

static void feed_one(struct build_steps *steps, int64_t now_ns,
		     const char *line, struct str *plain)
{
	CLEANUP(build_news_release) struct build_news news = {0};
	cleanup_free char *text = NULL;

	build_steps_feed(steps, line, now_ns, &news);
	text = build_plain_text(steps, &news, now_ns);
	if (text && plain)
		str_appendf(plain, "%s\n", text);
}

/* Each message a tenth of a second after the one before. */
static void feed(struct build_steps *steps, const char *const *messages,
		 struct str *plain)
{
	int64_t now_ns = TENTH;

	for (size_t i = 0; messages[i]; i++, now_ns += TENTH)
		feed_one(steps, now_ns, messages[i], plain);
}

static const char *const good_build[] = {
	"{\"vertex\":1,\"stage\":\"0\",\"name\":\"[1/3] FROM debian\"}",
	"{\"vertex\":2,\"stage\":\"0\",\"name\":\"[2/3] RUN make\"}",
	"{\"vertex\":3,\"stage\":\"0\",\"name\":\"[3/3] RUN true\"}",
	"{\"vertex\":1,\"cached\":true}",
	"{\"vertex\":1,\"completed\":1000000000}",
	"{\"vertex\":2,\"started\":1000000000}",
	"{\"vertex\":2,\"log\":\"gcc -c\",\"stream\":1}",
	"{\"vertex\":2,\"log\":\"careful\\n\",\"stream\":2}",
	"{\"vertex\":2,\"log\":\" a.c\\n\",\"stream\":1}",
	("{\"vertex\":2,\"id\":\"sha256:abc\",\"status\":\"extracting\","
	 "\"current\":5000000,\"total\":10000000}"),
	("{\"vertex\":2,\"id\":\"sha256:abc\",\"status\":\"extracting\","
	 "\"current\":6000000,\"total\":10000000}"),
	"{\"vertex\":2,\"log\":\"left\",\"stream\":1}",
	"{\"vertex\":2,\"completed\":1700000000}",
	"{\"vertex\":3,\"started\":1700000000}",
	"{\"vertex\":3,\"completed\":1800000000}",
	NULL,
};

static void test_plain(void **state)
{
	CLEANUP(build_steps_release) struct build_steps steps = {0};
	cleanup_str struct str plain = {0};

	(void)state;
	feed(&steps, good_build, &plain);
	assert_string_equal(str_text(&plain), "#1 [1/3] FROM debian\n"
					      "#1 CACHED\n"
					      "\n"
					      "#2 [2/3] RUN make\n"
					      "#2 0.200 careful\n"
					      "#2 0.300 gcc -c a.c\n"
					      "#2 extracting sha256:abc\n"
					      "#2 0.700 left\n"
					      "#2 DONE 0.7s\n"
					      "\n"
					      "#3 [3/3] RUN true\n"
					      "#3 DONE 0.1s\n");
	build_steps_end(&steps, 0);
	assert_null(build_plain_end(&steps));
	assert_null(build_ending_text(&steps));
}

static void assert_live(const struct build_steps *steps, size_t columns,
			size_t room, bool colors, int64_t now_ns,
			const char *expected)
{
	const struct build_live live = {columns, room, colors};
	cleanup_strv char **lines = build_live_lines(steps, &live, now_ns);
	cleanup_free char *text = strv_join(lines, "\n");

	assert_true(strv_length(lines) <= room);
	assert_string_equal(text, expected);
}

static void test_live(void **state)
{
	CLEANUP(build_steps_release) struct build_steps steps = {0};

	(void)state;
	assert_live(&steps, 40, 24, false, TENTH, "[+] Building 0.0s (0/0)");
	for (size_t i = 0; i < 10; i++)
		feed_one(&steps, (int64_t)(i + 1) * TENTH, good_build[i], NULL);
	assert_live(&steps, 48, 24, false, 16 * TENTH,
		    "[+] Building 1.5s (1/3)\n"
		    " => CACHED [1/3] FROM debian                0.0s\n"
		    " => [2/3] RUN make                          1.0s\n"
		    " => => extracting sha256:abc 5MB / 10MB\n"
		    " => => # careful\n"
		    " => => # gcc -c a.c");
	/* What is done is left out first, then output. */
	assert_live(&steps, 48, 5, false, 16 * TENTH,
		    "[+] Building 1.5s (1/3)\n"
		    " => [2/3] RUN make                          1.0s\n"
		    " => => extracting sha256:abc 5MB / 10MB\n"
		    " => => # careful\n"
		    " => => # gcc -c a.c");
	assert_live(&steps, 48, 4, false, 16 * TENTH,
		    "[+] Building 1.5s (1/3)\n"
		    " => [2/3] RUN make                          1.0s\n"
		    " => => extracting sha256:abc 5MB / 10MB\n"
		    " => => # gcc -c a.c");
	assert_live(&steps, 48, 2, false, 16 * TENTH,
		    "[+] Building 1.5s (1/3)\n"
		    " => [2/3] RUN make                          1.0s");
	assert_live(&steps, 48, 1, false, 16 * TENTH,
		    "[+] Building 1.5s (1/3)");
	/* No line is wider. */
	assert_live(&steps, 20, 24, false, 16 * TENTH,
		    "[+] Building 1.5s (\xe2\x80\xa6\n"
		    " => CACHED [1/\xe2\x80\xa6 0.0s\n"
		    " => [2/3] RUN \xe2\x80\xa6 1.0s\n"
		    " => => extracting s\xe2\x80\xa6\n"
		    " => => # careful\n"
		    " => => # gcc -c a.c");
	assert_live(&steps, 48, 24, true, 16 * TENTH,
		    "[+] Building 1.5s (1/3)\n\033[34m"
		    " => CACHED [1/3] FROM debian                0.0s\033[m\n"
		    " => [2/3] RUN make                          1.0s\n"
		    " => => extracting sha256:abc 5MB / 10MB\n"
		    "\033[2m => => # careful\033[m\n"
		    "\033[2m => => # gcc -c a.c\033[m");
	for (size_t i = 10; good_build[i]; i++)
		feed_one(&steps, (int64_t)(i + 1) * TENTH, good_build[i], NULL);
	build_steps_end(&steps, 20 * TENTH);
	assert_live(&steps, 48, 24, false, 20 * TENTH,
		    "[+] Building 1.9s (3/3) FINISHED\n"
		    " => CACHED [1/3] FROM debian                0.0s\n"
		    " => [2/3] RUN make                          0.7s\n"
		    " => => extracting sha256:abc 6MB / 10MB\n"
		    " => [3/3] RUN true                          0.1s");
}

static const char *const bad_build[] = {
	"{\"vertex\":1,\"stage\":\"a\",\"name\":\"[a 1/1] RUN mak\\u001b[2J\"}",
	"{\"vertex\":2,\"stage\":\"b\",\"name\":\"[b 1/1] RUN slow\"}",
	"{\"vertex\":3,\"stage\":\"b\",\"name\":\"[b 2/2] RUN never\"}",
	"{\"warning\":\"old\\u001b[2J\",\"line\":4}",
	"{\"warning\":\"old\\u001b[2J\",\"line\":4}",
	"{\"warning\":\"other\"}",
	"{\"vertex\":1,\"started\":1000000000}",
	"{\"vertex\":2,\"started\":1000000000}",
	("{\"vertex\":1,\"log\":\"sh: mak: \\u001b[31mnot\\u001b[m found\\n\","
	 "\"stream\":2}"),
	"{\"vertex\":1,\"completed\":1500000000,\"error\":\"exit code: 127\"}",
	("{\"failed\":{\"line\":2,\"last\":3,\"file\":\"Docker\\u001bfile\","
	 "\"vertex\":1,\"exit\":127,\"excerpt\":[[1,\"FROM a\"],[2,\"RUN a \\\\"
	 "\\\\\"],[3,\"\\tb \\u001b[2J\"],[4,\"USER a\"]]}}"),
	NULL,
};

static const char bad_ending[] = "\n 2 warnings found (use "
				 "--check to expand):\n"
				 " - old\\x1b[2J (line 4)\n"
				 " - other\n"
				 "------\n"
				 " > [a 1/1] RUN mak\\x1b[2J:\n"
				 "0.200 sh: mak: not found\n"
				 "------\n"
				 "Docker\\x1bfile:2\n"
				 "--------------------\n"
				 "   1 |     FROM a\n"
				 "   2 | >>> RUN a \\\\\n"
				 "   3 | >>> \tb \\x1b[2J\n"
				 "   4 |     USER a\n"
				 "--------------------";

static void test_failure(void **state)
{
	CLEANUP(build_steps_release) struct build_steps steps = {0};
	cleanup_str struct str plain = {0};
	cleanup_free char *end = NULL;
	cleanup_free char *ending = NULL;

	(void)state;
	feed(&steps, bad_build, &plain);
	assert_string_equal(str_text(&plain), "#1 [a 1/1] RUN mak\\x1b[2J\n"
					      "\n"
					      "#2 [b 1/1] RUN slow\n"
					      "#1 0.200 sh: mak: not found\n"
					      "#1 ERROR: exit code: 127\n");
	build_steps_end(&steps, 20 * TENTH);
	end = build_plain_end(&steps);
	assert_string_equal(end, "#2 CANCELED");
	ending = build_ending_text(&steps);
	assert_string_equal(ending, bad_ending);
	assert_live(&steps, 48, 24, true, 20 * TENTH,
		    "[+] Building 1.9s (2/3)\n\033[31m"
		    " => ERROR [a 1/1] RUN mak\\x1b[2J            0.5s\033[m\n"
		    "\033[33m => CANCELED [b 1/1] RUN slow"
		    "               1.2s\033[m");
}

static void test_status(void **state)
{
#define DIGEST "sha256:" HEX12 HEX12 HEX12 HEX12 HEX12 "0123"
#define HEX12  "0123456789ab"
	static const struct {
		struct build_status status;
		const char *whole;
		const char *brief;
	} cases[] = {
		{{DIGEST, "extracting", 5000000, 10000000},
		 "extracting " DIGEST,
		 "extracting sha256:" HEX12 " 5MB / 10MB"},
		{{"writing image " DIGEST, "done", -1, 0},
		 "writing image " DIGEST " done",
		 "writing image sha256:" HEX12 " done"},
		{{"sha256:abc of sha256:", "read", 1000, 0},
		 "read sha256:abc of sha256:",
		 "read sha256:abc of sha256: 1kB"},
		{{"", "waiting", -1, 0}, "waiting", "waiting"},
		{{"context", "", 5, 0}, "context", "context 5B"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		cleanup_free char *whole =
			build_status_text(&cases[i].status, false);
		cleanup_free char *brief =
			build_status_text(&cases[i].status, true);

		assert_string_equal(whole, cases[i].whole);
		assert_string_equal(brief, cases[i].brief);
	}
}

/* Of much output the last lines are kept, and it is said that there was more.
 */
static void test_tail(void **state)
{
	static const char *const failing[] = {
		"{\"vertex\":1,\"completed\":1,\"error\":\"exit code: 1\"}",
		"{\"failed\":{\"line\":0,\"last\":0,\"file\":\"x\","
		"\"vertex\":1}}",
		NULL,
	};
	CLEANUP(build_steps_release) struct build_steps steps = {0};
	cleanup_free char *ending = NULL;

	(void)state;
	for (int i = 0; i < 1000; i++) {
		cleanup_free char *line = xasprintf(
			"{\"vertex\":1,\"log\":\"line %d\\n\",\"stream\":1}",
			i);

		feed_one(&steps, TENTH, line, NULL);
	}
	assert_live(&steps, 48, 9, false, TENTH,
		    "[+] Building 0.0s (0/1)\n"
		    " =>                                         0.0s\n"
		    " => => # line 994\n"
		    " => => # line 995\n"
		    " => => # line 996\n"
		    " => => # line 997\n"
		    " => => # line 998\n"
		    " => => # line 999");
	feed(&steps, failing, NULL);
	ending = build_ending_text(&steps);
	assert_true(str_starts(ending, "------\n > :\n... 980 lines before\n"
				       "0.000 line 980\n"));
	assert_true(str_ends(ending, "0.000 line 999\n------"));
}

static void test_nonsense(void **state)
{
	static const char *const lines[] = {
		"",
		"{",
		"[]",
		"null",
		"\"text\"",
		"{\"vertex\":\"a\"}",
		"{\"vertex\":-1,\"log\":1}",
		"{\"vertex\":7,\"status\":[],\"id\":{}}",
		"{\"failed\":[]}",
		"{\"failed\":{\"excerpt\":[[],1,[\"a\",2],[3]]}}",
		"{\"warning\":{}}",
		"{\"vertex\":5,\"completed\":\"now\"}",
		NULL,
	};
	CLEANUP(build_steps_release) struct build_steps steps = {0};
	cleanup_free char *end = NULL;
	cleanup_free char *ending = NULL;

	(void)state;
	feed(&steps, lines, NULL);
	build_steps_end(&steps, TENTH);
	end = build_plain_end(&steps);
	ending = build_ending_text(&steps);
	assert_non_null(ending);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_output),
		cmocka_unit_test(test_output_c1),
		cmocka_unit_test(test_output_long),
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_live),
		cmocka_unit_test(test_failure),
		cmocka_unit_test(test_status),
		cmocka_unit_test(test_tail),
		cmocka_unit_test(test_nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
