/* What becomes of a bind(2) or connect(2). */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "net/native_internal.h"

#ifndef SECCOMP_IOCTL_NOTIF_ADDFD
#error "needs the kernel headers of Linux 5.9"
#endif
#define PIDFD_OF_THREAD O_EXCL /* PIDFD_THREAD, Linux 6.9 */
#define MPTCP		262    /* IPPROTO_MPTCP */

/* Both have the same arguments. */
#define ARGUMENT_FD	 0
#define ARGUMENT_ADDRESS 1
#define ARGUMENT_LENGTH	 2

#define PROC_TEXT_MAX 4096

#define GO_ON 2 /* as if nobody had looked; NATIVE_LATER is 1 */

/*
 * Where a socket is of. A namespace that we have no rights over, the host's
 * above all, does not tell.
 */
enum place { PLACE_HOST, PLACE_NESTED, PLACE_CONTAINER };

struct question {
	const struct seccomp_notif *notif;
	int notify_fd;
	int process_fd; /* a pidfd, -1: not opened yet */
	int fd;		/* the number in the process */
	enum place place;
};

struct argument {
	union {
		struct sockaddr_storage bytes;
		union native_address address;
	};
	socklen_t length;
};

/* The others' number of it is their architecture's. */
static bool is_connect(const struct seccomp_data *data)
{
	switch (data->arch) {
	case AUDIT_ARCH_I386:
		return data->nr == 362;
	case AUDIT_ARCH_ARM:
		return data->nr == 283;
	default:
		return data->nr == SYS_connect;
	}
}

static bool is_valid(const struct question *question)
{
	return ioctl(question->notify_fd, SECCOMP_IOCTL_NOTIF_ID_VALID,
		     &question->notif->id) == 0;
}

/* In full, or of length 0: then the call's own look at it will fail, too. */
static void read_address(const struct question *question,
			 struct argument *ret_argument)
{
	const __u64 *args = question->notif->data.args;
	size_t length = (uint32_t)args[ARGUMENT_LENGTH];
	struct iovec local = {&ret_argument->bytes, length};
	struct iovec remote = {
		.iov_base = (void *)(uintptr_t)args[ARGUMENT_ADDRESS],
		.iov_len = length,
	};

	*ret_argument = (struct argument){.length = 0};
	if (length > sizeof(ret_argument->bytes) ||
	    process_vm_readv((pid_t)question->notif->pid, &local, 1, &remote, 1,
			     0) != (ssize_t)length ||
	    !is_valid(question))
		return;
	ret_argument->length = (socklen_t)length;
}

/* Of IPv4 or IPv6, and long enough to be looked at. */
static bool is_complete(const struct argument *argument)
{
	sa_family_t family = argument->address.any.sa_family;

	return (family == AF_INET &&
		argument->length >= sizeof(argument->address.v4)) ||
	       (family == AF_INET6 &&
		argument->length >= sizeof(argument->address.v6));
}

static const struct native_target *
find_target(const struct supervisor *supervisor,
	    const union native_address *address)
{
	in_port_t port = address->any.sa_family == AF_INET6
				 ? address->v6.sin6_port
				 : address->v4.sin_port;

	for (size_t i = 0; i < supervisor->target_count; i++) {
		if (htons(supervisor->targets[i].container_port) == port)
			return &supervisor->targets[i];
	}
	return NULL;
}

/* As one of IPv6, v4-mapped if need be. */
static struct in6_addr generic(const union native_address *address)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	struct in6_addr result = {0};

	if (address->any.sa_family == AF_INET6)
		return address->v6.sin6_addr;
	memcpy(result.s6_addr, mapped, sizeof(mapped));
	memcpy(result.s6_addr + sizeof(mapped), &address->v4.sin_addr,
	       sizeof(address->v4.sin_addr));
	return result;
}

static bool is_loopback(const union native_address *address)
{
	struct in6_addr wanted = generic(address);

	return IN6_IS_ADDR_LOOPBACK(&wanted) ||
	       (IN6_IS_ADDR_V4MAPPED(&wanted) &&
		wanted.s6_addr[12] == IN_LOOPBACKNET);
}

/* Any address, or one that others reach the container by. */
static bool is_public(const struct supervisor *supervisor,
		      const union native_address *address)
{
	struct in6_addr wanted = generic(address);

	if (IN6_IS_ADDR_UNSPECIFIED(&wanted) ||
	    (IN6_IS_ADDR_V4MAPPED(&wanted) && wanted.s6_addr32[3] == 0))
		return true;
	for (size_t i = 0; i < supervisor->address_count; i++) {
		if (IN6_ARE_ADDR_EQUAL(&wanted, &supervisor->addresses[i]))
			return true;
	}
	return false;
}

/* What a line of a file below /proc/TID begins with name says; -1: none. */
static long proc_number(int proc_fd, pid_t tid, const char *file,
			const char *name, int base)
{
	char path[64], text[PROC_TEXT_MAX];
	cleanup_fd int fd = -1;
	const char *line;
	ssize_t length;

	snprintf(path, sizeof(path), "%d/%s", tid, file);
	fd = openat(proc_fd, path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -1;
	length = read(fd, text, sizeof(text) - 1);
	if (length <= 0)
		return -1;
	text[length] = '\0';
	line = strstr(text, name);
	return line ? strtol(line + strlen(name), NULL, base) : -1;
}

/* Of a thread's process where the kernel does not know threads' own yet. */
static int open_process(const struct supervisor *supervisor, pid_t tid)
{
	int fd = (int)syscall(SYS_pidfd_open, tid, PIDFD_OF_THREAD);
	long process;

	if (fd >= 0 || errno != EINVAL)
		return fd;
	process =
		proc_number(supervisor->proc_fd, tid, "status", "\nTgid:", 10);
	return process <= 0 ? -1
			    : (int)syscall(SYS_pidfd_open, (pid_t)process, 0);
}

static int get_option(int fd, int name)
{
	int value = -1;
	socklen_t length = sizeof(value);

	return getsockopt(fd, SOL_SOCKET, name, &value, &length) < 0 ? -1
								     : value;
}

static bool is_tcp(int fd)
{
	int domain = get_option(fd, SO_DOMAIN);
	int protocol = get_option(fd, SO_PROTOCOL);

	return (domain == AF_INET || domain == AF_INET6) &&
	       get_option(fd, SO_TYPE) == SOCK_STREAM &&
	       (protocol == IPPROTO_TCP || protocol == MPTCP);
}

static enum place find_place(const struct supervisor *supervisor, int fd)
{
	cleanup_fd int netns_fd = ioctl(fd, SIOCGSKNS);
	struct stat st;

	if (netns_fd < 0 || fstat(netns_fd, &st) < 0)
		return PLACE_HOST;
	return st.st_dev == supervisor->netns_device &&
			       st.st_ino == supervisor->netns_inode
		       ? PLACE_CONTAINER
		       : PLACE_NESTED;
}

static bool is_bound(int fd)
{
	union native_address address = {0};
	socklen_t length = sizeof(address);

	if (getsockname(fd, &address.any, &length) < 0)
		return true;
	return address.any.sa_family == AF_INET6 ? address.v6.sin6_port != 0
						 : address.v4.sin_port != 0;
}

/* Puts host_fd in the place of the process's own. */
static int replace(const struct supervisor *supervisor,
		   const struct question *question, int own_fd, int host_fd)
{
	struct seccomp_notif_addfd add = {
		.id = question->notif->id,
		.flags = SECCOMP_ADDFD_FLAG_SETFD,
		.srcfd = (__u32)host_fd,
		.newfd = (__u32)question->fd,
	};
	char file[32];
	long flags;

	snprintf(file, sizeof(file), "fdinfo/%d", question->fd);
	flags = proc_number(supervisor->proc_fd, (pid_t)question->notif->pid,
			    file, "flags:", 8);
	if (flags >= 0 && (flags & O_CLOEXEC))
		add.newfd_flags = O_CLOEXEC;
	if (ioctl(question->notify_fd, SECCOMP_IOCTL_NOTIF_ADDFD, &add) < 0)
		return -errno;
	native_epoll_repair(supervisor, (pid_t)question->notif->pid,
			    question->process_fd, question->fd, own_fd,
			    host_fd);
	return 0;
}

/* May the process itself bind what only root may? */
static bool has_bind_service(const struct supervisor *supervisor,
			     const struct question *question)
{
	pid_t tid = (pid_t)question->notif->pid;
	struct stat st;
	char path[64];
	long capabilities;

	snprintf(path, sizeof(path), "%d/ns/user", tid);
	/* In a namespace below the container's it is a right over what is made
	   there only. */
	if (question->place == PLACE_CONTAINER &&
	    (fstatat(supervisor->proc_fd, path, &st, 0) < 0 ||
	     st.st_dev != supervisor->userns_device ||
	     st.st_ino != supervisor->userns_inode))
		return false;
	capabilities = proc_number(supervisor->proc_fd, tid, "status",
				   "\nCapEff:", 16);
	return capabilities > 0 && is_valid(question) &&
	       (capabilities & 1l << CAP_NET_BIND_SERVICE);
}

/* 0: it is bound, to a socket of the host's; GO_ON: it is not to be. */
static int hand_over(struct supervisor *supervisor,
		     const struct question *question, int own_fd,
		     const struct argument *argument)
{
	const struct native_target *target =
		is_complete(argument)
			? find_target(supervisor, &argument->address)
			: NULL;
	cleanup_fd int host_fd = -1;

	if (!target || !is_public(supervisor, &argument->address) ||
	    get_option(own_fd, SO_DOMAIN) != argument->address.any.sa_family ||
	    is_bound(own_fd))
		return GO_ON;
	/* The host's socket is bound already; this one's rights count. */
	if (native_is_privileged(supervisor, target->container_port) &&
	    !has_bind_service(supervisor, question))
		return -EACCES;
	host_fd = native_raise(native_socket_make(supervisor, target, own_fd,
						  &argument->address));
	if (host_fd < 0)
		return host_fd == -EOPNOTSUPP ? GO_ON : host_fd;
	return replace(supervisor, question, own_fd, host_fd);
}

/*
 * A client in the container that means its own published port: the socket that
 * listens there is the host's, so the client's has to be. GO_ON when nobody
 * listens, or it means something else.
 */
static int connect_inside(struct supervisor *supervisor,
			  const struct question *question, int own_fd,
			  const struct argument *argument)
{
	const union native_address *address = &argument->address;
	const struct native_target *target =
		is_complete(argument) ? find_target(supervisor, address) : NULL;
	cleanup_fd int host_fd = -1;
	bool under_way = false;
	int r;

	if (!target || is_bound(own_fd) ||
	    (!is_loopback(address) && !is_public(supervisor, address)))
		return GO_ON;
	host_fd = native_raise(native_socket_connect(supervisor, target, own_fd,
						     address, &under_way));
	if (host_fd < 0)
		return GO_ON;
	r = replace(supervisor, question, own_fd, host_fd);
	return r < 0 || !under_way
		       ? r
		       : native_connect_await(supervisor, question->notify_fd,
					      question->notif->id, host_fd);
}

/* bind(2), with no more rights than who asked for it has. */
static int bind_own(const struct supervisor *supervisor,
		    const struct question *question, int own_fd,
		    const struct argument *argument)
{
	const struct sockaddr *address =
		(const struct sockaddr *)&argument->bytes;
	int r = bind(own_fd, address, argument->length) < 0 ? -errno : 0;

	if (r != -EACCES || !has_bind_service(supervisor, question) ||
	    native_bind_service(true) < 0)
		return r;
	r = bind(own_fd, address, argument->length) < 0 ? -errno : 0;
	native_bind_service(false);
	return r;
}

/* What is not replaced. */
static int call(struct supervisor *supervisor, const struct question *question,
		int own_fd, const struct argument *argument)
{
	const struct sockaddr *address =
		(const struct sockaddr *)&argument->bytes;

	if (is_connect(&question->notif->data))
		return native_connect(supervisor, question->notify_fd,
				      question->notif->id, own_fd, address,
				      argument->length);
	return bind_own(supervisor, question, own_fd, argument);
}

/*
 * connect(2) of one of the host's: what the kernel says to who asks again how a
 * connection came on (hiredis does), and no to who wants another one.
 */
static int connect_again(int host_fd)
{
	struct tcp_info info = {0};
	socklen_t length = sizeof(info);

	if (getsockopt(host_fd, IPPROTO_TCP, TCP_INFO, &info, &length) < 0)
		return -EACCES;
	switch (info.tcpi_state) {
	case TCP_CLOSE:
		return -EACCES;
	case TCP_SYN_SENT:
		return -EALREADY;
	default:
		return -EISCONN;
	}
}

/*
 * Makes the call that Landlock keeps from the container. For a socket of the
 * host's nobody makes it; one that is bound has been handed out before.
 */
static int perform(struct supervisor *supervisor,
		   const struct question *question, int own_fd,
		   const struct argument *argument)
{
	bool connects = is_connect(&question->notif->data);
	int r = GO_ON;

	if (question->place == PLACE_HOST)
		return connects ? connect_again(own_fd) : -EINVAL;
	if (question->place == PLACE_CONTAINER)
		r = connects
			    ? connect_inside(supervisor, question, own_fd,
					     argument)
			    : hand_over(supervisor, question, own_fd, argument);
	return r == GO_ON ? call(supervisor, question, own_fd, argument) : r;
}

static int decide(struct supervisor *supervisor, struct question *question)
{
	struct argument argument;
	cleanup_fd int own_fd = -1;

	read_address(question, &argument);
	if (argument.length == 0 ||
	    (argument.address.any.sa_family != AF_INET &&
	     argument.address.any.sa_family != AF_INET6 &&
	     argument.address.any.sa_family != AF_UNSPEC))
		return GO_ON;
	question->process_fd = native_raise(
		open_process(supervisor, (pid_t)question->notif->pid));
	if (question->process_fd < 0 || !is_valid(question))
		return GO_ON;
	own_fd = native_raise((int)syscall(
		SYS_pidfd_getfd, question->process_fd, question->fd, 0));
	if (own_fd < 0 || !is_tcp(own_fd))
		return GO_ON;
	question->place = find_place(supervisor, own_fd);
	return perform(supervisor, question, own_fd, &argument);
}

/* The kernel's structures may have grown since ours. */
#define NOTIF_ROOM 1024

static void send_reply(int notify_fd, uint64_t id, int result, bool goes_on)
{
	union {
		struct seccomp_notif_resp response;
		char room[NOTIF_ROOM];
	} answer = {.room = {0}};

	answer.response.id = id;
	if (goes_on)
		answer.response.flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
	else
		answer.response.error = result;
	/* It may have been killed meanwhile. */
	ioctl(notify_fd, SECCOMP_IOCTL_NOTIF_SEND, &answer);
}

void native_reply(int notify_fd, uint64_t id, int result)
{
	send_reply(notify_fd, id, result, false);
}

int native_answer(struct supervisor *supervisor, int notify_fd)
{
	union {
		struct seccomp_notif notif;
		char room[NOTIF_ROOM];
	} received = {.room = {0}};
	struct question question = {
		.notif = &received.notif,
		.notify_fd = notify_fd,
		.process_fd = -1,
	};
	int r;

	if (ioctl(notify_fd, SECCOMP_IOCTL_NOTIF_RECV, &received) < 0)
		/* It was interrupted, or killed. */
		return errno == ENOENT || errno == EINTR ? 0 : -errno;
	question.fd = (int)received.notif.data.args[ARGUMENT_FD];
	r = decide(supervisor, &question);
	close_fd(&question.process_fd);
	if (r != NATIVE_LATER)
		send_reply(notify_fd, received.notif.id, r == GO_ON ? 0 : r,
			   r == GO_ON);
	return 0;
}
