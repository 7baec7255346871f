/*
 * Memory with a descriptor, for moss-init: the program itself, sealed against
 * any change, and what it is told.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

/*
 * moss-init, sealed, ready for execveat(2). With group >= 0 nobody may read it
 * and it belongs to that group: a process of a user namespace that does not map
 * the group is then, while it executes the file, for the kernel one of the
 * namespace above, which no capability in its own gives the right to trace.
 */
int memfd_program(int64_t group, struct error *err);
/* length bytes, read from the start. */
int memfd_data(const char *name, const void *data, size_t length,
	       struct error *err);
