/*
 * What a build says while it works, told to whoever reads the descriptor given:
 * JSON objects, one a line of less than 4096 bytes, each written whole, so that
 * all processes of a build may write to the same pipe. A step is a vertex; its
 * number, from 1 on, is chosen by who plans the build.
 *
 *   {"vertex":3,"stage":"build","name":"[build 2/5] RUN make"}
 *                     there is such a step; all steps are told before the first
 *                     one starts
 *   {"vertex":3,"started":1764377553000000000}
 *                     ns since 1970
 *   {"vertex":3,"cached":true}
 *                     its result was there already; "completed" follows
 *   {"vertex":3,"log":"gcc -c a.c\n","stream":1}
 *                     what it wrote to standard output (1) or error (2), in
 *                     pieces that may end anywhere but within a character
 *   {"vertex":3,"id":"sha256:abc…","status":"extracting","current":5,"total":10}
 *                     where one of the things that it does has got to; total
 *                     absent: not known; current absent: it is not counted
 *   {"vertex":3,"completed":1764377553000000000}
 *   {"vertex":3,"completed":1764377553000000000,"error":"exit code: 1"}
 *   {"warning":"…","line":4}
 *                     for the user, about a line of the Dockerfile; line
 *                     absent: about no line
 *   {"failed":{"file":"Dockerfile","line":7,"last":8,"vertex":3,"exit":1,
 *              "excerpt":[[6,"text"],[7,"…"]]}}
 *                     the instruction that the build failed at; vertex absent:
 *                     before there were any; exit absent: it was no command
 *
 * Texts are the Dockerfile's, an image's and a command's choosing. They arrive
 * as they are, control characters included (the reader decides what may reach a
 * terminal), but for what JSON cannot hold: bytes that are no UTF-8, and zeros,
 * become U+FFFD. Logs of any length are split over lines, other texts cut.
 *
 * Nothing here fails: without a reader the build goes on in silence. SIGPIPE
 * has to be ignored. A reader that is slow slows the build down.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define REPORT_LINE_MAX 4096 /* bytes of a line, newline included */

struct report {
	int fd; /* -1: nobody listens */
};

/* stage: its name, or its number where it has none. */
void report_vertex(const struct report *report, unsigned int vertex,
		   const char *stage, const char *name);
void report_started(const struct report *report, unsigned int vertex);
void report_cached(const struct report *report, unsigned int vertex);

/* One of a vertex's two outputs. */
struct report_stream {
	unsigned int vertex;
	int number;   /* 1: standard output, 2: standard error */
	char held[4]; /* the beginning of a character whose end is to come */
	size_t held_length;
};
/* Bytes as they are read, in pieces of any length. */
void report_log(const struct report *report, struct report_stream *stream,
		const void *bytes, size_t length);
/* Nothing comes any more. */
void report_log_end(const struct report *report, struct report_stream *stream);

/* current: negative where it is not counted; total: 0 where it is not known. */
void report_status(const struct report *report, unsigned int vertex,
		   const char *id, const char *status, int64_t current,
		   int64_t total);
/* failure: NULL where it succeeded. */
void report_completed(const struct report *report, unsigned int vertex,
		      const struct error *failure);
/* line: of the Dockerfile, from 1 on; 0: of none. */
void report_warning(const struct report *report, unsigned int line,
		    const char *text);

struct report_failure {
	const char *file;    /* as the user named it */
	const char *text;    /* the whole Dockerfile */
	unsigned int line;   /* the instruction's first, from 1 on; 0: none */
	unsigned int last;   /* and its last */
	unsigned int vertex; /* 0: none */
	int exit_code;	     /* of the command; -1: it was none */
};
/* From lines of text to what is shown of it: four lines more than a single one
   has, two more than several have; behind it and before it by turns. */
void report_widen(const char *text, unsigned int *first, unsigned int *last);
/* The excerpt is the instruction with some lines around it. */
void report_failed(const struct report *report,
		   const struct report_failure *failure);
