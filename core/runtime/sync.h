/*
 * The conversation between the parent and the process it makes, over one
 * SOCK_SEQPACKET pair that lives from clone to execve: packets are a struct
 * sync_message, perhaps with descriptors, or a struct error, which ends it. End
 * of file from the child after SYNC_START means that its program runs.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "core/runtime/init/protocol.h"

#define SYNC_FDS_MAX 4

int sync_pair(int *ret_parent_fd, int *ret_child_fd, struct error *err);
int sync_send(int fd, enum sync_type type, int value, const int *fds,
	      size_t fd_count, struct error *err);
int sync_send_message(int fd, const struct sync_message *message,
		      const int *fds, size_t fd_count, struct error *err);
/*
 * 1 and a message, 0 at end of file, negative errno with the peer's error in
 * *err; -ECONNRESET when it ended without reading what was sent to it.
 * *ret_fd_count may be NULL when none are expected; surplus descriptors are
 * closed.
 */
int sync_receive(int fd, struct sync_message *ret_message,
		 int ret_fds[SYNC_FDS_MAX], size_t *ret_fd_count,
		 struct error *err);
/* Something, end of file too, is there to be received, or comes in time. */
bool sync_is_readable(int fd, int timeout_ms);
/* A message of exactly this type without descriptors; end of file is an error.
 */
int sync_expect(int fd, enum sync_type type, struct error *err);
