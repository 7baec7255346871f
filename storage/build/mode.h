/*
 * --chmod of COPY and ADD: "0644", 4 octal digits at most, or what chmod(1)
 * takes, with no umask:
 *
 *   u+x,go-w   who is changed: "u", "g", "o", "a"; nobody: all
 *   a=rX       "+", "-", "="; "r", "w", "x", "s", "t", "X": x of a directory,
 *              or where somebody has it already
 *   g=u        as "u", "g" or "o" have it
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/error.h"

/* Is text one? ERROR_INVALID tells what is wrong. */
int mode_check(const char *text, struct error *err);
/* What becomes of mode (07777); text is one. */
mode_t mode_apply(const char *text, mode_t mode, bool is_directory);
/* What a directory gets that is made on the way to what text is said of: a
   number as it is; what changes a mode says nothing of it. text may be NULL. */
mode_t mode_of_parents(const char *text, mode_t mode);
