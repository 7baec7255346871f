#include "net/dns_server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "net/dns_internal.h"

#define SOCKETS_MAX 8

static struct net_address_value address_of(const union dns_peer *peer)
{
	struct net_address_value address = {.family = peer->any.sa_family};

	if (address.family == AF_INET6)
		memcpy(address.bytes, &peer->v6.sin6_addr, 16);
	else
		memcpy(address.bytes, &peer->v4.sin_addr, 4);
	return address;
}

static void stream_close(struct dns_server *server, struct stream *stream)
{
	for (size_t i = 0; i < DNS_EXCHANGES_MAX; i++) {
		struct exchange *exchange = &server->exchanges[i];

		if (exchange->used && exchange->asker == stream)
			dns_exchange_release(exchange);
	}
	close_fd(&stream->fd);
	free(stream->data);
	stream->data = NULL;
}

void dns_answer(struct dns_server *server, struct exchange *exchange,
		uint8_t *message, size_t size)
{
	struct stream *stream = exchange->asker;

	if (!stream) {
		/* What is lost is asked for again. */
		(void)sendto(exchange->socket, message + 2, size, MSG_NOSIGNAL,
			     &exchange->peer.any,
			     dns_peer_length(&exchange->peer));
		return;
	}
	message[0] = (uint8_t)(size >> 8);
	message[1] = (uint8_t)size;
	memcpy(stream->data, message, 2 + size);
	stream->size = 2 + size;
	stream->have = 0;
	stream->reading = false;
	stream->until = clock_ms() + DNS_STREAM_MS;
}

/* ---- what we know ourselves ---- */

static bool is_ours(const struct dns_server *server,
		    const struct net_address_value *address)
{
	for (size_t i = 0; i < ARRAY_SIZE(server->config->subnets); i++) {
		if (prefix_contains(&server->config->subnets[i], address))
			return true;
	}
	return false;
}

/* False: somebody else is to be asked. */
static bool answer_pointer(struct dns_server *server,
			   const struct names_client *client,
			   const struct dns_query *query,
			   struct dns_answer *answer, char **ret_name)
{
	struct net_address_value address;

	if (!dns_parse_reverse(query->name, &address))
		return false;
	*ret_name = names_reverse(server->config->names, client, &address);
	answer->pointer = *ret_name;
	if (!*ret_name && is_ours(server, &address))
		answer->code = DNS_NO_SUCH_NAME;
	return *ret_name || is_ours(server, &address);
}

/*
 * To who has another name server "no such name" would be the last word, as
 * programs ask both at once (musl) or one after the other (glibc).
 */
static enum dns_code unknown_code(bool routed, const char *name)
{
	return routed && strchr(name, '.') ? DNS_REFUSED : DNS_NO_SUCH_NAME;
}

/*
 * The size of the answer at server->buffer + 2; 0: none; -1: a resolver is to
 * be asked.
 */
static ssize_t answer_here(struct dns_server *server,
			   const struct net_address_value *address,
			   const uint8_t *message, size_t size, size_t room)
{
	struct net_address_value addresses[NAMES_ADDRESSES_MAX];
	struct names *names = server->config->names;
	struct dns_answer answer = {.addresses = addresses, .ttl = DNS_TTL};
	cleanup_free char *pointer = NULL;
	const struct names_client *client;
	struct dns_query query;
	bool forward, routed;
	bool known;
	int r = dns_parse(message, size, &query);

	if (r < 0)
		return 0;
	answer.code = (enum dns_code)r;
	client = r == 0 ? names_client(names, address) : NULL;
	if (r == 0 && !client)
		return 0;
	if (client) {
		forward = names_may_forward(client);
		routed = names_is_routed(client);
		known = query.type == DNS_TYPE_PTR
				? answer_pointer(server, client, &query,
						 &answer, &pointer)
				: names_find(names, client, query.name,
					     addresses, &answer.address_count);
		if (!known && forward)
			return -1;
		if (!known)
			answer.code = unknown_code(routed, query.name);
	}
	if (room == DNS_UDP_SIZE)
		room = query.answer_size;
	return (ssize_t)dns_build(&query, message, &answer, server->buffer + 2,
				  room);
}

static struct exchange *free_exchange(struct dns_server *server)
{
	for (size_t i = 0; i < DNS_EXCHANGES_MAX; i++) {
		if (!server->exchanges[i].used)
			return &server->exchanges[i];
	}
	return NULL;
}

/* False when it has to be said that nobody can tell. */
static bool forward(struct dns_server *server, const struct exchange *origin,
		    const uint8_t *message, size_t size)
{
	struct exchange *exchange = free_exchange(server);
	const struct names_client *client;

	if (!exchange || size > sizeof(exchange->question))
		return false;
	exchange->socket = origin->socket;
	exchange->peer = origin->peer;
	exchange->asker = origin->asker;
	exchange->client = origin->client;
	exchange->size = size;
	memcpy(exchange->question, message, size);
	client = names_client(server->config->names, &origin->client);
	dns_set_resolvers(exchange, client ? names_resolvers(client) : NULL);
	return dns_forward(server, exchange);
}

/* origin: socket, peer, asker and client. */
static void handle(struct dns_server *server, struct exchange *origin,
		   const uint8_t *message, size_t size)
{
	const struct dns_answer failure = {.code = DNS_SERVER_FAILURE};
	struct dns_query query;
	ssize_t length =
		answer_here(server, &origin->client, message, size,
			    origin->asker ? DNS_MESSAGE_MAX : DNS_UDP_SIZE);

	if (length < 0) {
		if (forward(server, origin, message, size))
			return;
		if (dns_parse(message, size, &query) != 0)
			return;
		length = (ssize_t)dns_build(&query, message, &failure,
					    server->buffer + 2, DNS_UDP_SIZE);
	}
	if (length > 0)
		dns_answer(server, origin, server->buffer, (size_t)length);
}

/* ---- who asks ---- */

static bool within_budget(struct dns_server *server,
			  const struct net_address_value *client)
{
	size_t size = address_size(client->family);
	struct budget *budget = &server->budgets[(client->bytes[size - 1] ^
						  client->bytes[size - 2]) %
						 DNS_BUDGETS];
	int64_t second = clock_ms() / 1000;

	if (budget->second != second)
		*budget = (struct budget){.second = second};
	return budget->used++ < DNS_CLIENT_RATE;
}

/* One call for many: what is dropped must not cost what an answer costs. */
static void receive_datagrams(struct dns_server *server, int fd)
{
	union dns_peer peers[DNS_UDP_BATCH];
	struct mmsghdr messages[DNS_UDP_BATCH] = {0};
	struct iovec iovs[DNS_UDP_BATCH];
	int count;

	for (size_t i = 0; i < DNS_UDP_BATCH; i++) {
		iovs[i] = (struct iovec){server->datagrams[i],
					 sizeof(server->datagrams[i])};
		messages[i].msg_hdr = (struct msghdr){
			.msg_name = &peers[i],
			.msg_namelen = sizeof(peers[i]),
			.msg_iov = &iovs[i],
			.msg_iovlen = 1,
		};
	}
	count = recvmmsg(fd, messages, DNS_UDP_BATCH, MSG_DONTWAIT, NULL);
	for (int i = 0; i < count; i++) {
		struct net_address_value client = address_of(&peers[i]);

		if (within_budget(server, &client))
			handle(server,
			       &(struct exchange){.socket = fd,
						  .peer = peers[i],
						  .client = client},
			       server->datagrams[i], messages[i].msg_len);
	}
}

static void accept_stream(struct dns_server *server, int fd)
{
	union dns_peer peer;
	socklen_t length = sizeof(peer);
	int stream_fd =
		accept4(fd, &peer.any, &length, SOCK_CLOEXEC | SOCK_NONBLOCK);
	size_t same = 0;
	struct stream *room = NULL;

	if (stream_fd < 0)
		return;
	for (size_t i = 0; i < DNS_STREAMS_MAX; i++) {
		struct stream *stream = &server->streams[i];
		struct net_address_value client = address_of(&peer);

		if (stream->fd < 0)
			room = stream;
		else
			same += address_equal(&stream->client, &client);
	}
	/* One container does not take them all. */
	if (!room || same >= DNS_STREAMS_MAX / 4) {
		close(stream_fd);
		return;
	}
	*room = (struct stream){
		.fd = stream_fd,
		.reading = true,
		.data = xcalloc(1, 2 + DNS_MESSAGE_MAX),
		.until = clock_ms() + DNS_STREAM_MS,
		.client = address_of(&peer),
	};
}

static void read_stream(struct dns_server *server, struct stream *stream)
{
	struct exchange origin = {
		.socket = -1, .asker = stream, .client = stream->client};
	uint8_t message[DNS_UDP_SIZE_MAX];
	size_t wanted = 2;
	size_t size;
	ssize_t n;

	if (stream->have >= 2)
		wanted += (size_t)(stream->data[0] << 8 | stream->data[1]);
	n = recv(stream->fd, stream->data + stream->have, wanted - stream->have,
		 0);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		stream_close(server, stream);
		return;
	}
	stream->have += (size_t)n;
	if (stream->have < 2)
		return;
	size = (size_t)(stream->data[0] << 8 | stream->data[1]);
	if (size < DNS_HEADER_SIZE || size > sizeof(message)) {
		stream_close(server, stream);
		return;
	}
	if (stream->have < 2 + size)
		return;
	memcpy(message, stream->data + 2, size);
	/* Until there is an answer to write, it is only watched for its end. */
	stream->reading = false;
	stream->have = stream->size = 0;
	handle(server, &origin, message, size);
}

static void write_stream(struct dns_server *server, struct stream *stream)
{
	ssize_t n = send(stream->fd, stream->data + stream->have,
			 stream->size - stream->have, MSG_NOSIGNAL);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0) {
		stream_close(server, stream);
		return;
	}
	stream->have += (size_t)n;
	if (stream->have < stream->size)
		return;
	/* The next question on the same connection. */
	stream->reading = true;
	stream->have = stream->size = 0;
	stream->until = clock_ms() + DNS_STREAM_MS;
}

static short stream_events(const struct stream *stream)
{
	if (stream->reading)
		return POLLIN;
	return stream->size > 0 ? POLLOUT : 0;
}

static void stream_event(struct dns_server *server, struct stream *stream,
			 short events)
{
	if (stream->fd < 0 || events == 0)
		return;
	if (stream->reading)
		read_stream(server, stream);
	else if (stream->size > 0)
		write_stream(server, stream);
	else
		stream_close(server, stream);
}

/* ---- the loop ---- */

struct polls {
	struct pollfd sockets[SOCKETS_MAX];
	struct pollfd wake;
	struct pollfd streams[DNS_STREAMS_MAX];
	struct pollfd exchanges[DNS_EXCHANGES_MAX];
};

/* Until when (ms; -1: for ever) there is nothing to do without an event. */
static int64_t prepare(struct dns_server *server, struct polls *polls)
{
	const struct dns_config *config = server->config;
	int64_t until = -1;

	for (size_t i = 0; i < SOCKETS_MAX; i++)
		polls->sockets[i] = (struct pollfd){
			i < config->socket_count ? config->sockets[i] : -1,
			POLLIN, 0};
	polls->wake = (struct pollfd){config->wake_fd, POLLIN, 0};
	for (size_t i = 0; i < DNS_STREAMS_MAX; i++) {
		const struct stream *stream = &server->streams[i];

		polls->streams[i] =
			(struct pollfd){stream->fd, stream_events(stream), 0};
		if (stream->fd >= 0 && (until < 0 || stream->until < until))
			until = stream->until;
	}
	dns_forward_poll(server, polls->exchanges, &until);
	return until;
}

static void serve_events(struct dns_server *server, const struct polls *polls)
{
	int64_t now;

	for (size_t i = 0; i < DNS_EXCHANGES_MAX; i++)
		dns_forward_event(server, &server->exchanges[i],
				  polls->exchanges[i].revents);
	for (size_t i = 0; i < DNS_STREAMS_MAX; i++)
		stream_event(server, &server->streams[i],
			     polls->streams[i].revents);
	for (size_t i = 0; i < SOCKETS_MAX; i++) {
		if (!polls->sockets[i].revents)
			continue;
		if (i % 2)
			accept_stream(server, polls->sockets[i].fd);
		else
			receive_datagrams(server, polls->sockets[i].fd);
	}
	dns_forward_expire(server);
	now = clock_ms();
	for (size_t i = 0; i < DNS_STREAMS_MAX; i++) {
		if (server->streams[i].fd >= 0 &&
		    server->streams[i].until <= now)
			stream_close(server, &server->streams[i]);
	}
}

/* Reads what woke us, whatever it is. */
static void drain(int fd)
{
	char data[4096];

	while (read(fd, data, sizeof(data)) > 0)
		;
}

void dns_serve(const struct dns_config *config)
{
	struct dns_server *server = xcalloc(1, sizeof(*server));
	struct polls *polls = xcalloc(1, sizeof(*polls));
	int64_t look_at = clock_ms() + config->grace_ms;

	server->config = config;
	for (size_t i = 0; i < DNS_STREAMS_MAX; i++)
		server->streams[i].fd = -1;
	for (;;) {
		int64_t until = prepare(server, polls);
		int64_t wait;

		if (look_at >= 0 && (until < 0 || look_at < until))
			until = look_at;
		wait = until < 0 ? -1 : until - clock_ms();
		if (until >= 0 && wait < 0)
			wait = 0;
		poll((struct pollfd *)(void *)polls,
		     sizeof(*polls) / sizeof(struct pollfd), (int)wait);
		serve_events(server, polls);
		/* Somebody came or went: in a while we look who is there. */
		if (polls->wake.revents) {
			drain(config->wake_fd);
			look_at = clock_ms() + config->grace_ms;
		} else if (look_at >= 0 && clock_ms() >= look_at) {
			if (!names_any(config->names))
				break;
			look_at = -1;
		}
	}
	free(polls);
	free(server);
}
