/*
 * Egress policy at work (net/egress_policy.h says what one is): a filter on the
 * frames between the container's tap and libslirp. It lies outside of the
 * container and sees everything that leaves it, whatever a program in there
 * with a raw socket writes.
 *
 * What is refused is refused at once, so that programs fail with a good word: a
 * TCP connection with a reset, everything else with ICMP's "administratively
 * prohibited". ARP and neighbour discovery pass. Other IP protocols, IPv6
 * extension headers and fragments never do: libslirp has no use for them.
 *
 *   packet.h         frames taken apart and made
 *   egress_flow.h    connections and their verdicts
 *   egress_names.h   questions to the resolver, answers, pins
 *   egress_head.h    TLS server names, HTTP hosts
 *   egress_body.h    where one HTTP request ends and the next one begins
 *   egress_tcp.c     connections that are checked for a name
 *   egress_report.c  what is told of it
 *
 * An address is allowed by a rule of its own, or because it was learnt through
 * an allowed name (a pin). In the second case a TCP connection is checked for
 * the name as well, since many names share an address: its first bytes are held
 * until they say whom they are for. TLS must have a server name (SNI) and HTTP
 * a Host that the policy allows for the port, in each request; what is neither
 * passes, the address being all that is known of it, and so does what follows
 * a request to upgrade or to tunnel. The order of bytes counts, not that of
 * segments: only what comes in order is taken, libslirp is given exactly the
 * bytes that were looked at, and where they begin is what libslirp said when it
 * acknowledged the SYN. The container gets its acknowledgements from here
 * meanwhile, for a sender that waits for them before it sends the rest.
 *
 * What this cannot see: requests to a server that ends another's body somewhere
 * else than RFC 9112 does, and the names within TLS (an inner ClientHello,
 * HTTP/2's :authority). They reach another name of the same server at most, as
 * its address was learnt through an allowed one. QUIC and everything else over
 * UDP is allowed where a rule says /udp, by address alone.
 *
 * Memory is bounded: EGRESS_FLOWS_MAX, PINS_MAX, NAMES_WAIT_MAX,
 * EGRESS_HOLDS_MAX, EGRESS_REPORTS_MAX; what is forgotten is asked again and
 * never passes for that. When moss-net dies all of it is lost: connections
 * checked for a name are reset, and names must be asked for anew.
 *
 * One thread; nothing here does input or output or knows libslirp.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/egress_policy.h"

#define EGRESS_HOLDS_MAX   64 /* connections whose first bytes wait */
#define EGRESS_HOLD_MS	   10000
#define EGRESS_REPORTS_MAX 256 /* different ones that are counted at a time */

enum egress_reason {
	EGRESS_NO_RULE,
	EGRESS_DENIED,	     /* by a rule */
	EGRESS_NAME_REFUSED, /* a question to the resolver */
	EGRESS_NAME_PRIVATE, /* its answer: an address that is not public */
	EGRESS_OTHER_NAME,   /* SNI or Host is not allowed there */
	EGRESS_WITHOUT_NAME, /* TLS or HTTP that does not say whom it is for */
	EGRESS_MALFORMED,    /* its first bytes, or they did not come in time */
	EGRESS_DNS_TCP,	     /* to the resolver, which answers over UDP only */
	EGRESS_WAS_USED,     /* not refused: the policy records */
	EGRESS_REASON_COUNT,
};
const char *egress_reason_name(enum egress_reason reason);

/* Plain bytes. */
struct egress_report {
	uint8_t reason;
	uint8_t protocol; /* one of enum egress_protocol; 0: a question */
	uint16_t port;
	uint32_t count; /* since the last report of the same */
	struct net_address_value address; /* family 0: none */
	char name[EGRESS_NAME_MAX];	  /* "": none known */
};

/* What a moss-net sends, which talks to the world: false unless it is one. What
   no name has in it is made '?'. */
bool egress_report_parse(const void *bytes, size_t length,
			 struct egress_report *ret_report);

struct egress_hooks {
	/* Frames made here. to_uplink is called from egress_outbound() and
	   egress_expire() only. */
	void (*to_container)(const void *frame, size_t length, void *opaque);
	void (*to_uplink)(const void *frame, size_t length, void *opaque);
	/* False: not now. */
	bool (*report)(const struct egress_report *report, void *opaque);
	void *opaque;
};

struct egress;

/* Takes what policy holds. */
struct egress *egress_new(struct egress_policy *policy,
			  const struct egress_hooks *hooks);
void egress_free(struct egress *egress);

/*
 * A frame of the container's, and one for it; now in ms, as of clock_ms().
 * True: it passes as it is.
 */
bool egress_outbound(struct egress *egress, const void *frame, size_t length,
		     int64_t now);
bool egress_inbound(struct egress *egress, const void *frame, size_t length,
		    int64_t now);
/* Ends what has waited too long and sends reports. Milliseconds until it is to
   be called again, -1: not before the next frame. */
int egress_expire(struct egress *egress, int64_t now);
