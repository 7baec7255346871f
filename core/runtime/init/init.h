/*
 * moss-init: the last steps into a container, and its PID 1 when asked.
 *
 * Static, without a C library (sys_ARCH.h has the entry and the system call;
 * sys_libc.h is the twin for other architectures), so that it is small, starts
 * in microseconds and shares nothing with the host: it is executed from a
 * sealed memfd (core/runtime/memfd.c), and what a container finds behind
 * /proc/PID/exe can be neither changed nor used to reach anything.
 *
 * It starts with all capabilities over the container's user namespace, inside
 * all of the container's namespaces and its root, with descriptors as in
 * protocol.h, non-dumpable. Order (init.c): working directory as root, bounding
 * set, groups and user, capabilities, no_new_privs, look-up of the program,
 * wait for the parent's word, seccomp, execve. Seccomp is the very last, so a
 * profile need allow nothing but execve for moss's sake; a filter that notifies
 * comes before the profile's, as its listener has to be sent, and Landlock
 * before that. Without no_new_privs
 * the kernel wants CAP_SYS_ADMIN for that, so it is held until execve, which
 * takes it away: for a user other than root nothing but the ambient set
 * survives, for root nothing beyond the bounding set.
 */
#pragma once

#include <stddef.h>

#include "base/error.h"
#include "core/runtime/init/protocol.h"

#if defined(INIT_LIBC)
#include "core/runtime/init/sys_libc.h"
#elif defined(__x86_64__)
#include "core/runtime/init/sys_x86_64.h"
#elif defined(__aarch64__)
#include "core/runtime/init/sys_aarch64.h"
#endif

#include <asm/unistd.h>

#define SYS1(name, a)	 sys_call(__NR_##name, (long)(a), 0, 0, 0, 0, 0)
#define SYS2(name, a, b) sys_call(__NR_##name, (long)(a), (long)(b), 0, 0, 0, 0)
#define SYS3(name, a, b, c) \
	sys_call(__NR_##name, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define SYS4(name, a, b, c, d) \
	sys_call(__NR_##name, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)
#define SYS5(name, a, b, c, d, e)                                         \
	sys_call(__NR_##name, (long)(a), (long)(b), (long)(c), (long)(d), \
		 (long)(e), 0)
#define SYS6(name, a, b, c, d, e, f)                                      \
	sys_call(__NR_##name, (long)(a), (long)(b), (long)(c), (long)(d), \
		 (long)(e), (long)(f))

#define INIT_SIGNALS	 64
#define INIT_SIGSET_SIZE (INIT_SIGNALS / 8)

struct init_state {
	const struct init_config *config;
	char **argv; /* the program's */
	char **env;
};

/* report.c: a struct error up the conversation. */
_Noreturn void exit_now(int code);
/* The parent adds the errno's text and kind. */
_Noreturn void fail(const char *what, long result);
/* before + name + after, and the errno's text when result is one. */
_Noreturn void fail_command(enum error_kind kind, long result,
			    const char *before, const char *name,
			    const char *after, const char *hint);

/* command.c: docker's look-up of argv[0]; fails itself. */
#define INIT_PATH_MAX 4096
void command_find(const struct init_state *state, char ret_path[INIT_PATH_MAX]);
_Noreturn void command_failed(const char *path, long result);

/* reap.c: PID 1 until child has ended. */
_Noreturn void reap(const struct init_config *config, int child);

/* init.c */
void drop_bounding(uint64_t keep);
void set_capabilities(uint64_t permitted, uint64_t effective,
		      uint64_t inheritable);
void die_with_parent(void);
