#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/str.h"
#include "net/forward_internal.h"

#define DATAGRAM_MAX  65536
#define BATCH	      16
#define BUCKET_COUNT  1024
#define SILENCE_MS    180000
#define UNANSWERED_MS 30000
#define SWITCH_MS     1000 /* where nobody listens, in neither family */
#define SLACK_MS      1000 /* expiry need not be exact */

/* Room for the address a datagram was sent to, of either family. */
union packet_info {
	struct cmsghdr header;
	char v4[CMSG_SPACE(sizeof(struct in_pktinfo))];
	char v6[CMSG_SPACE(sizeof(struct in6_pktinfo))];
};

/* Who asked whom: what a flow is found by. Without padding, to be hashed. */
struct udp_key {
	union net_address client;
	struct in6_addr local; /* IPv4 in the first four bytes */
	uint32_t interface;    /* for a link-local client; 0 otherwise */
	int listener_fd;
};

struct udp_flow {
	struct source source;
	struct udp_key key;
	uint16_t container_port;
	sa_family_t family; /* inside */
	bool shown;	    /* the container sees the client itself */
	bool answered;
	bool tried;	  /* the socket inside has been sent to */
	int64_t switched; /* clock_ms(), to the other family */
	int64_t last;
	struct udp_flow *next_in_bucket;
	struct udp_flow *older; /* in its list, by time */
	struct udp_flow *newer;
};

/* Oldest first, so that expiry looks at one. */
struct udp_list {
	struct udp_flow *oldest;
	struct udp_flow *newest;
};

struct udp_flows {
	struct udp_flow *buckets[BUCKET_COUNT];
	struct udp_list lists[2]; /* unanswered, answered */
	struct udp_flow *ended;	  /* freed after the batch */
	uint64_t seed;
	size_t count;
	size_t max;
	/* of the one thread there is */
	char datagrams[BATCH][DATAGRAM_MAX];
};

struct udp_flows *udp_flows_new(size_t flow_max)
{
	struct udp_flows *flows = xcalloc(1, sizeof(*flows));

	flows->max = flow_max;
	/* A guessable seed costs time, nothing else. */
	if (getrandom(&flows->seed, sizeof(flows->seed), GRND_NONBLOCK) < 0)
		flows->seed = (uint64_t)clock_ms();
	return flows;
}

void udp_listener_prepare(int fd)
{
	const int on = 1;

	/* One of the two, as the family is. */
	if (setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, &on, sizeof(on)) < 0)
		setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &on, sizeof(on));
}

static size_t bucket_of(const struct udp_flows *flows,
			const struct udp_key *key)
{
	const unsigned char *bytes = (const unsigned char *)key;
	uint64_t hash = flows->seed ^ 0xcbf29ce484222325u;

	for (size_t i = 0; i < sizeof(*key); i++)
		hash = (hash ^ bytes[i]) * 0x100000001b3u;
	hash ^= hash >> 32;
	return hash % BUCKET_COUNT;
}

static void list_remove(struct udp_list *list, struct udp_flow *flow)
{
	*(flow->older ? &flow->older->newer : &list->oldest) = flow->newer;
	*(flow->newer ? &flow->newer->older : &list->newest) = flow->older;
	flow->older = NULL;
	flow->newer = NULL;
}

static void list_append(struct udp_list *list, struct udp_flow *flow)
{
	flow->older = list->newest;
	*(list->newest ? &list->newest->newer : &list->oldest) = flow;
	list->newest = flow;
}

/* Something went through it. */
static void touch(struct udp_flows *flows, struct udp_flow *flow, bool answered)
{
	list_remove(&flows->lists[flow->answered], flow);
	flow->answered |= answered;
	flow->last = clock_ms();
	list_append(&flows->lists[flow->answered], flow);
}

/* Closed now, freed when no event of this batch can name it any more. */
static void flow_end(struct forwarder *forwarder, struct udp_flow *flow)
{
	struct udp_flows *flows = forwarder->flows;
	struct udp_flow **link = &flows->buckets[bucket_of(flows, &flow->key)];

	while (*link != flow)
		link = &(*link)->next_in_bucket;
	*link = flow->next_in_bucket;
	list_remove(&flows->lists[flow->answered], flow);
	close_fd(&flow->source.fd);
	if (flow->shown)
		clients_release(forwarder, &flow->key.client);
	flow->next_in_bucket = flows->ended;
	flows->ended = flow;
	flows->count--;
}

/* The unanswered are the first to go; not the one that is dealt with. */
static bool evict_one(struct forwarder *forwarder, const struct udp_flow *but)
{
	for (size_t i = 0; i < ARRAY_SIZE(forwarder->flows->lists); i++) {
		struct udp_flow *flow = forwarder->flows->lists[i].oldest;

		if (flow == but && flow)
			flow = flow->newer;
		if (!flow)
			continue;
		flow_end(forwarder, flow);
		return true;
	}
	return false;
}

/*
 * The socket inside, anew, over one family: 0 or -errno. The client is shown
 * where that can be: in its own family, and not if it may be somebody else.
 */
static int open_inner(struct forwarder *forwarder, struct udp_flow *flow,
		      sa_family_t family)
{
	const union net_address *client = &flow->key.client;
	bool same = client->any.sa_family == family;
	cleanup_fd int fd = -1;
	int r;

	if (same && !flow->shown)
		flow->shown = clients_hold(forwarder, client);
	for (int i = 0; i < 2; i++) {
		fd = udp_connect_inside(forwarder, client, family,
					flow->container_port,
					same && flow->shown);
		if (fd != -EMFILE || !evict_one(forwarder, flow))
			break;
	}
	if (fd < 0)
		return fd;
	if (!same && flow->shown) {
		clients_release(forwarder, client);
		flow->shown = false;
	}
	close_fd(&flow->source.fd);
	flow->source.fd = steal_fd(&fd);
	flow->family = family;
	r = forward_watch(forwarder, &flow->source, EPOLLIN);
	if (r < 0)
		close_fd(&flow->source.fd);
	return r;
}

static sa_family_t other_family(sa_family_t family)
{
	return family == AF_INET6 ? AF_INET : AF_INET6;
}

static struct udp_flow *flow_new(struct forwarder *forwarder,
				 const struct listener *listener,
				 const struct udp_key *key)
{
	struct udp_flows *flows = forwarder->flows;
	const sa_family_t family = key->client.any.sa_family;
	size_t bucket = bucket_of(flows, key);
	struct udp_flow *flow;

	if (flows->count >= flows->max)
		evict_one(forwarder, NULL);
	flow = calloc(1, sizeof(*flow));
	if (!flow)
		return NULL;
	flow->source = (struct source){.kind = SOURCE_UDP_FLOW, .fd = -1};
	flow->key = *key;
	flow->container_port = listener->container_port;
	/* The container may have no IPv6. */
	if (open_inner(forwarder, flow, family) < 0 &&
	    open_inner(forwarder, flow, other_family(family)) < 0) {
		if (flow->shown)
			clients_release(forwarder, &key->client);
		free(flow);
		return NULL;
	}
	flow->last = clock_ms();
	flow->next_in_bucket = flows->buckets[bucket];
	flows->buckets[bucket] = flow;
	list_append(&flows->lists[0], flow);
	flows->count++;
	return flow;
}

static bool key_equal(const struct udp_key *a, const struct udp_key *b)
{
	/* The larger address; the rest of a smaller one is zero. */
	return memcmp(&a->client.v6, &b->client.v6, sizeof(a->client.v6)) ==
		       0 &&
	       IN6_ARE_ADDR_EQUAL(&a->local, &b->local) &&
	       a->interface == b->interface && a->listener_fd == b->listener_fd;
}

static struct udp_flow *flow_find(const struct udp_flows *flows,
				  const struct udp_key *key)
{
	struct udp_flow *flow = flows->buckets[bucket_of(flows, key)];

	while (flow && !key_equal(&flow->key, key))
		flow = flow->next_in_bucket;
	return flow;
}

/* The address a datagram was sent to, from its control message. */
static void read_packet_info(struct msghdr *message, struct udp_key *key)
{
	struct cmsghdr *control = CMSG_FIRSTHDR(message);

	for (; control; control = CMSG_NXTHDR(message, control)) {
		struct in6_pktinfo info6;
		struct in_pktinfo info4;

		if (control->cmsg_level == IPPROTO_IP &&
		    control->cmsg_type == IP_PKTINFO) {
			memcpy(&info4, CMSG_DATA(control), sizeof(info4));
			memcpy(&key->local, &info4.ipi_spec_dst,
			       sizeof(info4.ipi_spec_dst));
		} else if (control->cmsg_level == IPPROTO_IPV6 &&
			   control->cmsg_type == IPV6_PKTINFO) {
			memcpy(&info6, CMSG_DATA(control), sizeof(info6));
			key->local = info6.ipi6_addr;
			if (IN6_IS_ADDR_LINKLOCAL(&info6.ipi6_addr))
				key->interface = info6.ipi6_ifindex;
		}
	}
}

/* The other way round: an answer leaves from the address that was asked. */
static void write_packet_info(const struct udp_key *key,
			      union packet_info *control,
			      struct msghdr *message)
{
	struct in6_pktinfo info6 = {
		.ipi6_addr = key->local,
		.ipi6_ifindex = key->interface,
	};
	struct in_pktinfo info4 = {0};

	memset(control, 0, sizeof(*control));
	message->msg_control = control;
	if (key->client.any.sa_family == AF_INET6) {
		message->msg_controllen = sizeof(control->v6);
		control->header.cmsg_level = IPPROTO_IPV6;
		control->header.cmsg_type = IPV6_PKTINFO;
		control->header.cmsg_len = CMSG_LEN(sizeof(info6));
		memcpy(CMSG_DATA(&control->header), &info6, sizeof(info6));
	} else {
		memcpy(&info4.ipi_spec_dst, &key->local,
		       sizeof(info4.ipi_spec_dst));
		message->msg_controllen = sizeof(control->v4);
		control->header.cmsg_level = IPPROTO_IP;
		control->header.cmsg_type = IP_PKTINFO;
		control->header.cmsg_len = CMSG_LEN(sizeof(info4));
		memcpy(CMSG_DATA(&control->header), &info4, sizeof(info4));
	}
}

/*
 * False when nobody listens there, which is known at once on a loopback: by the
 * first datagram itself, or by the next one, which is not sent then.
 */
static bool send_inside(struct udp_flow *flow, const char *bytes, size_t length)
{
	int failure = 0;
	socklen_t size = sizeof(failure);
	bool first = !flow->tried;

	flow->tried = true;
	if (send(flow->source.fd, bytes, length, 0) < 0)
		return errno != ECONNREFUSED;
	return !first ||
	       getsockopt(flow->source.fd, SOL_SOCKET, SO_ERROR, &failure,
			  &size) < 0 ||
	       failure != ECONNREFUSED;
}

/*
 * Many a server listens on IPv4 only, some on IPv6 only: what is refused over
 * one is tried over the other.
 */
static void send_otherwise(struct forwarder *forwarder, struct udp_flow *flow,
			   const char *bytes, size_t length)
{
	int64_t now = clock_ms();

	if (now - flow->switched >= SWITCH_MS) {
		flow->switched = now;
		flow->tried = false;
		(void)open_inner(forwarder, flow, other_family(flow->family));
	}
	if (flow->source.fd < 0)
		flow_end(forwarder, flow);
	else
		(void)send_inside(flow, bytes, length);
}

static void forward_one(struct forwarder *forwarder,
			const struct listener *listener,
			const struct udp_key *key, const char *bytes,
			size_t length)
{
	struct udp_flow *flow = flow_find(forwarder->flows, key);

	if (flow)
		touch(forwarder->flows, flow, false);
	else
		flow = flow_new(forwarder, listener, key);
	if (flow && !send_inside(flow, bytes, length))
		send_otherwise(forwarder, flow, bytes, length);
}

void udp_listener_event(struct forwarder *forwarder,
			const struct listener *listener)
{
	struct udp_flows *flows = forwarder->flows;
	union packet_info controls[BATCH];
	struct udp_key keys[BATCH] = {0};
	struct mmsghdr messages[BATCH] = {0};
	struct iovec iovs[BATCH];
	int count;

	for (size_t i = 0; i < BATCH; i++) {
		iovs[i] = (struct iovec){flows->datagrams[i], DATAGRAM_MAX};
		messages[i].msg_hdr = (struct msghdr){
			.msg_name = &keys[i].client,
			.msg_namelen = sizeof(keys[i].client),
			.msg_iov = &iovs[i],
			.msg_iovlen = 1,
			.msg_control = &controls[i],
			.msg_controllen = sizeof(controls[i]),
		};
	}
	count = recvmmsg(listener->source.fd, messages, BATCH, MSG_DONTWAIT,
			 NULL);
	for (int i = 0; i < count; i++) {
		read_packet_info(&messages[i].msg_hdr, &keys[i]);
		keys[i].listener_fd = listener->source.fd;
		/* The flow label is no part of who it is. */
		if (keys[i].client.any.sa_family == AF_INET6)
			keys[i].client.v6.sin6_flowinfo = 0;
		forward_one(forwarder, listener, &keys[i], flows->datagrams[i],
			    messages[i].msg_len);
	}
}

void udp_flow_event(struct forwarder *forwarder, struct source *source)
{
	struct udp_flow *flow = (struct udp_flow *)(void *)source;
	struct udp_flows *flows = forwarder->flows;
	struct mmsghdr messages[BATCH] = {0};
	union packet_info control;
	struct iovec iovs[BATCH];
	int sent = 0;
	int count;

	for (size_t i = 0; i < BATCH; i++) {
		iovs[i] = (struct iovec){flows->datagrams[i], DATAGRAM_MAX};
		messages[i].msg_hdr = (struct msghdr){
			.msg_iov = &iovs[i],
			.msg_iovlen = 1,
		};
	}
	/* Fails, too, to tell that nobody listens: dropped like any answer. */
	count = recvmmsg(flow->source.fd, messages, BATCH, MSG_DONTWAIT, NULL);
	if (count <= 0)
		return;
	touch(flows, flow, true);
	for (int i = 0; i < count; i++) {
		struct msghdr *message = &messages[i].msg_hdr;

		iovs[i].iov_len = messages[i].msg_len;
		message->msg_name = &flow->key.client;
		message->msg_namelen = net_address_length(&flow->key.client);
		write_packet_info(&flow->key, &control, message);
	}
	/* One that cannot be sent (too long for the way) is passed over. */
	while (sent < count) {
		int n = sendmmsg(flow->key.listener_fd, messages + sent,
				 (unsigned int)(count - sent), MSG_DONTWAIT);

		sent += n > 0 ? n : 1;
	}
}

void udp_end_flows(struct forwarder *forwarder, int listener_fd)
{
	struct udp_flows *flows = forwarder->flows;

	for (size_t i = 0; i < ARRAY_SIZE(flows->lists); i++) {
		struct udp_flow *next;

		for (struct udp_flow *flow = flows->lists[i].oldest; flow;
		     flow = next) {
			next = flow->newer;
			if (flow->key.listener_fd == listener_fd)
				flow_end(forwarder, flow);
		}
	}
}

int udp_expire(struct forwarder *forwarder)
{
	static const int64_t patience[] = {UNANSWERED_MS, SILENCE_MS};
	struct udp_flows *flows = forwarder->flows;
	int64_t next = -1;
	int64_t now;

	while (flows->ended) {
		struct udp_flow *flow = flows->ended;

		flows->ended = flow->next_in_bucket;
		free(flow);
	}
	if (flows->count == 0)
		return -1;
	now = clock_ms();
	for (size_t i = 0; i < ARRAY_SIZE(flows->lists); i++) {
		struct udp_flow *flow;

		while ((flow = flows->lists[i].oldest) &&
		       now - flow->last >= patience[i])
			flow_end(forwarder, flow);
		if (flow && (next < 0 || flow->last + patience[i] < next))
			next = flow->last + patience[i];
	}
	return next < 0 ? -1 : (int)(next - now) + SLACK_MS;
}
