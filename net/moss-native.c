/*
 * moss-native: see net/native.h. This file has the order of things at the
 * start, and the loop.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fds.h"
#include "base/memory.h"
#include "base/proc.h"
#include "base/str.h"
#include "net/confine.h"
#include "net/helper.h"
#include "net/native_internal.h"
#include "net/native_wire.h"

/* What native_start() sent first. */
struct request {
	struct native_wire_start start;
	int netns_fd;
	int userns_fd; /* -1: the starter's own */
};

int native_raise(int fd)
{
	int high;

	if (fd < 0 || fd >= NATIVE_FD_BASE)
		return fd;
	high = fcntl(fd, F_DUPFD_CLOEXEC, NATIVE_FD_BASE);
	if (high < 0)
		return fd;
	close(fd);
	return high;
}

/* As fds_receive(), of at most NATIVE_FDS_MAX descriptors. */
static ssize_t receive(int socket_fd, int flags, void *data, size_t size,
		       int *fds, size_t *ret_fd_count)
{
	size_t count = NATIVE_FDS_MAX;
	ssize_t length = fds_receive(socket_fd, flags, data, size, fds, &count);

	if (length < 0)
		return length;
	for (size_t i = 0; i < count; i++)
		fds[i] = native_raise(fds[i]);
	*ret_fd_count = count;
	return length;
}

static int is_not_ours(struct error *err)
{
	return err_set(err, ERROR_INVALID,
		       "moss-native and moss are not of one build");
}

static int receive_start(struct supervisor *supervisor, struct request *request,
			 struct error *err)
{
	struct native_wire_start *start = &request->start;
	int fds[NATIVE_FDS_MAX];
	size_t fd_count = 0;
	struct stat st;
	ssize_t length = receive(NATIVE_SOCKET, 0, start, sizeof(*start), fds,
				 &fd_count);

	/* The one who started us has changed its mind, or is gone. */
	if (length == 0)
		_exit(EXIT_SUCCESS);
	if (length != sizeof(*start) || start->magic != NATIVE_MAGIC ||
	    fd_count != (start->has_userns ? 2 : 1) ||
	    (start->boundary != NATIVE_FILTER &&
	     start->boundary != NATIVE_LANDLOCK) ||
	    start->address_count > NATIVE_ADDRESSES_MAX ||
	    start->port_count > PORT_MAPPINGS_MAX)
		return is_not_ours(err);
	start->name[sizeof(start->name) - 1] = '\0';
	request->netns_fd = fds[0];
	request->userns_fd = start->has_userns ? fds[1] : -1;
	if (fstat(request->netns_fd, &st) < 0)
		return err_errno(err, "cannot look at a network namespace");
	supervisor->netns_device = st.st_dev;
	supervisor->netns_inode = st.st_ino;
	supervisor->boundary = start->boundary;
	supervisor->address_count = start->address_count;
	memcpy(supervisor->addresses, start->addresses,
	       sizeof(supervisor->addresses));
	return 0;
}

static int add_reservation(struct native_target *target, int fd,
			   struct error *err)
{
	union native_address address = {0};
	socklen_t length = sizeof(address);
	bool is_v6;

	if (getsockname(fd, &address.any, &length) < 0)
		return err_errno(err, "cannot look at a published port");
	is_v6 = address.any.sa_family == AF_INET6;
	target->fds[is_v6] = fd;
	target->addresses[is_v6] = address;
	target->host_port =
		ntohs(is_v6 ? address.v6.sin6_port : address.v4.sin_port);
	return 0;
}

static int receive_ports(struct supervisor *supervisor, size_t count,
			 struct error *err)
{
	supervisor->targets = xcalloc(count + 1, sizeof(*supervisor->targets));
	for (size_t i = 0; i < count; i++) {
		struct native_target *target = &supervisor->targets[i];
		struct native_wire_port port;
		int fds[NATIVE_FDS_MAX];
		size_t fd_count = 0;
		ssize_t length = receive(NATIVE_SOCKET, 0, &port, sizeof(port),
					 fds, &fd_count);

		if (length != sizeof(port) || fd_count != port.fd_count ||
		    fd_count == 0)
			return is_not_ours(err);
		*target = (struct native_target){
			.container_port = (uint16_t)port.container_port,
			.fds = {-1, -1},
		};
		for (size_t j = 0; j < fd_count; j++) {
			if (add_reservation(target, fds[j], err) < 0)
				return err_return(err);
		}
		supervisor->target_count++;
	}
	return 0;
}

/*
 * Into the container's user namespace: rights over its processes and over
 * nobody else's. They have none over us, as we cannot be dumped.
 */
static int enter(struct supervisor *supervisor, const struct request *request,
		 struct error *err)
{
	struct stat st;
	int r;

	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return err_errno(err, "cannot hide moss-native");
	if (request->userns_fd >= 0 &&
	    setns(request->userns_fd, CLONE_NEWUSER) < 0)
		return err_errno(err, "cannot enter the container's user "
				      "namespace");
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return err_errno(err, "cannot hide moss-native");
	if (fstatat(supervisor->proc_fd, "self/ns/user", &st, 0) < 0)
		return err_errno(err, "cannot look at a user namespace");
	supervisor->userns_device = st.st_dev;
	supervisor->userns_inode = st.st_ino;
	supervisor->setting_fd =
		native_privileged_open(supervisor, request->netns_fd);
	r = confine_privileges(NATIVE_CAPABILITIES, err);
	if (r < 0)
		return r;
	r = native_bind_service(false);
	return r < 0 ? err_number(err, r, "cannot hold back a capability") : 0;
}

/* Changes of credentials disarm it, and the parent may be gone already. */
static void die_with(pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (getppid() != parent)
		_exit(EXIT_FAILURE);
}

/* Takes fd. */
static int watch(const struct supervisor *supervisor, int kind, int fd)
{
	struct watch *watch = xcalloc(1, sizeof(*watch));
	struct epoll_event event = {.events = EPOLLIN, .data.ptr = watch};

	watch->kind = kind;
	watch->fd = fd;
	if (epoll_ctl(supervisor->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0)
		return 0;
	free(watch);
	close(fd);
	return -errno;
}

static int start(struct supervisor *supervisor, struct error *err)
{
	struct request request = {0};
	pid_t parent = getppid();
	int r = confine_limits(err);

	if (r < 0)
		return r;
	supervisor->proc_fd =
		native_raise(open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC));
	if (supervisor->proc_fd < 0)
		return err_errno(err, "cannot open /proc");
	r = confine_root(NULL, NULL, err);
	if (r >= 0)
		r = receive_start(supervisor, &request, err);
	if (r < 0)
		return r;
	proc_name_set("moss: native %s", request.start.name);
	r = receive_ports(supervisor, request.start.port_count, err);
	if (r >= 0)
		r = enter(supervisor, &request, err);
	if (r < 0)
		return r;
	close(request.netns_fd);
	close_fd(&request.userns_fd);
	die_with(parent);
	supervisor->epoll_fd = native_raise(epoll_create1(EPOLL_CLOEXEC));
	if (supervisor->epoll_fd < 0 ||
	    watch(supervisor, WATCH_CONTROL, native_raise(dup(NATIVE_SOCKET))) <
		    0)
		return err_errno(err, "cannot watch for notifications");
	return native_confine(err);
}

static void take_listener(const struct supervisor *supervisor, int socket_fd)
{
	char what[sizeof(NATIVE_LISTEN)];
	int fds[NATIVE_FDS_MAX];
	size_t fd_count = 0;
	ssize_t length = receive(socket_fd, MSG_DONTWAIT, what, sizeof(what),
				 fds, &fd_count);

	if (length == 0)
		_exit(EXIT_SUCCESS);
	for (size_t i = 0; i < fd_count; i++)
		watch(supervisor, WATCH_LISTENER, fds[i]);
}

static void serve(struct supervisor *supervisor, struct watch *watch,
		  uint32_t events)
{
	switch (watch->kind) {
	case WATCH_CONTROL:
		take_listener(supervisor, watch->fd);
		break;
	case WATCH_CONNECT:
		native_connect_continue(supervisor, watch);
		break;
	case WATCH_LISTENER:
		if ((events & EPOLLIN) &&
		    native_answer(supervisor, watch->fd) >= 0)
			break;
		/* Nobody is left who could ask. */
		close(watch->fd);
		free(watch);
		break;
	}
}

/* One event at a time: serving it may free what another one is about. */
static _Noreturn void run(struct supervisor *supervisor)
{
	struct epoll_event event;

	for (;;) {
		int timeout = native_connect_timeout(supervisor);

		if (epoll_wait(supervisor->epoll_fd, &event, 1, timeout) == 1)
			serve(supervisor, event.data.ptr, event.events);
	}
}

int main(int argc, char **argv)
{
	struct supervisor supervisor = {.proc_fd = -1};
	struct error err = {0};

	proc_name_init(argc, argv);
	proc_name_set("moss: native");
	signal(SIGPIPE, SIG_IGN);
	if (fcntl(NATIVE_SOCKET, F_GETFD) < 0) {
		fprintf(stderr, "moss-native: started by moss only\n");
		return EXIT_FAILURE;
	}
	if (start(&supervisor, &err) < 0) {
		error_write(NATIVE_SOCKET, &err);
		return EXIT_FAILURE;
	}
	if (!helper_say_ready(NATIVE_SOCKET))
		return EXIT_FAILURE;
	close(NATIVE_SOCKET);
	memory_settle();
	run(&supervisor);
}
