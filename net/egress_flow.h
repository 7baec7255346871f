/*
 * Connections that a policy was asked about, by protocol, addresses and ports,
 * so that the rules are not looked through for every packet. Bounded: a new one
 * takes the place of the one longest unused, whose packets are then judged
 * anew. That never lets anything through which the rules would not.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/egress_body.h"
#include "net/packet.h"

#define EGRESS_FLOWS_MAX 8192

enum flow_state {
	FLOW_OPEN,   /* everything may pass */
	FLOW_ASKED,  /* TCP, to be checked: libslirp has not answered the SYN */
	FLOW_HELD,   /* its first bytes wait until they say whom they are for */
	FLOW_PASSED, /* they went to libslirp, which has not acknowledged them
		      */
	FLOW_HTTP,   /* request by request */
};

/* Of the container's side and the other one. */
struct flow_key {
	struct net_address_value ours, theirs;
	uint16_t our_port, their_port;
	bool udp;
};

struct flow_hold; /* of net/egress_tcp.c */

struct flow {
	struct flow_key key;
	enum flow_state state;
	int64_t used_ms;
	uint32_t start; /* the sequence number of the first byte */
	uint32_t next;	/* of the next byte that may come */
	uint32_t edge;	/* where the window ends that libslirp offered last */
	struct egress_body body; /* of HTTP, up to next or what is held */
	struct flow_hold *hold;
	uint32_t chain, newer, older; /* indices, for the table */
};

struct flow_table;

struct flow_table *flow_table_new(void (*release)(struct flow *flow));
void flow_table_free(struct flow_table *table);

void flow_key_set(struct flow_key *ret_key, const struct packet_path *path,
		  bool from_container, bool udp);
/* Moves it to the end of those to be forgotten; NULL: none. ret_used: when it
   was last found. */
struct flow *flow_find(struct flow_table *table, const struct flow_key *key,
		       int64_t now, int64_t *ret_used);
/* A new one, which was not there; the pointer is good until the next call. */
struct flow *flow_add(struct flow_table *table, const struct flow_key *key,
		      int64_t now);
void flow_remove(struct flow_table *table, struct flow *flow);
