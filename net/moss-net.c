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
#include "base/memory.h"
#include "base/proc.h"
#include "base/str.h"
#include "net/channel.h"
#include "net/confine.h"
#include "net/forward.h"
#include "net/helper.h"
#include "net/host_port.h"
#include "net/slirp_loop.h"

#define THREAD_STACK (256u << 10)
#define CAP_BIT(cap) (1ull << (cap))

/* What uplink_configure() sent. */
struct request {
	struct uplink_wire_start start;
	int tap_fd;
	int netns_fd;
	struct egress_policy egress; /* with has_egress */
	struct forward_listener *listeners;
	size_t listener_count;
	struct uplink_wire_port *hosts; /* those that libslirp listens on */
	size_t host_count;
	struct forward_listener host_listeners[2 * HOST_PORTS_MAX];
};

/* What the main thread and a forwarder's tell each other until both serve. */
struct forward_thread {
	struct forward_config config;
	int netns_fd; /* -1: it stays in the host's namespace */
	int proc_fd;
	struct error err;
	int result;
	sem_t prepared;
	sem_t confined;
};

/* Without a tap nothing goes out here. */
static size_t fds_of_start(const struct uplink_wire_start *start)
{
	if (!start->has_tap)
		return 1;
	return start->has_egress ? 3 : 2;
}

static int receive_start(struct request *request, struct error *err)
{
	int fds[UPLINK_FDS_MAX];
	size_t fd_count = 0;
	int r = 0;
	ssize_t length = channel_receive(
		true, &request->start, sizeof(request->start), fds, &fd_count);

	/* The one who started us has changed its mind, or is gone. */
	if (length == 0)
		_exit(EXIT_SUCCESS);
	if (length < 0)
		return err_number(err, (int)length, "cannot be configured");
	if ((size_t)length != sizeof(request->start) ||
	    request->start.magic != UPLINK_MAGIC ||
	    request->start.host_port_count > UPLINK_HOST_PORTS ||
	    fd_count != fds_of_start(&request->start))
		return err_set(err, ERROR_INVALID,
			       "moss-net and moss are not of one build");
	request->start.name[sizeof(request->start.name) - 1] = '\0';
	request->netns_fd = fds[0];
	request->tap_fd = request->start.has_tap ? fds[1] : -1;
	if (fd_count == 3) {
		r = egress_policy_unpack(fds[2], &request->egress, err);
		close(fds[2]);
	}
	return r;
}

/* It is counted again when the same comes up again. */
static bool report_egress(const struct egress_report *report, void *opaque)
{
	channel_report(UPLINK_REPORT_EGRESS, report, sizeof(*report));
	return true;
}

/* Ports without sockets: no listeners, or -EINVAL. */
static ssize_t take_hosts(struct request *request,
			  const struct uplink_wire_ports *packet, size_t length,
			  size_t fd_count)
{
	if (length != sizeof(*packet) || fd_count > 0 ||
	    packet->count > UPLINK_PORTS_MAX ||
	    packet->count > request->start.port_count - request->host_count)
		return -EINVAL;
	memcpy(request->hosts + request->host_count, packet->ports,
	       packet->count * sizeof(*packet->ports));
	request->host_count += packet->count;
	return 0;
}

static int publish_hosts(struct slirp_loop *loop, const struct request *request,
			 struct error *err)
{
	const struct in_addr address = {request->start.address};
	int r = 0;

	for (size_t i = 0; r >= 0 && loop && i < request->host_count; i++) {
		const struct uplink_wire_port *host = &request->hosts[i];
		const struct slirp_port port = {
			.host_ip = host->host_ip,
			.host_port = host->host_port,
			.container_port = host->container_port,
			.protocol = (enum port_protocol)host->protocol,
		};

		r = slirp_loop_publish(loop, &port, address, err);
	}
	return r;
}

static int receive_ports(struct request *request, struct error *err)
{
	size_t left = request->start.port_count;

	request->listeners =
		xcalloc(2 * left + UPLINK_FDS_MAX, sizeof(*request->listeners));
	request->hosts = xcalloc(left + 1, sizeof(*request->hosts));
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
		if (request->start.has_hosts)
			count = take_hosts(request, &packet, (size_t)length,
					   fd_count);
		else
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
	const bool inside = thread->netns_fd >= 0;
	int r;

	if (inside && setns(thread->netns_fd, CLONE_NEWNET) < 0)
		return err_errno(&thread->err,
				 "cannot enter the container's network "
				 "namespace");
	r = forwarder_new(&thread->config, thread->proc_fd, ret_forwarder,
			  &thread->err);
	if (r < 0)
		return r;
	return confine_privileges(inside ? CAP_BIT(CAP_NET_ADMIN) : 0,
				  &thread->err);
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

/* Before anything is known of the container; how many descriptors it gets. */
static int confine_early(const char *resolv_directory, int *ret_proc_fd,
			 struct error *err)
{
	int fd_max = confine_limits(err);
	int r;

	if (fd_max < 0)
		return fd_max;
	/* For the thread's part of /proc/sys; closed before it serves. */
	*ret_proc_fd = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (*ret_proc_fd < 0)
		return err_errno(err, "cannot open /proc");
	r = confine_root(resolv_directory, NULL, err);
	if (r < 0)
		return r;
	/* The last one is for host ports below 1024. */
	r = confine_privileges(CAP_BIT(CAP_SYS_ADMIN) | CAP_BIT(CAP_NET_ADMIN) |
				       CAP_BIT(CAP_NET_BIND_SERVICE),
			       err);
	return r < 0 ? r : fd_max;
}

/* Published ports: the thread in the container's namespace. */
static int start_inside(struct forward_thread *thread,
			const struct request *request, size_t fd_max,
			struct error *err)
{
	if (request->listener_count == 0)
		return 0;
	thread->netns_fd = request->netns_fd;
	thread->config = (struct forward_config){
		.address.s_addr = request->start.address,
		.listeners = request->listeners,
		.listener_count = request->listener_count,
		.fd_max = fd_max,
	};
	memcpy(&thread->config.address6, request->start.address6,
	       sizeof(thread->config.address6));
	return start_forwarding(thread, err);
}

/* Host ports: the one that stays outside. */
static int start_outside(struct forward_thread *thread, struct request *request,
			 size_t fd_max, struct error *err)
{
	const struct uplink_wire_start *start = &request->start;
	struct port_mapping ports[HOST_PORTS_MAX];
	int r;

	if (start->host_port_count == 0)
		return 0;
	for (size_t i = 0; i < start->host_port_count; i++)
		ports[i] = (struct port_mapping){
			.host_port = start->host_ports[i].host,
			.container_port = start->host_ports[i].container,
		};
	r = host_ports_open(request->netns_fd, ports, start->host_port_count,
			    request->host_listeners, err);
	if (r < 0)
		return r;
	thread->netns_fd = -1;
	thread->config = (struct forward_config){
		.listeners = request->host_listeners,
		.listener_count = (size_t)r,
		.fd_max = fd_max,
		.to_host = true,
	};
	return start_forwarding(thread, err);
}

/*
 * What does not depend on the container comes first, while it is still being
 * made; then its tap and ports, then the rest of the confinement.
 */
static int start(const char *resolv_directory, struct slirp_loop **ret_loop,
		 struct forward_thread *inside, struct forward_thread *outside,
		 struct error *err)
{
	struct request request = {0};
	struct slirp_config slirp;
	pid_t parent = getppid();
	bool both;
	int fd_max;
	int r;

	r = fd_max = confine_early(resolv_directory, &inside->proc_fd, err);
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
		.egress = request.start.has_egress ? &request.egress : NULL,
		.report = report_egress,
	};
	if (request.start.has_tap)
		r = slirp_loop_new(&slirp, ret_loop, err);
	r = r < 0 ? r : publish_hosts(*ret_loop, &request, err);
	if (r < 0)
		return r;

	both = request.listener_count > 0 && request.start.host_port_count > 0;
	if (both)
		fd_max /= 2;
	r = start_outside(outside, &request, (size_t)fd_max, err);
	r = r < 0 ? r : start_inside(inside, &request, (size_t)fd_max, err);
	if (r < 0)
		return r;
	close(inside->proc_fd);
	close(request.netns_fd);
	free(request.listeners);
	free(request.hosts);

	r = confine_privileges(0, err);
	if (r < 0)
		return r;
	die_with(parent);
	return confine_syscalls(err);
}

int main(int argc, char **argv)
{
	cleanup_free char *resolv_directory = NULL;
	struct forward_thread inside = {.proc_fd = -1};
	struct forward_thread outside = {.proc_fd = -1};
	struct slirp_loop *loop = NULL;
	struct error err = {0};

	/* The arguments are written over. */
	resolv_directory = argc > 1 ? xstrdup(argv[1]) : NULL;
	proc_name_init(argc, argv);
	proc_name_set("moss: net");
	signal(SIGPIPE, SIG_IGN);
	if (fcntl(UPLINK_SOCKET, F_GETFD) < 0) {
		fprintf(stderr, "moss-net: started by moss only\n");
		return EXIT_FAILURE;
	}
	if (start(resolv_directory, &loop, &inside, &outside, &err) < 0) {
		error_write(UPLINK_SOCKET, &err);
		return EXIT_FAILURE;
	}
	if (inside.config.listener_count > 0)
		sem_post(&inside.confined);
	if (outside.config.listener_count > 0)
		sem_post(&outside.confined);
	if (!helper_say_ready(UPLINK_SOCKET))
		return EXIT_FAILURE;
	/* An idle container needs few of the pages that starting touched. */
	memory_settle();
	if (loop)
		slirp_loop_run(loop);
	/* The forwarders have all there is to do. */
	for (;;)
		poll(NULL, 0, -1);
}
