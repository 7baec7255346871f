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
 * Of HTTP each request is looked at: such a flow passes bodies segment by
 * segment (HTTP), in order and within libslirp's window, so that it takes all
 * of what passed, and is HELD again from where a head begins.
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
	uint32_t start;	  /* the sequence number of the first byte */
	int64_t since_ms; /* when that came */
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
	uint32_t start = flow->hold->start;

	egress_report_add(egress, reason, EGRESS_TCP, &path.destination,
			  path.destination_port, name, now);
	remove_flow(egress, flow);
	send_to_container(egress, &back, &tcp);
	/* libslirp has not seen a byte of these. */
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
	flow->hold->start = flow->next;
	egress->holds[egress->hold_count++] = flow->key;
	return flow->hold;
}

/* ---- What is held ---- */

static void acknowledge(struct egress *egress, const struct flow *flow,
			const struct packet *packet)
{
	const struct packet_path back = packet_path_back(&packet->path);
	struct packet_tcp tcp = {
		.seq = packet->ack,
		.ack = flow->next,
		.flags = TCP_ACK,
	};

	/* The right edge stays where libslirp has put it. */
	if (is_before(flow->next, flow->edge))
		tcp.window = (uint16_t)(flow->edge - flow->next);

	send_to_container(egress, &back, &tcp);
}

/* The first `length` bytes. */
static void send_held(struct egress *egress, const struct flow_hold *hold,
		      size_t length)
{
	size_t offset = 0;

	while (offset < length) {
		struct packet_tcp tcp = {
			.seq = hold->start + (uint32_t)offset,
			.ack = hold->ack,
			.window = hold->window,
			.flags = TCP_ACK,
			.data = hold->bytes + offset,
			.data_length = length - offset,
		};

		if (tcp.data_length > PACKET_TCP_DATA_MAX)
			tcp.data_length = PACKET_TCP_DATA_MAX;
		offset += tcp.data_length;
		if (offset == length)
			tcp.flags |= TCP_PSH;
		if (offset == hold->length && hold->ended)
			tcp.flags |= TCP_FIN;
		send_to_uplink(egress, &hold->path, &tcp);
	}
}

/* The very bytes that were looked at. The flow is as it will be before
   libslirp can say anything of it. */
static void pass_held(struct egress *egress, struct flow *flow,
		      enum flow_state state)
{
	struct flow_hold hold = *flow->hold;

	flow->hold->bytes = NULL;
	flow->state = state;
	end_hold(egress, flow);
	send_held(egress, &hold, hold.length);
	free(hold.bytes);
}

/* Likewise, but the bytes from `length` on stay. */
static void pass_part(struct egress *egress, struct flow *flow, size_t length,
		      int64_t now)
{
	struct flow_hold *held = flow->hold;
	struct flow_hold hold = *held;

	held->length -= length;
	held->start += (uint32_t)length;
	/* A new one, behind all others. */
	held->since_ms = now;
	forget_hold(egress, &flow->key);
	egress->holds[egress->hold_count++] = flow->key;
	held->bytes = xcalloc(held->length + 1, 1);
	memcpy(held->bytes, hold.bytes + length, held->length);
	send_held(egress, &hold, length);
	free(hold.bytes);
}

/* What becomes of what is held. */
struct decision {
	enum { DECISION_WAIT, DECISION_PASS, DECISION_REFUSE } what;
	enum flow_state state;	   /* once it has passed */
	enum egress_reason reason; /* of a refusal */
	size_t done;		   /* bytes that need not wait */
	char name[EGRESS_NAME_MAX];
};

static void decide_refuse(struct decision *decision, enum egress_reason reason)
{
	decision->what = DECISION_REFUSE;
	decision->reason = reason;
}

static void decide_pass(struct decision *decision, enum flow_state state)
{
	decision->what = DECISION_PASS;
	decision->state = state;
}

/* From the beginning of a connection, or of a request; true: one of HTTP may
   pass, and what follows it is to be looked at. */
static bool decide_head(const struct egress *egress, const struct flow *flow,
			const struct egress_body *body,
			struct decision *decision)
{
	const struct flow_hold *hold = flow->hold;
	const size_t length = hold->length - decision->done;
	enum egress_head head =
		egress_head_parse(hold->bytes + decision->done, length,
				  hold->ended, decision->name);

	switch (head) {
	case EGRESS_HEAD_MORE:
		if (length >= EGRESS_HEAD_MAX || hold->ended)
			decide_refuse(decision, EGRESS_MALFORMED);
		break;
	case EGRESS_HEAD_OTHER:
		if (body->state == BODY_FIRST || body->may_change)
			decide_pass(decision, FLOW_PASSED);
		else
			decide_refuse(decision, EGRESS_MALFORMED);
		break;
	case EGRESS_HEAD_TLS:
	case EGRESS_HEAD_HTTP:
		if (!egress_names_allowed(&egress->policy, decision->name,
					  &flow->key.theirs, EGRESS_TCP,
					  flow->key.their_port))
			decide_refuse(decision, EGRESS_OTHER_NAME);
		else if (head == EGRESS_HEAD_HTTP)
			return true;
		else
			decide_pass(decision, FLOW_PASSED);
		break;
	case EGRESS_HEAD_NO_NAME:
		decide_refuse(decision, EGRESS_WITHOUT_NAME);
		break;
	case EGRESS_HEAD_BAD:
		decide_refuse(decision, EGRESS_MALFORMED);
		break;
	}
	return false;
}

/* Request after request; body is as it will be where the decision ends. */
static struct decision look(const struct egress *egress,
			    const struct flow *flow, struct egress_body *body)
{
	const struct flow_hold *hold = flow->hold;
	struct decision decision = {.what = DECISION_WAIT};

	for (;;) {
		ssize_t taken =
			egress_body_take(body, hold->bytes + decision.done,
					 hold->length - decision.done);

		if (taken < 0) {
			decide_refuse(&decision, EGRESS_MALFORMED);
			return decision;
		}
		decision.done += (size_t)taken;
		if (decision.done == hold->length) {
			decide_pass(&decision, FLOW_HTTP);
			return decision;
		}
		if (!decide_head(egress, flow, body, &decision))
			return decision;
		taken = egress_body_begin(hold->bytes + decision.done,
					  hold->length - decision.done, body);
		if (taken < 0) {
			decide_refuse(&decision, EGRESS_MALFORMED);
			return decision;
		}
		decision.done += (size_t)taken;
	}
}

/* Whom it is for, and whether that may be. */
static void decide(struct egress *egress, struct flow *flow, int64_t now)
{
	struct egress_body body = flow->body;
	struct decision decision = look(egress, flow, &body);

	switch (decision.what) {
	case DECISION_WAIT:
		flow->body = body;
		if (decision.done > 0)
			pass_part(egress, flow, decision.done, now);
		break;
	case DECISION_PASS:
		flow->body = body;
		pass_held(egress, flow, decision.state);
		break;
	case DECISION_REFUSE:
		refuse_held(egress, flow, decision.reason,
			    decision.reason == EGRESS_OTHER_NAME ? decision.name
								 : NULL,
			    now);
		break;
	}
}

/* Data of a HELD flow. */
static void hold_data(struct egress *egress, struct flow *flow,
		      const struct packet *packet, int64_t now)
{
	struct flow_hold *hold = flow->hold;

	/* What is not next, or not wanted yet, comes again after this. */
	if (packet->seq != flow->next || (hold && hold->ended) ||
	    is_before(flow->edge,
		      packet->seq + (uint32_t)packet->data_length)) {
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

/* Of a body, or the beginning of another request. */
static bool http_outbound(struct egress *egress, struct flow *flow,
			  const struct packet *packet, int64_t now)
{
	uint32_t end = packet->seq + (uint32_t)packet->data_length;
	struct egress_body body = flow->body;

	if (packet->flags & TCP_URG)
		return false;
	if (packet->data_length == 0)
		return true;
	if (packet->seq != flow->next || is_before(flow->edge, end)) {
		acknowledge(egress, flow, packet);
		return false;
	}
	if (egress_body_take(&body, packet->data, packet->data_length) ==
	    (ssize_t)packet->data_length) {
		flow->body = body;
		flow->next = end;
		return true;
	}
	flow->state = FLOW_HELD;
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
	case FLOW_HTTP:
		return http_outbound(egress, flow, packet, now);
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
	flow->body = (struct egress_body){0};
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
	if (packet->flags & TCP_ACK)
		flow->edge = packet->ack + packet->window;
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
