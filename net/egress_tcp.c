/*
 * TCP under an egress policy; see net/egress.h for what is checked and why.
 *
 * A flow that is checked begins as ASKED with the container's SYN. libslirp's
 * SYN-ACK makes it HELD and says where its bytes begin: only that counts, for a
 * container can send several SYNs with numbers of its choice, of which libslirp
 * takes one. A HELD flow collects what comes in order and acknowledges it to
 * the container; when it is clear whom the bytes are for they go to libslirp in
 * segments of our own (PASSED), and the flow is OPEN when libslirp has
 * acknowledged them all. Until then nothing may come again that overlaps them;
 * afterwards libslirp itself does not take it any more.
 *
 * Nor does libslirp see an urgent pointer before that: it could name a byte to
 * come, which the server would then not find among the others, and so read
 * something else than what was looked at here.
 */
#include "net/egress_internal.h"

#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "net/egress_head.h"

struct flow_hold {
	uint8_t *bytes;
	size_t length;
	int64_t since_ms; /* of the first byte */
	/* What the container said last, for what is sent in its name. */
	struct packet_path path;
	uint32_t ack;
	uint16_t window;
	bool ended; /* by a FIN */
};

void flow_hold_release(struct flow *flow)
{
	if (!flow->hold)
		return;
	free(flow->hold->bytes);
	free(flow->hold);
	flow->hold = NULL;
}

/* a < b in sequence numbers. */
static bool is_before(uint32_t a, uint32_t b)
{
	return (int32_t)(a - b) < 0;
}

static void send_to_container(struct egress *egress,
			      const struct packet_path *path,
			      const struct packet_tcp *tcp)
{
	size_t length = packet_make_tcp(path, tcp, egress->frame);

	egress->hooks.to_container(egress->frame, length, egress->hooks.opaque);
}

static void send_to_uplink(struct egress *egress,
			   const struct packet_path *path,
			   const struct packet_tcp *tcp)
{
	size_t length = packet_make_tcp(path, tcp, egress->frame);

	egress->hooks.to_uplink(egress->frame, length, egress->hooks.opaque);
}

static void reset(struct egress *egress, const struct packet *packet)
{
	size_t length = packet_make_reset(packet, egress->frame);

	if (length > 0)
		egress->hooks.to_container(egress->frame, length,
					   egress->hooks.opaque);
}

static void refuse(struct egress *egress, const struct packet *packet,
		   enum egress_reason reason, const char *name, int64_t now)
{
	egress_report_add(egress, reason, EGRESS_TCP, &packet->path.destination,
			  packet->path.destination_port, name, now);
	reset(egress, packet);
}

/* ---- The flows that hold bytes, for their time-out ---- */

static bool same_key(const struct flow_key *a, const struct flow_key *b)
{
	return a->our_port == b->our_port && a->their_port == b->their_port &&
	       address_equal(&a->theirs, &b->theirs) &&
	       address_equal(&a->ours, &b->ours);
}

static void forget_hold(struct egress *egress, const struct flow_key *key)
{
	for (size_t i = 0; i < egress->hold_count; i++) {
		if (!same_key(&egress->holds[i], key))
			continue;
		egress->hold_count--;
		memmove(&egress->holds[i], &egress->holds[i + 1],
			(egress->hold_count - i) * sizeof(egress->holds[0]));
		return;
	}
}

static void end_hold(struct egress *egress, struct flow *flow)
{
	if (!flow->hold)
		return;
	forget_hold(egress, &flow->key);
	flow_hold_release(flow);
}

static void remove_flow(struct egress *egress, struct flow *flow)
{
	end_hold(egress, flow);
	flow_remove(egress->flows, flow);
}

/*
 * Both sides are told that it is over. libslirp may answer before it returns,
 * and anything may be said of any flow then: this one has gone before.
 */
static void refuse_held(struct egress *egress, struct flow *flow,
			enum egress_reason reason, const char *name,
			int64_t now)
{
	const struct packet_path path = flow->hold->path;
	const struct packet_path back = packet_path_back(&path);
	struct packet_tcp tcp = {.flags = TCP_RST, .seq = flow->hold->ack};
	uint32_t start = flow->start;

	egress_report_add(egress, reason, EGRESS_TCP, &path.destination,
			  path.destination_port, name, now);
	remove_flow(egress, flow);
	send_to_container(egress, &back, &tcp);
	/* libslirp has not seen a byte yet. */
	tcp.seq = start;
	send_to_uplink(egress, &path, &tcp);
}

/* Makes room among EGRESS_HOLDS_MAX, if need be by ending the oldest one. */
static void make_room(struct egress *egress, int64_t now)
{
	struct flow_key key = egress->holds[0];
	struct flow *oldest;
	int64_t used;

	if (egress->hold_count < EGRESS_HOLDS_MAX)
		return;
	oldest = flow_find(egress->flows, &key, now, &used);
	if (oldest && oldest->hold)
		refuse_held(egress, oldest, EGRESS_MALFORMED, NULL, now);
	else
		forget_hold(egress, &key);
}

static struct flow_hold *begin_hold(struct egress *egress, struct flow *flow,
				    int64_t now)
{
	flow->hold = xcalloc(1, sizeof(*flow->hold));
	flow->hold->since_ms = now;
	egress->holds[egress->hold_count++] = flow->key;
	return flow->hold;
}

/* ---- What is held ---- */

static void acknowledge(struct egress *egress, const struct flow *flow,
			const struct packet *packet)
{
	const struct packet_path back = packet_path_back(&packet->path);
	uint32_t held = flow->next - flow->start;
	struct packet_tcp tcp = {
		.seq = packet->ack,
		.ack = flow->next,
		.flags = TCP_ACK,
		/* The right edge stays where libslirp has put it. */
		.window = flow->state == FLOW_HELD
				  ? (uint16_t)(held < flow->window
						       ? flow->window - held
						       : 0)
				  : flow->window,
	};

	send_to_container(egress, &back, &tcp);
}

static void send_held(struct egress *egress, const struct flow_hold *hold,
		      uint32_t start)
{
	size_t offset = 0;

	while (offset < hold->length) {
		struct packet_tcp tcp = {
			.seq = start + (uint32_t)offset,
			.ack = hold->ack,
			.window = hold->window,
			.flags = TCP_ACK,
			.data = hold->bytes + offset,
			.data_length = hold->length - offset,
		};

		if (tcp.data_length > PACKET_TCP_DATA_MAX)
			tcp.data_length = PACKET_TCP_DATA_MAX;
		offset += tcp.data_length;
		if (offset == hold->length)
			tcp.flags |= TCP_PSH | (hold->ended ? TCP_FIN : 0);
		send_to_uplink(egress, &hold->path, &tcp);
	}
}

/* The very bytes that were looked at. The flow is as it will be before
   libslirp can say anything of it. */
static void pass_held(struct egress *egress, struct flow *flow)
{
	struct flow_hold hold = *flow->hold;

	flow->hold->bytes = NULL;
	flow->state = FLOW_PASSED;
	end_hold(egress, flow);
	send_held(egress, &hold, flow->start);
	free(hold.bytes);
}

/* Whom it is for, and whether that may be. */
static void decide(struct egress *egress, struct flow *flow, int64_t now)
{
	struct flow_hold *hold = flow->hold;
	char name[EGRESS_NAME_MAX] = "";
	enum egress_head head =
		egress_head_parse(hold->bytes, hold->length, hold->ended, name);

	switch (head) {
	case EGRESS_HEAD_MORE:
		if (hold->length >= EGRESS_HEAD_MAX || hold->ended)
			refuse_held(egress, flow, EGRESS_MALFORMED, NULL, now);
		break;
	case EGRESS_HEAD_OTHER:
		pass_held(egress, flow);
		break;
	case EGRESS_HEAD_TLS:
	case EGRESS_HEAD_HTTP:
		if (egress_names_allowed(&egress->policy, name,
					 &flow->key.theirs, EGRESS_TCP,
					 flow->key.their_port))
			pass_held(egress, flow);
		else
			refuse_held(egress, flow, EGRESS_OTHER_NAME, name, now);
		break;
	case EGRESS_HEAD_NO_NAME:
		refuse_held(egress, flow, EGRESS_WITHOUT_NAME, NULL, now);
		break;
	case EGRESS_HEAD_BAD:
		refuse_held(egress, flow, EGRESS_MALFORMED, NULL, now);
		break;
	}
}

/* Data of a HELD flow. */
static void hold_data(struct egress *egress, struct flow *flow,
		      const struct packet *packet, int64_t now)
{
	struct flow_hold *hold = flow->hold;

	/* What is not next comes again after this. */
	if (packet->seq != flow->next || (hold && hold->ended)) {
		acknowledge(egress, flow, packet);
		return;
	}
	if (!hold)
		hold = begin_hold(egress, flow, now);
	hold->path = packet->path;
	hold->ack = packet->ack;
	hold->window = packet->window;
	hold->bytes = xrealloc(hold->bytes,
			       hold->length + packet->data_length + 1, 1);
	if (packet->data_length > 0)
		memcpy(hold->bytes + hold->length, packet->data,
		       packet->data_length);
	hold->length += packet->data_length;
	flow->next += (uint32_t)packet->data_length;
	hold->ended = packet->flags & TCP_FIN;
	acknowledge(egress, flow, packet);
	decide(egress, flow, now);
}

/* ---- Segments ---- */

/* The first one of a connection, or one that libslirp may take for that. */
static bool syn_outbound(struct egress *egress, struct flow *flow,
			 const struct flow_key *key,
			 const struct packet *packet, int64_t now)
{
	const struct packet_path *path = &packet->path;
	enum egress_reason reason;
	enum verdict verdict;
	const char *name;

	if (packet->flags & (TCP_ACK | TCP_FIN | TCP_RST))
		return flow && flow->state == FLOW_OPEN;
	verdict = egress_judge(egress, &path->destination, EGRESS_TCP,
			       path->destination_port, now, &reason, &name);
	if (verdict == VERDICT_REFUSE) {
		if (flow)
			remove_flow(egress, flow);
		refuse(egress, packet, reason, name, now);
		return false;
	}
	if (egress->policy.mode == EGRESS_RECORD)
		egress_report_add(egress, EGRESS_WAS_USED, EGRESS_TCP,
				  &path->destination, path->destination_port,
				  name, now);
	/* Data with it would be libslirp's before it is looked at; without an
	   answer, it comes again alone. */
	if (verdict == VERDICT_CHECK &&
	    (packet->data_length > 0 || (packet->flags & TCP_URG)))
		return false;
	if (!flow) {
		flow = flow_add(egress->flows, key, now);
		flow->state = verdict == VERDICT_CHECK ? FLOW_ASKED : FLOW_OPEN;
	} else if (flow->state != FLOW_HELD && verdict == VERDICT_CHECK) {
		/* Should libslirp take it, what came before counts no more. */
		flow->state = FLOW_ASKED;
	}
	return true;
}

/* In the middle of something that is not known (any more). */
static bool unknown_outbound(struct egress *egress, const struct flow_key *key,
			     const struct packet *packet, int64_t now)
{
	const struct packet_path *path = &packet->path;
	enum egress_reason reason;
	const char *name;
	enum verdict verdict =
		egress_judge(egress, &path->destination, EGRESS_TCP,
			     path->destination_port, now, &reason, &name);

	if (verdict == VERDICT_ALLOW) {
		flow_add(egress->flows, key, now);
		return true;
	}
	if (packet->flags & TCP_RST)
		return false;
	if (verdict == VERDICT_REFUSE)
		refuse(egress, packet, reason, name, now);
	else
		reset(egress, packet);
	return false;
}

static bool held_outbound(struct egress *egress, struct flow *flow,
			  const struct packet *packet, int64_t now)
{
	bool has_end = packet->flags & TCP_FIN;

	if (packet->data_length == 0 && (!has_end || !flow->hold)) {
		if (flow->hold) {
			flow->hold->ack = packet->ack;
			flow->hold->window = packet->window;
		}
		return !(packet->flags & TCP_URG);
	}
	hold_data(egress, flow, packet, now);
	return false;
}

bool egress_tcp_outbound(struct egress *egress, const struct packet *packet,
			 int64_t now)
{
	struct flow_key key;
	struct flow *flow;
	int64_t used;

	/* Before anything is looked up: ending one may change others. */
	make_room(egress, now);
	flow_key_set(&key, &packet->path, true, false);
	flow = flow_find(egress->flows, &key, now, &used);
	if (packet->flags & TCP_SYN)
		return syn_outbound(egress, flow, &key, packet, now);
	if (!flow)
		return unknown_outbound(egress, &key, packet, now);
	if (packet->flags & TCP_RST) {
		remove_flow(egress, flow);
		return true;
	}
	switch (flow->state) {
	case FLOW_OPEN:
		return true;
	case FLOW_ASKED:
		return packet->data_length == 0 && !(packet->flags & TCP_URG);
	case FLOW_HELD:
		return held_outbound(egress, flow, packet, now);
	case FLOW_PASSED:
		/* It comes again. */
		if (packet->flags & TCP_URG)
			return false;
		if (packet->data_length == 0 ||
		    !is_before(packet->seq, flow->next))
			return true;
		acknowledge(egress, flow, packet);
		return false;
	}
	return false;
}

/* libslirp has taken a SYN; this may be said again. */
static void begin(struct egress *egress, struct flow *flow, uint32_t start)
{
	if (flow->state == FLOW_OPEN ||
	    (flow->state != FLOW_ASKED && flow->start == start))
		return;
	end_hold(egress, flow);
	flow->state = FLOW_HELD;
	flow->start = flow->next = start;
}

bool egress_tcp_inbound(struct egress *egress, const struct packet *packet,
			int64_t now)
{
	struct flow_key key;
	struct flow *flow;
	int64_t used;

	flow_key_set(&key, &packet->path, false, false);
	flow = flow_find(egress->flows, &key, now, &used);
	if (!flow) {
		/* A client of a published port. */
		if (packet->flags == TCP_SYN)
			flow_add(egress->flows, &key, now);
		return true;
	}
	if (packet->flags & TCP_RST) {
		remove_flow(egress, flow);
		return true;
	}
	flow->window = packet->window;
	if ((packet->flags & (TCP_SYN | TCP_ACK)) == (TCP_SYN | TCP_ACK))
		begin(egress, flow, packet->ack);
	else if (flow->state == FLOW_PASSED && (packet->flags & TCP_ACK) &&
		 !is_before(packet->ack, flow->next))
		flow->state = FLOW_OPEN;
	return true;
}

int egress_tcp_expire(struct egress *egress, int64_t now)
{
	while (egress->hold_count > 0) {
		struct flow_key key = egress->holds[0];
		int64_t used;
		struct flow *flow = flow_find(egress->flows, &key, now, &used);

		if (!flow || !flow->hold) {
			forget_hold(egress, &key);
			continue;
		}
		if (now - flow->hold->since_ms < EGRESS_HOLD_MS)
			return (int)(EGRESS_HOLD_MS -
				     (now - flow->hold->since_ms));
		refuse_held(egress, flow, EGRESS_MALFORMED, NULL, now);
	}
	return -1;
}
