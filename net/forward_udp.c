#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/str.h"
#include "net/forward_internal.h"

#define DATAGRAM_MAX  65536
#define BATCH	      16
#define BUCKET_COUNT  1024
#define SILENCE_MS    180000
#define UNANSWERED_MS 30000
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
	bool answered;
	int64_t last; /* forward_now() */
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
		flows->seed = (uint64_t)forward_now();
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
	flow->last = forward_now();
	list_append(&flows->lists[flow->answered], flow);
}

/* Closed now, freed when no event of this batch can name it any more. */
static void flow_end(struct udp_flows *flows, struct udp_flow *flow)
{
	struct udp_flow **link = &flows->buckets[bucket_of(flows, &flow->key)];

	while (*link != flow)
		link = &(*link)->next_in_bucket;
	*link = flow->next_in_bucket;
	list_remove(&flows->lists[flow->answered], flow);
	close_fd(&flow->source.fd);
	flow->next_in_bucket = flows->ended;
	flows->ended = flow;
	flows->count--;
}

/* The unanswered are the first to go. */
static bool evict_one(struct udp_flows *flows)
{
	struct udp_flow *flow = flows->lists[0].oldest;

	if (!flow)
		flow = flows->lists[1].oldest;
	if (!flow)
		return false;
	flow_end(flows, flow);
	return true;
}

/* A socket inside, connected to the container's port, or -errno. */
static int open_inner(const struct forwarder *forwarder, uint16_t port)
{
	const struct sockaddr_in source = {
		.sin_family = AF_INET,
		.sin_addr = forwarder->forwarder,
	};
	const struct sockaddr_in target = {
		.sin_family = AF_INET,
		.sin_addr = forwarder->address,
		.sin_port = htons(port),
	};
	cleanup_fd int fd = -1;

	for (int i = 0; i < 2 && fd < 0; i++) {
		fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
			    0);
		if (fd < 0 && (errno != EMFILE || !evict_one(forwarder->flows)))
			return -errno;
	}
	if (fd < 0)
		return -EMFILE;
	/* Without the route to NET_FORWARDER it is the container's own. */
	if (bind(fd, (const struct sockaddr *)&source, sizeof(source)) < 0 &&
	    errno != EADDRNOTAVAIL)
		return -errno;
	if (connect(fd, (const struct sockaddr *)&target, sizeof(target)) < 0)
		return -errno;
	return steal_fd(&fd);
}

static struct udp_flow *flow_new(struct forwarder *forwarder,
				 const struct listener *listener,
				 const struct udp_key *key)
{
	struct udp_flows *flows = forwarder->flows;
	size_t bucket = bucket_of(flows, key);
	struct udp_flow *flow;

	if (flows->count >= flows->max)
		evict_one(flows);
	flow = calloc(1, sizeof(*flow));
	if (!flow)
		return NULL;
	flow->source.kind = SOURCE_UDP_FLOW;
	flow->source.fd = open_inner(forwarder, listener->container_port);
	if (flow->source.fd < 0 ||
	    forward_watch(forwarder, &flow->source, EPOLLIN) < 0) {
		close_fd(&flow->source.fd);
		free(flow);
		return NULL;
	}
	flow->key = *key;
	flow->last = forward_now();
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
	if (!flow)
		return;
	/* What an earlier datagram met (nobody listens) is told once, here. */
	if (send(flow->source.fd, bytes, length, 0) < 0 &&
	    errno == ECONNREFUSED)
		(void)!send(flow->source.fd, bytes, length, 0);
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
				flow_end(flows, flow);
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
	now = forward_now();
	for (size_t i = 0; i < ARRAY_SIZE(flows->lists); i++) {
		struct udp_flow *flow;

		while ((flow = flows->lists[i].oldest) &&
		       now - flow->last >= patience[i])
			flow_end(flows, flow);
		if (flow && (next < 0 || flow->last + patience[i] < next))
			next = flow->last + patience[i];
	}
	return next < 0 ? -1 : (int)(next - now) + SLACK_MS;
}
