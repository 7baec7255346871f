#include "core/monitor/helpers.h"

#include <errno.h>
#include <signal.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/proc.h"
#include "base/str.h"
#include "core/monitor/monitor.h"
#include "core/monitor/networks.h"
#include "net/host_port.h"
#include "net/resolv_copy.h"
#include "net/uplink_wire.h"

/* One that dies more often within the time is let go. */
#define RESTARTS_MAX 5
#define RESTARTS_MS  60000

/* Its seconds and ours do not begin together, and some wait in the socket. */
#define REPORTS_MAX (4 * UPLINK_REPORTS_MAX)
#define READ_BATCH  64

/* What it has to say, by the kind of the report. NULL: nobody listens. */
static void (*const report_handlers[UPLINK_REPORT_KINDS])(
	struct monitor *monitor, const struct uplink_message *report) = {
	[UPLINK_REPORT_EGRESS] = egress_reported,
};

void helpers_init(struct monitor *monitor)
{
	for (size_t i = 0; i < HELPER_COUNT; i++)
		monitor->helpers[i] = (struct helper){
			.monitor = monitor, .uplink = {.socket_fd = -1}};
}

static bool has_own_network(const struct monitor *monitor)
{
	return monitor->launch.network == LAUNCH_NETWORK_SLIRP ||
	       monitor->launch.network == LAUNCH_NETWORK_NAMED;
}

bool helpers_can_publish(const struct monitor *monitor)
{
	return monitor->launch.network == LAUNCH_NETWORK_SLIRP ||
	       (monitor->launch.network == LAUNCH_NETWORK_NAMED &&
		monitor->launch.network_count > 0);
}

/* On named networks they need a helper where ports would not. */
static bool has_host_ports(const struct monitor *monitor)
{
	return strv_length(monitor->launch.host_ports) > 0;
}

static bool needs_uplink(const struct monitor *monitor)
{
	return monitor->launch.network == LAUNCH_NETWORK_SLIRP ||
	       has_host_ports(monitor) ||
	       (helpers_can_publish(monitor) &&
		monitor_native_rest(monitor, NULL) > 0);
}

static bool has_tap(const struct helper *helper)
{
	const struct monitor *monitor = helper->monitor;

	return helper == &monitor->helpers[HELPER_UPLINK] &&
	       monitor->launch.network == LAUNCH_NETWORK_SLIRP;
}

struct helper *helpers_find_ports(struct monitor *monitor)
{
	for (size_t i = HELPER_COUNT; i-- > 0;) {
		struct helper *helper = &monitor->helpers[i];

		if (helper->uplink.pid > 0 && helper->takes_ports)
			return helper;
	}
	return NULL;
}

/* ---- what it says ---- */

void helper_kill(const struct helper *helper)
{
	if (helper->uplink.pid > 0)
		kill(helper->uplink.pid, SIGKILL);
}

static void silence(struct helper *helper)
{
	loop_remove(helper->source);
	helper->source = NULL;
}

/* False when it says more than it may. */
static bool take_report(struct helper *helper,
			const struct uplink_message *report)
{
	int64_t second = clock_ms() / 1000;

	if (second != helper->second) {
		helper->second = second;
		helper->reports = 0;
	}
	if (helper->reports++ >= REPORTS_MAX)
		return false;
	if (report_handlers[report->kind])
		report_handlers[report->kind](helper->monitor, report);
	return true;
}

/* False when it was not asked: each request has one answer, in order. */
static bool take_answer(struct helper *helper,
			const struct uplink_message *answer)
{
	struct monitor *monitor = helper->monitor;

	if (!helper->takes_ports || answer->request <= helper->answered ||
	    answer->request > monitor->port_request)
		return false;
	helper->answered = answer->request;
	ports_answered(monitor, answer->request, answer->result);
	return true;
}

static void on_message(struct loop_source *source, int fd, uint32_t events,
		       void *data)
{
	struct helper *helper = data;

	for (int i = 0; i < READ_BATCH; i++) {
		struct uplink_message message;
		int r = uplink_receive(&helper->uplink, &message);

		if (r == -EAGAIN)
			return;
		if (r > 0 &&
		    (message.is_report ? take_report(helper, &message)
				       : take_answer(helper, &message)))
			continue;
		/* It has ended, or is none of ours any more. */
		silence(helper);
		helper_kill(helper);
		return;
	}
}

/* ---- start and end ---- */

static int note_process(const struct helper *helper, struct error *err)
{
	struct container_state *state = &helper->monitor->state;
	bool is_uplink = helper == &helper->monitor->helpers[HELPER_UPLINK];
	pid_t *pid = is_uplink ? &state->net_pid : &state->port_pid;
	uint64_t *start = is_uplink ? &state->net_start : &state->port_start;
	int r = 0;

	*pid = helper->uplink.pid;
	if (*pid > 0)
		r = proc_start_time(*pid, start);
	return r < 0 ? err_number(err, r, "cannot read /proc") : 0;
}

static int parse_host_ports(const struct helper *helper,
			    struct port_list *ports, struct error *err)
{
	const struct monitor *monitor = helper->monitor;
	char *const *given = monitor->launch.host_ports;
	int r = 0;

	if (helper != &monitor->helpers[HELPER_UPLINK])
		return 0;
	for (size_t i = 0; r >= 0 && i < strv_length(given); i++)
		r = host_port_parse(given[i], ports, err);
	return r;
}

/* Those that a helper serves: all of libslirp's, which have no sockets here. */
static size_t forwards_of(const struct monitor *monitor,
			  struct uplink_forward *ret_forwards)
{
	if (!ports_are_slirps(monitor))
		return monitor_native_rest(monitor, ret_forwards);
	for (size_t i = 0; i < monitor->forward_count; i++)
		ret_forwards[i] = monitor->forwards[i];
	return monitor->forward_count;
}

static int configure(struct helper *helper, struct error *err)
{
	CLEANUP(port_list_release) struct port_list host_ports = {0};
	struct monitor *monitor = helper->monitor;
	const struct record_launch *launch = &monitor->launch;
	const struct record_network *network =
		launch->network == LAUNCH_NETWORK_NAMED
			? networks_primary(launch)
			: NULL;
	const struct helper *other = helpers_find_ports(monitor);
	cleanup_free struct uplink_forward *forwards =
		xcalloc(monitor->forward_count + 1, sizeof(*forwards));
	size_t count = forwards_of(monitor, forwards);
	bool ports = (!other || other == helper) && count > 0;
	bool slirp = ports && ports_are_slirps(monitor);
	cleanup_fd int egress_fd = -1;
	struct uplink_request request = {
		.name = launch->name,
		.tap_fd = has_tap(helper) ? monitor->process.tap_fd : -1,
		.netns_fd = monitor->process.netns_fd,
		.address = network ? network->address : launch->address,
		.address6 = network && *network->address6 ? network->address6
							  : NULL,
		.host_loopback = launch->host_loopback,
		.forwards = forwards,
		.forward_count = ports ? count : 0,
		.hosts = slirp ? monitor->state.ports.entries : NULL,
		.host_ports = &host_ports,
	};
	int r = parse_host_ports(helper, &host_ports, err);

	if (r >= 0 && launch->egress && has_tap(helper))
		r = egress_pack(launch, &egress_fd, err);
	request.egress_fd = egress_fd;
	request.has_egress = egress_fd >= 0;
	r = r < 0 ? r : uplink_configure(&helper->uplink, &request, err);
	if (r < 0)
		return r;
	helper->takes_ports = ports && !slirp;
	r = note_process(helper, err);
	if (r < 0)
		return r;
	return loop_add_fd(monitor->loop, helper->uplink.socket_fd, EPOLLIN,
			   on_message, helper, &helper->source, err);
}

static void stop(struct helper *helper)
{
	silence(helper);
	uplink_stop(&helper->uplink);
	helper->takes_ports = false;
}

static int spawn(struct helper *helper, struct error *err)
{
	cleanup_free char *host = xasprintf("%s/" RESOLV_COPY_DIRECTORY,
					    helper->monitor->store.path);

	return uplink_spawn(host, &helper->uplink, err);
}

static int start(struct helper *helper, struct error *err)
{
	int r = spawn(helper, err);

	r = r < 0 ? r : configure(helper, err);
	if (r < 0)
		stop(helper);
	return r;
}

int helpers_spawn(struct monitor *monitor, struct error *err)
{
	struct helper *helper = &monitor->helpers[HELPER_UPLINK];

	for (size_t i = 0; i < HELPER_COUNT; i++)
		monitor->helpers[i].restarts = 0;
	if (has_own_network(monitor))
		resolvers_start(monitor);
	return needs_uplink(monitor) ? spawn(helper, err) : 0;
}

int helpers_configure(struct monitor *monitor, struct error *err)
{
	struct helper *helper = &monitor->helpers[HELPER_UPLINK];

	return needs_uplink(monitor) ? configure(helper, err) : 0;
}

int helpers_start_ports(struct monitor *monitor, struct error *err)
{
	struct helper *uplink = &monitor->helpers[HELPER_UPLINK];

	return start(uplink->uplink.pid > 0 ? &monitor->helpers[HELPER_PORTS]
					    : uplink,
		     err);
}

int helpers_restart_ports(struct monitor *monitor, struct error *err)
{
	struct helper *helper = helpers_find_ports(monitor);

	if (!helper)
		return 0;
	stop(helper);
	return start(helper, err);
}

void helpers_drain(struct monitor *monitor)
{
	for (size_t i = 0; i < HELPER_COUNT; i++) {
		struct helper *helper = &monitor->helpers[i];

		if (helper->source)
			on_message(helper->source, helper->uplink.socket_fd,
				   EPOLLIN, helper);
	}
}

void helpers_stop(struct monitor *monitor)
{
	for (size_t i = 0; i < HELPER_COUNT; i++)
		stop(&monitor->helpers[i]);
	resolvers_stop(monitor);
}

static struct helper *find(const struct monitor *monitor, pid_t pid)
{
	for (size_t i = 0; pid > 0 && i < HELPER_COUNT; i++) {
		const struct helper *helper = &monitor->helpers[i];

		if (helper->uplink.pid == pid)
			return (struct helper *)(uintptr_t)helper;
	}
	return NULL;
}

bool helpers_include(const struct monitor *monitor, pid_t pid)
{
	return find(monitor, pid) != NULL;
}

void helpers_continue(const struct monitor *monitor, pid_t pid)
{
	if (helpers_include(monitor, pid))
		kill(pid, SIGCONT);
}

static int start_again(struct helper *helper, struct error *err)
{
	int64_t now = clock_ms();

	if (now - helper->restarted_ms > RESTARTS_MS)
		helper->restarts = 0;
	helper->restarted_ms = now;
	if (helper->restarts++ >= RESTARTS_MAX)
		return err_set(err, ERROR_GENERIC,
			       "the network helper died %d times",
			       RESTARTS_MAX + 1);
	return start(helper, err);
}

bool helpers_ended(struct monitor *monitor, pid_t pid)
{
	struct helper *helper = find(monitor, pid);
	struct error err = {0};
	bool had_ports;
	int r;

	if (!helper)
		return false;
	had_ports = helper->takes_ports || ports_are_slirps(monitor);
	helper->uplink.pid = 0;
	stop(helper);
	(void)note_process(helper, NULL);
	if (monitor->ended)
		return true;
	/* Nobody misses one without ports, unless it is the way out. */
	if (!has_tap(helper) && !has_host_ports(monitor) &&
	    monitor_native_rest(monitor, NULL) == 0) {
		ports_restarted(monitor, NULL);
		return true;
	}
	r = start_again(helper, &err);
	if (r < 0)
		err_wrap(&err, "the container has lost its %s",
			 has_tap(helper) ? "network" : "published ports");
	if (had_ports)
		ports_restarted(monitor, r < 0 ? &err : NULL);
	if (r < 0)
		monitor_note(monitor, &err);
	record_state_write(&monitor->record, &monitor->state, NULL);
	return true;
}
