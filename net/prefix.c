#include "net/prefix.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"

size_t address_size(int family)
{
	return family == AF_INET6 ? 16 : 4;
}

bool address_parse(const char *text, struct net_address_value *ret_address)
{
	struct net_address_value address = {
		.family = strchr(text, ':') ? AF_INET6 : AF_INET,
	};

	if (inet_pton(address.family, text, address.bytes) != 1)
		return false;
	*ret_address = address;
	return true;
}

bool prefix_parse(const char *text, struct net_prefix *ret_prefix)
{
	const char *slash = strchr(text, '/');
	char address[ADDRESS_TEXT_MAX];
	struct net_prefix prefix = {0};
	uint64_t length;

	if (!slash || (size_t)(slash - text) >= sizeof(address))
		return false;
	memcpy(address, text, (size_t)(slash - text));
	address[slash - text] = '\0';
	if (!address_parse(address, &prefix.address) ||
	    parse_u64(slash + 1, &length) < 0 ||
	    length > 8 * address_size(prefix.address.family))
		return false;
	prefix.length = (unsigned int)length;
	*ret_prefix = prefix;
	return true;
}

void address_text(const struct net_address_value *address,
		  char ret_text[ADDRESS_TEXT_MAX])
{
	if (!inet_ntop(address->family, address->bytes, ret_text,
		       ADDRESS_TEXT_MAX))
		ret_text[0] = '\0';
}

void prefix_text(const struct net_prefix *prefix,
		 char ret_text[PREFIX_TEXT_MAX])
{
	char address[ADDRESS_TEXT_MAX];

	address_text(&prefix->address, address);
	snprintf(ret_text, PREFIX_TEXT_MAX, "%s/%u", address,
		 prefix->length % 1000);
}

bool address_equal(const struct net_address_value *a,
		   const struct net_address_value *b)
{
	return a->family == b->family &&
	       memcmp(a->bytes, b->bytes, address_size(a->family)) == 0;
}

bool address_next(struct net_address_value *address)
{
	for (size_t i = address_size(address->family); i > 0; i--) {
		if (++address->bytes[i - 1] != 0)
			return true;
	}
	return false;
}

/* Sets the bits past the prefix's length. */
static struct net_address_value with_host_bits(const struct net_prefix *prefix,
					       bool value)
{
	struct net_address_value address = prefix->address;
	size_t bits = 8 * address_size(address.family);

	for (size_t i = prefix->length; i < bits; i++) {
		uint8_t bit = (uint8_t)(0x80u >> i % 8);

		if (value)
			address.bytes[i / 8] |= bit;
		else
			address.bytes[i / 8] &= (uint8_t)~bit;
	}
	return address;
}

struct net_address_value prefix_first(const struct net_prefix *prefix)
{
	return with_host_bits(prefix, false);
}

struct net_address_value prefix_last(const struct net_prefix *prefix)
{
	return with_host_bits(prefix, true);
}

struct net_prefix prefix_mask(const struct net_prefix *prefix)
{
	return (struct net_prefix){
		.address = prefix_first(prefix),
		.length = prefix->length,
	};
}

bool prefix_contains(const struct net_prefix *prefix,
		     const struct net_address_value *address)
{
	const struct net_prefix other = {*address, prefix->length};
	struct net_address_value a = prefix_first(prefix);
	struct net_address_value b = prefix_first(&other);

	return address_equal(&a, &b);
}

bool prefix_within(const struct net_prefix *inner,
		   const struct net_prefix *outer)
{
	return inner->length >= outer->length &&
	       prefix_contains(outer, &inner->address);
}

bool prefix_overlaps(const struct net_prefix *a, const struct net_prefix *b)
{
	return prefix_within(a, b) || prefix_within(b, a);
}
