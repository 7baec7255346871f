/*
 * moss-pause: keeps a user namespace by being in it. It has no descriptors, no
 * capabilities and nothing to do; it ends by SIGTERM or with the machine. Any
 * other moss process finds the namespace as /proc/PID/ns/user.
 */
#include <linux/capability.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CAPABILITY_MAX 63
#define FD_CLOSE_MAX   1024 /* before Linux 5.9; descriptors are O_CLOEXEC */

/* What a terminal or a shell sends to all it knows. */
static const int ignored[] = {
	SIGHUP, SIGINT, SIGQUIT, SIGTSTP, SIGTTIN, SIGTTOU, SIGPIPE,
};

static void close_all(void)
{
	if (syscall(SYS_close_range, 0, ~0U, 0) == 0)
		return;
	for (int fd = 0; fd < FD_CLOSE_MAX; fd++)
		close(fd);
}

static void drop_capabilities(void)
{
	struct __user_cap_header_struct header = {
		.version = _LINUX_CAPABILITY_VERSION_3,
	};
	const struct __user_cap_data_struct none[2] = {0};

	for (int number = 0; number <= CAPABILITY_MAX; number++)
		prctl(PR_CAPBSET_DROP, number, 0, 0, 0);
	syscall(SYS_capset, &header, none);
	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

int main(void)
{
	sigset_t mask;

	prctl(PR_SET_NAME, "moss: pause", 0, 0, 0);
	for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
		signal(ignored[i], SIG_IGN);
	sigemptyset(&mask);
	sigprocmask(SIG_SETMASK, &mask, NULL);
	umask(0);
	if (chdir("/") < 0)
		return 1;
	drop_capabilities();
	/* Without it /proc/PID/ns is closed to the user who needs it. */
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	/* One of them is moss's, who takes its end for "ready". */
	close_all();
	for (;;)
		pause();
}
