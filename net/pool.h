/*
 * Which address a container of a network gets: the lowest free one of the
 * network's range, as docker has it. The network's own address, the broadcast
 * address (IPv4), the gateway and reserved addresses are nobody's.
 *
 * Who has an address already is the caller's to know: pool_next() names the
 * candidates one by one, and the caller claims.
 */
#pragma once

#include "base/error.h"
#include "net/prefix.h"

/* How many a network may name; after this many candidates it is full. */
#define POOL_RESERVED_MAX   256
#define POOL_CANDIDATES_MAX 65536

struct net_pool {
	struct net_prefix subnet;
	struct net_prefix range;	  /* within it; length 0: all of it */
	struct net_address_value gateway; /* family 0: none */
	struct net_address_value reserved[POOL_RESERVED_MAX];
	size_t reserved_count;
};

/* May a container have this one? ERROR_INVALID says why not. */
int pool_check(const struct net_pool *pool,
	       const struct net_address_value *address, struct error *err);
/*
 * The first candidate when *candidate has family 0, else the one after it.
 * false when there are no more.
 */
bool pool_next(const struct net_pool *pool,
	       struct net_address_value *candidate);

/*
 * A subnet for a network that names none: docker's, 172.18.0.0/16 …
 * 172.31.0.0/16, then 192.168.0.0/20 …; the first that overlaps none of taken.
 */
int pool_choose_subnet(const struct net_prefix *taken, size_t taken_count,
		       struct net_prefix *ret_subnet, struct error *err);
/* fdXX:XXXX:XXXX::/64 at random (RFC 4193, section 3.2). */
int pool_choose_subnet6(struct net_prefix *ret_subnet, struct error *err);

/* 02:42 and the IPv4 address, as docker has it. */
void pool_mac(const struct net_address_value *address, uint8_t ret_mac[6]);
