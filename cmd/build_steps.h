/*
 * The state of a build as its messages (core/build/report.h) tell it: its
 * steps, what each does and wrote, and how it failed. Nothing here knows a
 * terminal; how it looks is told by build_plain.h, build_live.h and
 * build_ending.h. Texts are printable once they are here.
 *
 * Times are ns of any steady clock, given by the caller, but for how long a
 * step took, which its messages tell.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cmd/output_lines.h"

#define BUILD_STEPS_MAX	   10000 /* further ones are not shown */
#define BUILD_STATUSES_MAX 1024	 /* of a step */
#define BUILD_WARNINGS_MAX 100
#define BUILD_TAIL	   20 /* last lines of output that are kept */

/* One of the things that a step does: a layer that it fetches. */
struct build_status {
	char *id; /* "": of the only thing there is */
	char *status;
	int64_t current; /* negative: not counted */
	int64_t total;	 /* 0: not known */
};

struct build_line {
	char *text;
	int64_t ns; /* since the step started */
};

struct build_step {
	unsigned int vertex;
	char *name;
	unsigned int place; /* in the order of their starts, from 1 on; 0: it
			       has not started */
	int64_t started_ns; /* when that was heard of */
	int64_t started_at; /* when that was, by the message */
	int64_t taken_ns;   /* once it is completed */
	bool completed;
	bool cached;
	bool cancelled;
	char *error; /* NULL: none */
	struct build_status *statuses;
	size_t status_count;
	struct output_lines output[2];
	struct build_line tail[BUILD_TAIL]; /* a ring */
	size_t tail_count;		    /* lines so far */
	bool announced;			    /* build_plain.h's */
};

struct build_steps {
	bool colors; /* in what commands write are kept */
	struct build_step *steps;
	size_t count;
	unsigned int places;
	int64_t opened_ns; /* when the first message came; 0: none came */
	char **warnings;   /* strv, none twice */
	bool lint;	   /* one of them is about a line */
	bool ended;	   /* no message comes any more */
	bool announced;	   /* any step, by build_plain.h */
	cJSON *failed;	   /* the message's object; NULL: none came */
};

void build_steps_release(struct build_steps *steps);

enum build_event {
	BUILD_NOTHING, /* nothing that can be read, or nothing new */
	BUILD_STARTED,
	BUILD_CACHED,
	BUILD_OUTPUT, /* whole lines */
	BUILD_STATUS, /* a status of another text */
	BUILD_COUNT,  /* only its numbers have changed */
	BUILD_COMPLETED,
	BUILD_TOLD, /* what is shown at the end, or not by itself */
};

struct build_news {
	enum build_event event;
	struct build_step *step;	   /* NULL: of none; borrowed */
	const struct build_status *status; /* borrowed */
	char **lines;			   /* strv */
};
void build_news_release(struct build_news *news);

/* Takes one message. Zeroed at first: *ret_news. */
void build_steps_feed(struct build_steps *steps, const char *line,
		      int64_t now_ns, struct build_news *ret_news);
/* No message comes any more: whatever has started and not ended was cancelled.
 */
void build_steps_end(struct build_steps *steps, int64_t now_ns);

bool build_step_running(const struct build_step *step);
int64_t build_step_ns(const struct build_step *step, int64_t now_ns);
size_t build_steps_completed(const struct build_steps *steps);
const struct build_step *build_steps_find(const struct build_steps *steps,
					  unsigned int vertex);
/*
 * The last lines it wrote, at most so many, the unfinished ones included (strv,
 * caller frees). times: each behind the seconds that it came after.
 */
char **build_step_tail(const struct build_step *step, size_t count, bool times);
/* "0.312 text"; caller frees. */
char *build_line_text(const char *text, int64_t ns);
/*
 * "extracting sha256:…", "sha256:… done"; brief: with short digests, and with
 * numbers, "5.1MB / 10MB". Caller frees.
 */
char *build_status_text(const struct build_status *status, bool brief);
