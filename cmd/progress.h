/*
 * What a transfer or a build says while it works. On a terminal lines that are
 * redrawn in place (progress_screen.h); elsewhere, and on a terminal that
 * cannot move its cursor (TERM=dumb), a line whenever there is something new.
 * Warnings always go to standard error. What the lines are is a view's to say:
 * of a transfer (storage/transfer.h) one for each layer (progress_rows.h), of a
 * build (core/build/report.h) its steps (build_progress.h).
 *
 * A child process shows it all, since the work keeps moss busy. It ends when
 * everybody has closed the descriptor for messages; it outlives the moss that
 * is killed just long enough to give the terminal its cursor back.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"

enum progress_event {
	PROGRESS_NOTHING, /* nothing to show, or nothing that can be read */
	PROGRESS_MOVED,	  /* the lines are others */
	PROGRESS_STATUS,  /* the same; its text, where nothing is redrawn */
	PROGRESS_LINE,	  /* text of its own, below the lines so far */
	PROGRESS_WARNING, /* its text */
};

/* How messages become lines. All texts are printable. */
struct progress_view {
	/* Takes one message. *ret_text: caller frees; NULL: none. */
	enum progress_event (*feed)(void *data, const char *line,
				    int64_t now_ns, char **ret_text);
	/* The lines (strv, caller frees), at most `room` of them. */
	char **(*lines)(void *data, int64_t now_ns, size_t columns,
			size_t room);
	/* Do the lines change when nothing comes? */
	bool (*moving)(void *data);
	int tick_ms; /* then they are redrawn so often */
	/* The lines are left where they are, to begin with none. NULL: never.
	 */
	void (*clear)(void *data);
	/*
	 * No message comes any more; before the last lines are drawn.
	 * *ret_text: what goes below them, also when quiet. NULL: nothing to
	 * do.
	 */
	void (*end)(void *data, int64_t now_ns, char **ret_text);
};

struct progress_options {
	int fd;	    /* where to show it: standard output or error */
	bool quiet; /* warnings only */
	bool plain; /* nothing is redrawn, on a terminal either */
	/*
	 * SIGINT and SIGTERM end the work, not what shows it: more is to be
	 * said.
	 */
	bool patient;
	const struct progress_view *view; /* NULL: a transfer's */
	void *data;			  /* the view's, in the child only */
};

/* Can lines be redrawn there? */
bool progress_can_redraw(int fd);

struct progress {
	int fd; /* for a request's progress_fd; -1: there is none */
	pid_t pid;
};

void progress_open(const struct progress_options *options,
		   struct progress *ret_progress);
/*
 * Waits until everything is shown. Returns the result of the work, or, where
 * that is no failure, the failure to write to standard output.
 */
int progress_close(struct progress *progress, int result, struct error *err);
