/* Published ports, as wanted and as bound: core/monitor/helpers.h. */
#include <stdlib.h>
#include <sys/socket.h>

#include "base/cleanup.h"
#include "base/json.h"
#include "base/str.h"
#include "core/monitor/helpers.h"
#include "core/monitor/monitor.h"
#include "core/monitor/server.h"

/* Parallel arrays, `count` of them in use. */
struct bindings {
	struct uplink_forward *forwards;
	struct port_mapping *bound;
	size_t count;
};

static void bindings_init(struct bindings *bindings, size_t room)
{
	*bindings = (struct bindings){
		.forwards = xcalloc(room + 1, sizeof(*bindings->forwards)),
		.bound = xcalloc(room + 1, sizeof(*bindings->bound)),
	};
}

static void close_forward(struct uplink_forward *forward)
{
	close_fd(&forward->fds[0]);
	close_fd(&forward->fds[1]);
}

/* Binds one as the next. */
static int bind_one(struct monitor *monitor, const struct port_mapping *wanted,
		    struct bindings *bindings, struct error *err)
{
	struct uplink_forward *forward = &bindings->forwards[bindings->count];
	struct port_mapping *bound = &bindings->bound[bindings->count];
	int r;

	*bound = *wanted;
	*forward = (struct uplink_forward){
		.id = ++monitor->port_id,
		.fds = {-1, -1},
		.container_port = wanted->container_port,
		.protocol = wanted->protocol,
	};
	r = port_bind(bound, forward->fds, err);
	if (r >= 0)
		bindings->count++;
	else
		ports_explain(monitor, wanted, err);
	return r;
}

bool ports_are_slirps(const struct monitor *monitor)
{
	return monitor->launch.publish_mode == PUBLISH_SLIRP &&
	       monitor->launch.network == LAUNCH_NETWORK_SLIRP;
}

/* They are the monitor's now, in place of what it had. */
static void adopt(struct monitor *monitor, struct bindings *bindings)
{
	free(monitor->forwards);
	port_list_release(&monitor->state.ports);
	monitor->forwards = bindings->forwards;
	monitor->forward_count = bindings->count;
	monitor->state.ports = (struct port_list){.entries = bindings->bound,
						  .count = bindings->count};
	*bindings = (struct bindings){0};
}

int ports_bind(struct monitor *monitor, struct error *err)
{
	const struct port_list *wanted = &monitor->launch.ports;
	size_t count = helpers_can_publish(monitor) ? wanted->count : 0;
	struct bindings bindings;
	int r = 0;

	bindings_init(&bindings, count);
	for (size_t i = 0; r >= 0 && i < count; i++)
		r = bind_one(monitor, &wanted->entries[i], &bindings, err);
	for (size_t i = 0; ports_are_slirps(monitor) && i < bindings.count; i++)
		close_forward(&bindings.forwards[i]);
	/* Also after a failure, to be closed with the rest. */
	adopt(monitor, &bindings);
	monitor->port_settled = monitor->port_id;
	return r < 0 ? r : monitor_native_ports(monitor, err);
}

void ports_close(struct monitor *monitor)
{
	for (size_t i = 0; i < monitor->forward_count; i++)
		close_forward(&monitor->forwards[i]);
	free(monitor->forwards);
	monitor->forwards = NULL;
	monitor->forward_count = 0;
	loop_remove(monitor->port_timer);
	monitor->port_timer = NULL;
}

/* ---- changes while it runs ---- */

static bool is_same(const struct port_mapping *a, const struct port_mapping *b)
{
	return str_equal(a->host_ip, b->host_ip) &&
	       a->host_port == b->host_port &&
	       a->host_port_end == b->host_port_end &&
	       a->container_port == b->container_port &&
	       a->protocol == b->protocol;
}

/* Is it bound as one that is to go? */
static bool is_dropped(const struct port_list *drop,
		       const struct port_mapping *bound)
{
	for (size_t i = 0; drop && i < drop->count; i++) {
		if (is_same(&drop->entries[i], bound))
			return true;
	}
	return false;
}

/* One that is bound already and not kept yet; the count when there is none. */
static size_t find_bound(const struct monitor *monitor,
			 const struct port_mapping *wanted,
			 const struct port_list *drop, const bool *kept)
{
	const struct port_list *old = &monitor->launch.ports;
	size_t i = 0;

	while (i < monitor->forward_count &&
	       (kept[i] || !is_same(&old->entries[i], wanted) ||
		is_dropped(drop, &monitor->state.ports.entries[i])))
		i++;
	return i;
}

/* Keeps what is wanted still and binds the rest: the number of new ones. */
static int bind_changes(struct monitor *monitor, const struct port_list *wanted,
			const struct port_list *drop, bool *kept,
			struct bindings *bindings, struct error *err)
{
	uint32_t first_new = monitor->port_id + 1;
	int added = 0;

	for (size_t i = 0; i < wanted->count; i++) {
		size_t at =
			find_bound(monitor, &wanted->entries[i], drop, kept);
		int r;

		if (at < monitor->forward_count) {
			kept[at] = true;
			bindings->forwards[bindings->count] =
				monitor->forwards[at];
			bindings->bound[bindings->count++] =
				monitor->state.ports.entries[at];
			continue;
		}
		r = bind_one(monitor, &wanted->entries[i], bindings, err);
		if (r >= 0) {
			added++;
			continue;
		}
		for (size_t j = 0; j < bindings->count; j++) {
			if (bindings->forwards[j].id >= first_new)
				close_forward(&bindings->forwards[j]);
		}
		return r;
	}
	return added;
}

static void on_silence(struct loop_source *source, void *data)
{
	const struct helper *helper = helpers_find_ports(data);

	if (helper)
		helper_kill(helper);
}

/* An answer is due. */
static int await_answer(struct monitor *monitor, struct error *err)
{
	if (monitor->port_timer)
		return loop_timer_set(monitor->port_timer, HELPER_TIMEOUT_MS);
	return loop_add_timer(monitor->loop, HELPER_TIMEOUT_MS, on_silence,
			      monitor, &monitor->port_timer, err);
}

/* What the helper has not taken is not published. */
static void drop_unsettled(struct monitor *monitor)
{
	struct port_mapping *wanted = monitor->launch.ports.entries;
	struct port_mapping *bound = monitor->state.ports.entries;
	size_t kept = 0;

	for (size_t i = 0; i < monitor->forward_count; i++) {
		struct uplink_forward *forward = &monitor->forwards[i];

		if (forward->id > monitor->port_settled) {
			close_forward(forward);
			continue;
		}
		monitor->forwards[kept] = *forward;
		wanted[kept] = wanted[i];
		bound[kept++] = bound[i];
	}
	monitor->forward_count = kept;
	monitor->launch.ports.count = kept;
	monitor->state.ports.count = kept;
	record_state_write(&monitor->record, &monitor->state, NULL);
}

/* Nobody awaits an answer any more. */
static void settle(struct monitor *monitor)
{
	monitor->port_settled = monitor->port_id;
	if (monitor->port_timer)
		loop_timer_set(monitor->port_timer, -1);
}

static int start_helper(struct monitor *monitor, struct error *err)
{
	int r = 0;

	if (monitor_native_rest(monitor, NULL) > 0)
		r = helpers_start_ports(monitor, err);
	if (r < 0)
		drop_unsettled(monitor);
	else
		settle(monitor);
	return r;
}

/* Those that are bound since first_new, in packets. */
static int tell_added(struct monitor *monitor, const struct helper *helper,
		      uint32_t first_new, struct error *err)
{
	struct uplink_forward batch[UPLINK_BATCH_MAX];
	size_t count = 0;
	int r = 0;

	for (size_t i = 0; r >= 0 && i <= monitor->forward_count; i++) {
		if (i < monitor->forward_count &&
		    monitor->forwards[i].id >= first_new)
			batch[count++] = monitor->forwards[i];
		if (count == 0 ||
		    (count < UPLINK_BATCH_MAX && i < monitor->forward_count))
			continue;
		r = uplink_add_ports(&helper->uplink, ++monitor->port_request,
				     batch, count, err);
		count = 0;
	}
	return r;
}

static int tell_removed(struct monitor *monitor, const struct helper *helper,
			const uint32_t *ids, size_t id_count, struct error *err)
{
	int r = 0;

	for (size_t i = 0; r >= 0 && i < id_count; i += UPLINK_BATCH_MAX) {
		size_t left = id_count - i;

		r = uplink_remove_ports(
			&helper->uplink, ++monitor->port_request, ids + i,
			left < UPLINK_BATCH_MAX ? left : UPLINK_BATCH_MAX, err);
	}
	return r;
}

/*
 * The helper follows. One that does not take a request is killed, so that it
 * starts again with what there is now.
 */
static int tell_helper(struct monitor *monitor, uint32_t first_new,
		       const uint32_t *removed, size_t removed_count,
		       uint32_t *ret_request, struct error *err)
{
	const struct helper *helper = helpers_find_ports(monitor);
	int r;

	if (!helper)
		return start_helper(monitor, err);
	r = tell_removed(monitor, helper, removed, removed_count, NULL);
	r = r < 0 ? r : tell_added(monitor, helper, first_new, NULL);
	if (r < 0) {
		monitor->port_request++;
		helper_kill(helper);
	}
	*ret_request = monitor->port_request;
	return await_answer(monitor, err);
}

/* Closes what is not kept: how many, and their IDs. */
static size_t close_rest(struct monitor *monitor, const bool *kept,
			 uint32_t *ret_ids)
{
	size_t count = 0;

	for (size_t i = 0; i < monitor->forward_count; i++) {
		struct uplink_forward *forward = &monitor->forwards[i];

		if (kept[i])
			continue;
		ret_ids[count++] = forward->id;
		/* At once, for whoever has the socket. */
		for (size_t j = 0; j < ARRAY_SIZE(forward->fds); j++)
			if (forward->fds[j] >= 0 &&
			    forward->protocol == PORT_TCP)
				shutdown(forward->fds[j], SHUT_RDWR);
		close_forward(forward);
	}
	return count;
}

static int read_wanted(struct monitor *monitor, struct port_list *ret_ports,
		       struct error *err)
{
	struct record_launch now = {0};
	cleanup_json cJSON *container = NULL;
	int r = record_read(&monitor->record, &container, err);

	r = r < 0 ? r : record_launch_parse(container, &now, err);
	if (r < 0)
		return r;
	*ret_ports = now.ports;
	now.ports = (struct port_list){0};
	record_launch_release(&now);
	return 0;
}

static int check_slirp(const struct monitor *monitor, struct error *err)
{
	if (!ports_are_slirps(monitor))
		return 0;
	err_set(err, ERROR_UNSUPPORTED,
		"ports of a running container cannot be changed in publish "
		"mode slirp");
	return err_hint(err, "stop it first, or use --publish-mode splice");
}

int ports_sync(struct monitor *monitor, const struct port_list *drop,
	       uint32_t *ret_request, struct error *err)
{
	cleanup_free uint32_t *removed = NULL;
	cleanup_free bool *kept = NULL;
	const uint32_t first_new = monitor->port_id + 1;
	struct port_list wanted = {0};
	struct bindings bindings;
	size_t removed_count;
	int added, r;

	r = read_wanted(monitor, &wanted, err);
	if (r < 0)
		return r;
	/* Bound when it starts. */
	if (monitor->ended) {
		port_list_release(&monitor->launch.ports);
		monitor->launch.ports = wanted;
		return 0;
	}
	r = check_slirp(monitor, err);
	r = r < 0 ? r : monitor_native_check(monitor, &wanted, err);
	if (r < 0) {
		port_list_release(&wanted);
		return r;
	}
	kept = xcalloc(monitor->forward_count + 1, sizeof(*kept));
	removed = xcalloc(monitor->forward_count + 1, sizeof(*removed));
	bindings_init(&bindings, wanted.count);
	added = bind_changes(monitor, &wanted, drop, kept, &bindings, err);
	if (added < 0) {
		free(bindings.forwards);
		free(bindings.bound);
		port_list_release(&wanted);
		return added;
	}
	removed_count = close_rest(monitor, kept, removed);
	adopt(monitor, &bindings);
	port_list_release(&monitor->launch.ports);
	monitor->launch.ports = wanted;
	r = 0;
	if (added > 0 || removed_count > 0)
		r = tell_helper(monitor, first_new, removed, removed_count,
				ret_request, err);
	if (r >= 0)
		r = record_state_write(&monitor->record, &monitor->state, err);
	return r;
}

void ports_answered(struct monitor *monitor, uint32_t request, int result)
{
	struct error err = {0};

	if (result < 0) {
		drop_unsettled(monitor);
		err_number(&err, result, "the network helper cannot serve it");
	} else if (request == monitor->port_request) {
		settle(monitor);
	}
	server_answer_ports(monitor, request, result < 0 ? &err : NULL);
}

void ports_restarted(struct monitor *monitor, const struct error *err)
{
	if (err) {
		ports_close(monitor);
		port_list_release(&monitor->state.ports);
		monitor->state.ports = (struct port_list){0};
	} else {
		settle(monitor);
	}
	server_answer_ports(monitor, monitor->port_request, err);
}
