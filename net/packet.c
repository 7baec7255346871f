#include "net/packet.h"

#include <net/ethernet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "net/bytes.h"

#define IPV4_HEADER 20
#define IPV6_HEADER 40
#define TCP_HEADER  20
#define UDP_HEADER  8
#define ICMP_HEADER 8
#define TTL	    64

#define ICMP4_ECHO	  8
#define ICMP4_UNREACHABLE 3
#define ICMP4_PROHIBITED  13
#define ICMP6_UNREACHABLE 1
#define ICMP6_PROHIBITED  1
#define ICMP6_ECHO	  128
#define ICMP6_ROUTER_ASK  133
#define ICMP6_NEIGHBOUR	  136
/* What of the packet an error repeats. */
#define ICMP4_QUOTE (IPV4_HEADER + 8)
#define ICMP6_QUOTE 1200

static void put16(uint8_t *bytes, uint16_t value)
{
	bytes[0] = (uint8_t)(value >> 8);
	bytes[1] = (uint8_t)value;
}

static void put32(uint8_t *bytes, uint32_t value)
{
	put16(bytes, (uint16_t)(value >> 16));
	put16(bytes + 2, (uint16_t)value);
}

static void parse_tcp(const uint8_t *segment, size_t length,
		      struct packet *packet)
{
	size_t header;

	if (length < TCP_HEADER)
		return;
	header = 4 * (size_t)(segment[12] >> 4);
	if (header < TCP_HEADER || header > length)
		return;
	packet->kind = PACKET_TCP;
	packet->path.source_port = get16(segment);
	packet->path.destination_port = get16(segment + 2);
	packet->seq = get32(segment + 4);
	packet->ack = get32(segment + 8);
	packet->flags = segment[13];
	packet->window = get16(segment + 14);
	packet->data = segment + header;
	packet->data_length = length - header;
}

static void parse_udp(const uint8_t *datagram, size_t length,
		      struct packet *packet)
{
	if (length < UDP_HEADER || get16(datagram + 4) != length)
		return;
	packet->kind = PACKET_UDP;
	packet->path.source_port = get16(datagram);
	packet->path.destination_port = get16(datagram + 2);
	packet->data = datagram + UDP_HEADER;
	packet->data_length = length - UDP_HEADER;
}

/* Errors, multicast memberships: the kernel's own, nobody here takes them. */
static void parse_icmp(const uint8_t *message, size_t length, bool v6,
		       struct packet *packet)
{
	if (length < ICMP_HEADER)
		return;
	if (message[0] == (v6 ? ICMP6_ECHO : ICMP4_ECHO))
		packet->kind = PACKET_ECHO;
	else if (v6 && message[0] >= ICMP6_ROUTER_ASK &&
		 message[0] <= ICMP6_NEIGHBOUR)
		packet->kind = PACKET_LINK;
}

static void parse_payload(uint8_t protocol, size_t header,
			  struct packet *packet)
{
	const uint8_t *payload = packet->bytes + header;
	size_t length = packet->length - header;

	switch (protocol) {
	case IPPROTO_TCP:
		parse_tcp(payload, length, packet);
		break;
	case IPPROTO_UDP:
		parse_udp(payload, length, packet);
		break;
	case IPPROTO_ICMP:
		if (header == IPV4_HEADER)
			parse_icmp(payload, length, false, packet);
		break;
	case IPPROTO_ICMPV6:
		if (header == IPV6_HEADER)
			parse_icmp(payload, length, true, packet);
		break;
	case IPPROTO_IGMP:
		break;
	default:
		packet->kind = PACKET_OTHER;
	}
}

static void parse4(const uint8_t *bytes, size_t length, struct packet *packet)
{
	if (length < IPV4_HEADER || bytes[0] != 0x45 ||
	    (get16(bytes + 6) & 0x3fff) != 0 || get16(bytes + 2) > length ||
	    get16(bytes + 2) < IPV4_HEADER)
		return;
	packet->bytes = bytes;
	packet->length = get16(bytes + 2);
	packet->path.source.family = AF_INET;
	memcpy(packet->path.source.bytes, bytes + 12, 4);
	packet->path.destination.family = AF_INET;
	memcpy(packet->path.destination.bytes, bytes + 16, 4);
	parse_payload(bytes[9], IPV4_HEADER, packet);
}

static void parse6(const uint8_t *bytes, size_t length, struct packet *packet)
{
	if (length < IPV6_HEADER || bytes[0] >> 4 != 6 ||
	    get16(bytes + 4) > length - IPV6_HEADER)
		return;
	packet->bytes = bytes;
	packet->length = IPV6_HEADER + (size_t)get16(bytes + 4);
	packet->path.source.family = AF_INET6;
	memcpy(packet->path.source.bytes, bytes + 8, 16);
	packet->path.destination.family = AF_INET6;
	memcpy(packet->path.destination.bytes, bytes + 24, 16);
	parse_payload(bytes[6], IPV6_HEADER, packet);
}

void packet_parse(const uint8_t *frame, size_t length,
		  struct packet *ret_packet)
{
	struct packet packet = {.kind = PACKET_BAD};

	*ret_packet = packet;
	if (length < PACKET_ETHERNET)
		return;
	memcpy(packet.path.ethernet, frame, sizeof(packet.path.ethernet));
	switch (get16(frame + 12)) {
	case ETHERTYPE_ARP:
		packet.kind = PACKET_LINK;
		break;
	case ETHERTYPE_IP:
		parse4(frame + PACKET_ETHERNET, length - PACKET_ETHERNET,
		       &packet);
		break;
	case ETHERTYPE_IPV6:
		parse6(frame + PACKET_ETHERNET, length - PACKET_ETHERNET,
		       &packet);
		break;
	default:
		break;
	}
	*ret_packet = packet;
}

struct packet_path packet_path_back(const struct packet_path *path)
{
	struct packet_path back = {
		.source = path->destination,
		.destination = path->source,
		.source_port = path->destination_port,
		.destination_port = path->source_port,
	};

	memcpy(back.ethernet, path->ethernet + 6, 6);
	memcpy(back.ethernet + 6, path->ethernet, 6);
	return back;
}

static uint32_t add_up(uint32_t sum, const uint8_t *bytes, size_t length)
{
	for (size_t i = 0; i + 1 < length; i += 2) {
		sum += get16(bytes + i);
		sum = (sum & 0xffff) + (sum >> 16);
	}
	if (length % 2)
		sum += (uint32_t)bytes[length - 1] << 8;
	return sum;
}

static uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

/* Headers up to the payload, whose room of length bytes is at the result. */
static uint8_t *put_headers(const struct packet_path *path, uint8_t protocol,
			    size_t length, uint8_t *frame)
{
	uint8_t *ip = frame + PACKET_ETHERNET;
	const bool v6 = path->source.family == AF_INET6;

	memcpy(frame, path->ethernet, sizeof(path->ethernet));
	put16(frame + 12, v6 ? ETHERTYPE_IPV6 : ETHERTYPE_IP);
	memset(ip, 0, v6 ? IPV6_HEADER : IPV4_HEADER);
	if (v6) {
		ip[0] = 0x60;
		put16(ip + 4, (uint16_t)length);
		ip[6] = protocol;
		ip[7] = TTL;
		memcpy(ip + 8, path->source.bytes, 16);
		memcpy(ip + 24, path->destination.bytes, 16);
		return ip + IPV6_HEADER;
	}
	ip[0] = 0x45;
	put16(ip + 2, (uint16_t)(IPV4_HEADER + length));
	put16(ip + 6, 0x4000); /* not to be fragmented */
	ip[8] = TTL;
	ip[9] = protocol;
	memcpy(ip + 12, path->source.bytes, 4);
	memcpy(ip + 16, path->destination.bytes, 4);
	put16(ip + 10, fold(add_up(0, ip, IPV4_HEADER)));
	return ip + IPV4_HEADER;
}

/* With the pseudo header. */
static uint16_t transport_sum(const struct packet_path *path, uint8_t protocol,
			      const uint8_t *payload, size_t length)
{
	size_t size = address_size(path->source.family);
	uint32_t sum = (uint32_t)length + protocol;

	sum = add_up(sum, path->source.bytes, size);
	sum = add_up(sum, path->destination.bytes, size);
	return fold(add_up(sum, payload, length));
}

size_t packet_make_tcp(const struct packet_path *path,
		       const struct packet_tcp *tcp, uint8_t *ret_frame)
{
	size_t length = TCP_HEADER + tcp->data_length;
	uint8_t *segment = put_headers(path, IPPROTO_TCP, length, ret_frame);

	memset(segment, 0, TCP_HEADER);
	put16(segment, path->source_port);
	put16(segment + 2, path->destination_port);
	put32(segment + 4, tcp->seq);
	put32(segment + 8, tcp->ack);
	segment[12] = TCP_HEADER / 4 << 4;
	segment[13] = tcp->flags;
	put16(segment + 14, tcp->window);
	if (tcp->data_length > 0)
		memcpy(segment + TCP_HEADER, tcp->data, tcp->data_length);
	put16(segment + 16, transport_sum(path, IPPROTO_TCP, segment, length));
	return (size_t)(segment - ret_frame) + length;
}

/* RFC 9293, section 3.10.7.1: so that the sender believes it. */
size_t packet_make_reset(const struct packet *packet,
			 uint8_t ret_frame[PACKET_HEADERS_MAX])
{
	const struct packet_path back = packet_path_back(&packet->path);
	struct packet_tcp tcp = {.flags = TCP_RST};

	if (packet->flags & TCP_RST)
		return 0;
	if (packet->flags & TCP_ACK) {
		tcp.seq = packet->ack;
	} else {
		tcp.flags = TCP_RST | TCP_ACK;
		tcp.ack = packet->seq + (uint32_t)packet->data_length +
			  !!(packet->flags & TCP_SYN) +
			  !!(packet->flags & TCP_FIN);
	}
	return packet_make_tcp(&back, &tcp, ret_frame);
}

size_t packet_make_udp(const struct packet_path *path, const void *data,
		       size_t length, uint8_t ret_frame[PACKET_FRAME_MAX])
{
	size_t whole = UDP_HEADER + length;
	uint8_t *datagram = put_headers(path, IPPROTO_UDP, whole, ret_frame);
	uint16_t sum;

	put16(datagram, path->source_port);
	put16(datagram + 2, path->destination_port);
	put16(datagram + 4, (uint16_t)whole);
	put16(datagram + 6, 0);
	memcpy(datagram + UDP_HEADER, data, length);
	sum = transport_sum(path, IPPROTO_UDP, datagram, whole);
	/* 0 says that there is none. */
	put16(datagram + 6, sum ? sum : 0xffff);
	return (size_t)(datagram - ret_frame) + whole;
}

size_t packet_make_prohibited(const struct packet *packet,
			      uint8_t ret_frame[PACKET_FRAME_MAX])
{
	const struct packet_path path = packet_path_back(&packet->path);
	const bool v6 = path.source.family == AF_INET6;
	const uint8_t protocol = v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
	const size_t most = v6 ? ICMP6_QUOTE : ICMP4_QUOTE;
	size_t quote = packet->length < most ? packet->length : most;
	size_t length = ICMP_HEADER + quote;
	uint8_t *message = put_headers(&path, protocol, length, ret_frame);

	memset(message, 0, ICMP_HEADER);
	message[0] = v6 ? ICMP6_UNREACHABLE : ICMP4_UNREACHABLE;
	message[1] = v6 ? ICMP6_PROHIBITED : ICMP4_PROHIBITED;
	memcpy(message + ICMP_HEADER, packet->bytes, quote);
	put16(message + 2, v6 ? transport_sum(&path, protocol, message, length)
			      : fold(add_up(0, message, length)));
	return (size_t)(message - ret_frame) + length;
}
