/*
 * PID 1 of --init: hands signals on to the program, buries orphans, ends with
 * the program's status. It keeps the root user of the container with at most
 * CAP_KILL (to reach a program that runs as someone else), no_new_privs, no
 * descriptors, and a filter of its own that lets it do nothing else.
 */
#include "core/runtime/init/init.h"

#include <asm/errno.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <linux/wait.h>

#define SIGNAL_CHILD 17
#define SIGNAL_TTIN  21
#define SIGNAL_TTOU  22

#ifdef INIT_AUDIT_ARCH
#define ALLOW(name)                                             \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_##name, 0, 1), \
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

static struct sock_filter filter[] = {
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, INIT_AUDIT_ARCH, 1, 0),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
	ALLOW(rt_sigtimedwait),
	ALLOW(wait4),
	ALLOW(kill),
	ALLOW(restart_syscall),
	ALLOW(close),
	ALLOW(exit_group),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
};

static void confine(void)
{
	struct sock_fprog program = {
		.len = sizeof(filter) / sizeof(filter[0]),
		.filter = filter,
	};
	long result;

	result = SYS3(seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
	/* A kernel without seccomp has been told about elsewhere. */
	if (result < 0 && result != -ENOSYS && result != -EINVAL)
		fail("cannot confine the init process", result);
}
#else
static void confine(void)
{
}
#endif

static void reduce(const struct init_config *config)
{
	uint64_t capabilities = config->uid ? 1ull << CAP_KILL : 0;
	long result;

	/* With the host's PIDs orphans come only to who asks for them. */
	SYS5(prctl, PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	if (config->flags & INIT_SET_GROUPS) {
		result = SYS2(setgroups, 0, 0);
		if (result < 0)
			fail("cannot drop the supplementary groups", result);
	}
	drop_bounding(capabilities);
	set_capabilities(capabilities, capabilities, 0);
	result = SYS5(prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	if (result < 0)
		fail("cannot set no_new_privs", result);
	die_with_parent();
}

static int exit_code(int status)
{
	int signal = status & 0x7f;

	return signal ? 128 + signal : (status >> 8) & 0xff;
}

static void bury(int child)
{
	int status = 0;
	long pid;

	for (;;) {
		pid = SYS4(wait4, -1, &status, WNOHANG, 0);
		if (pid == child)
			exit_now(exit_code(status));
		if (pid <= 0)
			return;
	}
}

_Noreturn void reap(const struct init_config *config, int child)
{
	uint64_t all_signals = ~0ull;

	reduce(config);
	SYS3(close_range, 0, INIT_SYNC_FD - 1, 0);
	SYS3(close_range, INIT_SYNC_FD + 1, ~0u, 0);
	confine();
	SYS1(close, INIT_SYNC_FD);

	for (;;) {
		long signal;

		bury(child);
		signal = SYS4(rt_sigtimedwait, &all_signals, 0, 0,
			      INIT_SIGSET_SIZE);
		/* Those two tell PID 1 that it touched the terminal. */
		if (signal <= 0 || signal == SIGNAL_CHILD ||
		    signal == SIGNAL_TTIN || signal == SIGNAL_TTOU)
			continue;
		SYS2(kill, child, signal);
	}
}
