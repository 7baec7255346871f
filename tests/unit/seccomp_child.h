/*
 * Makes system calls in a child under a filter: what they return is what the
 * filter says.
 */
#pragma once

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "policy/seccomp.h"

#define CALL_KILLED	-2000 /* minus the signal */
#define CALL_NOT_LOADED -3000

struct call {
	long number;
	unsigned long args[6];
};

static inline long seccomp_child_raw(const struct call *call)
{
	long r = syscall(call->number, call->args[0], call->args[1],
			 call->args[2], call->args[3], call->args[4],
			 call->args[5]);

	return r < 0 ? -errno : r;
}

#if defined(__x86_64__)
/* The 32-bit entry of a 64-bit process. */
static inline long seccomp_child_int80(const struct call *call)
{
	long r;

	__asm__ volatile("int $0x80"
			 : "=a"(r)
			 : "a"(call->number), "b"(call->args[0]),
			   "c"(call->args[1]), "d"(call->args[2])
			 : "memory", "r8", "r9", "r10", "r11");
	return (int)r;
}
#endif

/* The call's result or -errno; CALL_KILLED - SIG when it was killed for it. */
static inline long seccomp_child_call(const struct seccomp_filter *filter,
				      long (*enter)(const struct call *call),
				      const struct call *call)
{
	long *result = mmap(NULL, sizeof(*result), PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct {
		unsigned short length;
		struct sock_filter *code;
	} program = {(unsigned short)filter->length, filter->code};
	const struct rlimit no_core = {0, 0};
	int status = 0;
	long value;
	pid_t pid;

	if (result == MAP_FAILED)
		return CALL_NOT_LOADED;
	*result = CALL_NOT_LOADED;
	pid = fork();
	if (pid == 0) {
		setrlimit(RLIMIT_CORE, &no_core);
		/* cmocka handles it, and would go on with the tests here. */
		signal(SIGSYS, SIG_DFL);
		prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		/* SECCOMP_SET_MODE_FILTER */
		if (filter->code &&
		    syscall(SYS_seccomp, 1, filter->flags, &program) != 0)
			_exit(1);
		*result = enter(call);
		/* exit_group may be what is forbidden. */
		for (;;)
			kill(getpid(), SIGKILL);
	}
	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		value = CALL_NOT_LOADED;
	else if (*result == CALL_NOT_LOADED && WIFSIGNALED(status))
		value = CALL_KILLED - WTERMSIG(status);
	else
		value = *result;
	munmap(result, sizeof(*result));
	return value;
}
