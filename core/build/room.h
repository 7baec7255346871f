/*
 * A tmpfs that only one step of a build can see: for secrets, which must never
 * be on a disk, and for sockets.
 *
 * It is mounted in a mount namespace that the calling process makes for itself.
 * What the process starts from then on, the monitor of the step's container
 * above all, is in there, too; the host and other builds are not. It is gone
 * with the last of these processes, whatever ends them, or by room_close().
 *
 * Its files have the IDs of the pinned namespace, which are those of the
 * container. Where there is but one, giving them away succeeds in vain, as in a
 * container without sub-IDs.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/error.h"
#include "storage/store/store.h"

struct room {
	char *path; /* absolute; NULL: there is none */
	int fd;
};

#define ROOM_NONE        \
	{                \
		.fd = -1 \
	}

/* In the pinned user namespace, with one thread. Mounts on a directory of the
   work's. */
int room_open(const struct store_work *work, struct room *ret_room,
	      struct error *err);
void room_close(struct room *room);

struct room_owner {
	mode_t mode;
	uid_t uid;
	gid_t gid;
	bool single_id;
};
int room_write(const struct room *room, const char *name, const void *bytes,
	       size_t length, const struct room_owner *owner,
	       struct error *err);
/* A listening stream socket. */
int room_listen(const struct room *room, const char *name,
		const struct room_owner *owner, struct error *err);
