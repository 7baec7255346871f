/*
 * UDP clients whose own address the container sees. The inner socket is bound
 * to it, and the server's answers come back to that socket because of a route
 * to the client, which is there as long as a flow of it lives.
 *
 * A datagram may name any source it likes. Only one that is reached by a
 * gateway, or not at all, is shown to the container: a route to one of its
 * neighbours, or to itself, would take real ones away from it. And a flood of
 * invented clients must not keep the kernel busy with routes: there are
 * CLIENTS_MAX at most, and new ones at a bounded rate. Who is beyond that is
 * served all the same, as the forwarder.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "net/forward_internal.h"

#define CLIENTS_MAX  1024
#define BUCKET_COUNT 256

/* New ones: so many at once, then so many a second. */
#define BURST	   1024
#define PER_SECOND 256

struct client {
	union net_address address; /* without a port */
	unsigned int holds;
	struct client *next;
};

struct clients {
	struct client *buckets[BUCKET_COUNT];
	size_t count;
	int64_t tokens; /* thousandths of a new client */
	int64_t refilled;
};

struct clients *clients_new(void)
{
	struct clients *clients = calloc(1, sizeof(*clients));

	if (clients) {
		clients->tokens = BURST * 1000;
		clients->refilled = clock_ms();
	}
	return clients;
}

static bool take_token(struct clients *clients)
{
	int64_t now = clock_ms();

	clients->tokens += (now - clients->refilled) * PER_SECOND;
	clients->refilled = now;
	if (clients->tokens > BURST * 1000)
		clients->tokens = BURST * 1000;
	if (clients->tokens < 1000)
		return false;
	clients->tokens -= 1000;
	return true;
}

static union net_address without_port(const union net_address *client)
{
	union net_address address = {0};

	address.any.sa_family = client->any.sa_family;
	if (client->any.sa_family == AF_INET6)
		address.v6.sin6_addr = client->v6.sin6_addr;
	else
		address.v4.sin_addr = client->v4.sin_addr;
	return address;
}

/* The link at which it is, or could be. A chain is short: there are few. */
static struct client **find(struct clients *clients,
			    const union net_address *address)
{
	const unsigned char *bytes = (const unsigned char *)address;
	struct client **link;
	unsigned int hash = 0;

	for (size_t i = 0; i < sizeof(address->v6); i++)
		hash = hash * 31 + bytes[i];
	link = &clients->buckets[hash % BUCKET_COUNT];
	while (*link && memcmp(&(*link)->address.v6, &address->v6,
			       sizeof(address->v6)) != 0)
		link = &(*link)->next;
	return link;
}

bool clients_hold(struct forwarder *forwarder, const union net_address *client)
{
	struct clients *clients = forwarder->clients;
	const union net_address address = without_port(client);
	struct client **link;

	if (!clients || forwarder->hides_datagrams ||
	    !forward_keeps_address(forwarder, client, client->any.sa_family))
		return false;
	link = find(clients, &address);
	if (*link) {
		(*link)->holds++;
		return true;
	}
	if (clients->count >= CLIENTS_MAX || !take_token(clients) ||
	    !forward_route_is_far(forwarder, &address) ||
	    forward_route_client(forwarder, &address, true) < 0)
		return false;
	*link = calloc(1, sizeof(**link));
	if (!*link) {
		(void)forward_route_client(forwarder, &address, false);
		return false;
	}
	(*link)->address = address;
	(*link)->holds = 1;
	clients->count++;
	return true;
}

void clients_release(struct forwarder *forwarder,
		     const union net_address *client)
{
	const union net_address address = without_port(client);
	struct client **link = find(forwarder->clients, &address);
	struct client *held = *link;

	if (!held || --held->holds > 0)
		return;
	*link = held->next;
	free(held);
	forwarder->clients->count--;
	(void)forward_route_client(forwarder, &address, false);
}
