/*
 * The session keyring (keyrings(7)), which every process inherits and nothing
 * but joining another one takes away: of the user's login it may hold what
 * opens network file systems and encrypted directories. A container, with those
 * who enter it later, has one of its own, empty at first; it inherits it from
 * its monitor, which joins it before the container's first process is made.
 *
 * The kernel counts a keyring against the quota of the joiner's real user
 * (kernel.keys.maxkeys, 200 by default), in all user namespaces together. So
 * that many containers leave the user's own quota alone, it is made as one of
 * the subordinate IDs, each of which has a quota too. Who is the owner makes no
 * difference: a process may do everything with the session keyring it has.
 */
#pragma once

#include "base/error.h"

/*
 * Gives the caller a new, empty session keyring; the old one is out of reach
 * from then on. An error when there cannot be one, and then the caller must
 * make no container. Where all of keyctl(2) is closed, by the kernel's
 * configuration or by a filter that our children inherit, there is nothing to
 * leave: 0.
 */
int keyring_renew(struct error *err);
