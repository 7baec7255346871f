#include "core/runtime/init/init.h"

#include <asm/errno.h>
#include <asm/ioctls.h>
#include <linux/capability.h>
#include <linux/fcntl.h>
#include <linux/filter.h>
#include <linux/mman.h>
#include <linux/prctl.h>
#include <linux/seccomp.h>
#include <sys/socket.h>

#define SIGNAL_KILL  9
#define SIGNAL_CHILD 17
#define SIG_SETMASK_ 2
#define SEEK_END_    2
#define CLOEXEC_ALL  (~0u)

/* Of Linux 6.7, which the kernel's headers here may be older than. */
#define LANDLOCK_BIND_TCP    (1ull << 0)
#define LANDLOCK_CONNECT_TCP (1ull << 1)

_Noreturn void init_main(long *stack);
INIT_START;

static char path[INIT_PATH_MAX];

void die_with_parent(void)
{
	long result = SYS2(prctl, PR_SET_PDEATHSIG, SIGNAL_KILL);

	if (result < 0)
		fail("cannot bind the container's life to its monitor's",
		     result);
}

void drop_bounding(uint64_t keep)
{
	for (unsigned int bit = 0; bit < 64; bit++) {
		long result = SYS2(prctl, PR_CAPBSET_READ, bit);

		if (result < 0)
			return; /* past the last one this kernel knows */
		if (result == 0 || (keep & (1ull << bit)))
			continue;
		result = SYS2(prctl, PR_CAPBSET_DROP, bit);
		if (result < 0)
			fail("cannot limit the capability bounding set",
			     result);
	}
}

void set_capabilities(uint64_t permitted, uint64_t effective,
		      uint64_t inheritable)
{
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	struct __user_cap_data_struct data[2];
	long result;

	for (unsigned int i = 0; i < 2; i++) {
		data[i].permitted = (uint32_t)(permitted >> (32 * i));
		data[i].effective = (uint32_t)(effective >> (32 * i));
		data[i].inheritable = (uint32_t)(inheritable >> (32 * i));
	}
	result = SYS2(capset, &header, data);
	if (result < 0)
		fail("cannot set the capabilities", result);
}

static void raise_ambient(uint64_t ambient)
{
	for (unsigned int bit = 0; bit < 64; bit++) {
		long result;

		if (!(ambient & (1ull << bit)))
			continue;
		result = SYS5(prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, bit,
			      0, 0);
		if (result < 0)
			fail("cannot raise an ambient capability (it must be "
			     "permitted and inheritable)",
			     result);
	}
}

/* As far as it goes as root; what root may not enter, the user may (NFS). */
static bool enter_directory(const char *cwd, bool last)
{
	enum error_kind kind = ERROR_NOT_EXECUTABLE;
	long result = SYS1(chdir, cwd);

	if (result == 0)
		return true;
	if (!last && (result == -EACCES || result == -EPERM))
		return false;
	if (result == -ENOENT)
		kind = ERROR_NO_SUCH_COMMAND;
	fail_command(kind, result, "cannot change to the working directory \"",
		     cwd, "\": ", "");
}

/* A directory outside the root, through whatever descriptor, is refused. */
static void check_directory(const char *cwd)
{
	long result = SYS2(getcwd, path, sizeof(path));

	if (result < 0)
		fail("cannot tell the working directory", result);
	if (path[0] != '/')
		fail_command(ERROR_PERMISSION, 0, "the working directory \"",
			     cwd, "\" lies outside the container's root", "");
}

static void set_identity(const struct init_config *config)
{
	const char *base = (const char *)config;
	long result;

	if (config->flags & INIT_SET_GROUPS) {
		result = SYS2(setgroups, config->group_count,
			      base + config->groups);
		if (result < 0)
			fail("cannot set the supplementary groups", result);
	}
	result = SYS2(prctl, PR_SET_KEEPCAPS, 1);
	if (result < 0)
		fail("cannot keep capabilities", result);
	result = SYS3(setresgid, config->gid, config->gid, config->gid);
	if (result < 0)
		fail("cannot take the group ID: is it mapped in the "
		     "container's user namespace?",
		     result);
	result = SYS3(setresuid, config->uid, config->uid, config->uid);
	if (result < 0)
		fail("cannot take the user ID: is it mapped in the "
		     "container's user namespace?",
		     result);
	/* Changing identity makes the kernel forget it. */
	die_with_parent();
}

static void limit_privileges(const struct init_config *config)
{
	uint64_t permitted = config->permitted;
	uint64_t effective = config->effective;
	long result;

	if ((config->filter || config->notify) &&
	    !(config->flags & INIT_NO_NEW_PRIVS)) {
		permitted |= 1ull << CAP_SYS_ADMIN;
		effective |= 1ull << CAP_SYS_ADMIN;
	}
	SYS5(prctl, PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	set_capabilities(permitted, effective, config->inheritable);
	raise_ambient(config->ambient);

	if (config->flags & INIT_NO_NEW_PRIVS) {
		result = SYS5(prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		if (result < 0)
			fail("cannot set no_new_privs", result);
	}
}

static void wait_for_start(void)
{
	struct sync_message message;
	long result;

	do
		result = SYS3(read, INIT_SYNC_FD, &message, sizeof(message));
	while (result == -EINTR);
	/* The parent is gone: so are we. */
	if (result != sizeof(message) || message.type != SYNC_START)
		exit_now(125);
}

/* Who answers notifications makes these calls instead (net/native.h). */
static void deny_tcp(const struct init_config *config)
{
	const struct {
		uint64_t fs, net; /* struct landlock_ruleset_attr of ABI 4 */
	} handled = {.net = LANDLOCK_BIND_TCP | LANDLOCK_CONNECT_TCP};
	long fd, result;

	if (!(config->flags & INIT_DENY_TCP))
		return;
	fd = SYS3(landlock_create_ruleset, &handled, sizeof(handled), 0);
	result = fd < 0 ? fd : SYS2(landlock_restrict_self, fd, 0);
	if (result < 0)
		fail("cannot confine the use of TCP (Landlock)", result);
	SYS1(close, fd);
}

static void send_listener(int fd)
{
	struct sync_message message = {.type = SYNC_NOTIFY};
	struct iovec vector = {&message, sizeof(message)};
	union {
		struct cmsghdr header;
		char bytes[CMSG_SPACE(sizeof(int))];
	} control = {
		.header =
			{
				.cmsg_level = SOL_SOCKET,
				.cmsg_type = SCM_RIGHTS,
				.cmsg_len = CMSG_LEN(sizeof(int)),
			},
	};
	struct msghdr packet = {
		.msg_iov = &vector,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control.bytes),
	};
	long result;

	*(int *)(void *)CMSG_DATA(&control.header) = fd;
	result = SYS3(sendmsg, INIT_SYNC_FD, &packet, MSG_NOSIGNAL);
	if (result < 0)
		fail("cannot hand on seccomp notifications", result);
	SYS1(close, fd);
}

static void load_notify(const struct init_config *config)
{
	struct sock_fprog program = {
		.len = (unsigned short)config->notify_length,
	};
	unsigned int flags = config->notify_flags;
	long result;

	if (!config->notify)
		return;
	program.filter =
		(struct sock_filter *)((uintptr_t)config + config->notify);
	result = SYS3(seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
	/* What else was wished for came later (Linux 5.19). */
	if (result == -EINVAL)
		result = SYS3(seccomp, SECCOMP_SET_MODE_FILTER,
			      SECCOMP_FILTER_FLAG_NEW_LISTENER, &program);
	if (result == -EBUSY)
		fail("seccomp notifications are already used by a program "
		     "around moss",
		     result);
	if (result < 0)
		fail("cannot load the seccomp filter of native ports", result);
	send_listener((int)result);
}

static void load_filter(const struct init_config *config)
{
	struct sock_fprog program = {
		.len = (unsigned short)config->filter_length,
	};
	long result;

	if (!config->filter)
		return;
	program.filter =
		(struct sock_filter *)((uintptr_t)config + config->filter);
	result = SYS3(seccomp, SECCOMP_SET_MODE_FILTER, config->filter_flags,
		      &program);
	if (result < 0)
		fail("cannot load the seccomp filter", result);
}

/*
 * PID 1 of --init needs job control to be its child's, as tini does it.
 * SIGTTOU is blocked, so a background group may ask.
 */
static void lead_terminal(void)
{
	int group = (int)SYS1(getpid, 0);

	SYS2(setpgid, 0, 0);
	SYS3(ioctl, 0, TIOCSPGRP, &group);
}

static void reset_signals(void)
{
	unsigned char action[64] = {0}; /* struct sigaction: SIG_DFL */

	for (int signal = 1; signal <= INIT_SIGNALS; signal++)
		SYS4(rt_sigaction, signal, action, 0, INIT_SIGSET_SIZE);
}

static const struct init_config *read_config(void)
{
	long size = SYS3(lseek, INIT_CONFIG_FD, 0, SEEK_END_);
	const struct init_config *config;
	long result;

	if (size < (long)sizeof(*config))
		return NULL;
	result = SYS6(mmap, 0, size, PROT_READ, MAP_PRIVATE, INIT_CONFIG_FD, 0);
	if (result < 0 && result > -4096)
		fail("cannot map the configuration", result);
	config = (const struct init_config *)result;
	return config->magic == INIT_MAGIC ? config : NULL;
}

_Noreturn void init_main(long *stack)
{
	static const char by_hand[] =
		"moss-init: only moss can start this program\n";
	struct init_state state = {.argv = (char **)(stack + 1)};
	uint64_t no_signals = 0, all_signals = ~0ull;
	const char *cwd;
	bool entered;
	long result;

	/* execve(2) made us dumpable; nothing here is for other eyes. */
	SYS5(prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
	SYS2(prctl, PR_SET_NAME, "moss-init");
	state.env = state.argv + stack[0] + 1;
	state.config = read_config();
	if (!state.config || stack[0] < 1) {
		SYS3(write, 2, by_hand, sizeof(by_hand) - 1);
		exit_now(126);
	}
	/* The program we are, the configuration, whatever else there is. */
	result = SYS3(close_range, INIT_SYNC_FD + 1, CLOEXEC_ALL, 0);
	if (result < 0)
		fail("cannot close descriptors (close_range, Linux 5.9)",
		     result);
	SYS3(fcntl, INIT_SYNC_FD, F_SETFD, FD_CLOEXEC);
	/* Signals wait until somebody can take them. */
	SYS4(rt_sigprocmask, SIG_SETMASK_, &all_signals, 0, INIT_SIGSET_SIZE);
	reset_signals();

	if (state.config->flags & INIT_REAP) {
		long parent = SYS1(getpid, 0);
		long child = SYS5(clone, SIGNAL_CHILD, 0, 0, 0, 0);

		if (child < 0)
			fail("cannot fork", child);
		if (child > 0)
			reap(state.config, (int)child);
		die_with_parent();
		if (SYS1(getppid, 0) != parent)
			exit_now(125);
		state.argv += 2;
		if (state.config->flags & INIT_TERMINAL)
			lead_terminal();
	}

	cwd = (const char *)state.config + state.config->cwd;
	entered = enter_directory(cwd, false);
	drop_bounding(state.config->bounding);
	set_identity(state.config);
	if (!entered)
		enter_directory(cwd, true);
	check_directory(cwd);
	limit_privileges(state.config);
	command_find(&state, path);
	SYS4(rt_sigprocmask, SIG_SETMASK_, &no_signals, 0, INIT_SIGSET_SIZE);
	wait_for_start();
	deny_tcp(state.config);
	load_notify(state.config);
	load_filter(state.config);
	result = SYS3(execve, path, state.argv, state.env);
	command_failed(path, result);
}
