/*
 * The pinned user namespace.
 *
 * newuidmap and newgidmap cost 2-4 ms, so the mapped namespace is made once a
 * login and kept by a tiny process (`moss-pause`, no capabilities, nothing
 * open, waiting for a signal). RUN/userns/pin.json names its PID and start time
 * and the maps it was made with; whoever finds it dead, or the maps in
 * /etc/sub{u,g}id changed while no container runs, makes a new one under the
 * lock RUN/userns/lock.
 *
 * userns_enter() must be called while the process has one thread. After it the
 * process is 0:0 there with all capabilities in it, in the host's other
 * namespaces. Without sub-IDs (or without newuidmap) it makes the namespace
 * with one ID and says so in identity->mapped and *ret_note.
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
/* Fills *ret_identity without making or joining anything. */
int userns_identity(struct identity *ret_identity, char **ret_note,
		    struct error *err);
