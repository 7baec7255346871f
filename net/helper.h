/*
 * The start of a helper program (moss-net, moss-gateway, moss-native): a
 * SOCK_SEQPACKET pair, of which it gets an end as a descriptor that its header
 * names, and on which it says HELPER_READY when it serves, or a struct error.
 */
#pragma once

#include <stdbool.h>

#include "base/error.h"

#define HELPER_READY "ready"

/* Both ends, O_CLOEXEC; the caller's. program: for messages. */
int helper_pair(const char *program, int *ret_mine, int *ret_theirs,
		struct error *err);
/*
 * Waits for what it says: 0 when it serves; its error; or that it has ended, or
 * does not answer within the socket's SO_RCVTIMEO.
 */
int helper_wait_ready(int socket_fd, const char *program, struct error *err);
/* The helper's side of it; false: nobody hears it. */
bool helper_say_ready(int socket_fd);
