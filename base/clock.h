/*
 * The clock that intervals, deadlines and time-outs are measured by:
 * CLOCK_MONOTONIC, which nobody sets. The wall clock may be set at any moment;
 * it is asked only for what is shown to people or stored for them
 * (tests/lint/clocks.py knows where).
 */
#pragma once

#include <stdint.h>

/* Milliseconds since some moment in the past. */
int64_t clock_ms(void);
