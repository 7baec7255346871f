#include "net/nl.h"

#include <errno.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"

int nl_open(struct error *err)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (fd < 0)
		return err_errno(err, "cannot open a netlink socket");
	return fd;
}

/* Room for length more bytes, aligned and zeroed; NULL when there is none. */
static void *extend(struct nl_request *request, size_t length)
{
	size_t start = NLMSG_ALIGN(request->header.nlmsg_len);
	size_t end = start + NLMSG_ALIGN(length);

	if (request->overflow || length > NL_REQUEST_MAX ||
	    end > NL_REQUEST_MAX) {
		request->overflow = true;
		return NULL;
	}
	memset(request->bytes + start, 0, end - start);
	request->header.nlmsg_len = (uint32_t)end;
	return request->bytes + start;
}

void nl_begin(struct nl_request *request, uint16_t type, uint16_t flags,
	      const void *body, size_t length)
{
	void *room;

	request->overflow = false;
	request->header = (struct nlmsghdr){
		.nlmsg_len = NLMSG_HDRLEN,
		.nlmsg_type = type,
		.nlmsg_flags = flags | NLM_F_REQUEST | NLM_F_ACK,
	};
	room = extend(request, length);
	if (room)
		memcpy(room, body, length);
}

void nl_add(struct nl_request *request, uint16_t attribute, const void *data,
	    size_t length)
{
	struct rtattr *room = extend(request, RTA_LENGTH(length));

	if (!room)
		return;
	room->rta_type = attribute;
	room->rta_len = (unsigned short)RTA_LENGTH(length);
	if (length > 0)
		memcpy(RTA_DATA(room), data, length);
}

void nl_add_u32(struct nl_request *request, uint16_t attribute, uint32_t value)
{
	nl_add(request, attribute, &value, sizeof(value));
}

void nl_add_raw(struct nl_request *request, const void *data, size_t length)
{
	void *room = extend(request, length);

	if (room)
		memcpy(room, data, length);
}

size_t nl_nest_begin(struct nl_request *request, uint16_t attribute)
{
	size_t start = request->header.nlmsg_len;

	nl_add(request, attribute | NLA_F_NESTED, NULL, 0);
	return start;
}

void nl_nest_end(struct nl_request *request, size_t start)
{
	struct rtattr *nest;

	if (request->overflow)
		return;
	nest = (struct rtattr *)(void *)(request->bytes + start);
	nest->rta_len = (unsigned short)(request->header.nlmsg_len - start);
}

/*
 * Up to the acknowledgement of sequence; what comes before it is the answer,
 * and others' messages are passed over.
 */
static ssize_t receive_answer(int fd, uint32_t sequence, void *ret_answer,
			      size_t size)
{
	ssize_t kept = 0;

	for (;;) {
		union {
			struct nlmsghdr header;
			char bytes[4096];
		} answer;
		struct sockaddr_nl from = {0};
		socklen_t from_length = sizeof(from);
		const struct nlmsgerr *ack = NLMSG_DATA(&answer.header);
		ssize_t length =
			recvfrom(fd, &answer, sizeof(answer), 0,
				 (struct sockaddr *)&from, &from_length);

		if (length < 0 && errno == EINTR)
			continue;
		if (length < 0)
			return -errno;
		if ((size_t)length < sizeof(answer.header) ||
		    from.nl_pid != 0 || answer.header.nlmsg_seq != sequence)
			continue;
		if (answer.header.nlmsg_type != NLMSG_ERROR) {
			kept = (size_t)length < size ? length : (ssize_t)size;
			if (kept > 0)
				memcpy(ret_answer, &answer, (size_t)kept);
			continue;
		}
		if ((size_t)length < NLMSG_LENGTH(sizeof(*ack)))
			continue;
		return ack->error < 0 ? ack->error : kept;
	}
}

ssize_t nl_ask(int fd, struct nl_request *request, void *ret_answer,
	       size_t size)
{
	static _Thread_local uint32_t last_sequence;
	ssize_t sent;

	if (request->overflow)
		return -EMSGSIZE;
	request->header.nlmsg_seq = ++last_sequence;
	do {
		sent = send(fd, request->bytes, request->header.nlmsg_len, 0);
	} while (sent < 0 && errno == EINTR);
	if (sent < 0)
		return -errno;
	return receive_answer(fd, request->header.nlmsg_seq, ret_answer, size);
}

int nl_call(int fd, struct nl_request *request)
{
	ssize_t r = nl_ask(fd, request, NULL, 0);

	return r < 0 ? (int)r : 0;
}

int nl_link_up(int fd, unsigned int index)
{
	struct ifinfomsg link = {
		.ifi_family = AF_UNSPEC,
		.ifi_index = (int)index,
		.ifi_flags = IFF_UP,
		.ifi_change = IFF_UP,
	};
	struct nl_request request;

	nl_begin(&request, RTM_NEWLINK, 0, &link, sizeof(link));
	return nl_call(fd, &request);
}

int nl_link_without_local(int fd, unsigned int index)
{
	const struct ifinfomsg link = {
		.ifi_family = AF_UNSPEC,
		.ifi_index = (int)index,
	};
	const uint8_t mode = IN6_ADDR_GEN_MODE_NONE;
	struct nl_request request;
	size_t families;
	size_t inet6;
	int r;

	nl_begin(&request, RTM_NEWLINK, 0, &link, sizeof(link));
	families = nl_nest_begin(&request, IFLA_AF_SPEC);
	inet6 = nl_nest_begin(&request, AF_INET6);
	nl_add(&request, IFLA_INET6_ADDR_GEN_MODE, &mode, sizeof(mode));
	nl_nest_end(&request, inet6);
	nl_nest_end(&request, families);
	r = nl_call(fd, &request);
	return r == -EAFNOSUPPORT || r == -EOPNOTSUPP ? 0 : r;
}

int nl_configure4(int fd, unsigned int index, const struct nl_setting *settings,
		  size_t count)
{
	const struct ifinfomsg link = {
		.ifi_family = AF_UNSPEC,
		.ifi_index = (int)index,
	};
	struct nl_request request;
	size_t families;
	size_t inet;
	size_t conf;

	nl_begin(&request, RTM_NEWLINK, 0, &link, sizeof(link));
	families = nl_nest_begin(&request, IFLA_AF_SPEC);
	inet = nl_nest_begin(&request, AF_INET);
	conf = nl_nest_begin(&request, IFLA_INET_CONF);
	for (size_t i = 0; i < count; i++)
		nl_add_u32(&request, settings[i].number, settings[i].value);
	nl_nest_end(&request, conf);
	nl_nest_end(&request, inet);
	nl_nest_end(&request, families);
	return nl_call(fd, &request);
}
