/*
 * Some programs (Boost.Asio, netty's epoll transport) register a socket before
 * they bind it. A registration belongs to a file, so it would go with the one
 * that is replaced. It is made again, with its events and data, for the new
 * file under the same descriptor number: that is what the kernel finds it by
 * when the program changes or removes it later.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "net/native_internal.h"

#define TEXT_MAX   8192
#define MISSES_MAX 64 /* descriptors in a row that are no such epoll */

/* Of a file under a number. */
struct registration {
	int fd;
	ino_t inode;
	unsigned int events;
	unsigned long long data;
};

/* "tfd:        5 events:       19 data:     7f…  pos:0 ino:a1f sdev:8" */
static bool find(const char *text, struct registration *registration)
{
	const char *line = text;

	while ((line = strstr(line, "tfd:"))) {
		unsigned long inode;
		int fd;

		if (sscanf(line,
			   "tfd: %d events: %x data: %llx pos:%*d ino:%lx", &fd,
			   &registration->events, &registration->data,
			   &inode) == 4 &&
		    fd == registration->fd && inode == registration->inode)
			return true;
		line++;
	}
	return false;
}

/* Fills in the rest when descriptor number epoll of the process has it. */
static bool complete(int proc_fd, pid_t tid, int epoll,
		     struct registration *registration)
{
	char path[64], text[TEXT_MAX];
	cleanup_fd int file = -1;
	ssize_t length;

	snprintf(path, sizeof(path), "%d/fdinfo/%d", tid, epoll);
	file = openat(proc_fd, path, O_RDONLY | O_CLOEXEC);
	if (file < 0)
		return false;
	length = read(file, text, sizeof(text) - 1);
	if (length <= 0)
		return false;
	text[length] = '\0';
	return find(text, registration);
}

/* host_fd under the program's number, where we have nothing of our own. */
static void add(int epoll_fd, const struct registration *registration,
		int host_fd)
{
	struct epoll_event event = {
		.events = registration->events,
		.data.u64 = registration->data,
	};

	if (fcntl(registration->fd, F_GETFD) >= 0 ||
	    dup3(host_fd, registration->fd, O_CLOEXEC) < 0)
		return;
	epoll_ctl(epoll_fd, EPOLL_CTL_ADD, registration->fd, &event);
	close(registration->fd);
}

void native_epoll_repair(const struct supervisor *supervisor, pid_t tid,
			 int process_fd, int fd, int own_fd, int host_fd)
{
	struct registration registration = {.fd = fd};
	struct stat st;
	int misses = 0;

	if (fd < 0 || fd >= NATIVE_FD_BASE || fstat(own_fd, &st) < 0)
		return;
	registration.inode = st.st_ino;
	for (int i = 0; i < NATIVE_FD_BASE && misses < MISSES_MAX; i++) {
		cleanup_fd int epoll_fd = -1;

		misses++;
		if (!complete(supervisor->proc_fd, tid, i, &registration))
			continue;
		misses = 0;
		epoll_fd = native_raise(
			(int)syscall(SYS_pidfd_getfd, process_fd, i, 0));
		if (epoll_fd >= 0)
			add(epoll_fd, &registration, host_fd);
	}
}
