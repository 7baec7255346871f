/*
 * The state of a transfer as its messages (storage/transfer.h) tell it: a row
 * for each id, in the order in which they were first heard of, and how a row
 * looks. Nothing here knows a clock, a terminal or a descriptor.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cmd/progress.h"

#define PROGRESS_ROWS_MAX 1024 /* further ids are not shown */

/* Where the bytes stood at a moment. */
struct progress_mark {
	int64_t ns;
	uint64_t bytes;
};

struct progress_row {
	char *id; /* as it came; "": of the only thing there is */
	char *status;
	bool moving; /* its last message had bytes */
	uint64_t current;
	uint64_t total;		   /* 0: not known */
	struct progress_mark from; /* the rate is counted from here, */
	struct progress_mark next; /* and from here some seconds later */
	uint64_t told;		   /* number of its last message */
};

struct progress_rows {
	struct progress_row *rows;
	size_t count;
	uint64_t told; /* messages so far */
};

void progress_rows_release(struct progress_rows *rows);
void progress_rows_clear(struct progress_rows *rows);

/*
 * Takes one line. now_ns: of any steady clock. *ret_text: printable, caller
 * frees; NULL for the first two.
 */
enum progress_event progress_rows_feed(struct progress_rows *rows,
				       const char *line, int64_t now_ns,
				       char **ret_text);

/* Anything whose rate, told as of now, may have changed? */
bool progress_rows_moving(const struct progress_rows *rows);

/*
 * The row in at most `columns`: "a2abf6c4d29d: Downloading [==>    ]
 * 12.3MB/30.1MB  41MB/s  ETA 2s"; where that is too narrow, without ETA, then
 * without rate, bar, amount. Caller frees.
 */
char *progress_row_text(const struct progress_row *row, int64_t now_ns,
			size_t columns);

/*
 * All rows as lines (strv, caller frees), at most `room` of them: where there
 * are more, those that move and those last heard of, and a last line that
 * counts the others.
 */
char **progress_rows_lines(const struct progress_rows *rows, int64_t now_ns,
			   size_t columns, size_t room);
