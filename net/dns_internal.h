/* What the parts of the name server share. */
#pragma once

#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "net/dns_message.h"
#include "net/dns_server.h"

#define RESOLVERS_MAX 3 /* as resolv.conf(5) has it */

union dns_peer {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};
socklen_t dns_peer_length(const union dns_peer *peer);

/* A connection that asks, or that a question was handed on over. */
struct stream {
	int fd; /* -1: none */
	bool reading;
	uint8_t *data; /* of 2 + DNS_MESSAGE_MAX bytes, length first */
	size_t have;   /* read so far, or written */
	size_t size;   /* to be written */
	int64_t until; /* ms */
	struct net_address_value client;
};

/* A question that waits for a resolver. */
struct exchange {
	bool used;
	int fd;	    /* UDP to the resolver; -1: over upstream */
	int socket; /* where the question came from; -1: from asker */
	union dns_peer peer;
	struct stream *asker;
	struct stream upstream;
	struct net_address_value client;
	uint16_t id, own_id;
	size_t size; /* of the question */
	uint8_t question[DNS_UDP_SIZE_MAX];
	unsigned int tries;
	union dns_peer resolvers[RESOLVERS_MAX]; /* its asker's own */
	size_t resolver_count;
	bool own_resolvers; /* else the host's are asked */
	int64_t until;	    /* ms */
};

/* How many datagrams were looked into in this second, by the end of the address
   they came from: alone in a network of 256. */
struct budget {
	unsigned int used;
	int64_t second; /* of clock_ms() */
};

#define DNS_BUDGETS 256

#define DNS_UDP_BATCH 32

struct dns_server {
	const struct dns_config *config;
	struct exchange exchanges[DNS_EXCHANGES_MAX];
	struct stream streams[DNS_STREAMS_MAX];
	union dns_peer resolvers[RESOLVERS_MAX];
	size_t resolver_count;
	unsigned int turn;
	int64_t resolv_changed; /* ns; of the file that was read */
	struct budget budgets[DNS_BUDGETS];
	uint8_t datagrams[DNS_UDP_BATCH][DNS_UDP_SIZE_MAX];
	uint8_t buffer[2 + DNS_MESSAGE_MAX];
};

/* Hands an answer of size bytes (after two that are free, at message + 2) to
   whoever asked. */
void dns_answer(struct dns_server *server, struct exchange *exchange,
		uint8_t *message, size_t size);

/* dns_forward.c */
/*
 * The first of texts as the exchange's resolvers; texts may be NULL. The host's
 * loopback is not what a container means by 127.0.0.1, and is not asked.
 */
void dns_set_resolvers(struct exchange *exchange, char *const *texts);
/*
 * Asks a resolver. exchange: socket, peer, asker, client, question, size and
 * resolvers are set. False: it cannot be asked now.
 */
bool dns_forward(struct dns_server *server, struct exchange *exchange);
void dns_exchange_release(struct exchange *exchange);
/* Adds what is waited for; its events are to be looked at by the next. */
size_t dns_forward_poll(struct dns_server *server, struct pollfd *fds,
			int64_t *until);
void dns_forward_event(struct dns_server *server, struct exchange *exchange,
		       short events);
void dns_forward_expire(struct dns_server *server);
