/*
 * moss-pause: keeps a user namespace by being in it. It has no capabilities and
 * nothing to do; it ends by SIGTERM or with the machine. Any other moss process
 * finds the namespace as /proc/PID/ns/user.
 *
 * It was started in a login session, which systemd-logind lets go only when
 * nothing is left in it, and with the last one the user's service manager. So
 * it also ends when its user is logged out and no other process of moss's runs
 * for them: of that logind tells in /run/systemd/users/UID, which is replaced
 * at each change. While a container runs it stays, and holds the session and so
 * the service manager, in which limited containers live. Where there is no such
 * file it has no descriptors, and waits for signals only.
 *
 * As moss-systemd's --hold it is in no user namespace of moss's, and its
 * service manager ends it.
 */
#include <dirent.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"

#define CAPABILITY_MAX 63
#define FD_CLOSE_MAX   1024 /* before Linux 5.9; descriptors are O_CLOEXEC */
#define NAME	       "moss: pause"
#define USERS_PATH     "/run/systemd/users/%u"
#define LOGGED_OUT     "\nSTATE=closing\n"
#define TEXT_MAX       4096
#define PATH_SIZE      300 /* /proc/, a name, a file */
#define LOOK_AGAIN_MS  5000

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

/* The beginning of a file. */
static bool read_text(const char *path, char ret_text[TEXT_MAX])
{
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length = fd < 0 ? -1 : read(fd, ret_text, TEXT_MAX - 1);

	if (length < 0)
		return false;
	ret_text[length] = '\0';
	return true;
}

/* As the machine knows the user, who is 0 in a namespace of moss's. */
static bool user_outside(unsigned int *ret_uid)
{
	char map[TEXT_MAX];
	unsigned int inside;

	return read_text("/proc/self/uid_map", map) &&
	       sscanf(map, "%u %u", &inside, ret_uid) == 2 && inside == 0 &&
	       *ret_uid != 0;
}

static bool is_logged_out(const char *path)
{
	char text[TEXT_MAX];

	return read_text(path, text) && strstr(text, LOGGED_OUT);
}

/* Another of moss's processes, of the same user? */
static bool is_another(const char *pid)
{
	char path[PATH_SIZE];
	char text[TEXT_MAX];
	const char *uid;

	snprintf(path, sizeof(path), "/proc/%s/comm", pid);
	if (!read_text(path, text) || strncmp(text, "moss", 4) != 0 ||
	    strcmp(text, NAME "\n") == 0)
		return false;
	snprintf(path, sizeof(path), "/proc/%s/status", pid);
	uid = read_text(path, text) ? strstr(text, "\nUid:\t") : NULL;
	return uid && strtoul(uid + strlen("\nUid:\t"), NULL, 10) == getuid();
}

static bool is_alone(void)
{
	cleanup_dir DIR *proc = opendir("/proc");
	const struct dirent *entry;
	char text[TEXT_MAX];

	/* A /proc that hides processes says nothing. */
	if (!proc || !read_text("/proc/1/comm", text))
		return false;
	while ((entry = readdir(proc))) {
		if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' &&
		    is_another(entry->d_name))
			return false;
	}
	return true;
}

/* Returns when nobody needs the namespace any more, or nobody will tell. */
static bool wait_for_logout(void)
{
	char path[PATH_SIZE];
	unsigned int uid;
	cleanup_fd int fd = -1;

	if (!user_outside(&uid))
		return false;
	snprintf(path, sizeof(path), USERS_PATH, uid);
	if (access(path, R_OK) < 0)
		return false;
	fd = inotify_init1(IN_CLOEXEC);
	/* The watch comes first, so that no change falls in between. */
	while (inotify_add_watch(fd, path,
				 IN_ATTRIB | IN_MODIFY | IN_DELETE_SELF) >= 0) {
		bool is_out = is_logged_out(path);
		struct pollfd change = {.fd = fd, .events = POLLIN};
		char notices[TEXT_MAX];

		if (is_out && is_alone())
			return true;
		if (poll(&change, 1, is_out ? LOOK_AGAIN_MS : -1) > 0 &&
		    read(fd, notices, sizeof(notices)) <= 0)
			break;
	}
	return false;
}

int main(void)
{
	sigset_t mask;

	prctl(PR_SET_NAME, NAME, 0, 0, 0);
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
	if (wait_for_logout())
		return 0;
	for (;;)
		pause();
}
