#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/str.h"
#include "net/dns_internal.h"

#define RESOLV_CONF	"/etc/resolv.conf"
#define RESOLV_CONF_MAX (64u << 10)
#define PORT_DNS	53

socklen_t dns_peer_length(const union dns_peer *peer)
{
	return peer->any.sa_family == AF_INET6 ? sizeof(peer->v6)
					       : sizeof(peer->v4);
}

static bool parse_resolver(const char *text, union dns_peer *ret_peer)
{
	struct net_address_value address;
	union dns_peer peer = {0};

	if (!address_parse(text, &address))
		return false;
	peer.any.sa_family = (sa_family_t)address.family;
	if (address.family == AF_INET6) {
		memcpy(&peer.v6.sin6_addr, address.bytes, 16);
		peer.v6.sin6_port = htons(PORT_DNS);
	} else {
		memcpy(&peer.v4.sin_addr, address.bytes, 4);
		peer.v4.sin_port = htons(PORT_DNS);
	}
	*ret_peer = peer;
	return true;
}

/* The host's file changes when its networks do. */
static void read_resolvers(struct dns_server *server)
{
	cleanup_free char *text = NULL;
	struct stat st;
	int64_t changed;
	char *rest = NULL;

	if (stat(RESOLV_CONF, &st) < 0) {
		server->resolver_count = 0;
		server->resolv_changed = 0;
		return;
	}
	changed = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec +
		  (int64_t)st.st_ino;
	if (changed == server->resolv_changed ||
	    file_read_at(AT_FDCWD, RESOLV_CONF, RESOLV_CONF_MAX, &text, NULL,
			 NULL) < 0)
		return;
	server->resolv_changed = changed;
	server->resolver_count = 0;
	for (char *line = strtok_r(text, "\n", &rest); line;
	     line = strtok_r(NULL, "\n", &rest)) {
		char *word_rest = NULL;
		const char *keyword = strtok_r(line, " \t\r", &word_rest);
		const char *value = strtok_r(NULL, " \t\r", &word_rest);

		if (value && str_equal(keyword, "nameserver") &&
		    server->resolver_count < RESOLVERS_MAX &&
		    parse_resolver(value,
				   &server->resolvers[server->resolver_count]))
			server->resolver_count++;
	}
}

static bool is_loopback(const union dns_peer *peer)
{
	const struct in6_addr *v6 = &peer->v6.sin6_addr;

	if (peer->any.sa_family == AF_INET6)
		return IN6_IS_ADDR_LOOPBACK(v6) || IN6_IS_ADDR_V4MAPPED(v6) ||
		       IN6_IS_ADDR_UNSPECIFIED(v6);
	return ntohl(peer->v4.sin_addr.s_addr) >> 24 == 127 ||
	       peer->v4.sin_addr.s_addr == 0;
}

void dns_set_resolvers(struct exchange *exchange, char *const *texts)
{
	size_t count = 0;

	exchange->own_resolvers = texts && texts[0];
	for (size_t i = 0; texts && texts[i] && count < RESOLVERS_MAX; i++) {
		union dns_peer *peer = &exchange->resolvers[count];

		if (parse_resolver(texts[i], peer) && !is_loopback(peer))
			count++;
	}
	exchange->resolver_count = count;
}

static void stream_release(struct stream *stream)
{
	close_fd(&stream->fd);
	free(stream->data);
	stream->data = NULL;
}

void dns_exchange_release(struct exchange *exchange)
{
	close_fd(&exchange->fd);
	stream_release(&exchange->upstream);
	exchange->used = false;
}

static bool send_datagram(struct exchange *exchange,
			  const union dns_peer *resolver)
{
	exchange->fd = socket(resolver->any.sa_family,
			      SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	return exchange->fd >= 0 &&
	       connect(exchange->fd, &resolver->any,
		       dns_peer_length(resolver)) == 0 &&
	       send(exchange->fd, exchange->question, exchange->size,
		    MSG_NOSIGNAL) == (ssize_t)exchange->size;
}

static bool open_stream(struct exchange *exchange,
			const union dns_peer *resolver)
{
	struct stream *stream = &exchange->upstream;

	stream->fd = socket(resolver->any.sa_family,
			    SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (stream->fd < 0 || (connect(stream->fd, &resolver->any,
				       dns_peer_length(resolver)) < 0 &&
			       errno != EINPROGRESS))
		return false;
	stream->data = xcalloc(1, 2 + DNS_MESSAGE_MAX);
	stream->data[0] = (uint8_t)(exchange->size >> 8);
	stream->data[1] = (uint8_t)exchange->size;
	memcpy(stream->data + 2, exchange->question, exchange->size);
	stream->size = 2 + exchange->size;
	stream->have = 0;
	stream->reading = false;
	return true;
}

/* The next try; false after the last. */
static bool ask(struct dns_server *server, struct exchange *exchange)
{
	const union dns_peer *resolvers = exchange->resolvers;
	size_t count = exchange->resolver_count;

	if (!exchange->own_resolvers) {
		read_resolvers(server);
		resolvers = server->resolvers;
		count = server->resolver_count;
	}
	while (count > 0 && exchange->tries < DNS_TRIES) {
		const union dns_peer *resolver =
			&resolvers[exchange->tries++ % count];
		bool asked;

		close_fd(&exchange->fd);
		stream_release(&exchange->upstream);
		asked = exchange->asker ? open_stream(exchange, resolver)
					: send_datagram(exchange, resolver);
		exchange->until = clock_ms() + DNS_TRY_MS;
		if (asked)
			return true;
	}
	return false;
}

bool dns_forward(struct dns_server *server, struct exchange *exchange)
{
	size_t count = 0;

	for (size_t i = 0; i < DNS_EXCHANGES_MAX; i++) {
		const struct exchange *other = &server->exchanges[i];

		count += other->used && other != exchange &&
			 address_equal(&other->client, &exchange->client);
	}
	if (count >= DNS_CLIENT_MAX ||
	    getrandom(&exchange->own_id, sizeof(exchange->own_id), 0) !=
		    sizeof(exchange->own_id))
		return false;
	exchange->used = true;
	exchange->tries = 0;
	exchange->fd = -1;
	exchange->upstream = (struct stream){.fd = -1};
	exchange->id =
		(uint16_t)(exchange->question[0] << 8 | exchange->question[1]);
	exchange->question[0] = (uint8_t)(exchange->own_id >> 8);
	exchange->question[1] = (uint8_t)exchange->own_id;
	if (ask(server, exchange))
		return true;
	dns_exchange_release(exchange);
	exchange->question[0] = (uint8_t)(exchange->id >> 8);
	exchange->question[1] = (uint8_t)exchange->id;
	return false;
}

/* Nobody has an answer. */
static void give_up(struct dns_server *server, struct exchange *exchange)
{
	const struct dns_answer answer = {.code = DNS_SERVER_FAILURE};
	struct dns_query query;
	size_t size;

	exchange->question[0] = (uint8_t)(exchange->id >> 8);
	exchange->question[1] = (uint8_t)exchange->id;
	if (dns_parse(exchange->question, exchange->size, &query) < 0) {
		dns_exchange_release(exchange);
		return;
	}
	size = dns_build(&query, exchange->question, &answer,
			 server->buffer + 2, DNS_UDP_SIZE);
	dns_answer(server, exchange, server->buffer, size);
	dns_exchange_release(exchange);
}

static void ask_next(struct dns_server *server, struct exchange *exchange)
{
	if (!ask(server, exchange))
		give_up(server, exchange);
}

size_t dns_forward_poll(struct dns_server *server, struct pollfd *fds,
			int64_t *until)
{
	for (size_t i = 0; i < DNS_EXCHANGES_MAX; i++) {
		const struct exchange *exchange = &server->exchanges[i];

		fds[i] = (struct pollfd){.fd = -1};
		if (!exchange->used)
			continue;
		if (exchange->fd >= 0)
			fds[i] = (struct pollfd){exchange->fd, POLLIN, 0};
		else
			fds[i] = (struct pollfd){
				exchange->upstream.fd,
				exchange->upstream.reading ? POLLIN : POLLOUT,
				0};
		if (*until < 0 || exchange->until < *until)
			*until = exchange->until;
	}
	return DNS_EXCHANGES_MAX;
}

/* Is it the answer to what we asked? */
static bool is_answer(const struct exchange *exchange, const uint8_t *message,
		      size_t size)
{
	return size >= DNS_HEADER_SIZE && (message[2] & 0x80) &&
	       message[0] == exchange->question[0] &&
	       message[1] == exchange->question[1];
}

static void hand_back(struct dns_server *server, struct exchange *exchange,
		      uint8_t *message, size_t size)
{
	message[2] = (uint8_t)(exchange->id >> 8);
	message[3] = (uint8_t)exchange->id;
	dns_answer(server, exchange, message, size);
	dns_exchange_release(exchange);
}

static void receive_datagram(struct dns_server *server,
			     struct exchange *exchange)
{
	uint8_t *message = server->buffer;
	ssize_t size = recv(exchange->fd, message + 2, DNS_MESSAGE_MAX, 0);

	if (size < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	/* Nobody listens there. */
	if (size < 0)
		ask_next(server, exchange);
	else if (is_answer(exchange, message + 2, (size_t)size))
		hand_back(server, exchange, message, (size_t)size);
}

/* 1: all is there, 0: not yet, -1: it broke. */
static int stream_step(struct stream *stream)
{
	size_t wanted = stream->size;
	ssize_t n;

	if (stream->reading) {
		wanted = stream->have < 2 ? 2
					  : 2 + (size_t)(stream->data[0] << 8 |
							 stream->data[1]);
		n = recv(stream->fd, stream->data + stream->have,
			 wanted - stream->have, 0);
	} else {
		n = send(stream->fd, stream->data + stream->have,
			 wanted - stream->have, MSG_NOSIGNAL);
	}
	if (n < 0)
		return errno == EAGAIN || errno == EINTR ? 0 : -1;
	if (n == 0)
		return -1;
	stream->have += (size_t)n;
	if (stream->reading && stream->have == 2)
		return stream->data[0] || stream->data[1] ? 0 : -1;
	return stream->have == wanted;
}

static void stream_event(struct dns_server *server, struct exchange *exchange)
{
	struct stream *stream = &exchange->upstream;
	int r = stream_step(stream);

	if (r < 0) {
		ask_next(server, exchange);
	} else if (r > 0 && !stream->reading) {
		stream->reading = true;
		stream->have = 0;
	} else if (r > 0) {
		if (is_answer(exchange, stream->data + 2, stream->have - 2))
			hand_back(server, exchange, stream->data,
				  stream->have - 2);
		else
			ask_next(server, exchange);
	}
}

void dns_forward_event(struct dns_server *server, struct exchange *exchange,
		       short events)
{
	if (!exchange->used || events == 0)
		return;
	if (exchange->fd >= 0)
		receive_datagram(server, exchange);
	else
		stream_event(server, exchange);
}

void dns_forward_expire(struct dns_server *server)
{
	int64_t now = clock_ms();

	for (size_t i = 0; i < DNS_EXCHANGES_MAX; i++) {
		struct exchange *exchange = &server->exchanges[i];

		if (exchange->used && exchange->until <= now)
			ask_next(server, exchange);
	}
}
