/*
 * The filter that stands beside a container's profile when its ports are
 * published natively (net/native.h).
 *
 * bind(2) and connect(2) become notifications to the supervisor. What those are
 * answered with is no boundary, as arguments in memory may change behind it.
 * The boundaries that net/native.h names need what this one refuses by the
 * registers alone:
 *
 *   MSG_FASTOPEN, TCP_FASTOPEN_CONNECT  connect without connect(2), and send
 *                        before there is an answer: EOPNOTSUPP, as where the
 *                        host has it switched off
 *   io_uring             makes these calls without being asked: ENOSYS
 *   socketcall           carries all arguments in memory: ENOSYS
 *   x32, and architectures without a row here: ENOSYS
 *
 * It comes in addition to any profile, or to none: the strictest answer of all
 * filters counts. Addresses shorter than any of IPv4 (netlink's, which every
 * look-up of a name binds) are not notified: TCP does not take them, but to
 * dissolve a connection.
 *
 * A container cannot have notifications of its own then: the kernel allows a
 * process one listener.
 */
#pragma once

#include "policy/seccomp.h"

/* To be released; its flags ask for the listener. */
void seccomp_native_build(struct seccomp_filter *ret_filter);
