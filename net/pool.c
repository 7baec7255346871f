#include "net/pool.h"

#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>

#include "base/cleanup.h"

static bool is_reserved(const struct net_pool *pool,
			const struct net_address_value *address)
{
	if (address_equal(&pool->gateway, address))
		return true;
	for (size_t i = 0; i < pool->reserved_count; i++) {
		if (address_equal(&pool->reserved[i], address))
			return true;
	}
	return false;
}

/* The network itself, and who it is broadcast to. */
static bool is_edge(const struct net_pool *pool,
		    const struct net_address_value *address)
{
	struct net_address_value first = prefix_first(&pool->subnet);
	struct net_address_value last = prefix_last(&pool->subnet);
	bool v6 = address->family == AF_INET6;

	/* A subnet of one or two addresses has neither (RFC 3021). */
	if (pool->subnet.length + 1 >= 8 * address_size(address->family))
		return false;
	return address_equal(&first, address) ||
	       (!v6 && address_equal(&last, address));
}

int pool_check(const struct net_pool *pool,
	       const struct net_address_value *address, struct error *err)
{
	char text[ADDRESS_TEXT_MAX];
	char subnet[PREFIX_TEXT_MAX];

	address_text(address, text);
	prefix_text(&pool->subnet, subnet);
	if (address->family != pool->subnet.address.family ||
	    !prefix_contains(&pool->subnet, address))
		return err_set(err, ERROR_INVALID,
			       "address %s is not in the network's subnet %s",
			       text, subnet);
	if (is_edge(pool, address) || is_reserved(pool, address))
		return err_set(err, ERROR_CONFLICT,
			       "Address already in use: "
			       "%s is the network's own or reserved",
			       text);
	return 0;
}

bool pool_next(const struct net_pool *pool, struct net_address_value *candidate)
{
	const struct net_prefix *range =
		pool->range.length > 0 ? &pool->range : &pool->subnet;

	do {
		if (candidate->family == 0)
			*candidate = prefix_first(range);
		else if (!address_next(candidate))
			return false;
		if (!prefix_contains(range, candidate))
			return false;
	} while (is_edge(pool, candidate) || is_reserved(pool, candidate));
	return true;
}

static bool is_free(const struct net_prefix *subnet,
		    const struct net_prefix *taken, size_t taken_count)
{
	for (size_t i = 0; i < taken_count; i++) {
		if (taken[i].address.family == subnet->address.family &&
		    prefix_overlaps(&taken[i], subnet))
			return false;
	}
	return true;
}

int pool_choose_subnet(const struct net_prefix *taken, size_t taken_count,
		       struct net_prefix *ret_subnet, struct error *err)
{
	static const struct {
		uint8_t first, second, third_step;
		unsigned int count, length;
	} areas[] = {
		{172, 18, 0, 14, 16},
		{192, 168, 16, 16, 20},
	};

	for (size_t i = 0; i < ARRAY_SIZE(areas); i++) {
		for (unsigned int n = 0; n < areas[i].count; n++) {
			bool inner = areas[i].third_step > 0;
			struct net_prefix subnet = {
				.address = {.family = AF_INET,
					    .bytes = {areas[i].first}},
				.length = areas[i].length,
			};

			subnet.address.bytes[1] =
				(uint8_t)(areas[i].second + (inner ? 0 : n));
			subnet.address.bytes[2] =
				(uint8_t)(areas[i].third_step * n);
			if (is_free(&subnet, taken, taken_count)) {
				*ret_subnet = subnet;
				return 0;
			}
		}
	}
	err_set(err, ERROR_CONFLICT,
		"all predefined address pools have been fully subnetted");
	return err_hint(err, "remove networks that nobody uses (moss network "
			     "prune), or choose one with --subnet");
}

int pool_choose_subnet6(struct net_prefix *ret_subnet, struct error *err)
{
	struct net_prefix subnet = {
		.address = {.family = AF_INET6, .bytes = {0xfd}},
		.length = 64,
	};

	if (getrandom(subnet.address.bytes + 1, 5, 0) != 5)
		return err_errno(err, "cannot get random bytes");
	*ret_subnet = subnet;
	return 0;
}

void pool_mac(const struct net_address_value *address, uint8_t ret_mac[6])
{
	ret_mac[0] = 0x02;
	ret_mac[1] = 0x42;
	memcpy(ret_mac + 2, address->bytes, 4);
}
