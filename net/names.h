/*
 * Who has which name on which network, for the name server of one of them.
 *
 * Read from networks/NAME/endpoints/ID, a file for each container on the
 * network, which its monitor writes and holds locked as long as it is there:
 *
 *   {"Names": ["web", …], "Address": "172.18.0.2", "Address6": "",
 *    "Forward": true, "Routed": false, "Dns": [], …}
 *
 * (the rest: core/monitor/networks.h). A directory is read anew when it has
 * changed; that an endpoint is still held is asked for with each answer, so
 * that the name of a container whose monitor was killed is gone with it.
 *
 * A container hears of the containers on all of its networks, whichever name
 * server it asks, and is known by the address that it asks from. It may ask for
 * names of the world (Forward) when one of its networks has a way out. One that
 * has a way out of its own (Routed) has a name server of its own for them.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"
#include "net/prefix.h"

#define NAMES_ADDRESSES_MAX 128 /* in one answer */

struct names;

/* directory_fd: networks/; stays the caller's. network: whose server asks. */
struct names *names_new(int directory_fd, const char *network);
void names_free(struct names *names);

/* Who asks; false: nobody of this network's. Good until the next call. */
struct names_client;
const struct names_client *
names_client(struct names *names, const struct net_address_value *address);
bool names_may_forward(const struct names_client *client);
bool names_is_routed(const struct names_client *client);
/* Whom names of the world are asked for (--dns); empty: the host's. */
char *const *names_resolvers(const struct names_client *client);

/*
 * The addresses behind a name ("web", "web.backend"; lower case), those of the
 * next container first with each call. False: no container has it.
 */
bool names_find(struct names *names, const struct names_client *client,
		const char *name,
		struct net_address_value ret_addresses[NAMES_ADDRESSES_MAX],
		size_t *ret_count);
/* Its first name with the network's behind it; caller frees; NULL: nobody's. */
char *names_reverse(struct names *names, const struct names_client *client,
		    const struct net_address_value *address);

/* Is any container on the network? */
bool names_any(struct names *names);
