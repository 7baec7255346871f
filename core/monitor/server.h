/*
 * A connection to the control socket; for server.c and exec.c.
 */
#pragma once

#include "base/loop.h"
#include "core/monitor/monitor.h"

enum connection_kind {
	CONNECTION_NEW,	   /* its request is still to come */
	CONNECTION_WAIT,   /* for the container's exit code */
	CONNECTION_STOP,   /* for the container's end */
	CONNECTION_EXEC,   /* for the exit code of a program */
	CONNECTION_FREEZE, /* its end lets the container go on */
	CONNECTION_PORTS,  /* for a network helper's answer */
};

struct connection {
	struct monitor *monitor;
	struct connection *next;
	int fd;
	struct loop_source *source;
	enum connection_kind kind;
	bool is_over;  /* one too many */
	bool is_owner; /* the container dies with its client */
	struct exec *exec;
	uint32_t request; /* which answer, see ports_sync() */
};
