#include "core/monitor/networks.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/proc.h"
#include "core/monitor/event.h"
#include "core/monitor/monitor.h"
#include "net/bridge.h"
#include "net/gateway.h"
#include "net/netns.h"
#include "net/resolv_copy.h"

#define DIRECTORY_FLAGS	 (O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW)
#define SHORT_ID	 12
#define LOCK		 "operation.lock"
#define GATEWAY		 "gateway.json"
#define ENDPOINTS	 "endpoints"
#define GATEWAY_RESTARTS 5 /* within … */
#define RESTARTS_TIME_MS 60000

/* A network that the container is on. */
struct membership {
	struct monitor *monitor;
	char *name, *id;
	int directory_fd; /* networks/NAME */
	int netns_fd;
	int endpoint_fd; /* locked: we are there */
	char interface[BRIDGE_NAME_MAX];
	int gateway_fd; /* pidfd */
	struct loop_source *gateway_source;
	unsigned int restarts;
	int64_t restart_ms;
	struct membership *next;
};

static void membership_free(struct membership *membership)
{
	loop_remove(membership->gateway_source);
	close_fd(&membership->gateway_fd);
	close_fd(&membership->endpoint_fd);
	close_fd(&membership->netns_fd);
	close_fd(&membership->directory_fd);
	free(membership->name);
	free(membership->id);
	free(membership);
}

const struct record_network *
networks_primary(const struct record_launch *launch)
{
	for (size_t i = 0; i < launch->network_count; i++) {
		if (launch->networks[i].default_route)
			return &launch->networks[i];
	}
	return launch->network_count > 0 ? &launch->networks[0] : NULL;
}

/* ---- the network's directory ---- */

static int not_found(const char *name, struct error *err)
{
	return err_set(err, ERROR_NOT_FOUND, "network %s not found", name);
}

static int open_directory(const struct monitor *monitor, const char *name,
			  struct error *err)
{
	cleanup_free char *path = xasprintf("networks/%s", name);
	int fd = openat(monitor->store.root_fd, path, DIRECTORY_FLAGS);

	if (fd < 0 && errno == ENOENT)
		return not_found(name, err);
	return fd < 0 ? err_errno(err, "cannot open network %s", name) : fd;
}

/* The lock; it may have been removed while we waited for it. */
static int lock_network(const struct membership *membership, struct error *err)
{
	cleanup_free char *path = xasprintf("networks/%s", membership->name);
	cleanup_fd int lock_fd = lock_open_at(membership->directory_fd, LOCK,
					      LOCK_EXCLUSIVE, true, err);
	struct stat ours, now;

	if (lock_fd < 0)
		return lock_fd;
	if (fstat(membership->directory_fd, &ours) < 0 ||
	    fstatat(membership->monitor->store.root_fd, path, &now,
		    AT_SYMLINK_NOFOLLOW) < 0 ||
	    ours.st_ino != now.st_ino)
		return not_found(membership->name, err);
	return steal_fd(&lock_fd);
}

/* ---- the namespace ---- */

/* Descriptor fd of process pid, if it is that namespace. */
static int open_theirs(int64_t pid, int64_t start, int64_t fd,
		       const cJSON *json)
{
	cleanup_fd int found = -1;
	int64_t device = 0, inode = 0;
	char path[64];
	struct stat st;

	if (pid <= 0 || !proc_is_alive((pid_t)pid, (uint64_t)start) ||
	    json_get_i64(json, "", "Device", &device, NULL) <= 0 ||
	    json_get_i64(json, "", "Inode", &inode, NULL) <= 0)
		return -1;
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, (int)fd);
	found = open(path, O_RDONLY | O_CLOEXEC);
	if (found < 0 || fstat(found, &st) < 0 || st.st_dev != (dev_t)device ||
	    st.st_ino != (ino_t)inode)
		return -1;
	return steal_fd(&found);
}

static int64_t number_of(const cJSON *json, const char *name)
{
	int64_t number = 0;

	(void)json_get_i64(json, "", name, &number, NULL);
	return number;
}

static int open_gateways(const struct membership *membership)
{
	cleanup_json cJSON *json = NULL;

	if (json_read_at(membership->directory_fd, GATEWAY, &json, NULL) < 0)
		return -1;
	return open_theirs(number_of(json, "Pid"), number_of(json, "Start"),
			   GATEWAY_NETNS, json);
}

/* What another container's monitor holds; removes traces of killed ones. */
static int open_monitors(const struct membership *membership)
{
	cleanup_dir DIR *dir = NULL;
	const struct dirent *entry;
	int fd = openat(membership->directory_fd, ENDPOINTS, DIRECTORY_FLAGS);
	int found = -1;

	if (fd < 0)
		return -1;
	dir = fdopendir(fd);
	if (!dir) {
		close_fd(&fd);
		return -1;
	}
	while (found < 0 && (entry = readdir(dir))) {
		cleanup_json cJSON *json = NULL;

		if (entry->d_name[0] == '.')
			continue;
		if (lock_is_held_at(fd, entry->d_name) == 0) {
			(void)unlinkat(fd, entry->d_name, 0);
			continue;
		}
		if (json_read_at(fd, entry->d_name, &json, NULL) >= 0)
			found = open_theirs(number_of(json, "Monitor"),
					    number_of(json, "Start"),
					    number_of(json, "Netns"), json);
	}
	return found;
}

static int fill_prefix(const char *address, unsigned int length,
		       struct net_prefix *ret_prefix, struct error *err)
{
	ret_prefix->length = length;
	if (*address == '\0' || address_parse(address, &ret_prefix->address))
		return 0;
	return err_set(err, ERROR_INVALID, "%s is no address", address);
}

static int fill_bridge(const struct record_network *network,
		       struct bridge_config *ret_config, struct error *err)
{
	struct bridge_config config = {
		.mtu = network->mtu,
		.uplink = !network->internal,
	};
	int r = fill_prefix(network->gateway, network->prefix, &config.gateway,
			    err);

	r = r < 0 ? r
		  : fill_prefix(network->gateway6, network->prefix6,
				&config.gateway6, err);
	if (r < 0)
		return r;
	*ret_config = config;
	return 0;
}

static int find_namespace(struct membership *membership,
			  const struct bridge_config *bridge, struct error *err)
{
	membership->netns_fd = open_gateways(membership);
	if (membership->netns_fd < 0)
		membership->netns_fd = open_monitors(membership);
	if (membership->netns_fd < 0)
		membership->netns_fd = bridge_make(bridge, err);
	return membership->netns_fd < 0 ? membership->netns_fd : 0;
}

static int set_identity(cJSON *json, int netns_fd, struct error *err)
{
	struct stat st;

	if (fstat(netns_fd, &st) < 0)
		return err_errno(err, "cannot look at a network namespace");
	json_set_i64(json, "Device", (int64_t)st.st_dev);
	json_set_i64(json, "Inode", (int64_t)st.st_ino);
	return 0;
}

/* ---- the gateway ---- */

static void on_gateway_end(struct loop_source *source, int fd, uint32_t events,
			   void *data);

static int watch_gateway(struct membership *membership, pid_t pid,
			 uint64_t start)
{
	loop_remove(membership->gateway_source);
	membership->gateway_source = NULL;
	close_fd(&membership->gateway_fd);
	membership->gateway_fd = proc_open(pid, start);
	if (membership->gateway_fd < 0)
		return membership->gateway_fd;
	return loop_add_fd(membership->monitor->loop, membership->gateway_fd,
			   EPOLLIN, on_gateway_end, membership,
			   &membership->gateway_source, NULL);
}

/* Under the lock. 1: it lives, and is watched. */
static int find_gateway(struct membership *membership)
{
	cleanup_json cJSON *json = NULL;
	cleanup_fd int fd = open_gateways(membership);
	struct stat theirs, ours;

	if (fd < 0 || fstat(fd, &theirs) < 0 ||
	    fstat(membership->netns_fd, &ours) < 0 ||
	    theirs.st_ino != ours.st_ino ||
	    json_read_at(membership->directory_fd, GATEWAY, &json, NULL) < 0)
		return 0;
	return watch_gateway(membership, (pid_t)number_of(json, "Pid"),
			     (uint64_t)number_of(json, "Start")) == 0;
}

static int note_gateway(struct membership *membership, pid_t pid,
			struct error *err)
{
	cleanup_json cJSON *json = json_object();
	uint64_t start = 0;
	int r = proc_start_time(pid, &start);

	if (r < 0)
		return err_number(err, r, "the network's gateway died");
	json_set_i64(json, "Pid", pid);
	json_set_i64(json, "Start", (int64_t)start);
	r = set_identity(json, membership->netns_fd, err);
	r = r < 0 ? r
		  : json_write_at(membership->directory_fd, GATEWAY, json,
				  FILE_VOLATILE, err);
	if (r < 0)
		return r;
	r = watch_gateway(membership, pid, start);
	return r < 0 ? err_number(err, r, "cannot watch the network's gateway")
		     : 0;
}

/* Under the lock. */
static int ensure_gateway(struct membership *membership,
			  const struct record_network *network,
			  const struct bridge_config *bridge, struct error *err)
{
	CLEANUP(bridge_services_release)
	struct bridge_services services = BRIDGE_NO_SERVICES;
	cleanup_free char *directory =
		xasprintf("%s/networks", membership->monitor->store.path);
	cleanup_free char *host = xasprintf("%s/" RESOLV_COPY_DIRECTORY,
					    membership->monitor->store.path);
	const struct gateway_request request = {
		.name = membership->name,
		.directory = directory,
		.resolv_directory = host,
		.netns_fd = membership->netns_fd,
		.bridge = bridge,
		.services = &services,
		.host_loopback = network->host_loopback,
	};
	pid_t pid;
	int r;

	if (find_gateway(membership))
		return 0;
	r = bridge_open_services(membership->netns_fd, bridge, &services, err);
	if (r < 0)
		return r;
	pid = gateway_start(&request, err);
	return pid < 0 ? pid : note_gateway(membership, pid, err);
}

static const struct record_network *
find_network(const struct record_launch *launch,
	     const struct membership *membership)
{
	for (size_t i = 0; i < launch->network_count; i++) {
		if (str_equal(launch->networks[i].name, membership->name) &&
		    str_equal(launch->networks[i].id, membership->id))
			return &launch->networks[i];
	}
	return NULL;
}

static int restart_gateway(struct membership *membership, struct error *err)
{
	const struct record_network *network =
		find_network(&membership->monitor->launch, membership);
	struct bridge_config bridge;
	cleanup_fd int lock_fd = -1;
	int r;

	if (!network)
		return 0;
	if (clock_ms() - membership->restart_ms > RESTARTS_TIME_MS)
		membership->restarts = 0;
	membership->restart_ms = clock_ms();
	if (membership->restarts++ >= GATEWAY_RESTARTS)
		return err_set(err, ERROR_GENERIC,
			       "the gateway of network %s died %d times",
			       membership->name, GATEWAY_RESTARTS + 1);
	r = fill_bridge(network, &bridge, err);
	if (r < 0)
		return r;
	lock_fd = lock_network(membership, err);
	if (lock_fd < 0)
		return lock_fd;
	return ensure_gateway(membership, network, &bridge, err);
}

/* The bridge is there still, and what flows over it; names and the way out are
   not. */
static void on_gateway_end(struct loop_source *source, int fd, uint32_t events,
			   void *data)
{
	struct membership *membership = data;
	struct error err = {0};

	loop_remove(membership->gateway_source);
	membership->gateway_source = NULL;
	if (restart_gateway(membership, &err) >= 0)
		return;
	err_wrap(&err, "the container has lost its way out");
	monitor_note(membership->monitor, &err);
}

/* ---- the endpoint ---- */

static void push_name(cJSON *names, const char *name)
{
	const cJSON *item;

	if (str_empty(name))
		return;
	cJSON_ArrayForEach(item, names)
	{
		if (str_equal(cJSON_GetStringValue(item), name))
			return;
	}
	json_push_string(names, name);
}

/* docker's DNSNames: name, aliases, short ID, host name. */
static cJSON *names_json(const struct monitor *monitor,
			 const struct record_network *network)
{
	cleanup_free char *id = xstrndup(monitor->record.id, SHORT_ID);
	cJSON *names = json_array();

	push_name(names, monitor->launch.name);
	for (size_t i = 0; network->aliases && network->aliases[i]; i++)
		push_name(names, network->aliases[i]);
	push_name(names, id);
	push_name(names, monitor->launch.hostname);
	return names;
}

/* May the network's name server be asked for names of the world? */
static bool may_forward(const struct record_launch *launch)
{
	if (launch->egress)
		return false;
	if (launch->network == LAUNCH_NETWORK_SLIRP)
		return true;
	for (size_t i = 0; i < launch->network_count; i++) {
		if (!launch->networks[i].internal)
			return true;
	}
	return false;
}

static cJSON *endpoint_json(const struct membership *membership,
			    const struct record_network *network)
{
	const struct monitor *monitor = membership->monitor;
	cJSON *json = json_object();

	json_set_i64(json, "Monitor", monitor->state.monitor_pid);
	json_set_i64(json, "Start", (int64_t)monitor->state.monitor_start);
	json_set_i64(json, "Netns", membership->netns_fd);
	json_set(json, "Names", names_json(monitor, network));
	json_set_string(json, "Address", network->address);
	json_set_string(json, "Address6", network->address6);
	json_set_string(json, "Mac", network->mac);
	json_set_bool(json, "Forward", may_forward(&monitor->launch));
	json_set_bool(json, "Routed", monitor->launch.egress != NULL);
	json_set_strv(json, "Dns", monitor->launch.dns);
	return json;
}

/* A file of our own, locked before it has its name. */
static int write_endpoint(struct membership *membership,
			  const struct record_network *network,
			  struct error *err)
{
	const char *id = membership->monitor->record.id;
	cleanup_free char *part = xasprintf(".tmp-%s", id);
	cleanup_json cJSON *json = endpoint_json(membership, network);
	cleanup_free char *text = NULL;
	cleanup_fd int directory_fd =
		openat(membership->directory_fd, ENDPOINTS, DIRECTORY_FLAGS);
	cleanup_fd int fd = -1;
	int r;

	if (directory_fd < 0)
		return err_errno(err, "cannot open the endpoints of network %s",
				 membership->name);
	r = set_identity(json, membership->netns_fd, err);
	if (r < 0)
		return r;
	text = json_print(json);
	(void)unlinkat(directory_fd, part, 0);
	fd = lock_open_at(directory_fd, part, LOCK_EXCLUSIVE, true, err);
	if (fd < 0)
		return fd;
	r = write_all(fd, text, strlen(text));
	if (r < 0)
		return err_number(err, r, "cannot write to network %s",
				  membership->name);
	if (renameat(directory_fd, part, directory_fd, id) < 0)
		return err_errno(err, "cannot write to network %s",
				 membership->name);
	close_fd(&membership->endpoint_fd);
	membership->endpoint_fd = steal_fd(&fd);
	return 0;
}

static void remove_endpoint(const struct membership *membership)
{
	cleanup_free char *path =
		xasprintf(ENDPOINTS "/%s", membership->monitor->record.id);

	if (membership->endpoint_fd >= 0)
		(void)unlinkat(membership->directory_fd, path, 0);
}

/* ---- joining and leaving ---- */

static int wire(struct membership *membership,
		const struct record_network *network, struct error *err)
{
	struct bridge_port port = {
		.mtu = network->mtu,
		.isolated = network->isolated,
		.routed = membership->monitor->launch.egress != NULL,
	};
	int r = fill_prefix(network->address, network->prefix, &port.address,
			    err);

	r = r < 0 ? r
		  : fill_prefix(network->address6, network->prefix6,
				&port.address6, err);
	r = r < 0 ? r : netns_mac_parse(network->mac, port.mac, err);
	if (r < 0)
		return r;
	if (network->default_route) {
		(void)address_parse(network->gateway, &port.gateway);
		(void)address_parse(network->gateway6, &port.gateway6);
	}
	r = bridge_attach(membership->netns_fd,
			  membership->monitor->process.netns_fd, &port, err);
	if (r < 0)
		return r;
	memcpy(membership->interface, port.name, sizeof(port.name));
	return 0;
}

static int enter_network(struct membership *membership,
			 const struct record_network *network,
			 struct error *err)
{
	struct bridge_config bridge;
	cleanup_fd int lock_fd = -1;
	int r = fill_bridge(network, &bridge, err);

	if (r < 0)
		return r;
	lock_fd = lock_network(membership, err);
	if (lock_fd < 0)
		return lock_fd;
	r = find_namespace(membership, &bridge, err);
	/* Before a gateway looks for somebody to serve. */
	r = r < 0 ? r : write_endpoint(membership, network, err);
	r = r < 0 ? r : ensure_gateway(membership, network, &bridge, err);
	return r < 0 ? r : wire(membership, network, err);
}

static void tell(const struct membership *membership, const char *action)
{
	event_write(&membership->monitor->store, EVENT_NETWORK, action,
		    membership->id,
		    event_attributes("container",
				     membership->monitor->record.id, "name",
				     membership->name, "type", "bridge", NULL));
}

static int join(struct monitor *monitor, const struct record_network *network,
		struct error *err)
{
	struct membership *membership = xcalloc(1, sizeof(*membership));
	int r;

	membership->monitor = monitor;
	membership->name = xstrdup(network->name);
	membership->id = xstrdup(network->id);
	membership->netns_fd = -1;
	membership->endpoint_fd = -1;
	membership->gateway_fd = -1;
	membership->directory_fd = open_directory(monitor, network->name, err);
	r = membership->directory_fd < 0
		    ? membership->directory_fd
		    : enter_network(membership, network, err);
	if (r < 0) {
		remove_endpoint(membership);
		membership_free(membership);
		return r;
	}
	membership->next = monitor->memberships;
	monitor->memberships = membership;
	tell(membership, "connect");
	return 0;
}

static void leave(struct monitor *monitor, struct membership *membership)
{
	struct membership **link = &monitor->memberships;

	while (*link != membership)
		link = &(*link)->next;
	*link = membership->next;
	/* The wire of a container that has ended goes with its namespace. */
	if (!monitor->ended && monitor->process.netns_fd >= 0)
		(void)bridge_detach(monitor->process.netns_fd,
				    membership->interface, NULL);
	remove_endpoint(membership);
	tell(membership, "disconnect");
	membership_free(membership);
}

int networks_join(struct monitor *monitor, struct error *err)
{
	const struct record_launch *launch = &monitor->launch;

	for (size_t i = 0; i < launch->network_count; i++) {
		int r = join(monitor, &launch->networks[i], err);

		if (r < 0)
			return r;
	}
	return 0;
}

void networks_leave(struct monitor *monitor)
{
	while (monitor->memberships)
		leave(monitor, monitor->memberships);
}

static struct membership *find_membership(const struct monitor *monitor,
					  const struct record_network *network)
{
	struct membership *membership = monitor->memberships;

	while (membership && (!str_equal(membership->name, network->name) ||
			      !str_equal(membership->id, network->id)))
		membership = membership->next;
	return membership;
}

/* One that stays: its names, and where the world is reached. */
static int update(struct membership *membership,
		  const struct record_network *network, struct error *err)
{
	struct net_address_value gateway = {0};
	struct net_address_value gateway6 = {0};
	int r = write_endpoint(membership, network, err);

	if (r < 0 || !network->default_route)
		return r;
	(void)address_parse(network->gateway, &gateway);
	(void)address_parse(network->gateway6, &gateway6);
	return bridge_route(membership->monitor->process.netns_fd,
			    membership->interface, &gateway, &gateway6, err);
}

int networks_sync(struct monitor *monitor, struct error *err)
{
	const struct record_launch *launch = &monitor->launch;
	struct membership *next;
	int result = 0;

	for (struct membership *membership = monitor->memberships; membership;
	     membership = next) {
		next = membership->next;
		if (!find_network(launch, membership))
			leave(monitor, membership);
	}
	for (size_t i = 0; i < launch->network_count; i++) {
		const struct record_network *network = &launch->networks[i];
		struct membership *membership =
			find_membership(monitor, network);
		struct error problem = {0};
		int r = membership ? update(membership, network, &problem)
				   : join(monitor, network, &problem);

		if (r < 0 && result == 0)
			result = err_copy(err, &problem);
	}
	return result;
}
