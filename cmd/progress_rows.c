#include "cmd/progress_rows.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "cmd/member.h"
#include "cmd/text.h"

#define NS_PER_S      1000000000LL
#define RATE_AFTER_NS 300000000LL /* before that a rate is noise */
#define RATE_SPAN_NS  2000000000LL
#define BAR_MAX	      50
#define BAR_MIN	      10
#define BAR_FRAME     3		  /* a space and two brackets */
#define RATE_WIDTH    11	  /* "  1.23MB/s" and one to spare */
#define ETA_WIDTH     12	  /* "  ETA 59m59s" */
#define ETA_MAX	      (99 * 3600) /* seconds; more is no forecast */

static void row_release(struct progress_row *row)
{
	free(row->id);
	free(row->status);
}

void progress_rows_clear(struct progress_rows *rows)
{
	for (size_t i = 0; i < rows->count; i++)
		row_release(&rows->rows[i]);
	rows->count = 0;
}

void progress_rows_release(struct progress_rows *rows)
{
	progress_rows_clear(rows);
	free(rows->rows);
	*rows = (struct progress_rows){0};
}

static struct progress_row *row_of(struct progress_rows *rows, const char *id)
{
	for (size_t i = 0; i < rows->count; i++)
		if (str_equal(rows->rows[i].id, id))
			return &rows->rows[i];
	if (rows->count == PROGRESS_ROWS_MAX)
		return NULL;
	rows->rows = xrealloc(rows->rows, rows->count + 1, sizeof(*rows->rows));
	rows->rows[rows->count] = (struct progress_row){.id = xstrdup(id)};
	return &rows->rows[rows->count++];
}

/* The rate is that of the last two to four seconds. */
static void row_move(struct progress_row *row, uint64_t current, uint64_t total,
		     bool again, int64_t now_ns)
{
	const struct progress_mark here = {now_ns, current};

	/* Bytes go backwards where a download begins anew. */
	if (again || current < row->current)
		row->from = row->next = here;
	if (now_ns - row->next.ns >= RATE_SPAN_NS) {
		row->from = row->next;
		row->next = here;
	}
	row->moving = true;
	row->current = current;
	row->total = total;
}

/* "ID: STATUS" */
static char *head_of(const char *id, const char *status)
{
	cleanup_free char *whole =
		xasprintf("%s%s%s", id, *id ? ": " : "", status);

	return text_printable(whole, true);
}

static uint64_t bytes_of(const cJSON *detail, const char *key)
{
	int64_t bytes = number_of(detail, key);

	return bytes > 0 ? (uint64_t)bytes : 0;
}

static enum progress_event feed_row(struct progress_rows *rows,
				    const cJSON *message, int64_t now_ns,
				    char **ret_text)
{
	const cJSON *detail = member_of(message, "progressDetail");
	const char *status = text_of(message, "status");
	struct progress_row *row = row_of(rows, text_of(message, "id"));
	bool same;

	if (!row)
		return PROGRESS_NOTHING;
	same = str_equal(row->status, status);
	row->told = ++rows->told;
	if (!same) {
		free(row->status);
		row->status = xstrdup(status);
	}
	if (detail && detail->child) {
		row_move(row, bytes_of(detail, "current"),
			 bytes_of(detail, "total"), !same || !row->moving,
			 now_ns);
		return PROGRESS_MOVED;
	}
	row->moving = false;
	if (same)
		return PROGRESS_NOTHING;
	*ret_text = head_of(row->id, status);
	return PROGRESS_STATUS;
}

enum progress_event progress_rows_feed(struct progress_rows *rows,
				       const char *line, int64_t now_ns,
				       char **ret_text)
{
	cleanup_json cJSON *message = NULL;
	const cJSON *detail;

	*ret_text = NULL;
	if (json_parse(line, strlen(line), "progress", &message, NULL) < 0)
		return PROGRESS_NOTHING;
	if (*text_of(message, "warning")) {
		*ret_text = text_printable(text_of(message, "warning"), true);
		return PROGRESS_WARNING;
	}
	if (!*text_of(message, "status"))
		return PROGRESS_NOTHING;
	detail = member_of(message, "progressDetail");
	if (*text_of(message, "id") || (detail && detail->child))
		return feed_row(rows, message, now_ns, ret_text);
	*ret_text = head_of("", text_of(message, "status"));
	return PROGRESS_LINE;
}

static bool is_under_way(const struct progress_row *row)
{
	return row->moving && (row->total == 0 || row->current < row->total);
}

bool progress_rows_moving(const struct progress_rows *rows)
{
	for (size_t i = 0; i < rows->count; i++)
		if (is_under_way(&rows->rows[i]))
			return true;
	return false;
}

/* Bytes a second; 0: not known yet. */
static double rate_of(const struct progress_row *row, int64_t now_ns)
{
	int64_t passed = now_ns - row->from.ns;

	if (!is_under_way(row) || passed < RATE_AFTER_NS)
		return 0;
	return (double)(row->current - row->from.bytes) * NS_PER_S /
	       (double)passed;
}

/* "  ETA 2s"; "" where there is no forecast. */
static char *eta_text(const struct progress_row *row, double rate)
{
	double left = row->total > row->current
			      ? (double)(row->total - row->current)
			      : 0;
	unsigned int seconds;

	if (row->total == 0 || rate < 1 || left / rate > ETA_MAX)
		return xstrdup("");
	seconds = (unsigned int)(left / rate + 0.5);
	if (seconds < 60)
		return xasprintf("  ETA %us", seconds);
	if (seconds < 3600)
		return xasprintf("  ETA %um%02us", seconds / 60, seconds % 60);
	return xasprintf("  ETA %uh%02um", seconds / 3600, seconds / 60 % 60);
}

static char *rate_text(double rate)
{
	cleanup_free char *speed = format_bytes((uint64_t)rate);

	return rate >= 1 ? xasprintf("  %s/s", speed) : xstrdup("");
}

static char *amount_text(const struct progress_row *row)
{
	cleanup_free char *done = format_bytes(row->current);
	cleanup_free char *all = format_bytes(row->total);

	return row->total > 0 ? xasprintf(" %7s/%s", done, all)
			      : xasprintf(" %7s", done);
}

/* " [===>   ]", in all so many columns. */
static char *bar_text(const struct progress_row *row, size_t columns)
{
	char bar[BAR_MAX + 1] = "";
	size_t room = columns - BAR_FRAME;
	size_t filled;
	double part = (double)row->current / (double)row->total;

	if (room > BAR_MAX)
		room = BAR_MAX;
	filled = part >= 1 ? room : (size_t)(part * (double)room);
	memset(bar, '=', filled);
	if (filled < room)
		bar[filled] = '>';
	return xasprintf(" [%-*s]", (int)room, bar);
}

/*
 * Room is set aside for the longest rate and ETA, so that the bar keeps its
 * length while they change.
 */
char *progress_row_text(const struct progress_row *row, int64_t now_ns,
			size_t columns)
{
	cleanup_free char *head = head_of(row->id, row->status);
	double rate = rate_of(row, now_ns);
	cleanup_free char *amount = amount_text(row);
	cleanup_free char *speed = rate_text(rate);
	cleanup_free char *eta = eta_text(row, rate);
	cleanup_free char *bar = NULL;
	size_t bar_min = row->total > 0 ? BAR_MIN + BAR_FRAME : 0;
	size_t used = text_width(head) + text_width(amount);
	bool has_eta = used + bar_min + RATE_WIDTH + ETA_WIDTH <= columns;
	bool has_rate = used + bar_min + RATE_WIDTH <= columns;

	if (!row->moving || used > columns)
		return text_cut(head, columns);
	used += has_rate ? RATE_WIDTH : 0;
	used += has_eta ? ETA_WIDTH : 0;
	if (bar_min > 0 && used + bar_min <= columns)
		bar = bar_text(row, columns - used);
	return xasprintf("%s%s%s%s%s", head, bar ? bar : "", amount,
			 has_rate ? speed : "", has_eta ? eta : "");
}

/* ---- which rows ---- */

struct candidate {
	const struct progress_row *row;
	size_t index;
};

/* Those under way first, then the ones last heard of. */
static int compare_candidates(const void *a, const void *b)
{
	const struct candidate *one = a;
	const struct candidate *other = b;
	bool one_moves = is_under_way(one->row);
	bool other_moves = is_under_way(other->row);

	if (one_moves != other_moves)
		return one_moves ? -1 : 1;
	return one->row->told > other->row->told   ? -1
	       : one->row->told < other->row->told ? 1
						   : 0;
}

static int compare_places(const void *a, const void *b)
{
	size_t one = ((const struct candidate *)a)->index;
	size_t other = ((const struct candidate *)b)->index;

	return one < other ? -1 : one > other;
}

char **progress_rows_lines(const struct progress_rows *rows, int64_t now_ns,
			   size_t columns, size_t room)
{
	struct candidate chosen[PROGRESS_ROWS_MAX];
	size_t count = rows->count;
	char **lines = NULL;

	for (size_t i = 0; i < rows->count; i++)
		chosen[i] = (struct candidate){&rows->rows[i], i};
	if (count > room) {
		count = room > 0 ? room - 1 : 0;
		qsort(chosen, rows->count, sizeof(*chosen), compare_candidates);
		qsort(chosen, count, sizeof(*chosen), compare_places);
	}
	for (size_t i = 0; i < count; i++)
		strv_push_take(&lines, progress_row_text(chosen[i].row, now_ns,
							 columns));
	if (count < rows->count && room > 0) {
		cleanup_free char *rest =
			xasprintf("... and %zu more", rows->count - count);

		strv_push_take(&lines, text_cut(rest, columns));
	}
	return lines;
}
