#include "net/egress_internal.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "net/netns.h"

#define DNS_PORT    53
#define UDP_IDLE_MS 120000 /* then it is judged anew */

/* Rules for the host's own names are rules for the gateway's addresses. */
static void resolve_host_names(struct egress_policy *policy)
{
	size_t count = policy->rule_count;

	for (size_t i = 0; i < count; i++) {
		struct egress_rule *rule = &policy->rules[i];
		struct net_prefix prefix = {.length = 32};

		if (rule->kind != EGRESS_NAME ||
		    !egress_name_is_host(rule->name))
			continue;
		address_parse(NET_GATEWAY, &prefix.address);
		rule->kind = EGRESS_ADDRESS;
		rule->prefix = prefix;
		policy->rules = xrealloc(policy->rules, policy->rule_count + 1,
					 sizeof(*policy->rules));
		rule = &policy->rules[policy->rule_count++];
		*rule = policy->rules[i];
		address_parse(NET_GATEWAY6, &rule->prefix.address);
		rule->prefix.length = 128;
	}
}

struct egress *egress_new(struct egress_policy *policy,
			  const struct egress_hooks *hooks)
{
	struct egress *egress = xcalloc(1, sizeof(*egress));

	egress->policy = *policy;
	*policy = (struct egress_policy){0};
	resolve_host_names(&egress->policy);
	egress->hooks = *hooks;
	egress->flows = flow_table_new(flow_hold_release);
	egress->names = egress_names_new(&egress->policy);
	return egress;
}

void egress_free(struct egress *egress)
{
	if (!egress)
		return;
	flow_table_free(egress->flows);
	egress_names_free(egress->names);
	egress_report_release(&egress->reports);
	egress_policy_release(&egress->policy);
	free(egress);
}

static bool is_resolver(const struct egress *egress,
			const struct net_address_value *address, uint16_t port)
{
	if (port != DNS_PORT)
		return false;
	for (size_t i = 0; i < egress->policy.resolver_count; i++) {
		if (address_equal(&egress->policy.resolvers[i], address))
			return true;
	}
	return false;
}

static bool has_address(const struct egress_rule *rule,
			const struct net_address_value *address)
{
	return rule->kind == EGRESS_EVERYWHERE ||
	       (rule->kind == EGRESS_ADDRESS &&
		prefix_contains(&rule->prefix, address));
}

/* Does a rule of this sort match the address itself? */
static bool by_address(const struct egress *egress, bool deny,
		       const struct net_address_value *address,
		       enum egress_protocol protocol, uint16_t port)
{
	for (size_t i = 0; i < egress->policy.rule_count; i++) {
		const struct egress_rule *rule = &egress->policy.rules[i];
		const bool ports_count =
			protocol == EGRESS_TCP || protocol == EGRESS_UDP;

		if ((rule->deny != 0) == deny && has_address(rule, address) &&
		    egress_rule_has_port(rule, protocol,
					 ports_count ? port : 0))
			return true;
	}
	return false;
}

enum verdict egress_judge(struct egress *egress,
			  const struct net_address_value *address,
			  enum egress_protocol protocol, uint16_t port,
			  int64_t now, enum egress_reason *ret_reason,
			  const char **ret_name)
{
	size_t index = 0;
	const char *name;

	*ret_name = NULL;
	if (egress->policy.mode == EGRESS_RECORD) {
		*ret_name =
			egress_names_next(egress->names, address, now, &index);
		return VERDICT_ALLOW;
	}
	*ret_reason = EGRESS_DENIED;
	if (by_address(egress, true, address, protocol, port))
		return VERDICT_REFUSE;
	if (egress->policy.mode == EGRESS_ALLOW ||
	    by_address(egress, false, address, protocol, port))
		return VERDICT_ALLOW;
	*ret_reason = EGRESS_NO_RULE;
	while ((name = egress_names_next(egress->names, address, now,
					 &index))) {
		*ret_name = name;
		if (egress_names_allowed(&egress->policy, name, address,
					 protocol, port))
			return VERDICT_CHECK;
	}
	if (is_resolver(egress, address, port) && protocol == EGRESS_TCP)
		*ret_reason = EGRESS_DNS_TCP;
	return VERDICT_REFUSE;
}

/* With a message instead of what came. */
static void send_message(struct egress *egress, const struct packet_path *path,
			 bool to_uplink)
{
	size_t length = packet_make_udp(path, egress->message.bytes,
					egress->message.length, egress->frame);

	if (to_uplink)
		egress->hooks.to_uplink(egress->frame, length,
					egress->hooks.opaque);
	else
		egress->hooks.to_container(egress->frame, length,
					   egress->hooks.opaque);
}

static void ask(struct egress *egress, const struct packet *packet, int64_t now)
{
	struct packet_path back = packet_path_back(&packet->path);
	enum names_verdict verdict =
		egress_names_ask(egress->names, packet, now, &egress->message);

	switch (verdict) {
	case NAMES_DROP:
		break;
	case NAMES_FORWARD:
		send_message(egress, &packet->path, true);
		break;
	case NAMES_REFUSE:
		egress_report_add(egress, EGRESS_NAME_REFUSED, 0, NULL, 0,
				  egress->message.name, now);
		send_message(egress, &back, false);
		break;
	case NAMES_ANSWER:
		send_message(egress, &back, false);
		break;
	}
}

static void refuse(struct egress *egress, const struct packet *packet,
		   enum egress_protocol protocol, enum egress_reason reason,
		   const char *name, int64_t now)
{
	size_t length;

	egress_report_add(egress, reason, protocol, &packet->path.destination,
			  packet->path.destination_port, name, now);
	length = packet_make_prohibited(packet, egress->frame);
	egress->hooks.to_container(egress->frame, length, egress->hooks.opaque);
}

/* UDP, pings and everything else without a beginning and an end. */
static bool pass_packet(struct egress *egress, const struct packet *packet,
			enum egress_protocol protocol, int64_t now)
{
	const struct packet_path *path = &packet->path;
	enum egress_reason reason;
	const char *name;

	if (egress_judge(egress, &path->destination, protocol,
			 path->destination_port, now, &reason,
			 &name) == VERDICT_REFUSE) {
		refuse(egress, packet, protocol, reason, name, now);
		return false;
	}
	if (egress->policy.mode == EGRESS_RECORD)
		egress_report_add(egress, EGRESS_WAS_USED, protocol,
				  &path->destination, path->destination_port,
				  name, now);
	return true;
}

/* Names are looked at where they decide. */
static bool minds_names(const struct egress *egress)
{
	return egress->policy.mode == EGRESS_DENY;
}

static bool udp_outbound(struct egress *egress, const struct packet *packet,
			 int64_t now)
{
	const struct packet_path *path = &packet->path;
	struct flow_key key;
	struct flow *flow;
	int64_t used;

	if (is_resolver(egress, &path->destination, path->destination_port)) {
		if (!minds_names(egress))
			return true;
		ask(egress, packet, now);
		return false;
	}
	flow_key_set(&key, path, true, true);
	flow = flow_find(egress->flows, &key, now, &used);
	if (flow && now - used < UDP_IDLE_MS)
		return true;
	if (!pass_packet(egress, packet, EGRESS_UDP, now)) {
		if (flow)
			flow_remove(egress->flows, flow);
		return false;
	}
	if (!flow)
		flow_add(egress->flows, &key, now);
	return true;
}

static void take_answer(struct egress *egress, const struct packet *packet,
			int64_t now)
{
	const struct names_message *message = &egress->message;

	if (!egress_names_answer(egress->names, packet, now, &egress->message))
		return;
	if (message->private_address.family != 0)
		egress_report_add(egress, EGRESS_NAME_PRIVATE, 0,
				  &message->private_address, 0, message->name,
				  now);
	send_message(egress, &packet->path, false);
}

/* From those only whom the container may ask. */
static bool udp_inbound(struct egress *egress, const struct packet *packet,
			int64_t now)
{
	const struct packet_path *path = &packet->path;
	enum egress_reason reason;
	struct flow_key key;
	const char *name;
	int64_t used;

	if (is_resolver(egress, &path->source, path->source_port)) {
		if (egress->policy.mode == EGRESS_RECORD)
			egress_names_watch(egress->names, packet, now);
		if (!minds_names(egress))
			return true;
		take_answer(egress, packet, now);
		return false;
	}
	flow_key_set(&key, path, false, true);
	if (flow_find(egress->flows, &key, now, &used))
		return true;
	return egress_judge(egress, &path->source, EGRESS_UDP,
			    path->source_port, now, &reason,
			    &name) != VERDICT_REFUSE;
}

bool egress_outbound(struct egress *egress, const void *frame, size_t length,
		     int64_t now)
{
	struct packet packet;

	packet_parse(frame, length, &packet);
	switch (packet.kind) {
	case PACKET_BAD:
		return false;
	case PACKET_LINK:
		return true;
	case PACKET_TCP:
		return egress_tcp_outbound(egress, &packet, now);
	case PACKET_UDP:
		return udp_outbound(egress, &packet, now);
	case PACKET_ECHO:
		return pass_packet(egress, &packet, EGRESS_ICMP, now);
	case PACKET_OTHER:
		return pass_packet(egress, &packet, EGRESS_OTHER, now);
	}
	return false;
}

bool egress_inbound(struct egress *egress, const void *frame, size_t length,
		    int64_t now)
{
	struct packet packet;

	packet_parse(frame, length, &packet);
	switch (packet.kind) {
	case PACKET_TCP:
		return egress_tcp_inbound(egress, &packet, now);
	case PACKET_UDP:
		return udp_inbound(egress, &packet, now);
	case PACKET_BAD:
	case PACKET_LINK:
	case PACKET_ECHO:
	case PACKET_OTHER:
		break;
	}
	/* libslirp's own. */
	return true;
}

int egress_expire(struct egress *egress, int64_t now)
{
	int holds = egress_tcp_expire(egress, now);
	int reports = egress_report_flush(egress, now);

	if (holds < 0 || (reports >= 0 && reports < holds))
		return reports;
	return holds;
}
