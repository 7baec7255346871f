/*
 * A terminal of the container's own devpts. The slave is had by ioctl, never by
 * name, so nothing in the container's tree can stand in for it.
 */
#pragma once

#include <stdint.h>

#include "base/error.h"

/* ptmx_fd: the multiplexer, open; becomes the master. */
int console_open(int ptmx_fd, uint16_t rows, uint16_t columns,
		 int *ret_slave_fd, struct error *err);
/* The multiplexer of a running container, checked to be one. */
int console_find_ptmx(int root_fd, struct error *err);
/* Makes it the controlling terminal of the caller, a session leader. */
int console_adopt(int slave_fd, uint32_t uid, struct error *err);
