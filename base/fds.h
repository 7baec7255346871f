/*
 * Packets with descriptors over Unix sockets (SCM_RIGHTS). Received descriptors
 * are O_CLOEXEC and the receiver's; none is left open by a failure.
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#define FDS_MAX 128 /* in one packet; below the kernel's SCM_MAX_FD */

void fds_close(const int *fds, size_t count);
/* 0 or -errno; a peer that is gone is -EPIPE. flags: of sendmsg(2). */
int fds_send(int socket_fd, int flags, const void *data, size_t length,
	     const int *fds, size_t fd_count);
/*
 * Length, 0 at the end, or -errno: -EMSGSIZE when the packet or its descriptors
 * are more than there is room for. *fd_count: room in fds, and how many came.
 * flags: of recvmsg(2).
 */
ssize_t fds_receive(int socket_fd, int flags, void *data, size_t size, int *fds,
		    size_t *fd_count);
