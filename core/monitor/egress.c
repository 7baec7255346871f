/* The container's egress policy, and what comes of it: core/monitor/monitor.h.
 */
#include "core/monitor/monitor.h"

#include <string.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/str.h"
#include "core/monitor/egress_log.h"
#include "core/monitor/event.h"
#include "net/egress.h"
#include "net/egress_policy.h"
#include "net/netns.h"

/*
 * The journal of events is everybody's: a container that is refused all the
 * time does not fill it. Its own log has all of them.
 */
#define EVENTS_BURST	 50
#define EVENTS_REFILL_MS 6000 /* for one more */

/* Whom the container asks for names; what is no address is nobody. */
static void add_resolver(struct egress_policy *policy, const char *text)
{
	if (policy->resolver_count < EGRESS_RESOLVERS_MAX &&
	    address_parse(text, &policy->resolvers[policy->resolver_count]))
		policy->resolver_count++;
}

int egress_pack(const struct record_launch *launch, int *ret_fd,
		struct error *err)
{
	struct egress_policy policy = *launch->egress; /* rules borrowed */

	policy.resolver_count = 0;
	policy.has_networks = launch->network_count > 0;
	add_resolver(&policy, NET_DNS);
	add_resolver(&policy, NET_DNS6);
	for (size_t i = 0; launch->dns && launch->dns[i]; i++)
		add_resolver(&policy, launch->dns[i]);
	return egress_policy_pack(&policy, ret_fd, err);
}

static bool may_tell(struct monitor *monitor)
{
	int64_t now = clock_ms();
	int64_t earned = (now - monitor->egress_events_ms) / EVENTS_REFILL_MS;

	if (monitor->egress_events_ms == 0 ||
	    monitor->egress_events + earned >= EVENTS_BURST) {
		monitor->egress_events = EVENTS_BURST;
		monitor->egress_events_ms = now;
	} else if (earned > 0) {
		monitor->egress_events += earned;
		monitor->egress_events_ms += earned * EVENTS_REFILL_MS;
	}
	if (monitor->egress_events == 0)
		return false;
	monitor->egress_events--;
	return true;
}

/* All of it as texts; "name" is the container's own. */
static void tell(struct monitor *monitor, const cJSON *entry)
{
	cJSON *attributes = json_object();
	const cJSON *item;

	cJSON_ArrayForEach(item, entry)
	{
		bool is_name = str_equal(item->string, "name");
		const char *text = cJSON_GetStringValue(item);
		char number[32];

		if (str_equal(item->string, "time"))
			continue;
		if (!text) {
			snprintf(number, sizeof(number), "%.0f",
				 item->valuedouble);
			text = number;
		}
		json_set_string(attributes, is_name ? "host" : item->string,
				text);
	}
	record_event(&monitor->store, &monitor->record, "egress-deny",
		     attributes);
}

void egress_reported(struct monitor *monitor,
		     const struct uplink_message *message)
{
	struct egress_report report;
	cJSON *entry;

	/* Somebody who speaks for a moss-net that was taken over. */
	if (!monitor->launch.egress ||
	    !egress_report_parse(message->bytes, message->length, &report))
		return;
	entry = egress_log_entry(&report);
	egress_log_append(monitor->record.directory_fd, &report, entry);
	if (report.reason != EGRESS_WAS_USED && may_tell(monitor))
		tell(monitor, entry);
	cJSON_Delete(entry);
}
