/*
 * moss-net: see net/uplink.h. This file has the order of things at the start.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/file.h"
#include "base/memory.h"
#include "base/proc.h"
#include "base/str.h"
#include "net/channel.h"
#include "net/confine.h"
#include "net/forward.h"
#include "net/slirp_loop.h"

#define THREAD_STACK (256u << 10)
#define CAP_BIT(cap) (1ull << (cap))

/* What uplink_configure() sent. */
struct request {
	struct uplink_wire_start start;
	int tap_fd;
	int netns_fd;
	struct forward_listener *listeners;
	size_t listener_count;
};

/* What the two threads tell each other until both serve. */
struct forward_thread {
	struct forward_config config;
	int netns_fd;
	int proc_fd;
	struct error err;
	int result;
	sem_t prepared;
	sem_t confined;
};

static int receive_start(struct request *request, struct error *err)
{
	int fds[UPLINK_FDS_MAX];
	size_t fd_count = 0;
	ssize_t length = channel_receive(
		true, &request->start, sizeof(request->start), fds, &fd_count);

	/* The one who started us has changed its mind, or is gone. */
	if (length == 0)
		_exit(EXIT_SUCCESS);
	if (length < 0)
		return err_number(err, (int)length, "cannot be configured");
	if ((size_t)length != sizeof(request->start) ||
	    request->start.magic != UPLINK_MAGIC ||
	    fd_count != (request->start.has_tap ? 2 : 1))
		return err_set(err, ERROR_INVALID,
			       "moss-net and moss are not of one build");
	request->start.name[sizeof(request->start.name) - 1] = '\0';
	request->netns_fd = fds[0];
	request->tap_fd = request->start.has_tap ? fds[1] : -1;
	return 0;
}

static int receive_ports(struct request *request, struct error *err)
{
	size_t left = request->start.port_count;

	request->listeners =
		xcalloc(2 * left + UPLINK_FDS_MAX, sizeof(*request->listeners));
	while (left > 0) {
		struct uplink_wire_ports packet;
		int fds[UPLINK_FDS_MAX];
		size_t fd_count = 0;
		ssize_t count;
		ssize_t length = channel_receive(true, &packet, sizeof(packet),
						 fds, &fd_count);

		if (length < 0)
			return err_number(err, (int)length,
					  "cannot receive the ports");
		count = channel_parse_ports(
			&packet, (size_t)length, fds, fd_count,
			request->listeners + request->listener_count);
		if (count < 0 || packet.count > left)
			return err_set(err, ERROR_INVALID,
				       "moss-net and moss are not of one "
				       "build");
		left -= packet.count;
		request->listener_count += (size_t)count;
	}
	return 0;
}

static int forward_thread_prepare(struct forward_thread *thread,
				  struct forwarder **ret_forwarder)
{
	int r;

	if (setns(thread->netns_fd, CLONE_NEWNET) < 0)
		return err_errno(&thread->err,
				 "cannot enter the container's network "
				 "namespace");
	r = forwarder_new(&thread->config, thread->proc_fd, ret_forwarder,
			  &thread->err);
	if (r < 0)
		return r;
	return confine_privileges(CAP_BIT(CAP_NET_ADMIN), &thread->err);
}

static void *forward_thread_main(void *data)
{
	struct forward_thread *thread = data;
	struct forwarder *forwarder = NULL;

	thread->result = forward_thread_prepare(thread, &forwarder);
	sem_post(&thread->prepared);
	if (thread->result < 0)
		return NULL;
	while (sem_wait(&thread->confined) < 0)
		;
	forwarder_run(forwarder);
}

/* Returns when the thread stands before its loop. */
static int start_forwarding(struct forward_thread *thread, struct error *err)
{
	pthread_attr_t attributes;
	pthread_t id;
	int r;

	sem_init(&thread->prepared, 0, 0);
	sem_init(&thread->confined, 0, 0);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, THREAD_STACK);
	r = pthread_create(&id, &attributes, forward_thread_main, thread);
	pthread_attr_destroy(&attributes);
	if (r != 0)
		return err_number(err, r, "cannot start a thread");
	while (sem_wait(&thread->prepared) < 0)
		;
	if (thread->result < 0) {
		err_copy(err, &thread->err);
		return thread->result;
	}
	return 0;
}

/* Changes of credentials disarm it, and the parent may be gone already. */
static void die_with(pid_t parent)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (getppid() != parent)
		_exit(EXIT_FAILURE);
}

/*
 * What does not depend on the container comes first, while it is still being
 * made; then its tap and ports, then the rest of the confinement. */
static int start(struct slirp_loop **ret_loop, struct forward_thread *thread,
		 struct error *err)
{
	struct request request = {0};
	struct slirp_config slirp;
	pid_t parent = getppid();
	int fd_max;
	int r;

	r = fd_max = confine_limits(err);
	if (r < 0)
		return r;
	/* For the thread's part of /proc/sys; closed before it serves. */
	thread->proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (thread->proc_fd < 0)
		return err_errno(err, "cannot open /proc");
	r = confine_root(NULL, err);
	if (r < 0)
		return r;
	r = confine_privileges(CAP_BIT(CAP_SYS_ADMIN) | CAP_BIT(CAP_NET_ADMIN),
			       err);
	if (r < 0)
		return r;

	r = receive_start(&request, err);
	if (r < 0)
		return r;
	r = receive_ports(&request, err);
	if (r < 0)
		return r;
	proc_name_set("moss: net %s", request.start.name);
	slirp = (struct slirp_config){
		.tap_fd = request.tap_fd,
		.host_loopback = request.start.host_loopback,
	};
	if (request.start.has_tap)
		r = slirp_loop_new(&slirp, ret_loop, err);
	if (r < 0)
		return r;

	thread->netns_fd = request.netns_fd;
	thread->config = (struct forward_config){
		.address.s_addr = request.start.address,
		.listeners = request.listeners,
		.listener_count = request.listener_count,
		.fd_max = (size_t)fd_max,
	};
	memcpy(&thread->config.address6, request.start.address6,
	       sizeof(thread->config.address6));
	if (request.listener_count > 0) {
		r = start_forwarding(thread, err);
		if (r < 0)
			return r;
	}
	close(thread->proc_fd);
	close(request.netns_fd);
	free(request.listeners);

	r = confine_privileges(0, err);
	if (r < 0)
		return r;
	die_with(parent);
	return confine_syscalls(err);
}

int main(int argc, char **argv)
{
	struct forward_thread thread = {.proc_fd = -1};
	struct slirp_loop *loop = NULL;
	struct error err = {0};

	proc_name_init(argc, argv);
	proc_name_set("moss: net");
	signal(SIGPIPE, SIG_IGN);
	if (fcntl(UPLINK_SOCKET, F_GETFD) < 0) {
		fprintf(stderr, "moss-net: started by moss only\n");
		return EXIT_FAILURE;
	}
	if (start(&loop, &thread, &err) < 0) {
		error_write(UPLINK_SOCKET, &err);
		return EXIT_FAILURE;
	}
	if (thread.config.listener_count > 0)
		sem_post(&thread.confined);
	if (write_all(UPLINK_SOCKET, UPLINK_READY, sizeof(UPLINK_READY)) < 0)
		return EXIT_FAILURE;
	/* An idle container needs few of the pages that starting touched. */
	memory_settle();
	if (loop)
		slirp_loop_run(loop);
	/* The forwarder has all there is to do. */
	for (;;)
		poll(NULL, 0, -1);
}
