/*
 * A Dockerfile as it is written: bytes into lines, lines into instructions,
 * instructions into flags and words. Nothing is evaluated here: variables
 * (expand.h) and what the words mean (stages.h) come later, as both depend on
 * what came before.
 *
 * The format is that of BuildKit's frontend, syntax 1.x:
 *
 *   parser directives   "# syntax=", "# escape=", "# check=", before anything
 *                       else, each once
 *   comments            lines whose first word begins with "#", inside a
 *                       continued instruction as well
 *   continuation        a line that ends in the escape character, unless two
 *                       of them stand there; empty lines within are passed
 *                       over (lint.h warns of them)
 *   heredocs            "<<NAME" words of RUN, COPY and ADD, and of these
 *                       behind ONBUILD: the lines up to NAME
 *
 * The text is hostile: it is bounded by DOCKERFILE_MAX, and everything that is
 * not understood is an error with a line.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

#define DOCKERFILE_MAX (4u << 20) /* bytes */

enum dockerfile_keyword {
	DOCKERFILE_ADD,
	DOCKERFILE_ARG,
	DOCKERFILE_CMD,
	DOCKERFILE_COPY,
	DOCKERFILE_ENTRYPOINT,
	DOCKERFILE_ENV,
	DOCKERFILE_EXPOSE,
	DOCKERFILE_FROM,
	DOCKERFILE_HEALTHCHECK,
	DOCKERFILE_LABEL,
	DOCKERFILE_MAINTAINER,
	DOCKERFILE_ONBUILD,
	DOCKERFILE_RUN,
	DOCKERFILE_SHELL,
	DOCKERFILE_STOPSIGNAL,
	DOCKERFILE_USER,
	DOCKERFILE_VOLUME,
	DOCKERFILE_WORKDIR,
	DOCKERFILE_KEYWORDS,
};

struct dockerfile_heredoc {
	char *name;
	char *content;	 /* its lines, as they stand there */
	unsigned int fd; /* of "3<<NAME"; 0 without a number */
	bool expand;	 /* the name was not quoted */
	bool chomp;	 /* "<<-": leading tabs are not meant */
};

/*
 * words, as the keyword has it:
 *
 *   ADD COPY VOLUME               paths
 *   ARG                           "NAME" or "NAME=VALUE"
 *   RUN CMD ENTRYPOINT SHELL      the elements of a JSON array (json), or the
 *                                 whole text as one word
 *   ENV LABEL                     name, value, name, value …
 *   EXPOSE FROM                   words
 *   HEALTHCHECK                   "NONE" or "CMD", then as for CMD
 *   MAINTAINER STOPSIGNAL USER WORKDIR
 *                                 the whole text as one word
 *   ONBUILD                       none; trigger is the instruction behind it
 *
 * Quotes and escapes are still in them, but for those of a JSON array.
 */
struct dockerfile_instruction {
	enum dockerfile_keyword keyword;
	unsigned int first_line; /* from 1 */
	unsigned int last_line;	 /* heredocs included */
	char *text;		 /* continued lines joined, without heredocs */
	char **flags;		 /* "--chown=1:2", quotes taken off */
	bool json;
	char **words;
	struct dockerfile_heredoc *heredocs;
	size_t heredoc_count;
	struct dockerfile_instruction *trigger; /* of ONBUILD; owned */
};

struct dockerfile {
	char *syntax; /* of the directives; NULL: none */
	char *check;
	char escape; /* '\\' or '`' */
	struct dockerfile_instruction *instructions;
	size_t count;
	unsigned int *empty_lines; /* where instructions went on over some */
	size_t empty_line_count;
};

#define cleanup_dockerfile CLEANUP(dockerfile_release)

void dockerfile_release(struct dockerfile *dockerfile);

/* Where an error is, to quote the lines. */
struct dockerfile_range {
	unsigned int first_line; /* 0: nowhere in particular */
	unsigned int last_line;
};

/*
 * Parses length bytes. Errors name the line: "line 3: unknown instruction:
 * FORM"; *ret_range (may be NULL) says which lines it is about.
 */
int dockerfile_parse(const char *text, size_t length,
		     struct dockerfile *ret_dockerfile,
		     struct dockerfile_range *ret_range, struct error *err);

/* What stands behind an ONBUILD, with its heredocs, to be parsed again by who
   builds on it; caller frees. */
char *dockerfile_trigger(const struct dockerfile_instruction *onbuild);

/* "ADD" */
const char *dockerfile_keyword_name(enum dockerfile_keyword keyword);

/*
 * Is word a heredoc's ("<<EOF", "3<<-'EOF'")? Then its name (caller frees) and
 * what it says of it.
 */
bool dockerfile_heredoc_word(const char *word,
			     struct dockerfile_heredoc *ret_heredoc);
void dockerfile_heredoc_release(struct dockerfile_heredoc *heredoc);
/* The content with the leading tabs of each line taken off; caller frees. */
char *dockerfile_heredoc_chomped(const char *content);
