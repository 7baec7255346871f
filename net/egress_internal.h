/* What the parts of the egress filter share. */
#pragma once

#include "net/egress.h"
#include "net/egress_flow.h"
#include "net/egress_names.h"
#include "net/packet.h"

enum verdict {
	VERDICT_REFUSE,
	VERDICT_ALLOW,
	VERDICT_CHECK, /* by a name: TCP says whom it is for */
};

/* What was told of, and how often since. */
struct report_entry {
	struct egress_report report; /* reason of EGRESS_REASON_COUNT: free */
	int64_t used_ms;
};

struct reports {
	struct report_entry *entries; /* EGRESS_REPORTS_MAX */
	size_t count;
	bool dirty; /* some are to be sent */
	int64_t tokens, filled_ms;
};

struct egress {
	struct egress_policy policy;
	struct egress_hooks hooks;
	struct flow_table *flows;
	struct egress_names *names;
	struct reports reports;
	/* The flows that hold bytes. */
	struct flow_key holds[EGRESS_HOLDS_MAX];
	size_t hold_count;
	struct names_message message;
	uint8_t frame[PACKET_FRAME_MAX];
};

/* ---- egress.c ---- */

/* ret_reason is set when refused, ret_name (may point into a pin; NULL: none)
   when the address has one. */
enum verdict egress_judge(struct egress *egress,
			  const struct net_address_value *address,
			  enum egress_protocol protocol, uint16_t port,
			  int64_t now, enum egress_reason *ret_reason,
			  const char **ret_name);

/* ---- egress_tcp.c ---- */

void flow_hold_release(struct flow *flow);
bool egress_tcp_outbound(struct egress *egress, const struct packet *packet,
			 int64_t now);
bool egress_tcp_inbound(struct egress *egress, const struct packet *packet,
			int64_t now);
/* Milliseconds until the next one has waited too long, -1: none waits. */
int egress_tcp_expire(struct egress *egress, int64_t now);

/* ---- egress_report.c ---- */

void egress_report_add(struct egress *egress, enum egress_reason reason,
		       enum egress_protocol protocol,
		       const struct net_address_value *address, uint16_t port,
		       const char *name, int64_t now);
/* As egress_tcp_expire(). */
int egress_report_flush(struct egress *egress, int64_t now);
void egress_report_release(struct reports *reports);
