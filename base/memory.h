/*
 * What a process keeps in memory while it waits.
 */
#pragma once

/*
 * Gives back what the work so far has left: free heap, the stack below the
 * caller, and the pages of program and libraries, which come back from the page
 * cache as they are needed. For a process that now waits for long; some 50 µs.
 */
void memory_settle(void);
