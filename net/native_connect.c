/*
 * connect(2) in a program's stead. A socket that does not block is easy: the
 * kernel's answer is the program's. For one that does, the call is made with a
 * time-out that the kernel keeps apart from the program's flags, and its end is
 * awaited here, so that no connect waits for another.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/time.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "net/native_internal.h"

#define PENDING_MAX 4096

struct pending {
	struct watch watch; /* first */
	struct pending *next;
	int notify_fd;
	uint64_t id;
	int64_t deadline; /* clock_ms(); 0: the kernel's own */
};

static void finish(struct supervisor *supervisor, struct pending *pending,
		   int result)
{
	struct pending **link = &supervisor->pending;

	while (*link != pending)
		link = &(*link)->next;
	*link = pending->next;
	supervisor->pending_count--;
	native_reply(pending->notify_fd, pending->id, result);
	epoll_ctl(supervisor->epoll_fd, EPOLL_CTL_DEL, pending->watch.fd, NULL);
	close_fd(&pending->watch.fd);
	close_fd(&pending->notify_fd);
	free(pending);
}

static int await(struct supervisor *supervisor, int notify_fd, uint64_t id,
		 int fd, const struct timeval *timeout)
{
	struct epoll_event event = {.events = EPOLLOUT};
	struct pending *pending;

	if (supervisor->pending_count >= PENDING_MAX)
		return -ENOBUFS;
	pending = xcalloc(1, sizeof(*pending));
	*pending = (struct pending){
		.watch = {.kind = WATCH_CONNECT,
			  .fd = fcntl(fd, F_DUPFD_CLOEXEC, NATIVE_FD_BASE)},
		.next = supervisor->pending,
		.notify_fd = fcntl(notify_fd, F_DUPFD_CLOEXEC, NATIVE_FD_BASE),
		.id = id,
	};
	if (timeout->tv_sec > 0 || timeout->tv_usec > 0)
		pending->deadline = clock_ms() + timeout->tv_sec * 1000 +
				    timeout->tv_usec / 1000;
	event.data.ptr = &pending->watch;
	if (pending->watch.fd < 0 || pending->notify_fd < 0 ||
	    epoll_ctl(supervisor->epoll_fd, EPOLL_CTL_ADD, pending->watch.fd,
		      &event) < 0) {
		close_fd(&pending->watch.fd);
		close_fd(&pending->notify_fd);
		free(pending);
		return -ENOBUFS;
	}
	supervisor->pending = pending;
	supervisor->pending_count++;
	return NATIVE_LATER;
}

int native_connect(struct supervisor *supervisor, int notify_fd, uint64_t id,
		   int fd, const struct sockaddr *address, socklen_t length)
{
	const struct timeval moment = {.tv_usec = 1};
	struct timeval own = {0};
	socklen_t size = sizeof(own);
	int flags = fcntl(fd, F_GETFL);
	int r;

	if (flags < 0 || (flags & O_NONBLOCK) ||
	    address->sa_family == AF_UNSPEC)
		return connect(fd, address, length) < 0 ? -errno : 0;
	getsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &own, &size);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &moment, sizeof(moment));
	r = connect(fd, address, length) < 0 ? -errno : 0;
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &own, sizeof(own));
	return r == -EINPROGRESS ? await(supervisor, notify_fd, id, fd, &own)
				 : r;
}

int native_connect_await(struct supervisor *supervisor, int notify_fd,
			 uint64_t id, int fd)
{
	struct timeval own = {0};
	socklen_t size = sizeof(own);
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || (flags & O_NONBLOCK))
		return -EINPROGRESS;
	getsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &own, &size);
	return await(supervisor, notify_fd, id, fd, &own);
}

void native_connect_continue(struct supervisor *supervisor, struct watch *watch)
{
	int number = 0;
	socklen_t length = sizeof(number);

	if (getsockopt(watch->fd, SOL_SOCKET, SO_ERROR, &number, &length) < 0)
		number = errno;
	finish(supervisor, (struct pending *)watch, -number);
}

int native_connect_timeout(struct supervisor *supervisor)
{
	struct pending *pending = supervisor->pending;
	int64_t now = supervisor->pending ? clock_ms() : 0;
	int64_t first = -1;

	while (pending) {
		struct pending *next = pending->next;
		int64_t left = pending->deadline - now;

		if (pending->deadline > 0 && left <= 0)
			finish(supervisor, pending, -EINPROGRESS);
		else if (pending->deadline > 0 && (first < 0 || left < first))
			first = left;
		pending = next;
	}
	return (int)first;
}
