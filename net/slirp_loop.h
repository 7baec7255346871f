/*
 * The uplink: libslirp between the tap and sockets of the host's network
 * namespace, in one thread, with poll(2). It sleeps without a timer while
 * nothing is connected.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"

struct slirp_loop;

/*
 * Keeps tap_fd, which must be non-blocking. host_loopback: may the gateway's
 * address reach the host's 127.0.0.1?
 */
int slirp_loop_new(int tap_fd, bool host_loopback, struct slirp_loop **ret_loop,
		   struct error *err);
/* Serves for good; without a tap (the container removed it) does nothing. */
_Noreturn void slirp_loop_run(struct slirp_loop *loop);
