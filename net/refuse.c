#include "net/refuse.h"

#include <net/ethernet.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <string.h>

#define HOPS 64

/* The Internet checksum of bytes of an even number, on top of sum. */
static uint32_t add_up(uint32_t sum, const void *data, size_t length)
{
	const uint8_t *bytes = data;

	for (size_t i = 0; i + 1 < length; i += 2)
		sum += (uint32_t)bytes[i] << 8 | bytes[i + 1];
	return sum;
}

static uint16_t checksum(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

/* addresses: source and destination, of `size` bytes each. */
static void answer_tcp(const struct tcphdr *asked, const void *addresses,
		       size_t size, struct tcphdr *ret_answer)
{
	uint32_t sum = IPPROTO_TCP + sizeof(*ret_answer);

	*ret_answer = (struct tcphdr){
		.th_sport = asked->th_dport,
		.th_dport = asked->th_sport,
		.th_ack = htonl(ntohl(asked->th_seq) + 1),
		.th_off = sizeof(*ret_answer) / 4,
		.th_flags = TH_RST | TH_ACK,
	};
	sum = add_up(sum, addresses, 2 * size);
	sum = add_up(sum, ret_answer, sizeof(*ret_answer));
	ret_answer->th_sum = checksum(sum);
}

/* Is it a first segment? */
static bool read_syn(const uint8_t *packet, size_t length, size_t header,
		     struct tcphdr *ret_tcp)
{
	if (length < header + sizeof(*ret_tcp))
		return false;
	memcpy(ret_tcp, packet + header, sizeof(*ret_tcp));
	return (ret_tcp->th_flags & (TH_SYN | TH_ACK | TH_RST)) == TH_SYN;
}

static size_t refuse4(const uint8_t *packet, size_t length, uint8_t *answer)
{
	struct ip asked;
	struct ip ip = {
		.ip_v = 4,
		.ip_hl = sizeof(ip) / 4,
		.ip_len = htons(sizeof(ip) + sizeof(struct tcphdr)),
		.ip_off = htons(IP_DF),
		.ip_ttl = HOPS,
		.ip_p = IPPROTO_TCP,
	};
	struct tcphdr tcp;

	if (!read_syn(packet, length, sizeof(asked), &tcp))
		return 0;
	memcpy(&asked, packet, sizeof(asked));
	if (asked.ip_p != IPPROTO_TCP)
		return 0;
	ip.ip_src = asked.ip_dst;
	ip.ip_dst = asked.ip_src;
	ip.ip_sum = checksum(add_up(0, &ip, sizeof(ip)));
	answer_tcp(&tcp, &ip.ip_src, sizeof(ip.ip_src), &tcp);
	memcpy(answer, &ip, sizeof(ip));
	memcpy(answer + sizeof(ip), &tcp, sizeof(tcp));
	return sizeof(ip) + sizeof(tcp);
}

static size_t refuse6(const uint8_t *packet, size_t length, uint8_t *answer)
{
	struct ip6_hdr asked;
	struct ip6_hdr ip = {
		.ip6_flow = htonl(6u << 28),
		.ip6_plen = htons(sizeof(struct tcphdr)),
		.ip6_nxt = IPPROTO_TCP,
		.ip6_hlim = HOPS,
	};
	struct tcphdr tcp;

	if (!read_syn(packet, length, sizeof(asked), &tcp))
		return 0;
	memcpy(&asked, packet, sizeof(asked));
	if (asked.ip6_nxt != IPPROTO_TCP)
		return 0;
	ip.ip6_src = asked.ip6_dst;
	ip.ip6_dst = asked.ip6_src;
	answer_tcp(&tcp, &ip.ip6_src, sizeof(ip.ip6_src), &tcp);
	memcpy(answer, &ip, sizeof(ip));
	memcpy(answer + sizeof(ip), &tcp, sizeof(tcp));
	return sizeof(ip) + sizeof(tcp);
}

size_t refuse_tcp(const uint8_t *frame, size_t length,
		  uint8_t ret_frame[REFUSE_FRAME_MAX])
{
	const uint8_t *packet = frame + sizeof(struct ether_header);
	uint8_t *answer = ret_frame + sizeof(struct ether_header);
	struct ether_header header;
	struct ether_header back;
	size_t size = 0;

	if (length < sizeof(header))
		return 0;
	memcpy(&header, frame, sizeof(header));
	length -= sizeof(header);
	if (ntohs(header.ether_type) == ETHERTYPE_IP)
		size = refuse4(packet, length, answer);
	else if (ntohs(header.ether_type) == ETHERTYPE_IPV6)
		size = refuse6(packet, length, answer);
	if (size == 0)
		return 0;
	back.ether_type = header.ether_type;
	memcpy(back.ether_dhost, header.ether_shost, sizeof(back.ether_dhost));
	memcpy(back.ether_shost, header.ether_dhost, sizeof(back.ether_shost));
	memcpy(ret_frame, &back, sizeof(back));
	return sizeof(back) + size;
}
