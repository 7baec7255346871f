/*
 * The addresses in a resolver's answer: those of the name that was asked for,
 * CNAMEs followed as far as the answer itself has them. The answer comes from
 * outside: every length is checked, nothing is allocated, compression pointers
 * (RFC 1035, section 4.1.4) lead backwards only, and records that belong to no
 * name of the chain do not count.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "net/dns_message.h"

#define DNS_ADDRESSES_MAX 64
#define DNS_RECORDS_MAX	  256 /* looked at */
#define DNS_CHAIN_MAX	  16  /* CNAMEs */

struct dns_addresses {
	char name[DNS_NAME_MAX]; /* asked for: lower case, no dot at the end */
	uint16_t type;
	enum dns_code code;
	struct net_address_value addresses[DNS_ADDRESSES_MAX];
	size_t count;
	uint32_t ttl; /* the least of the chain; 0 without addresses */
};

/* 0, or -1 when it is no well-formed answer to one question. */
int dns_addresses_parse(const uint8_t *message, size_t length,
			struct dns_addresses *ret_addresses);
