/*
 * A container's questions to its resolver under an egress policy, and what the
 * answers tell: the pins.
 *
 * A question goes on only for a name that the policy allows; for any other the
 * answer is at once "no such name", which is what programs take best; where
 * there are named networks it is "refused", which leaves the word to their name
 * servers that the container asks as well (net/dns_server.c says the same).
 * What goes on is not the container's message but one of ours: the same
 * question with an ID that the container does not know, so that nobody outside
 * can be told how to forge the answer, and with room for a large one (EDNS), so
 * that TCP is not needed; TCP to the resolver is refused. What comes back of a
 * question for addresses is made anew, too: the addresses that were taken,
 * under the name that was asked for.
 *
 * An address that is not a public one is taken only where the name's rule says
 * so (net/egress_policy.h): else an allowed name that its owner makes resolve
 * to 127.0.0.1 or 10.0.0.1 would open the host's networks.
 *
 * Questions for HTTPS and SVCB records get an empty answer: their hints would
 * be addresses from the side, and their keys for Encrypted Client Hello would
 * hide the name that is looked at when the program connects. TXT, NULL and
 * anything exotic get one, too. A name below an allowed "*.example.org" can
 * still carry data to whoever serves that domain; that is in the nature of such
 * a rule.
 *
 * A pin says that an address was learnt through a name; for which ports the
 * rules say, of which each has ports and addresses of its own. It holds for the
 * answer's TTL, PIN_MIN_MS at least; connections made in that time go on. There
 * are PINS_MAX; a new one takes the place of the one that ends first.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/dns_answer.h"
#include "net/egress_policy.h"
#include "net/packet.h"

#define PINS_MAX       2048
#define PIN_MIN_MS     (5 * 60 * 1000)
#define PIN_MAX_MS     (24 * 60 * 60 * 1000)
#define NAMES_WAIT_MAX 128 /* questions without an answer */
#define NAMES_WAIT_MS  15000

struct egress_names;

struct egress_names *egress_names_new(const struct egress_policy *policy);
void egress_names_free(struct egress_names *names);

enum names_verdict {
	NAMES_DROP,    /* no message to answer */
	NAMES_FORWARD, /* to the resolver */
	NAMES_ANSWER,  /* to the container */
	NAMES_REFUSE,  /* likewise, by the policy */
};

struct names_message {
	uint8_t bytes[DNS_MESSAGE_MAX];
	size_t length;
	char name[DNS_NAME_MAX]; /* that was asked for */
	/* An address that was not taken, as it is private; family 0: none. */
	struct net_address_value private_address;
};

/* What becomes of a question in a datagram of packet. */
enum names_verdict egress_names_ask(struct egress_names *names,
				    const struct packet *packet, int64_t now,
				    struct names_message *ret_message);
/* The same with an answer from a resolver; true: ret_message is for the
   container. */
bool egress_names_answer(struct egress_names *names,
			 const struct packet *packet, int64_t now,
			 struct names_message *ret_message);
/* Pins whatever an answer holds, for a policy that only records. */
void egress_names_watch(struct egress_names *names, const struct packet *packet,
			int64_t now);

/* The names that address is pinned to, one after the other: start with *index
   0; NULL after the last. */
const char *egress_names_next(const struct egress_names *names,
			      const struct net_address_value *address,
			      int64_t now, size_t *index);

/* Is there an allowed rule for this name at this address, and none that denies
   it? port 0: whatever the port; address NULL: whichever it has. */
bool egress_names_allowed(const struct egress_policy *policy, const char *name,
			  const struct net_address_value *address,
			  enum egress_protocol protocol, uint16_t port);
bool egress_address_is_public(const struct net_address_value *address);
