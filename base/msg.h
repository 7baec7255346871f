/*
 * Messages between moss's own processes: one SOCK_SEQPACKET packet each, a JSON
 * text of at most MSG_MAX bytes and at most MSG_FDS_MAX descriptors. Received
 * descriptors are O_CLOEXEC and owned by the receiver. Local and trusted only
 * as far as SO_PEERCRED says: msg_peer_uid() before anything is believed.
 */
#pragma once

#include <cjson/cJSON.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"

#define MSG_MAX	    (128u << 10) /* bytes; below the default socket buffer */
#define MSG_FDS_MAX 8

int msg_send(int socket_fd, const cJSON *json, const int *fds, size_t fd_count,
	     struct error *err);
/*
 * 1 and a message, 0 at end of file, -EAGAIN on a non-blocking socket without
 * one. *ret_fd_count: in: room in fds, out: how many came; surplus is closed.
 */
int msg_receive(int socket_fd, cJSON **ret_json, int *fds, size_t *ret_fd_count,
		struct error *err);
/* The far end's effective UID as seen in this user namespace. */
int msg_peer_uid(int socket_fd, uid_t *ret_uid);

/*
 * Unix sockets below a directory of any path length: bound and connected
 * through /proc/self/fd. type is SOCK_SEQPACKET or SOCK_STREAM.
 */
int socket_listen_at(int dir_fd, const char *name, int type, struct error *err);
int socket_connect_at(int dir_fd, const char *name, int type,
		      struct error *err);

/* struct error as JSON and back, so that a reply can carry one. */
cJSON *error_to_json(const struct error *err);
void error_from_json(const cJSON *json, struct error *ret_err);
