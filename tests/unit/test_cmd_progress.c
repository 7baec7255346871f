/* cmd/progress_rows.h and cmd/progress_screen.h: messages in, text out. */
#include "cmd/progress_rows.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "cmd/progress_screen.h"

#define SECOND 1000000000LL

#define cleanup_rows CLEANUP(progress_rows_release)

/* The event, and its text in *ret_text. */
static enum progress_event feed(struct progress_rows *rows, int64_t now_ns,
				const char *line, char **ret_text)
{
	free(*ret_text);
	return progress_rows_feed(rows, line, now_ns, ret_text);
}

static void move(struct progress_rows *rows, int64_t now_ns, const char *id,
		 unsigned long current, unsigned long total)
{
	cleanup_free char *line =
		xasprintf("{\"id\":\"%s\",\"status\":\"Downloading\","
			  "\"progressDetail\":{\"current\":%lu,\"total\":%lu}}",
			  id, current, total);
	cleanup_free char *text = NULL;

	assert_int_equal(feed(rows, now_ns, line, &text), PROGRESS_MOVED);
}

static void assert_row(const struct progress_row *row, int64_t now_ns,
		       size_t columns, const char *expected)
{
	cleanup_free char *text = progress_row_text(row, now_ns, columns);

	assert_string_equal(text, expected);
}

static void test_events(void **state)
{
	static const struct {
		const char *line;
		enum progress_event event;
		const char *text;
	} steps[] = {
		{"{\"status\":\"Pulling from library/web\",\"id\":\"latest\"}",
		 PROGRESS_STATUS, "latest: Pulling from library/web"},
		{"{\"id\":\"a2abf6c4d29d\",\"status\":\"Waiting\"}",
		 PROGRESS_STATUS, "a2abf6c4d29d: Waiting"},
		/* Once is enough. */
		{"{\"id\":\"a2abf6c4d29d\",\"status\":\"Waiting\"}",
		 PROGRESS_NOTHING, NULL},
		{"{\"id\":\"a2abf6c4d29d\",\"status\":\"Downloading\","
		 "\"progressDetail\":{\"current\":5,\"total\":9}}",
		 PROGRESS_MOVED, NULL},
		/* docker's way of saying that there are no bytes. */
		{"{\"id\":\"a2abf6c4d29d\",\"status\":\"Pull complete\","
		 "\"progressDetail\":{}}",
		 PROGRESS_STATUS, "a2abf6c4d29d: Pull complete"},
		{"{\"status\":\"Importing\",\"progressDetail\":{\"current\":5}"
		 "}",
		 PROGRESS_MOVED, NULL},
		{"{\"status\":\"Digest: sha256:00\"}", PROGRESS_LINE,
		 "Digest: sha256:00"},
		{"{\"warning\":\"2 files\"}", PROGRESS_WARNING, "2 files"},
		/* Nothing steers the terminal. */
		{"{\"id\":\"\\u001b[2J\",\"status\":\"a\\r\\nb\\u009b\"}",
		 PROGRESS_STATUS, "\\x1b[2J: a\\x0d\\x0ab\\xc2\\x9b"},
		{"{\"status\":\"a\\nb\"}", PROGRESS_LINE, "a\\x0ab"},
		{"{\"warning\":\"a\\u0007\\nb\"}", PROGRESS_WARNING,
		 "a\\x07\\x0ab"},
		/* Not of this kind. */
		{"", PROGRESS_NOTHING, NULL},
		{"[]", PROGRESS_NOTHING, NULL},
		{"{\"status\":5}", PROGRESS_NOTHING, NULL},
		{"{\"id\":\"a\"}", PROGRESS_NOTHING, NULL},
		{"note {", PROGRESS_NOTHING, NULL},
	};
	cleanup_rows struct progress_rows rows = {0};
	cleanup_free char *text = NULL;

	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		assert_int_equal(feed(&rows, 0, steps[i].line, &text),
				 steps[i].event);
		if (steps[i].text)
			assert_string_equal(text, steps[i].text);
		else
			assert_null(text);
	}
	assert_int_equal(rows.count, 4);
}

static void test_row(void **state)
{
	cleanup_rows struct progress_rows rows = {0};
	const struct progress_row *row;

	move(&rows, 0, "a2abf6c4d29d", 0, 30000000);
	row = &rows.rows[0];
	assert_row(row, 0, 80,
		   "a2abf6c4d29d: Downloading [>               ]      0B/30MB");
	move(&rows, SECOND, "a2abf6c4d29d", 10000000, 30000000);
	assert_row(row, SECOND, 80,
		   "a2abf6c4d29d: Downloading [=====>          ]    10MB/30MB  "
		   "10MB/s  ETA 2s");
	/* The bar is as long as it may be. */
	assert_row(row, SECOND, 200,
		   "a2abf6c4d29d: Downloading "
		   "[================>                                 ]"
		   "    10MB/30MB  10MB/s  ETA 2s");
	/* Parts go one by one. */
	assert_row(row, SECOND, 70,
		   "a2abf6c4d29d: Downloading [======>           ]    "
		   "10MB/30MB  10MB/s");
	assert_row(row, SECOND, 52,
		   "a2abf6c4d29d: Downloading [===>       ]    10MB/30MB");
	assert_row(row, SECOND, 48, "a2abf6c4d29d: Downloading    10MB/30MB");
	assert_row(row, SECOND, 30, "a2abf6c4d29d: Downloading");
	assert_row(row, SECOND, 12, "a2abf6c4d29…");
	assert_row(row, SECOND, 1, "…");
	/* Nothing comes: the rate falls. */
	assert_row(row, 10 * SECOND, 80,
		   "a2abf6c4d29d: Downloading [=====>          ]    10MB/30MB  "
		   "1MB/s  ETA 20s");
	assert_true(progress_rows_moving(&rows));
	move(&rows, 10 * SECOND, "a2abf6c4d29d", 30000000, 30000000);
	assert_row(row, 10 * SECOND, 80,
		   "a2abf6c4d29d: Downloading [================]    30MB/30MB");
	assert_false(progress_rows_moving(&rows));
	/* More than was announced. */
	move(&rows, 10 * SECOND, "a2abf6c4d29d", 90000000, 30000000);
	assert_row(row, 10 * SECOND, 80,
		   "a2abf6c4d29d: Downloading [================]    90MB/30MB");
}

static void test_rate(void **state)
{
	cleanup_rows struct progress_rows rows = {0};
	const struct progress_row *row;

	move(&rows, 0, "a", 50000000, 900000000);
	row = &rows.rows[0];
	/* What was there at the beginning is no rate. */
	assert_row(row, SECOND / 10, 45,
		   "a: Downloading [>             ]    50MB/900MB");
	move(&rows, SECOND, "a", 51000000, 900000000);
	/* A change of speed shows within seconds. */
	for (int i = 2; i < 8; i++)
		move(&rows, i * SECOND, "a",
		     51000000 + (unsigned long)i * 10000000, 900000000);
	assert_row(row, 7 * SECOND, 80,
		   "a: Downloading [===>                      ]   121MB/900MB  "
		   "10MB/s  ETA 1m18s");
	/* It begins anew: neither negative nor enormous. */
	move(&rows, 8 * SECOND, "a", 1000000, 900000000);
	move(&rows, 9 * SECOND, "a", 2000000, 900000000);
	assert_row(row, 9 * SECOND, 80,
		   "a: Downloading [>                         ]     2MB/900MB  "
		   "1MB/s  ETA 14m58s");
}

static void test_without_total(void **state)
{
	cleanup_rows struct progress_rows rows = {0};
	cleanup_free char *text = NULL;

	feed(&rows, 0,
	     "{\"status\":\"Importing\",\"progressDetail\":{\"current\":0}}",
	     &text);
	feed(&rows, SECOND,
	     "{\"status\":\"Importing\",\"progressDetail\":{\"current\":"
	     "1500000}}",
	     &text);
	assert_row(&rows.rows[0], SECOND, 80, "Importing   1.5MB  1.5MB/s");
	feed(&rows, SECOND,
	     "{\"status\":\"Importing\",\"progressDetail\":{\"current\":-7,"
	     "\"total\":-9}}",
	     &text);
	assert_row(&rows.rows[0], SECOND, 80, "Importing      0B");
}

static void test_many_rows(void **state)
{
	cleanup_rows struct progress_rows rows = {0};
	cleanup_strv char **lines = NULL;
	cleanup_strv char **few = NULL;

	for (int i = 0; i < 9; i++) {
		cleanup_free char *line =
			xasprintf("{\"id\":\"%d\",\"status\":\"Waiting\"}", i);
		cleanup_free char *text = NULL;

		feed(&rows, 0, line, &text);
	}
	move(&rows, 0, "1", 1, 100);
	move(&rows, 0, "5", 1, 100);
	/* Finished: as good as any other. */
	move(&rows, 0, "3", 100, 100);
	lines = progress_rows_lines(&rows, 0, 20, 4);
	assert_int_equal(strv_length(lines), 4);
	assert_true(str_starts(lines[0], "1: Downloading"));
	assert_true(str_starts(lines[1], "3: Downloading"));
	assert_true(str_starts(lines[2], "5: Downloading"));
	assert_string_equal(lines[3], "... and 6 more");
	few = progress_rows_lines(&rows, 0, 9, 1);
	assert_int_equal(strv_length(few), 1);
	assert_string_equal(few[0], "... and …");
	assert_null(progress_rows_lines(&rows, 0, 9, 0));
	/* Hostile: one line, and no more rows than there may be. */
	for (unsigned long i = 0; i < 3000; i++) {
		cleanup_free char *line = xasprintf(
			"{\"id\":\"x%lu\",\"status\":\"Waiting\"}", i);
		cleanup_free char *text = NULL;

		feed(&rows, 0, line, &text);
	}
	assert_int_equal(rows.count, PROGRESS_ROWS_MAX);
}

/* ---- a terminal, as far as it is needed ---- */

#define GLASS_ROWS 12
#define GLASS_COLS 40

struct glass {
	char rows[GLASS_ROWS][GLASS_COLS];
	int row;
	int column;
};

static void glass_escape(struct glass *glass, const char **text)
{
	char *end;
	unsigned long count;

	assert_int_equal((*text)[1], '[');
	count = strtoul(*text + 2, &end, 10);
	switch (*end) {
	case 'A':
		glass->row -= (int)count;
		assert_true(glass->row >= 0);
		break;
	case 'K':
		memset(glass->rows[glass->row] + glass->column, 0,
		       (size_t)(GLASS_COLS - glass->column));
		break;
	default:
		fail_msg("unknown sequence: %s", *text + 1);
	}
	*text = end;
}

static void glass_write(struct glass *glass, const struct str *out)
{
	for (const char *text = str_text(out); *text; text++) {
		if (*text == '\033') {
			glass_escape(glass, &text);
		} else if (*text == '\r') {
			glass->column = 0;
		} else if (*text == '\n') {
			glass->column = 0;
			glass->row++;
			assert_true(glass->row < GLASS_ROWS);
		} else {
			assert_true(glass->column < GLASS_COLS - 1);
			glass->rows[glass->row][glass->column++] = *text;
		}
	}
}

static void glass_draw(struct glass *glass, struct screen *screen,
		       const char *words)
{
	cleanup_strv char **lines = *words ? strv_split(words, ' ') : NULL;
	cleanup_str struct str out = {0};

	screen_draw(screen, lines, &out);
	glass_write(glass, &out);
	for (size_t i = 0; lines && lines[i]; i++)
		assert_string_equal(glass->rows[(size_t)glass->row -
						strv_length(lines) + i],
				    lines[i]);
	assert_string_equal(glass->rows[glass->row], "");
	assert_int_equal(glass->column, 0);
}

static void test_screen(void **state)
{
	CLEANUP(screen_release)
	struct screen screen = {.height = 10, .width = 40};
	struct glass glass = {.row = 2};
	cleanup_str struct str out = {0};

	memcpy(glass.rows[1], "above", 5);
	glass_draw(&glass, &screen, "one two");
	glass_draw(&glass, &screen, "one two three");
	/* Something typed meanwhile, and echoed. */
	glass.column = 2;
	glass_draw(&glass, &screen, "o two three four");
	glass_draw(&glass, &screen, "o two 3");
	assert_string_equal(glass.rows[5], "");
	glass_draw(&glass, &screen, "");
	assert_int_equal(glass.row, 2);
	glass_draw(&glass, &screen, "x y");
	/* Nothing new, nothing written; what is new is all that is. */
	screen_draw(&screen, screen.lines, &out);
	assert_string_equal(str_text(&out), "");
	{
		cleanup_strv char **lines = strv_split("x z", ' ');

		screen_draw(&screen, lines, &out);
		assert_string_equal(str_text(&out), "\r\033[1Az\033[K\n");
		glass_write(&glass, &out);
	}
	screen_keep(&screen);
	glass_draw(&glass, &screen, "below");
	assert_string_equal(glass.rows[3], "z");
	assert_string_equal(glass.rows[4], "below");
	str_clear(&out);
	screen_erase(&screen, &out);
	glass_write(&glass, &out);
	assert_string_equal(glass.rows[4], "");
	assert_string_equal(glass.rows[3], "z");
	assert_string_equal(glass.rows[1], "above");
}

static void test_resize(void **state)
{
	CLEANUP(screen_release)
	struct screen screen = {.height = 10, .width = 40};
	cleanup_strv char **lines = strv_split("123456789012345 12345 1", ' ');
	cleanup_str struct str out = {0};

	screen_draw(&screen, lines, &out);
	str_clear(&out);
	/* Broken anew at 6: three rows, one and one. */
	screen_resize(&screen, 10, 6, &out);
	assert_string_equal(str_text(&out),
			    "\r\033[5A\033[K\n\033[K\n\033[K\n\033[K\n\033[K\n"
			    "\r\033[5A");
	assert_null(screen.lines);
	str_clear(&out);
	screen_resize(&screen, 10, 80, &out);
	assert_string_equal(str_text(&out), "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_events),
		cmocka_unit_test(test_row),
		cmocka_unit_test(test_rate),
		cmocka_unit_test(test_without_total),
		cmocka_unit_test(test_many_rows),
		cmocka_unit_test(test_screen),
		cmocka_unit_test(test_resize),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
