/*
 * What moss-init is told, and by what numbers.
 *
 * The child of core/runtime executes moss-init from a sealed memfd with the
 * container's own argument vector and environment (after "moss-init" and "--"
 * when it stays as PID 1), and these descriptors open:
 *
 *   0 1 2             the container's
 *   INIT_SYNC_FD      the conversation with the parent, a SOCK_SEQPACKET
 *                     socket: a struct error goes up when a step fails, end
 *                     of file says that the program runs; the packet SYNC_START
 *                     comes down
 *   INIT_CONFIG_FD    a memfd: struct init_config and what its offsets name
 *
 * Freestanding: nothing here may need a C library.
 */
#pragma once

#include <stdint.h>

#define INIT_SYNC_FD   3
#define INIT_CONFIG_FD 4
#define INIT_MAGIC     0x6d6f7373u

enum sync_type {
	SYNC_CHILD = 1, /* up: the container's process, value: PID; + pidfd */
	SYNC_MAPPED,	/* down: it is known, its ID maps are written */
	SYNC_FUSE,	/* up: serve this; + the FUSE device */
	SYNC_SERVED,	/* down */
	SYNC_READY,  /* up: the last step is next; value: SYNC_HAS_…, owner; +
			fds */
	SYNC_START,  /* down: go */
	SYNC_NOTIFY, /* up: + the end of notifications, if wanted */
};

#define SYNC_HAS_CONSOLE 1
#define SYNC_HAS_TAP	 2

/* Told from a struct error by its size. */
struct sync_message {
	uint32_t type;
	int32_t value;
	uint32_t owner; /* SYNC_READY: the program's user, the parent's number
			 */
};

#define INIT_REAP	  (1u << 0) /* stay as PID 1 */
#define INIT_TERMINAL	  (1u << 1) /* 0 is a controlling terminal */
#define INIT_NO_NEW_PRIVS (1u << 2)
#define INIT_SET_GROUPS	  (1u << 3) /* the groups can and shall be set */
#define INIT_DENY_TCP	  (1u << 4) /* by Landlock: no bind, no connect */

struct init_config {
	uint32_t magic;
	uint32_t flags;
	uint32_t uid, gid;
	uint64_t bounding, permitted, effective, inheritable, ambient;
	/* Offsets from the start of this struct, and element counts. */
	uint32_t groups, group_count;	/* uint32_t each */
	uint32_t filter, filter_length; /* struct sock_filter each; 0: none */
	uint32_t filter_flags;
	/* One more, whose listener is sent up; 0: none. */
	uint32_t notify, notify_length, notify_flags;
	uint32_t cwd; /* NUL-terminated */
};
