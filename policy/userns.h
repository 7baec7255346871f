/*
 * The pinned user namespace.
 *
 * newuidmap and newgidmap cost 2-4 ms, so the mapped namespace is made once a
 * login and kept by a tiny process (`moss-pause`, named "moss: pause RUN", no
 * capabilities, waiting for SIGTERM or for a logout that leaves nothing of
 * moss's running). RUN/userns/pin.json names it: PID and start time, the
 * namespace's device and inode, what the maps were made from (sizes and times
 * of /etc/sub{u,g}id). The maps themselves are read from the kernel. Entering
 * what is pinned costs 0.1-0.2 ms.
 *
 * Locks, on RUN/userns/lock: shared while entering, exclusive while making or
 * changing a pin. Each crash leaves one of these, and the next moss mends it:
 *   no or a damaged pin.json   the pause process is found by its name
 *   no pause process           the namespace is found by a process in it, or in
 *                              one below it, and gets a new pause process; with
 *                              none left a new namespace is made
 *   sub-IDs changed            a new namespace, once no process is left in the
 *                              old one: another would have no rights over it
 *
 * userns_enter() must be called while the process has one thread and SIGCHLD is
 * not ignored. After it the process is 0:0 there with all capabilities in it,
 * in the host's other namespaces. Who has no sub-IDs, or no (working) newuidmap
 * and newgidmap, gets a namespace with one ID; identity->mapped and *ret_note
 * say so. As root of a user namespace (in a container) moss maps all IDs it has
 * there, without helpers.
 */
#pragma once

#include "policy/idmap.h"

/*
 * Refuses the host's root and set-ID programs, before anything is made. 1 in
 * the host's user namespace, 0 inside another.
 */
int userns_check_caller(struct error *err);

/*
 * Refuses UID 0 of the initial user namespace ("moss runs without root: …").
 * ret_note: why single-ID mode was chosen and what to do about it, caller
 * frees; NULL otherwise. Already inside a pinned namespace (MOSS re-executed):
 * fine.
 */
int userns_enter(int run_fd, struct identity *ret_identity, char **ret_note,
		 struct error *err);
/*
 * What userns_enter() would make now, without making or joining anything. Only
 * before it: inside, the pinned namespace looks like any other.
 */
int userns_identity(struct identity *ret_identity, char **ret_note,
		    struct error *err);
/*
 * Ends the process that keeps the namespace, from outside of it; the next
 * userns_enter() makes a new one. ERROR_CONFLICT while anything is in there.
 */
int userns_unpin(int run_fd, struct error *err);
/*
 * For the end of everything, from outside of the namespace. While the lock that
 * the first returns is held nobody enters; the second then ends all processes
 * in the pinned namespace and below it by SIGKILL and waits until they are
 * gone, except for keep (0: none) and, unless with_pause, the one that keeps
 * the namespace.
 */
int userns_lock(int run_fd, struct error *err);
int userns_kill(int run_fd, pid_t keep, bool with_pause, struct error *err);
