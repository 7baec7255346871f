/* --since and --until, as docker takes them. */
#pragma once

#include <stdint.h>
#include <time.h>

#include "base/error.h"

/*
 * A duration before now ("42m", "1h30m"), seconds since the epoch
 * ("1136073845.25"), RFC 3339 ("2006-01-02T15:04:05.9Z"), or the beginning of
 * one ("2006-01-02", "2006-01-02T15:04") in the local time zone. option: its
 * name, for messages.
 */
int time_option_parse(const char *option, const char *text,
		      struct timespec *ret_time, struct error *err);
/*
 * A time as a deadline by clock_ms(), so that setting the wall clock meanwhile
 * moves it no more; -1 for no time (0).
 */
int64_t time_deadline_ms(const struct timespec *then);
/* Milliseconds until a deadline, at most an hour; -1 for none. */
int time_left_ms(int64_t deadline_ms);
