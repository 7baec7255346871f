/*
 * How moss-net, moss-gateway and moss-native give up what they do not need, in
 * this order:
 *
 *   confine_root()     a mount namespace whose root is an empty, read-only
 *                      tmpfs with etc/resolv.conf: the uplink looks at it when
 *                      a container asks for a name. It is a link into a
 *                      directory, so that a file put in its place is seen:
 *                      where the host's is a link into a directory of /run
 *                      kept by a resolver, that one, else that of a copy
 *                      (net/resolv_copy.h). moss-gateway has the networks
 *                      directory of the store as well, moss-native a /proc.
 *   confine_limits()   no core, no files, descriptors and memory bounded.
 *   confine_privileges() capabilities of the calling thread but `keep`;
 *                      bounding set and no_new_privs.
 *   confine_syscalls() a seccomp filter for all threads; moss-native, which
 *                      needs others, has its own (native_confine.c).
 *
 * Nothing here is undone; a failure is fatal to the caller.
 */
#pragma once

#include <stdint.h>

#include "base/error.h"

/*
 * Needs CAP_SYS_ADMIN in the user namespace and a single thread. Without
 * resolv_directory, the host's resolv.conf is the file of now. directory
 * (NULL: none) is the only other thing that is left, as CONFINE_DIRECTORY.
 */
#define CONFINE_DIRECTORY "/networks"
int confine_root(const char *resolv_directory, const char *directory,
		 struct error *err);
/* Returns how many descriptors may be open. */
int confine_limits(struct error *err);
int confine_privileges(uint64_t keep, struct error *err);
int confine_syscalls(struct error *err);
