/*
 * Memory with a descriptor, for moss-init: the program itself, sealed against
 * any change, and what it is told.
 */
#pragma once

#include <stddef.h>

#include "base/error.h"

/* moss-init, sealed, ready for execveat(2). */
int memfd_program(struct error *err);
/* length bytes, read from the start. */
int memfd_data(const char *name, const void *data, size_t length,
	       struct error *err);
