/*
 * Runs a whole test program as moss runs: as 0:0 of a user namespace with the
 * user's sub-IDs above it, in a mount namespace of its own.
 *
 * Without sub-IDs (or newuidmap) only 0 is mapped and namespace_ids is 1:
 * tests that need more skip by naming that. Host's root maps what it likes.
 */
#pragma once

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

static unsigned long namespace_ids = 1;

/* First range of the user in /etc/subuid or /etc/subgid; 0 when there is none.
 */
static inline unsigned long namespace_sub_ids(const char *file,
					      unsigned long *ret_first)
{
	const struct passwd *user = getpwuid(getuid());
	char number[32];
	char line[512];
	FILE *stream = fopen(file, "re");
	unsigned long count = 0;

	snprintf(number, sizeof(number), "%u", getuid());
	if (!stream)
		return 0;
	while (count == 0 && fgets(line, sizeof(line), stream)) {
		char name[256];

		if (sscanf(line, "%255[^:]:%lu:%lu", name, ret_first, &count) !=
			    3 ||
		    (strcmp(name, number) != 0 &&
		     (!user || strcmp(name, user->pw_name) != 0)))
			count = 0;
	}
	fclose(stream);
	return count;
}

static inline bool namespace_write(pid_t pid, const char *file,
				   const char *text)
{
	char path[64];
	bool written;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	written = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	close(fd);
	return written;
}

static inline bool namespace_map_with(const char *program, const char *file,
				      pid_t pid, unsigned int own)
{
	unsigned long first = 0;
	unsigned long count = namespace_sub_ids(file, &first);
	char command[256];

	if (count < 65535)
		return false;
	snprintf(command, sizeof(command),
		 "%s %d 0 %u 1 1 %lu 65535 2>/dev/null", program, pid, own,
		 first);
	return system(command) == 0;
}

/* Returns how many IDs there are in it. */
static inline unsigned long namespace_map(pid_t pid)
{
	char text[64];

	if (geteuid() == 0) {
		if (namespace_write(pid, "uid_map", "0 0 65536\n") &&
		    namespace_write(pid, "gid_map", "0 0 65536\n"))
			return 65536;
		return 0;
	}
	if (namespace_map_with("newuidmap", "/etc/subuid", pid, getuid()))
		return namespace_map_with("newgidmap", "/etc/subgid", pid,
					  getgid())
			       ? 65536
			       : 0;
	snprintf(text, sizeof(text), "0 %u 1\n", getuid());
	if (!namespace_write(pid, "setgroups", "deny") ||
	    !namespace_write(pid, "uid_map", text))
		return 0;
	snprintf(text, sizeof(text), "0 %u 1\n", getgid());
	return namespace_write(pid, "gid_map", text) ? 1 : 0;
}

/* To be returned from main(). */
static inline int namespace_run(int (*run)(void))
{
	int up[2], down[2];
	int status = 0;
	pid_t child;

	if (pipe(up) < 0 || pipe(down) < 0)
		return 1;
	child = fork();
	if (child == 0) {
		if (unshare(CLONE_NEWUSER | CLONE_NEWNS) < 0) {
			perror("cannot make a user namespace");
			_exit(1);
		}
		if (write(up[1], "", 1) != 1 ||
		    read(down[0], &namespace_ids, sizeof(namespace_ids)) !=
			    (ssize_t)sizeof(namespace_ids) ||
		    namespace_ids == 0 || setresgid(0, 0, 0) < 0 ||
		    setresuid(0, 0, 0) < 0 ||
		    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
			perror("cannot map the user namespace");
			_exit(1);
		}
		exit(run());
	}
	close(up[1]);
	if (child > 0 && read(up[0], &status, 1) == 1) {
		unsigned long ids = namespace_map(child);

		if (write(down[1], &ids, sizeof(ids)) < 0)
			perror("pipe");
	}
	if (child < 0 || waitpid(child, &status, 0) != child)
		return 1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
