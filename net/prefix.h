/*
 * Addresses and prefixes of both families as values. Host bits of a prefix are
 * kept as given: "172.18.5.1/16" is what a user writes who means 172.18.0.0/16;
 * prefix_mask() cuts them off.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ADDRESS_TEXT_MAX 46
#define PREFIX_TEXT_MAX	 (ADDRESS_TEXT_MAX + 4)

struct net_address_value {
	int family;	   /* AF_INET, AF_INET6; 0: none */
	uint8_t bytes[16]; /* 4 of them with AF_INET, the rest is zero */
};

struct net_prefix {
	struct net_address_value address;
	unsigned int length; /* bits */
};

/* false for anything but an address or ADDRESS/BITS; outputs untouched then. */
bool address_parse(const char *text, struct net_address_value *ret_address);
bool prefix_parse(const char *text, struct net_prefix *ret_prefix);
void address_text(const struct net_address_value *address,
		  char ret_text[ADDRESS_TEXT_MAX]);
void prefix_text(const struct net_prefix *prefix,
		 char ret_text[PREFIX_TEXT_MAX]);

size_t address_size(int family); /* bytes */
bool address_equal(const struct net_address_value *a,
		   const struct net_address_value *b);
/* The next one; false (and all zero bytes) after the last of the family. */
bool address_next(struct net_address_value *address);

struct net_prefix prefix_mask(const struct net_prefix *prefix);
bool prefix_contains(const struct net_prefix *prefix,
		     const struct net_address_value *address);
bool prefix_overlaps(const struct net_prefix *a, const struct net_prefix *b);
/* Is all of `inner` in `outer`? */
bool prefix_within(const struct net_prefix *inner,
		   const struct net_prefix *outer);
struct net_address_value prefix_first(const struct net_prefix *prefix);
struct net_address_value prefix_last(const struct net_prefix *prefix);
