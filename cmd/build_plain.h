/*
 * A build as numbered lines, for pipes, logs and whoever asks for them:
 *
 *   #5 [2/3] RUN make
 *   #5 0.312 gcc -c a.c
 *   #5 DONE 0.4s
 *
 * What independent steps say may alternate; the number tells whose it is.
 */
#pragma once

#include "cmd/build_steps.h"

/* What is to be printed, without the last newline; NULL: nothing. Caller frees.
 */
char *build_plain_text(struct build_steps *steps, const struct build_news *news,
		       int64_t now_ns);
/* Of the steps that never ended; as above. */
char *build_plain_end(struct build_steps *steps);
