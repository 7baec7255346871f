/* The monitor's part in natively published ports; see net/native.h. */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "core/monitor/monitor.h"
#include "net/netns.h"
#include "policy/seccomp_native.h"

/* One that dies more often within the time is let go. */
#define RESTARTS_MAX 5
#define RESTARTS_MS  60000

/*
 * The listening end of a program's notifications, ours too, so that they wait
 * when moss-native dies.
 */
struct listener {
	struct monitor *monitor;
	struct listener *next;
	int fd;
	struct loop_source *source;
};

static void listener_free(struct listener *listener)
{
	loop_remove(listener->source);
	close_fd(&listener->fd);
	free(listener);
}

static void forget(struct monitor *monitor, struct listener *listener)
{
	struct listener **link = &monitor->listeners;

	while (*link != listener)
		link = &(*link)->next;
	*link = listener->next;
	monitor->listener_count--;
	listener_free(listener);
}

/* No process is left that could ask. */
static void on_hangup(struct loop_source *source, int fd, uint32_t events,
		      void *data)
{
	struct listener *listener = data;

	forget(listener->monitor, listener);
}

/* Was it taken? */
static bool is_native(const struct uplink_forward *forward)
{
	return forward->fds[0] < 0 && forward->fds[1] < 0;
}

size_t monitor_native_rest(const struct monitor *monitor,
			   struct uplink_forward *ret_forwards)
{
	size_t count = 0;

	for (size_t i = 0; i < monitor->forward_count; i++) {
		if (is_native(&monitor->forwards[i]))
			continue;
		if (ret_forwards)
			ret_forwards[count] = monitor->forwards[i];
		count++;
	}
	return count;
}

int monitor_native_check(const struct monitor *monitor,
			 const struct port_list *wanted, struct error *err)
{
	for (size_t i = 0; i < monitor->forward_count; i++) {
		const struct port_mapping *own =
			&monitor->launch.ports.entries[i];
		size_t same = 0;

		if (!is_native(&monitor->forwards[i]))
			continue;
		for (size_t j = 0; j < wanted->count; j++)
			same += wanted->entries[j].protocol == PORT_TCP &&
				wanted->entries[j].container_port ==
					own->container_port;
		if (same == 1)
			continue;
		err_set(err, ERROR_CONFLICT,
			"port %u of container %.12s is published natively: "
			"that can only change when it is created",
			own->container_port, monitor->record.id);
		return err_hint(err, "publish with --publish-mode splice to "
				     "change it while it runs");
	}
	return 0;
}

int monitor_native_ports(struct monitor *monitor, struct error *err)
{
	int r = 0;

	if (monitor->launch.publish_mode != PUBLISH_NATIVE ||
	    monitor->forward_count == 0)
		return 0;
	monitor->native_ports =
		xcalloc(monitor->forward_count, sizeof(*monitor->native_ports));
	for (size_t i = 0; r >= 0 && i < monitor->forward_count; i++) {
		struct uplink_forward *forward = &monitor->forwards[i];
		struct native_port *port =
			&monitor->native_ports[monitor->native_port_count];

		if (!native_is_possible(&monitor->launch.ports.entries[i],
					&monitor->launch.ports))
			continue;
		*port = (struct native_port){
			.fds = {steal_fd(&forward->fds[0]),
				steal_fd(&forward->fds[1])},
			.container_port = forward->container_port,
		};
		monitor->native_port_count++;
		r = native_reserve(port->fds, err);
	}
	if (r < 0 || monitor->native_port_count == 0)
		return r;
	r = native_boundary(&monitor->native_boundary, err);
	if (r >= 0 && !monitor->native_filter.code)
		seccomp_native_build(&monitor->native_filter);
	return r;
}

const struct seccomp_filter *
monitor_native_filter(const struct monitor *monitor)
{
	return monitor->native_port_count > 0 ? &monitor->native_filter : NULL;
}

bool monitor_native_denies_tcp(const struct monitor *monitor)
{
	return monitor->native_port_count > 0 &&
	       monitor->native_boundary == NATIVE_LANDLOCK;
}

static void add_address(struct native_request *request, const char *address)
{
	if (!str_empty(address) &&
	    request->address_count < NATIVE_ADDRESSES_MAX)
		request->addresses[request->address_count++] = address;
}

static void add_addresses(const struct record_launch *launch,
			  struct native_request *request)
{
	if (launch->network != LAUNCH_NETWORK_NAMED) {
		add_address(request,
			    launch->address ? launch->address : NET_ADDRESS);
		add_address(request, NET_ADDRESS6);
		return;
	}
	for (size_t i = 0; i < launch->network_count; i++) {
		add_address(request, launch->networks[i].address);
		add_address(request, launch->networks[i].address6);
	}
}

int monitor_native_start(struct monitor *monitor, struct error *err)
{
	struct native_request request = {
		.name = monitor->launch.name,
		.boundary = monitor->native_boundary,
		.userns_fd = monitor->process.userns_fd,
		.netns_fd = monitor->process.netns_fd,
		.ports = monitor->native_ports,
		.port_count = monitor->native_port_count,
	};

	if (monitor->native_port_count == 0)
		return 0;
	add_addresses(&monitor->launch, &request);
	return native_start(&monitor->native, &request, err);
}

int monitor_native_listen(struct monitor *monitor,
			  struct runtime_process *process, struct error *err)
{
	struct listener *listener;
	int r;

	if (process->notify_fd < 0)
		return 0;
	listener = xcalloc(1, sizeof(*listener));
	listener->monitor = monitor;
	listener->fd = steal_fd(&process->notify_fd);
	listener->next = monitor->listeners;
	monitor->listeners = listener;
	monitor->listener_count++;
	/* Nothing but the end: binds do not wake us. */
	r = loop_add_fd(monitor->loop, listener->fd, 0, on_hangup, listener,
			&listener->source, err);
	if (r >= 0)
		r = native_listen(&monitor->native, listener->fd, err);
	if (r < 0)
		forget(monitor, listener);
	return r;
}

int monitor_native_room(const struct monitor *monitor, struct error *err)
{
	if (monitor->listener_count < NATIVE_LISTENERS_MAX)
		return 0;
	return err_set(err, ERROR_CONFLICT,
		       "%d programs started by exec have left processes in "
		       "container %.12s, the most with natively published "
		       "ports",
		       NATIVE_LISTENERS_MAX, monitor->record.id);
}

static int start_again(struct monitor *monitor, struct error *err)
{
	int r = monitor_native_start(monitor, err);

	for (struct listener *listener = monitor->listeners; r >= 0 && listener;
	     listener = listener->next)
		r = native_listen(&monitor->native, listener->fd, err);
	return r;
}

/* Who binds a port then is told that there is no such call. */
static void let_go(struct monitor *monitor)
{
	while (monitor->listeners)
		forget(monitor, monitor->listeners);
}

bool monitor_native_ended(struct monitor *monitor, pid_t pid)
{
	int64_t now = clock_ms();
	struct error err = {0};
	int r;

	if (pid != monitor->native.pid)
		return false;
	close_fd(&monitor->native.socket_fd);
	monitor->native.pid = 0;
	if (monitor->ended)
		return true;
	if (now - monitor->native_ms > RESTARTS_MS)
		monitor->native_restarts = 0;
	monitor->native_ms = now;
	if (monitor->native_restarts++ < RESTARTS_MAX)
		r = start_again(monitor, &err);
	else
		r = err_set(&err, ERROR_GENERIC, "moss-native died %d times",
			    RESTARTS_MAX + 1);
	if (r >= 0)
		return true;
	native_stop(&monitor->native);
	let_go(monitor);
	err_wrap(&err, "no port can be bound in the container any more");
	monitor_note(monitor, &err);
	return true;
}

void monitor_native_release(struct monitor *monitor)
{
	native_stop(&monitor->native);
	let_go(monitor);
	for (size_t i = 0; i < monitor->native_port_count; i++) {
		close_fd(&monitor->native_ports[i].fds[0]);
		close_fd(&monitor->native_ports[i].fds[1]);
	}
	free(monitor->native_ports);
	monitor->native_ports = NULL;
	monitor->native_port_count = 0;
}
